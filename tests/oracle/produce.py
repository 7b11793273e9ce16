"""Puts JSON lines into a Kafka topic, by several processes where there are several files.

    produce.py --brokers LIST --topic NAME --partitions 4 FILE...     one file: keyed by symbol (librdkafka's CRC32
                                                                      partitioner); `--place`: file i into partition i
"""

import argparse
import json
import multiprocessing
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

SETTINGS = {"linger.ms": 50, "batch.size": 1_000_000, "batch.num.messages": 20_000, "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000, "queue.buffering.max.kbytes": 262_144, "acks": "all",
            "enable.idempotence": True}


def create(brokers, topic, partitions, config=None, replicas=1):
    """Makes a topic; an existing one of that name is an error."""
    client = AdminClient({"bootstrap.servers": brokers})
    client.create_topics([NewTopic(topic, partitions, replicas, config=config or {})])[topic].result(timeout=30)


def delete(brokers, topic):
    """Takes a topic away: the broker's disk is the test's disk."""
    client = AdminClient({"bootstrap.servers": brokers})  # held until the answer is there
    client.delete_topics([topic])[topic].result(timeout=30)


class Sink:
    """A producer that counts what the broker took; `close` raises unless that is everything."""

    def __init__(self, brokers):
        self.producer = Producer({"bootstrap.servers": brokers, **SETTINGS})
        self.sent, self.taken, self.failure = 0, 0, None

    def _done(self, error, _message):
        self.taken += error is None
        self.failure = self.failure or error

    def put(self, topic, value, key=None, partition=-1, timestamp_ms=0):
        while True:
            try:
                self.producer.produce(topic, value, key, partition, self._done, timestamp_ms)
                break
            except BufferError:
                self.producer.poll(0.05)
        self.sent += 1
        if self.sent % 10_000 == 0:
            self.producer.poll(0)

    def flush(self):
        """Waits until the broker has everything."""
        self.producer.flush(120)
        if self.taken != self.sent:
            raise RuntimeError(f"the broker took {self.taken} of {self.sent} records: {self.failure}")


def send_file(brokers, topic, path, partition=None):
    """Sends every line of a file; without a partition the record's symbol is the key."""
    sink = Sink(brokers)
    with open(path, "rb") as lines:
        for line in lines:
            value = line.rstrip(b"\n")
            if partition is None:
                sink.put(topic, value, json.loads(value)["symbol"].encode())
            else:
                sink.put(topic, value, None, partition)
    sink.flush()
    return sink.sent


def send_placed(brokers, topic, paths, processes=2):
    """Sends file i into partition i; the number of records sent."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return sum(pool.starmap(send_file, [(brokers, topic, path, number) for number, path in enumerate(paths)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--place", action="store_true")
    parser.add_argument("files", nargs="+")
    given = parser.parse_args()
    create(given.brokers, given.topic, given.partitions)
    begun = time.monotonic()
    if given.place:
        count = send_placed(given.brokers, given.topic, given.files)
    else:
        count = sum(send_file(given.brokers, given.topic, path) for path in given.files)
    print(f"{count} records in {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    main()
