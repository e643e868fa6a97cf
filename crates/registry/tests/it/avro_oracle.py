"""Avro by libraries of others: python avro_oracle.py SEED PAIRS.

Prints a line of JSON for each of PAIRS generated pairs of schemas: the pair, whether Apache's library takes the one for a
reader of the other, and records of fastavro's, as bytes, as their writer means them and as the reader reads them. What only
the writer has is kept by the registry, so the reader that fastavro is given has those fields as well.
"""
import base64
import contextlib
import copy
import datetime
import decimal
import io
import json
import math
import random
import struct
import sys
import uuid
import warnings

import avro.compatibility
import avro.schema
import fastavro

# Apache's does not know the local ones of the logical types, which changes nothing for it.
warnings.simplefilter("ignore")
random_numbers = random.Random(int(sys.argv[1]))
names = 0
# What a field that was added stands for where it is missing, by its name.
added = {}


def chance(share):
    return random_numbers.random() < share


def name(prefix):
    global names
    names += 1
    return f"{prefix}{names}"


LOGICAL = [
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "long", "logicalType": "time-micros"},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "local-timestamp-millis"},
    {"type": "long", "logicalType": "local-timestamp-micros"},
    {"type": "string", "logicalType": "uuid"},
    {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3},
]
INFINITE = [float("inf"), float("nan")]
infinite = INFINITE
NUMBERS, TEXTS = ["int", "long", "float", "double"], ["string", "bytes"]


def enum():
    return {"type": "enum", "name": name("E"), "symbols": [name("S") for _ in range(random_numbers.randint(1, 5))]}


def fixed():
    if chance(0.3):
        return {"type": "fixed", "name": name("F"), "size": 9, "logicalType": "decimal", "precision": 18, "scale": 4}
    return {"type": "fixed", "name": name("F"), "size": random_numbers.randint(1, 20)}


def record(depth):
    fields = [{"name": name("f"), "type": any_type(depth - 1)} for _ in range(random_numbers.randint(0, 5))]
    made = {"type": "record", "name": name("R"), "fields": fields}
    if chance(0.15):
        made["fields"].append({"name": name("f"), "type": ["null", made["name"]], "default": None})
    return made


def union(depth):
    """No two branches that one type could be read by: what is chosen then differs among libraries."""
    branches = [
        lambda: "null",
        lambda: random_numbers.choice(NUMBERS),
        lambda: random_numbers.choice(TEXTS),
        lambda: "boolean",
        enum,
        fixed,
        lambda: {"type": "array", "items": any_type(depth - 1)},
        lambda: record(depth - 1),
        lambda: record(depth - 1),
    ]
    return [branch() for branch in random_numbers.sample(branches, random_numbers.randint(1, 4))]


def any_type(depth):
    simple = ["null", "boolean", *NUMBERS, *TEXTS, *NUMBERS, *TEXTS]
    kinds = [lambda: random_numbers.choice(simple), lambda: dict(random_numbers.choice(LOGICAL)), enum, fixed]
    if depth > 0:
        nested = [
            lambda: {"type": "array", "items": any_type(depth - 1)},
            lambda: {"type": "map", "values": any_type(depth - 1)},
            lambda: record(depth),
            lambda: union(depth),
        ]
        kinds += nested
    return random_numbers.choice(kinds)()


def word(kind):
    return "union" if isinstance(kind, list) else kind if isinstance(kind, str) else kind["type"]


def number(bits):
    """Small, large, and at the ends."""
    end = 1 << (bits - 1)
    return random_numbers.choice([0, -1, 1, end - 1, -end, random_numbers.randint(-end, end - 1), random_numbers.randint(-99, 99)])


def text():
    return random_numbers.choice(["", "a", "é\"\\\n", "\u0000", "𝄞 and more", "x" * random_numbers.randint(1, 80)])


@contextlib.contextmanager
def finite_numbers():
    global infinite
    infinite = []
    yield
    infinite = INFINITE


def real(single):
    value = random_numbers.choice([0.0, -0.0, 0.1, 1e300, -2.5e-7, random_numbers.gauss(0, 1e6), *infinite])
    if not single:
        return value
    value = 3e38 if value == 1e300 else value
    return struct.unpack("<f", struct.pack("<f", value))[0]


def logical(kind):
    word, scale = kind["logicalType"], kind.get("scale", 0)
    moment = datetime.datetime(1, 1, 2) + datetime.timedelta(seconds=random_numbers.randint(0, 315_000_000_000))
    unit = 1_000 if word.endswith("millis") else 1
    moment = moment.replace(microsecond=random_numbers.choice([0, 1_000, 999_999 // unit * unit]))
    if word == "date":
        return moment.date()
    if word.startswith("time-"):
        return moment.time()
    if word.startswith("local-"):
        return moment
    if word.startswith("timestamp-"):
        return moment.replace(tzinfo=datetime.timezone.utc)
    if word == "uuid":
        return uuid.UUID(int=random_numbers.getrandbits(128))
    return decimal.Decimal(number(60)).scaleb(-scale, decimal.Context(prec=40))


def value(kind, types, depth=0):
    if isinstance(kind, list):
        branches = [branch for branch in kind if branch == "null"] if depth > 6 else []
        branch = random_numbers.choice(branches or kind)
        called = branch["name"] if isinstance(branch, dict) and "name" in branch else word(branch)
        return (called, value(branch, types, depth + 1))
    if isinstance(kind, str) and kind in types:
        return value(types[kind], types, depth + 1)
    if isinstance(kind, dict) and "logicalType" in kind:
        return logical(kind)
    made = {
        "null": lambda: None,
        "boolean": lambda: chance(0.5),
        "int": lambda: number(32),
        "long": lambda: number(64),
        "float": lambda: real(True),
        "double": lambda: real(False),
        "string": text,
        "bytes": lambda: random_numbers.choice([b"", b"text", b"\x00\xff", random_numbers.randbytes(9)]),
        "fixed": lambda: random_numbers.randbytes(kind["size"]),
        "enum": lambda: random_numbers.choice(kind["symbols"]),
        "array": lambda: [value(kind["items"], types, depth + 1) for _ in range(random_numbers.randint(0, 3))],
        "map": lambda: {key: value(kind["values"], types, depth + 1) for key in random_numbers.sample(["", "k", "é", "long key"], random_numbers.randint(0, 3))},
        "record": lambda: {field["name"]: value(field["type"], types, depth + 1) for field in kind["fields"]},
    }
    return made[word(kind)]()


def named_types(kind, found):
    if isinstance(kind, list):
        for branch in kind:
            named_types(branch, found)
    elif isinstance(kind, dict):
        if "name" in kind:
            found[kind["name"]] = kind
        for inside in [kind.get("items"), kind.get("values"), *(field["type"] for field in kind.get("fields", []))]:
            named_types(inside, found)
    return found


def renamed(kind):
    kind["aliases"] = [name("Older"), kind["name"]]
    kind["name"] = name("N")


class Evolution:
    """Changes of a schema: the reader, and the same with what only the writer has."""

    def __init__(self, breaking):
        self.breaking = breaking
        self.renamed = {}

    def of(self, kind):
        if self.breaking and chance(0.06):
            other = any_type(1)
            # Of a plain number the registry lets the reader say what it means, as no library does.
            while "logicalType" in json.dumps(other):
                other = any_type(1)
            return other, other
        if isinstance(kind, list):
            return self.union(kind)
        if isinstance(kind, str):
            kind = self.renamed.get(kind) or self.promoted(kind)
            return (kind, kind) if word(kind) == "union" else self.wrapped(kind, kind)
        changed = getattr(self, word(kind), None)
        pair = changed(kind) if changed and "logicalType" not in kind else (dict(kind), dict(kind))
        return self.wrapped(*pair)

    def wrapped(self, reader, kept):
        if chance(0.08) and word(reader) not in ("null", "union"):
            return ["null", reader], ["null", kept]
        return reader, kept

    def promoted(self, kind):
        if not chance(0.25):
            return kind
        wider = {"int": ["long", "float", "double"], "long": ["float", "double"], "float": ["double"]}
        wider |= {"string": ["bytes"], "bytes": ["string"]}
        return random_numbers.choice(wider.get(kind, [kind]))

    def union(self, kind):
        # A wrapped branch would be a union in a union.
        pairs = [self.branch(branch) for branch in kind]
        random_numbers.shuffle(pairs)
        if chance(0.1):
            more = enum()
            pairs.append((more, more))
        if self.breaking and len(pairs) > 1 and chance(0.2):
            pairs.pop()
        return [reader for reader, _ in pairs], [kept for _, kept in pairs]

    def branch(self, kind):
        if isinstance(kind, str):
            kind = self.renamed.get(kind) or self.promoted(kind)
            return kind, kind
        changed = getattr(self, word(kind), None)
        return changed(kind) if changed and "logicalType" not in kind else (dict(kind), dict(kind))

    def enum(self, kind):
        reader = copy.deepcopy(kind)
        if chance(0.3):
            reader["symbols"].append(name("S"))
        if chance(0.3) and len(reader["symbols"]) > 1:
            reader["symbols"].pop(0)
            if not self.breaking or chance(0.7):
                reader["default"] = random_numbers.choice(reader["symbols"])
        random_numbers.shuffle(reader["symbols"])
        if chance(0.15):
            renamed(reader)
        return reader, copy.deepcopy(reader)

    def fixed(self, kind):
        reader = dict(kind)
        if chance(0.15):
            renamed(reader)
        if self.breaking and chance(0.1):
            reader["size"] += 1
        return reader, dict(reader)

    def array(self, kind):
        reader, kept = self.of(kind["items"])
        return {**kind, "items": reader}, {**kind, "items": kept}

    def map(self, kind):
        reader, kept = self.of(kind["values"])
        return {**kind, "values": reader}, {**kind, "values": kept}

    def record(self, kind):
        reader = {"type": "record", "name": kind["name"], "fields": []}
        if chance(0.15):
            renamed(reader)
            self.renamed[kind["name"]] = reader["name"]
            if self.breaking and chance(0.3):
                del reader["aliases"]
        kept = {**reader, "fields": []}
        for field in kind["fields"]:
            holds_itself = kind["name"] in field["type"]
            if chance(0.12) and not holds_itself:
                kept["fields"].append(copy.deepcopy(field))
                continue
            mine, whole = self.of(field["type"])
            attributes = {"name": field["name"]}
            if chance(0.15):
                attributes = {"name": name("g"), "aliases": [name("older"), field["name"]]}
            reader["fields"].append({**attributes, "type": mine})
            kept["fields"].append({**attributes, "type": whole})
        for _ in range(random_numbers.choice([0, 0, 0, 1, 2])):
            field = self.added()
            reader["fields"].append(field)
            kept["fields"].append(dict(field))
        random_numbers.shuffle(reader["fields"])
        return reader, kept

    def added(self):
        kind = any_type(1)
        field = {"name": name("a"), "type": kind}
        if self.breaking and chance(0.2):
            return field
        # JSON has no words for the others.
        with finite_numbers():
            stands_for = value(first_branches(kind), named_types(kind, {}))
        read = decoded(kind, encoded(kind, stands_for_union(kind, stands_for)))
        added[field["name"]] = read
        field["default"] = default(kind, stands_for)
        return field


def first_branches(kind):
    """A default is of the first branch of a union."""
    if isinstance(kind, list):
        return first_branches(kind[0])
    if isinstance(kind, dict):
        made = dict(kind)
        for inside in ("items", "values"):
            if inside in kind:
                made[inside] = first_branches(kind[inside])
        if "fields" in kind:
            made["fields"] = [{**field, "type": first_branches(field["type"])} for field in kind["fields"]]
        return made
    return kind


def stands_for_union(kind, made):
    """The same value for a writer, which is told the branch."""
    if isinstance(kind, list):
        called = kind[0]["name"] if isinstance(kind[0], dict) and "name" in kind[0] else word(kind[0])
        return (called, stands_for_union(kind[0], made))
    if word(kind) == "array":
        return [stands_for_union(kind["items"], item) for item in made]
    if word(kind) == "map":
        return {key: stands_for_union(kind["values"], item) for key, item in made.items()}
    if word(kind) == "record":
        return {field["name"]: stands_for_union(field["type"], made[field["name"]]) for field in kind["fields"]}
    return made


def default(kind, made):
    """As the JSON of a schema has it: bytes are the characters of the same numbers, and logical types do not count."""
    if isinstance(kind, list):
        return default(kind[0], made)
    if word(kind) == "array":
        return [default(kind["items"], item) for item in made]
    if word(kind) == "map":
        return {key: default(kind["values"], item) for key, item in made.items()}
    if word(kind) == "record":
        return {field["name"]: default(field["type"], made[field["name"]]) for field in kind["fields"]}
    if isinstance(kind, dict) and "logicalType" in kind:
        plain = {key: part for key, part in kind.items() if key != "logicalType"}
        return default(plain, decoded(plain, encoded(kind, made)))
    return made.decode("latin-1") if isinstance(made, bytes) else made


def encoded(kind, made):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(kind), {"it": made})
    return out.getvalue()


def decoded(writer, data, reader=None):
    reader = reader and parsed(reader)
    for kind in named_types(reader, {}).values():
        for field in kind.get("fields", []):
            if field["name"] in added:
                # The library leaves it as the JSON that it was.
                field["default"] = added[field["name"]]
    return fastavro.schemaless_reader(io.BytesIO(data), parsed(writer), reader)["it"]


def parsed(kind):
    """In a record, which has no bytes of its own: the library keeps of others that they were parsed."""
    whole = {"type": "record", "name": "Whole", "fields": [{"name": "it", "type": copy.deepcopy(kind)}]}
    return fastavro.parse_schema(whole, _ignore_default_error=True)


def meant(made):
    """As the registry writes it in JSON."""
    if isinstance(made, float) and (math.isnan(made) or math.isinf(made)):
        return "NaN" if math.isnan(made) else "Infinity" if made > 0 else "-Infinity"
    if isinstance(made, bytes):
        return base64.b64encode(made).decode()
    if isinstance(made, datetime.datetime):
        return f"{made.year:04}-{made.month:02}-{made.day:02}T{clock(made)}" + ("Z" if made.tzinfo else "")
    if isinstance(made, datetime.time):
        return clock(made)
    if isinstance(made, datetime.date):
        return f"{made.year:04}-{made.month:02}-{made.day:02}"
    if isinstance(made, decimal.Decimal):
        return f"{made:f}"
    if isinstance(made, uuid.UUID):
        return str(made)
    if isinstance(made, list):
        return [meant(item) for item in made]
    if isinstance(made, dict):
        return {key: meant(item) for key, item in made.items()}
    return made


def clock(moment):
    whole = f"{moment.hour:02}:{moment.minute:02}:{moment.second:02}"
    micros = f".{moment.microsecond:06}" if moment.microsecond % 1_000 else f".{moment.microsecond // 1_000:03}"
    return whole + (micros if moment.microsecond else "")


def compatible(reader, writer):
    reader, writer = (avro.schema.parse(json.dumps(kind)) for kind in (reader, writer))
    answer = avro.compatibility.ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    return answer.compatibility is avro.compatibility.SchemaCompatibilityType.compatible


def reading(read):
    try:
        return {"value": meant(read())}
    except UnicodeDecodeError as error:
        return {"error": str(error)}


for index in range(int(sys.argv[2])):
    added.clear()
    writer = record(3) if chance(0.85) else any_type(2)
    reader, kept = Evolution(breaking=index % 3 == 0).of(writer)
    line = {"writer": writer, "reader": reader, "compatible": compatible(reader, writer), "records": []}
    for _ in range(4 if line["compatible"] else 0):
        made = encoded(writer, value(writer, named_types(writer, {})))
        line["records"].append(
            {
                "hex": made.hex(),
                "written": reading(lambda: decoded(writer, made)),
                "read": reading(lambda: decoded(writer, made, kept)),
            }
        )
    print(json.dumps(line))
