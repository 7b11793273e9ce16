"""Runs scenarios: those whose figures are seconds one after the other, then the others in lanes, each with a broker of its own.

    lanes.py --binary TICKTIDE --work DIR --lane PORT=BROKERS [--lane …] [--long] SCENARIO...

PORT is the first one of a lane: its scenarios start their own servers above it. A long run has one lane, since it holds
every figure to its goal. The output of a scenario in a lane is printed when it has ended.
"""

import argparse
import collections
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

FOLDER = pathlib.Path(__file__).resolve().parent
# seconds of CPU, of a restart, of an end: another scenario beside them would be in the figure
ALONE = {"s1_demo", "s7_bench", "s10_processes", "s17_upkeep", "s25_restart", "s31_panic", "s35_session"}
# two minutes each: begun last, one would end alone
FIRST = {"s6_idle", "s32_connector"}
PASSED, SKIPPED, STOPPED = 0, 77, 130


class Run:
    """The scenarios that were asked for, and how they ended."""

    def __init__(self, given):
        self.given = given
        self.codes = {}
        self.running = set()
        self.stopped = False
        self.turn = threading.Lock()

    def scenario(self, name, lane, output=None):
        """Runs one to its end."""
        port, brokers = lane.split("=", 1)
        work = pathlib.Path(self.given.work) / name
        command = [sys.executable, FOLDER / f"{name}.py", "--binary", self.given.binary, "--work", work]
        environment = os.environ | {"TICKTIDE_TEST_PORT": port, "TICKTIDE_TEST_BROKERS": brokers}
        begun = time.monotonic()
        with self.turn:
            if self.stopped:
                return
            process = subprocess.Popen([*command, *["--long"][:self.given.long]], env=environment, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output)
            self.running.add(process)
        code = process.wait()
        with self.turn:
            self.running.remove(process)
            self.codes[name] = code
            if output:
                output.seek(0)
                shutil.copyfileobj(output, sys.stdout.buffer)
            print(f"   {name}: {time.monotonic() - begun:.0f} s", flush=True)
        shutil.rmtree(work, ignore_errors=True)

    def lane(self, waiting, lane):
        """Runs what no other lane has taken."""
        while not self.stopped:
            try:
                name = waiting.popleft()
            except IndexError:
                return
            with tempfile.TemporaryFile() as output:
                self.scenario(name, lane, output)

    def stop(self, *_):
        """Ends what runs; each scenario stops what it has started."""
        self.stopped = True
        for process in list(self.running):
            process.terminate()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--lane", action="append", required=True, metavar="PORT=BROKERS")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("scenarios", nargs="+", metavar="SCENARIO")
    given = parser.parse_args()
    unknown = [name for name in given.scenarios if not (FOLDER / f"{name}.py").is_file()]
    if unknown:
        sys.exit(f"error: no such scenario: {', '.join(unknown)}\nhint: they are the files s*.py of {FOLDER.name}")
    run = Run(given)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, run.stop)

    alone = [name for name in given.scenarios if given.long or name in ALONE]
    for name in alone:
        run.scenario(name, given.lane[0])
    beside = sorted((name for name in given.scenarios if name not in alone), key=lambda name: name not in FIRST)
    beside = collections.deque(beside)
    lanes = [threading.Thread(target=run.lane, args=(beside, lane)) for lane in given.lane]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    if run.stopped:
        sys.exit(STOPPED)

    failed = [name for name in given.scenarios if run.codes.get(name) not in (PASSED, SKIPPED)]
    skipped = [name for name, code in run.codes.items() if code == SKIPPED]
    for names, what in ((failed, "failed"), (skipped, "skipped")):
        if names:
            print(f"{what} scenarios: {' '.join(names)}")
    print(f"{list(run.codes.values()).count(PASSED)} passed, {len(failed)} failed, {len(skipped)} skipped")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
