"""IIFL's frames as `feed simulate` records them: read from a file, put into a topic, run into a lake."""

import datetime
import json

from oracle import produce

INDIA_S = 19_800
# seconds from XTS's epoch to that of Unix
TO_UNIX_S = 315_513_000


def seconds(text):
    return int(datetime.datetime.fromisoformat(text).timestamp())


def read(path):
    """The recorded lines, taken apart."""
    frames = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        received_at, origin, payload = line.split(b"\t", 2)
        frames.append((int(received_at), origin, payload))
    return frames


def put(scenario, topic, frames, partitions, new=True):
    """By a client that is not ours: key and headers as `feed` has them."""
    if new:
        produce.create(scenario.brokers(), topic, partitions)
    sink = produce.Sink(scenario.brokers())
    for _, received_at, origin, payload in frames:
        message = json.loads(payload)
        key = f"{message['ExchangeSegment']}|{message['ExchangeInstrumentID']}"
        headers = {"received_at": str(received_at).encode(), "origin": origin}
        while True:
            try:
                sink.producer.produce(topic, payload, key, headers=headers, on_delivery=sink._done)
                break
            except BufferError:
                sink.producer.poll(0.05)
        sink.sent += 1
        if sink.sent % 10_000 == 0:
            sink.producer.poll(0)
    sink.flush()


def run(scenario, folder, *topics, code=0, settings=()):
    return scenario.run("run", "iifl", "--brokers", scenario.brokers(), *[word for topic in topics for word in ("--topic", topic)],
                        "--warehouse", folder, "--until", "end", "-w", 2, *settings, code=code, timeout_s=600)
