"""A stand-in for IIFL Capital's bridge: a real MQTT broker (amqtt) with TLS and users, behind a gate that cuts connections.

The gate passes bytes on as they are, so TLS is the client's and the broker's own; what it cuts is cut in the middle of
whatever was under way.
"""

import asyncio
import logging
import struct
import time

from amqtt.broker import Broker
from amqtt.client import MQTTClient
from amqtt.plugins.base import BaseAuthPlugin
from serving import Serving

ALLOWED = {}  # user: password; the broker makes its plugin itself


class Users(BaseAuthPlugin):
    """Lets in who is in `ALLOWED`."""

    async def authenticate(self, *, session):
        return session.username in ALLOWED and ALLOWED[session.username] == session.password


class MqttServer(Serving):
    def __init__(self, certificates, users):
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        ALLOWED.update(users, publisher="publisher")
        self.certificates, self.ports = certificates, free_ports(3)
        self.pairs, self.accepted = set(), 0
        self.sent = []  # (time, topic, sequence)
        self.topics, self.rate, self.sequence = [], 100, 0
        self.serve()

    @property
    def root(self):
        return f"mqtts://127.0.0.1:{self.ports[0]}"

    def cut(self):
        """Cuts every connection through the gate; True if there was one."""

        async def cut():
            pairs = list(self.pairs)
            for one, other in pairs:
                one.transport.abort()
                other.transport.abort()
            return bool(pairs)

        return self.on_thread(cut())

    def stop(self):
        self.topics = []
        super().stop()

    async def _start(self):
        gate, secure, plain = self.ports
        listener = {"type": "tcp", "bind": f"127.0.0.1:{secure}", "ssl": True, "certfile": str(self.certificates.certificate),
                    "keyfile": str(self.certificates.key)}
        self.broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{plain}"}, "secure": listener},
                              "plugins": {f"{__name__}.Users": {}}})
        await self.broker.start()
        self.publisher = MQTTClient(config={"auto_reconnect": False})
        await self.publisher.connect(f"mqtt://publisher:publisher@127.0.0.1:{plain}/")
        self.gate = await asyncio.start_server(self._pass, "127.0.0.1", gate)
        self.loop.create_task(self._publish())

    async def _publish(self):
        """Packets of all topics in turn, each with its number as the day's volume."""
        due = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            if not self.topics:
                due = time.monotonic()
            while self.topics and due < time.monotonic():
                due += 1 / self.rate
                self.sequence += 1
                topic = self.topics[self.sequence % len(self.topics)]
                self.sent.append((time.time(), topic, self.sequence))
                await self.publisher.publish(topic, packet(self.sequence), qos=0)

    async def _pass(self, reader, writer):
        self.accepted += 1
        other_reader, other = await asyncio.open_connection("127.0.0.1", self.ports[1])
        pair = (writer, other)
        self.pairs.add(pair)
        try:
            await asyncio.gather(pump(reader, other), pump(other_reader, writer))
        finally:
            self.pairs.discard(pair)


async def pump(reader, writer):
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def packet(volume):
    """A market watch of 186 bytes: 1224.65, a volume, the last trade now."""
    head = struct.pack("<iIIiiiii", 122_465, 8, volume, 124_095, 122_260, 123_800, 123_840, 122_610)
    quotes = struct.pack("<HIiIiIIii", 0, 12, 122_460, 40, 122_470, 51_200, 61_830, 100, int(time.time()))
    return head + quotes + bytes(186 - len(head) - len(quotes))


def free_ports(count):
    import socket

    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
