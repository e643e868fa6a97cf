"""The clients of Confluent's registry against the node: python registry_clients.py HTTP KAFKA."""
import datetime
import decimal
import struct
import sys
import uuid

import requests
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

http, kafka = sys.argv[1:3]
client = SchemaRegistryClient({"url": f"{http}/registry"})

ORDER = """{"type":"record","name":"Order","namespace":"shop","fields":[
  {"name":"id","type":"long"},{"name":"name","type":"string"},
  {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
  {"name":"day","type":{"type":"int","logicalType":"date"}},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
  {"name":"at_ms","type":{"type":"long","logicalType":"timestamp-millis"}},
  {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"]}},
  {"name":"token","type":{"type":"string","logicalType":"uuid"}},
  {"name":"tags","type":{"type":"array","items":"string"}},
  {"name":"counts","type":{"type":"map","values":"int"}},
  {"name":"address","type":{"type":"record","name":"Address","fields":[{"name":"city","type":"string"},{"name":"zip","type":["null","int"],"default":null}]}},
  {"name":"note","type":["null","string"],"default":null},
  {"name":"packed","type":{"type":"fixed","name":"Packed","size":3}}
]}"""
# The next version lacks a field, has one more, and has a wider number.
ORDER_2 = ORDER.replace('{"name":"name","type":"string"},', "").replace(
    '{"name":"note"', '{"name":"discount","type":"double","default":0.0},{"name":"note"'
)


def fails(code, call):
    try:
        call()
    except SchemaRegistryError as error:
        assert error.error_code == code, error
        return
    raise AssertionError(f"error {code} was expected")


def the_api():
    """What the client itself can ask."""
    assert client.get_subjects() == []
    string, number = Schema('"string"', "AVRO"), Schema('"int"', "AVRO")
    first = client.register_schema("api", string)
    assert client.register_schema("api", string) == first
    assert client.get_schema(first).schema_str == '"string"'
    latest = client.get_latest_version("api")
    assert (latest.version, latest.schema_id, latest.subject) == (1, first, "api")
    assert client.lookup_schema("api", string).version == 1
    assert client.get_version("api", 1).schema_id == first
    assert client.get_versions("api") == [1]
    assert not client.test_compatibility("api", number)
    assert client.test_compatibility("api", string)
    fails(409, lambda: client.register_schema("api", number))
    fails(40401, lambda: client.get_latest_version("nowhere"))
    fails(42201, lambda: client.register_schema("api", Schema("{", "AVRO")))
    assert client.get_compatibility() == "BACKWARD"
    assert client.set_compatibility("api", "NONE")["compatibility"] == "NONE"
    assert client.get_compatibility("api") == "NONE"
    second = client.register_schema("api", number)
    assert second != first
    assert client.delete_version("api", 2) == 2
    fails(40402, lambda: client.get_version("api", 2))
    assert client.delete_subject("api") == [1]
    assert client.delete_subject("api", permanent=True) == [1, 2]
    assert client.get_subjects() == []
    inner = Schema('{"type":"fixed","name":"x.F","size":2}', "AVRO")
    client.register_schema("inner", inner)
    outer = Schema('["null","x.F"]', "AVRO", [SchemaReference("x.F", "inner", 1)])
    found = client.get_schema(client.register_schema("outer", outer))
    assert [reference.subject for reference in found.references] == ["inner"]


def order(number):
    at = datetime.datetime(2026, 1, 5, 8, 0, 0, 123456, datetime.timezone.utc)
    return {
        "id": number, "name": f"é{number}", "amount": decimal.Decimal("-12.34"), "day": datetime.date(1969, 12, 31), "at": at,
        "at_ms": at.replace(microsecond=789000), "state": "PAID", "token": uuid.UUID(int=number), "tags": ["a", "b"],
        "counts": {"k": 3}, "address": {"city": "Ulm", "zip": None}, "note": None, "packed": b"\x00\x01\xff",
        "discount": 0.5,
    }


def message_class():
    """A message without a compiler: in a file with another one before it, and with an import."""
    file = descriptor_pb2.FileDescriptorProto(name="orders.proto", package="shop", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    file.message_type.add(name="Unused")
    message = file.message_type.add(name="Order")
    kinds = descriptor_pb2.FieldDescriptorProto
    fields = [
        ("id", kinds.TYPE_INT64, ""), ("name", kinds.TYPE_STRING, ""), ("amount", kinds.TYPE_STRING, ""),
        ("at", kinds.TYPE_MESSAGE, ".google.protobuf.Timestamp"), ("state", kinds.TYPE_ENUM, ".shop.State"),
        ("packed", kinds.TYPE_BYTES, ""), ("address", kinds.TYPE_MESSAGE, ".shop.Order.Address"),
    ]
    for number, (name, kind, named) in enumerate(fields, 1):
        message.field.add(name=name, number=number, type=kind, type_name=named or None, label=kinds.LABEL_OPTIONAL)
    message.field.add(name="tags", number=8, type=kinds.TYPE_STRING, label=kinds.LABEL_REPEATED)
    message.field.add(name="channel", number=9, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    address = message.nested_type.add(name="Address")
    address.field.add(name="city", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    address.field.add(name="zip", number=2, type=kinds.TYPE_INT32, label=kinds.LABEL_OPTIONAL)
    state = file.enum_type.add(name="State")
    state.value.add(name="NEW", number=0)
    state.value.add(name="PAID", number=1)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


JSON_SCHEMA = """{"$schema":"http://json-schema.org/draft-07/schema#","title":"Order","type":"object",
  "properties":{"id":{"type":"integer"},"name":{"type":"string"},"amount":{"type":"string"},"tags":{"type":"array"}},"required":["id"]}"""


# The first version of what moves on, and the latest.
MOVED = """{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"int"},{"name":"label","type":"string"}]}"""
MOVED_2 = """{"type":"record","name":"Order","namespace":"shop","fields":[
  {"name":"id","type":"long"},{"name":"name","type":"string","aliases":["label"]},
  {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"]},"default":"NEW"},
  {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2},"default":"\\u0064"},
  {"name":"unasked","type":"int","default":1}
]}"""


def moved_class(*fields):
    """`shop.Moved` with these fields, as text."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="moved.proto", package="shop", syntax="proto3")
    message = file.message_type.add(name="Moved")
    for number, name in enumerate(fields, 1):
        kind = kinds.TYPE_INT64 if name == "id" else kinds.TYPE_STRING
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Moved"))


def what_moves_on(producer):
    """Records of the first version, after there is a later one."""
    context = {name: SerializationContext(name, MessageField.VALUE) for name in ("moved", "moved-proto", "moved-json")}
    serializer = AvroSerializer(client, MOVED)
    values = [serializer({"id": number, "label": f"é{number}"}, context["moved"]) for number in range(10)]
    client.register_schema("moved-value", Schema(MOVED_2, "AVRO"))
    for number, value in enumerate(values):
        producer.produce("moved", value)
        back = AvroDeserializer(client, MOVED_2)(value, context["moved"])
        # This client gives the default of a decimal as it is written in the schema.
        expected = {"id": number, "name": f"é{number}", "state": "NEW", "amount": "d", "unasked": 1}
        assert back == expected, back

    first, second = moved_class("id", "label"), moved_class("id", "name", "note")
    serializer = ProtobufSerializer(first, client)
    values = [serializer(first(id=number, label=f"é{number}"), context["moved-proto"]) for number in range(10)]
    ProtobufSerializer(second, client)(second(id=1), context["moved-proto"])
    for value in values:
        producer.produce("moved-proto", value)
    assert ProtobufDeserializer(second, {}, client)(values[9], context["moved-proto"]).name == "é9"

    # The schema by its GUID in a header of the record, as newer serializers may have it.
    for topic, serializer, value in [
        ("guided", AvroSerializer(client, MOVED, conf={"schema.id.serializer": header_schema_id_serializer}), {"id": 7, "label": "by guid"}),
        ("guided-proto", ProtobufSerializer(first, client, {"schema.id.serializer": header_schema_id_serializer}), first(id=7, label="by guid")),
    ]:
        headers = []
        context[topic] = SerializationContext(topic, MessageField.VALUE, headers)
        value = serializer(value, context[topic])
        assert [name for name, _ in headers] == ["__value_schema_id"], headers
        producer.produce(topic, value, headers=headers)

    client.set_compatibility("moved-json-value", "NONE")
    serializer = JSONSerializer('{"title":"Moved","type":"object","properties":{"id":{"type":"integer"}}}', client)
    values = [serializer({"id": number}, context["moved-json"]) for number in range(10)]
    later = '{"title":"Moved","type":"object","properties":{"id":{"type":"integer"},"state":{"type":"string","default":"NEW"}}}'
    client.register_schema("moved-json-value", Schema(later, "JSON"))
    for value in values:
        producer.produce("moved-json", value)


def main():
    the_api()
    admin = AdminClient({"bootstrap.servers": kafka})
    topics = ("avro", "proto", "json", "moved", "moved-proto", "moved-json", "guided", "guided-proto")
    for future in admin.create_topics([NewTopic(name, 2, 1) for name in topics]).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": kafka})
    context = {name: SerializationContext(name, MessageField.VALUE) for name in ("avro", "proto", "json")}

    versions = [AvroSerializer(client, text) for text in (ORDER, ORDER_2)]
    for number in range(100):
        value = versions[number % 2](order(number), context["avro"])
        assert value[0] == 0
        producer.produce("avro", value)
    back = AvroDeserializer(client)(versions[0](order(7), context["avro"]), context["avro"])
    assert back["amount"] == decimal.Decimal("-12.34") and back["id"] == 7, back

    kind = message_class()
    serializer = ProtobufSerializer(kind, client)
    for number in range(100):
        message = kind(id=number, name=f"é{number}", amount="-12.34", state=1, packed=b"\x00\x01\xff", tags=["a", "b"])
        message.at.CopyFrom(timestamp_pb2.Timestamp(seconds=1767600000, nanos=123456789))
        message.address.city = "Ulm"
        message.channel = "web"
        value = serializer(message, context["proto"])
        producer.produce("proto", value)
    back = ProtobufDeserializer(kind, {}, client)(value, context["proto"])
    assert back.id == 99 and back.address.city == "Ulm", back

    serializer = JSONSerializer(JSON_SCHEMA, client)
    for number in range(100):
        value = serializer({"id": number, "name": f"é{number}", "amount": "-12.34", "tags": ["a", "b"]}, context["json"])
        producer.produce("json", value)
    assert JSONDeserializer(JSON_SCHEMA, schema_registry_client=client)(value, context["json"])["id"] == 99

    what_moves_on(producer)

    # What nobody can read: no header, a number that nobody knows, a record that is cut off, a text, nothing.
    whole = versions[0](order(1), context["avro"])
    for broken in (b"{}", struct.pack(">bI", 0, 999_999) + b"x", whole[:20], b"\x00\x00", whole + b"\x00"):
        producer.produce("avro", broken)
    producer.flush(30)

    posted = f"{http}/v1/sources/shop.posted/records"
    for value in (whole, whole[:9]):
        answer = requests.post(posted, data=value, headers={"content-type": "application/vnd.confluent.avro"}, timeout=10)
        assert answer.status_code == 200 and answer.json()["accepted"] == 1, answer.text
    checked = f"{http}/v1/sources/shop.checked/records"
    for value, status in ((whole, 200), (whole[:9], 422)):
        answer = requests.post(checked, data=value, headers={"content-type": "avro/binary"}, timeout=10)
        assert answer.status_code == status, answer.text


main()
