"""A producer that nobody here wrote. Usage: kafka_producer.py BROKER TOPIC COMMAND [ARGUMENT]...

create PARTITIONS [name=value]...   makes the topic
grow PARTITIONS                     gives it as many partitions
delete                              deletes it
produce FIRST COUNT [PARTITION]     records {"id": n, "name": ...} with the key n, lz4
tombstones FIRST COUNT              records without a value for the same keys
transactions FIRST COUNT            batches of ten in transactions, every other one given up
unfinished FIRST COUNT              a transaction that nobody ends; the broker gives it up after ten seconds or so
count                               prints how many records with a value a consumer sees
"""

import json
import os
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic


def producer(broker, **settings):
    return Producer({"bootstrap.servers": broker, "compression.type": "lz4", "linger.ms": 5, **settings})


def send(producer, topic, number, value, partition=-1):
    while True:
        try:
            producer.produce(topic, key=str(number), value=value, partition=partition)
            return
        except BufferError:
            producer.poll(0.1)


def record(number):
    return json.dumps({"id": number, "name": f"name {number}"})


def visible(broker, topic):
    reader = Consumer({"bootstrap.servers": broker, "group.id": "count", "enable.auto.commit": False,
                       "enable.partition.eof": True})
    partitions = reader.list_topics(topic).topics[topic].partitions
    reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    seen, ended = 0, 0
    while ended < len(partitions):
        message = reader.poll(10)
        assert message is not None, "the broker does not answer"
        if message.error() is None:
            seen += message.value() is not None
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ended += 1
    reader.close()
    return seen


def settled(futures):
    for future in futures.values():
        future.result()


def main(broker, topic, command, *arguments):
    admin = AdminClient({"bootstrap.servers": broker})
    if command == "create":
        config = dict(argument.split("=", 1) for argument in arguments[1:])
        settled(admin.create_topics([NewTopic(topic, int(arguments[0]), 1, config=config)]))
    elif command == "grow":
        settled(admin.create_partitions([NewPartitions(topic, int(arguments[0]))]))
    elif command == "delete":
        settled(admin.delete_topics([topic]))
    elif command == "count":
        print(visible(broker, topic))
    else:
        first, count = int(arguments[0]), int(arguments[1])
        numbers = range(first, first + count)
        if command == "transactions":
            writer = producer(broker, **{"transactional.id": f"{topic}-writer"})
            writer.init_transactions()
            for start in range(first, first + count, 10):
                writer.begin_transaction()
                for number in range(start, start + 10):
                    send(writer, topic, number, record(number))
                writer.flush()
                writer.commit_transaction() if (start // 10) % 2 == 0 else writer.abort_transaction()
        elif command == "unfinished":
            writer = producer(broker, **{"transactional.id": f"{topic}-dead", "transaction.timeout.ms": 10000})
            writer.init_transactions()
            writer.begin_transaction()
            for number in numbers:
                send(writer, topic, number, record(number))
            assert writer.flush(60) == 0
            # Killed, so that nothing is given up in order.
            os._exit(0)
        else:
            writer = producer(broker)
            partition = int(arguments[2]) if len(arguments) > 2 else -1
            for number in numbers:
                send(writer, topic, number, None if command == "tombstones" else record(number), partition)
            assert writer.flush(60) == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
