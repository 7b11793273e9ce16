"""A Kafka of its own for a scenario that kills brokers: each can be killed, stopped and started again.

Ports: the lane's + 200 and up, so that it can run beside the one of its lane.
"""

import atexit
import contextlib
import gc
import os
import pathlib
import signal
import subprocess

from harness import PORT, SERVICES, wait_for

BASE_PORT = PORT + 200


class Brokers:
    """`count` brokers, every topic with as many replicas, `acks=all` and a minimum of two where there are three."""

    def __init__(self, scenario, count, properties=""):
        self.count = count
        more = scenario.work / "more.properties"
        more.write_text(properties)
        self.folder = scenario.work / "brokers"
        atexit.register(self.down)
        for name in ("brokers", "brokers-again"):  # on a busy machine a quorum of three may vote for minutes
            self.folder = scenario.work / name
            started = subprocess.run([SERVICES / "kafka.sh", "up", self.folder, str(count), str(BASE_PORT)], text=True,
                                     stdout=subprocess.PIPE, env={**os.environ, "MORE_PROPERTIES": str(more)})
            if started.returncode == 0:
                self.bootstrap = started.stdout.strip()
                return
            scenario.note(f"{count} brokers did not come up within their time")
            self.down()
        scenario.give_up("Kafka does not start, twice")

    def down(self):
        gc.collect()  # a client that ends while its brokers are gone may wait for them
        for index in range(self.count):
            with contextlib.suppress(OSError, ValueError):
                os.kill(self.pid(index), signal.SIGCONT)
        subprocess.run([SERVICES / "kafka.sh", "down", self.folder], check=False)

    def node(self, index):
        return self.folder / f"node-{index + 1}"

    def pid(self, index):
        return int((self.node(index) / "pid").read_text())

    def signal(self, index, number):
        os.kill(self.pid(index), number)

    def kill(self, index):
        pid = self.pid(index)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists() or "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2], 10)

    def start(self, index, wait_s=90):
        """Starts a broker on its data; True once it says that it is up."""
        subprocess.run([self.node(index) / "start"], check=True)
        return self.is_up(index, wait_s)

    def is_up(self, index, wait_s=90):
        log = self.node(index) / "server.log"
        return bool(wait_for(lambda: log.exists() and "Kafka Server started" in log.read_text(errors="replace"), wait_s, 0.2))
