"""What every scenario shares: its arguments, ticktide as a child process, PASS lines, and an end that stops what it began.

A scenario is a script that drives the released binary as a user does and judges by other people's readers. It prints a
line for each thing it has shown, with the figures, and exits 1 if one did not hold. Processes are ended by their ids.
"""

import argparse
import atexit
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

# how far above its goal a figure of a daily run may be: other work of the machine takes caches and turns
DAILY_SLACK = 1.5
# how far above its goal a time may be that is the promise itself: a machine may be slow, but seconds are not minutes
TIME_SLACK = 5
ROOT = pathlib.Path(__file__).resolve().parents[3]
SERVICES = ROOT / "tests" / "services"
# the first port of the lane: servers of a scenario listen above it
PORT = int(os.environ.get("TICKTIDE_TEST_PORT", 19_092))
_failures = []
_children = []


class Finished:
    """How a child ended: exit code, both outputs, wall and CPU seconds, greatest resident bytes."""

    def __init__(self, code, stdout, stderr, wall_s, usage, rss_bytes_max):
        self.code, self.stdout, self.stderr, self.wall_s = code, stdout, stderr, wall_s
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.rss_bytes_max = rss_bytes_max


class Child:
    """ticktide while it runs; its outputs go to files, so that nothing blocks."""

    def __init__(self, command, folder, cwd=None, env=None):
        self.command, self.begun = command, time.monotonic()
        self.outputs = [tempfile.TemporaryFile(dir=folder) for _ in range(2)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKTIDE")}
        environment.update(env or {})
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.outputs[0], stderr=self.outputs[1],
                                        cwd=cwd, env=environment)
        self.pid = self.process.pid
        self.finished, self.rss_bytes_max = None, 0
        _children.append(self)

    def _reap(self, options):
        if self.finished:
            return True
        pid, status, usage = os.wait4(self.pid, options)
        if pid == 0:
            return False
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.finished = Finished(self.process.returncode, *self.read(), time.monotonic() - self.begun, usage, self.rss_bytes_max)
        _children.remove(self)
        return True

    def running(self):
        # not the kernel's figure for an ended child: that one counts the memory of the Python it was forked from
        self.rss_bytes_max = max(self.rss_bytes_max, self.status_bytes("VmHWM"))
        return not self._reap(os.WNOHANG)

    def wait(self, timeout_s):
        """Waits for the end; a child that takes longer is killed, and that is a failure."""
        deadline = time.monotonic() + timeout_s
        while self.running():
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
                self._reap(0)
                self.finished.stderr += f"\n(killed after {timeout_s} s)"
                break
            time.sleep(0.01)
        return self.finished

    def signal(self, number):
        if not self.finished:
            os.kill(self.pid, number)

    def rss_bytes(self):
        """Resident bytes now; 0 once it has ended."""
        return self.status_bytes("VmRSS")

    def status_bytes(self, name):
        """A figure of its memory; 0 once it has ended."""
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
        return 0

    def threads(self):
        """(number, name) of its threads with the CPU seconds of each; empty once it has ended."""
        found = {}
        for folder in pathlib.Path(f"/proc/{self.pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                _, _, rest = (folder / "stat").read_text().partition("(")
                name, _, fields = rest.rpartition(")")
                user, system = fields.split()[11:13]
                found[folder.name, name] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return found

    def read(self):
        """Both outputs so far."""
        texts = []
        for file in self.outputs:
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return texts


class Scenario:
    """One promise being shown."""

    def __init__(self, doc):
        parser = argparse.ArgumentParser(description=doc.strip().splitlines()[0])
        parser.add_argument("--binary", required=True, help="the released ticktide")
        parser.add_argument("--work", required=True, help="a folder for this scenario's files, emptied first")
        parser.add_argument("--brokers", default=os.environ.get("TICKTIDE_TEST_BROKERS"),
                            help="a running Kafka; without it the scenario starts one")
        parser.add_argument("--long", action="store_true", help="more seeds, cuts and records")
        parser.add_argument("--seed", type=int, help="replays what a scenario with chance in it has drawn")
        self.given = parser.parse_args()
        self.long = self.given.long
        self.binary = str(pathlib.Path(self.given.binary).resolve())
        self.name = pathlib.Path(sys.argv[0]).stem
        self.work = pathlib.Path(self.given.work).resolve()
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.seed = self.given.seed if self.given.seed is not None else random.SystemRandom().randrange(1 << 32)
        self.environment = {}  # what ticktide is given besides the shell's
        self._brokers = self.given.brokers
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(130))
        print(f"== {self.name}: {doc.strip().splitlines()[0]}", flush=True)

    def brokers(self):
        """The bootstrap list of a Kafka that runs until the scenario ends."""
        if not self._brokers:
            folder = self.work / "kafka"
            atexit.register(subprocess.run, [SERVICES / "kafka.sh", "down", folder], check=False)
            started = subprocess.run([SERVICES / "kafka.sh", "up", folder, "1", str(PORT + 700)], check=True,
                                     stdout=subprocess.PIPE, text=True)
            self._brokers = started.stdout.strip()
        return self._brokers

    def topic(self, name):
        """A topic name that no earlier run on the same broker has used."""
        return f"{self.name}-{name}-{os.getpid()}"

    def start(self, *arguments, cwd=None, env=None, binary=None):
        """Starts ticktide; `env` adds to an environment without any TICKTIDE_ variable."""
        return Child([binary or self.binary, *map(str, arguments)], self.work, cwd, {**self.environment, **(env or {})})

    def run(self, *arguments, code=0, timeout_s=300, cwd=None, env=None):
        """Runs ticktide to its end; another exit code than `code` ends the scenario (None: any)."""
        done = self.start(*arguments, cwd=cwd, env=env).wait(timeout_s)
        if code is not None and done.code != code:
            self.give_up(f"`ticktide {' '.join(map(str, arguments))}` ended with {done.code}, not {code}:\n{tail(done)}")
        return done

    def run_bars(self, path, warehouse, *more, **options):
        """`run bars` over a recorded file until its end."""
        return self.run("run", "bars", "--source", "file", "--path", path, "--warehouse", warehouse, "--until", "end",
                        *more, **options)

    def verify(self, what, *arguments, timeout_s=600, **options):
        """Shows that `verify` holds: the retained files are as the log says, and the records give the same rows again. The figures of
        both parts."""
        done = self.run("verify", *arguments, "--json", code=None, timeout_s=timeout_s, **options)
        parts = {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}
        holds = done.code == 0 and set(parts) == {"files", "recomputation"} and all(part["equal"] for part in parts.values())
        figures = ""
        if holds:
            files, again = parts["files"], parts["recomputation"]
            figures = (f": {files['rows']} rows in {files['files']} files of {files['epochs']} retained epochs; {again['epochs']} epochs, "
                       f"{again['records']} records, {again['rows']} rows again in {done.wall_s:.1f} s")
        self.check(holds, f"verify: {what}{figures}", tail(done))
        return parts

    def query(self, warehouse, sql):
        """Rows of a query as dictionaries."""
        return decode_rows(self.run("query", sql, "--json", "--warehouse", warehouse).stdout)

    def check(self, holds, text, evidence=""):
        """Prints PASS or FAIL; the scenario goes on."""
        print(f"{'PASS' if holds else 'FAIL'} {self.name}: {text}", flush=True)
        if not holds:
            _failures.append(text)
            if evidence:
                print(f"     {str(evidence)[:2000]}", flush=True)
        return holds

    def goal(self, value, most, text):
        """A figure against its goal: the long run holds it to the goal, the daily one, on a machine that others use, to one and a
        half of it."""
        self.check(value <= self.limit(most), text)

    def limit(self, most):
        """Where a figure with this goal is held."""
        return most * (1 if self.long else DAILY_SLACK)

    def soon(self, seconds, goal_s, text):
        """A time that is the promise itself, told beside its goal. What fails is five times the goal, in a long run, too: clocks of a
        machine that others use say little."""
        return self.check(seconds <= TIME_SLACK * goal_s, f"{text}: {seconds:.1f} s (goal: at most {goal_s:g} s)")

    def note(self, text):
        print(f"     {text}", flush=True)

    def give_up(self, text):
        self.check(False, text)
        self.end()

    def end(self):
        """Ends the script with the scenario's verdict."""
        print(f"== {self.name}: {'FAILED: ' + str(len(_failures)) + ' of its promises' if _failures else 'all shown'}", flush=True)
        sys.exit(1 if _failures else 0)


@atexit.register
def _stop_children():
    for child in list(_children):
        with contextlib.suppress(OSError, ChildProcessError):
            child.signal(signal.SIGKILL)
            child._reap(0)


def decode_rows(text):
    """JSON rows, whether they come as one array or one object a line."""
    text = text.strip()
    if text.startswith("["):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def tail(done, lines=15):
    return "\n".join([*done.stderr.splitlines()[-lines:], *done.stdout.splitlines()[-5:]])


def wait_for(condition, timeout_s, every_s=0.1):
    """Polls until the condition gives something true; that value, or None when time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every_s)
    return None


def children(pid):
    """The processes that a parent has started."""
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Watch(threading.Thread):
    """Samples a child's resident bytes."""

    def __init__(self, child, every_s=0.05):
        super().__init__(daemon=True)
        self.child, self.every_s, self.samples, self._over = child, every_s, [], threading.Event()
        self.start()

    def run(self):
        while not self._over.wait(self.every_s):
            self.samples.append((time.monotonic(), self.child.rss_bytes()))

    def stop(self):
        self._over.set()
        self.join()
        return self.samples


def epochs(folder):
    """How many epochs the lake announces; 0 while there is none."""
    from oracle.lake import Lake

    try:
        return len(Lake(folder).rows("epochs"))
    except Exception:  # the catalog or its table is not there yet, or locked just now
        return 0


def lines(path):
    """The records of a file as bytes without their newline."""
    return pathlib.Path(path).read_bytes().split(b"\n")[:-1]


def mib(count):
    return f"{count / 2**20:.0f} MiB"
