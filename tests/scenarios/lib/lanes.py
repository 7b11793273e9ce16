"""Runs scenarios: those that must be alone one after the other, then the others in lanes, each lane with a broker of its own.

    lanes.py --binary TICKTIDE --work DIR --lane PORT=BROKERS [--lane …] [--long] [SCENARIO|THEME...]
    lanes.py --plan [--long] [SCENARIO|THEME...]      what would run, when and in which lane, and what would not
    lanes.py --count [--long] [SCENARIO|THEME...]     how many lanes that takes

PORT is the first one of a lane: its scenarios start their own servers above it. A long run has one lane, since it holds
every figure to its goal. The output of a scenario in a lane is printed when it has ended. TICKTIDE_TEST_DEADLINE, in Unix
seconds, is the end of the time there is: what does not fit any more is not begun and named last (`rotation.py`), and written
into the file that TICKTIDE_TEST_LEFT_OUT names. That is no failure.
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

import listing
import rotation

LIB = pathlib.Path(__file__).resolve().parent
LANES_MOST = 2
PASSED, SKIPPED, STOPPED = 0, 77, 130


class Run:
    """The scenarios that were asked for, and how they ended.

    The main thread only waits and takes signals. It never holds `turn` but in `stop`, so a scenario either begins before the
    signal and prints that, or does not begin.
    """

    def __init__(self, given, kept, deadline):
        self.given, self.kept, self.deadline = given, kept, deadline
        self.codes, self.running, self.left_out = {}, set(), []
        self.stopped = False
        self.turn, self.output = threading.Lock(), threading.Lock()

    def begin(self, scenario, lane, output):
        """Starts a scenario; None when there is to be no more of them, or no time for this one."""
        port, brokers = lane.split("=", 1)
        command = [sys.executable, scenario.path, "--binary", self.given.binary, "--work", self.work(scenario)]
        if self.given.long:
            command.append("--long")
        paths = [str(LIB), str(LIB.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "TICKTIDE_TEST_PORT": port, "TICKTIDE_TEST_BROKERS": brokers}
        with self.turn:
            if self.stopped:
                return None
            if not rotation.fits(scenario, self.kept, left(self.deadline)):
                self.left_out.append(scenario)
                return None
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            self.running.add(process)
            return process

    def scenario(self, scenario, lane, output=None):
        """Runs one to its end."""
        begun, begun_at = time.monotonic(), time.time()
        process = self.begin(scenario, lane, output)
        if process is None:
            return
        code = process.wait()
        took = time.monotonic() - begun
        with self.turn:
            self.running.remove(process)
            self.codes[scenario] = code
        with self.output:
            if output:
                output.seek(0)
                shutil.copyfileobj(output, sys.stdout.buffer)
            print(f"   {scenario}: {took:.0f} s", flush=True)
            # one that failed stays the oldest: it is the first of the next run
            if code in (PASSED, SKIPPED) and not self.given.long:
                rotation.remember(rotation.cache(), scenario, begun_at, took)
        shutil.rmtree(self.work(scenario), ignore_errors=True)

    def work(self, scenario):
        return pathlib.Path(self.given.work) / scenario.kept_as

    def lane(self, waiting, lane):
        """Runs what no other lane has taken."""
        while True:
            try:
                scenario = waiting.popleft()
            except IndexError:
                return
            with tempfile.TemporaryFile() as output:
                self.scenario(scenario, lane, output)

    def everything(self, plan):
        """Runs a plan to its end, or to a signal."""
        self.left_out += plan.left_out
        for scenario in plan.alone:
            self.scenario(scenario, self.given.lane[0])
        beside = collections.deque(plan.beside)
        lanes = [threading.Thread(target=self.lane, args=(beside, lane)) for lane in self.given.lane]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()

    def stop(self, *_):
        """Ends what runs; each scenario stops what it has started."""
        with self.turn:
            self.stopped = True
            for process in self.running:
                process.terminate()

    def verdict(self):
        """Prints how all ended; the exit code."""
        if self.stopped:
            return STOPPED
        failed = [scenario for scenario, code in self.codes.items() if code not in (PASSED, SKIPPED)]
        skipped = [scenario for scenario, code in self.codes.items() if code == SKIPPED]
        for scenarios, what in ((failed, "failed"), (skipped, "skipped")):
            if scenarios:
                print(f"{what} scenarios: {', '.join(map(str, scenarios))}")
        print(f"{list(self.codes.values()).count(PASSED)} passed, {len(failed)} failed, {len(skipped)} skipped", flush=True)
        tell(self.left_out)
        return int(bool(failed))


def left(deadline):
    """Seconds until the deadline; None without one."""
    return None if deadline is None else deadline - time.time()


def tell(left_out):
    """Names what was left out, last on the screen."""
    if not left_out:
        return
    line = f"not run: {', '.join(map(str, sorted(left_out, key=lambda scenario: scenario.order)))}"
    print(line, flush=True)
    if path := os.environ.get("TICKTIDE_TEST_LEFT_OUT"):
        pathlib.Path(path).write_text(line + "\n")


def commits():
    """How many commits lead here; 0 where git cannot tell."""
    done = subprocess.run(["git", "rev-list", "--count", "HEAD"], cwd=LIB, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else 0


def show(plan, kept, deadline, lanes):
    """The plan as it is foreseen."""
    begun, left_out = rotation.foreseen(plan, kept, left(deadline), lanes)
    for begin, lane, scenario in begun:
        kind = "rotating" if scenario.rotating else "always"
        alone = ", alone" if scenario in plan.alone else ""
        print(f"{begin:6.0f} s  lane {lane + 1}  {scenario}: {rotation.expected(scenario, kept):.0f} s, {kind}{alone}")
    tell(left_out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary")
    parser.add_argument("--work")
    parser.add_argument("--lane", action="append", default=[], metavar="PORT=BROKERS")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO|THEME")
    given = parser.parse_args()
    try:
        scenarios = listing.chosen(given.scenarios, listing.listed())
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    kept = rotation.load(rotation.cache())
    deadline = float(os.environ["TICKTIDE_TEST_DEADLINE"]) if os.environ.get("TICKTIDE_TEST_DEADLINE") else None
    most = 1 if given.long else len(given.lane) or LANES_MOST
    plan = rotation.planned(scenarios, kept, commits(), left(deadline), most)
    if given.count or given.plan:
        lanes = rotation.lanes_used(plan, most)
        print(lanes) if given.count else show(plan, kept, deadline, lanes)
        return
    if not (given.binary and given.work and given.lane):
        parser.error("--binary, --work and --lane say what is run and where")
    run = Run(given, kept, deadline)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, run.stop)
    thread = threading.Thread(target=run.everything, args=(plan,))
    thread.start()
    thread.join()
    sys.exit(run.verdict())


if __name__ == "__main__":
    main()
