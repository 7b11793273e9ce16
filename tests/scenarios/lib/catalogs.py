"""The Glue server of the scenarios as a child process, and a Trino that reads through it."""

import atexit
import os
import pathlib
import subprocess

from harness import PORT, SERVICES, Child, wait_for
from oracle import glue

TRINO_PORT = os.environ.get("TICKTIDE_TEST_TRINO_PORT", PORT + 600)


class Catalog:
    """The Glue server."""

    def __init__(self, scenario):
        sibling = pathlib.Path(scenario.binary).parent / "examples" / "glue"
        binary = os.environ.get("TICKTIDE_TEST_GLUE", str(sibling))
        self.child = Child([binary, "127.0.0.1:0"], scenario.work)
        line = wait_for(lambda: self.child.read()[0].strip(), 20, 0.02)
        if not line:
            scenario.give_up(f"{binary} does not start: {self.child.read()[1]}")
        *_, self.address, self.access_key, _ = line.split()


def trino(scenario, catalog, bucket, database):
    """Starts a Trino that runs until the scenario ends; what waits for it, and gives None where there is none."""
    folder = scenario.work / "trino"
    atexit.register(subprocess.run, [SERVICES / "trino.sh", "down", folder], check=False)
    started = subprocess.Popen([SERVICES / "trino.sh", "up", folder, str(TRINO_PORT), catalog.address, bucket.address, bucket.access_key,
                                bucket.secret_key, bucket.region], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ready():
        out, error = started.communicate()
        if started.returncode == 77:
            scenario.note(f"skipped, what Trino reads: {error.strip()}")
            return None
        if started.returncode != 0:
            scenario.give_up(f"Trino does not start: {error[-2000:]}")
        return glue.Trino(out.strip(), database)

    return ready
