"""A panic in any thread of any process ends every process at once, each with its exit code, and the next start goes on.

`TICKTIDE_PANIC_AT` makes the real binary panic: in a worker, in an I/O thread (one that writes files, the one that decides
epochs), in a reader; alone, with a parent, with a hostfile. Then: exit 3 of one of several processes through their parent,
and a log that nobody reads. Tables are compared by pyiceberg with those of an undisturbed run.
"""
# s31_panic: rotating, 90 s

import os
import re
import subprocess
import time

from clusters import INDICATORS, SPEED, Cluster, alive, same, write_input
from harness import Scenario, children, epochs, tail, wait_for

PACED = ("--set", "epoch.every=300ms", "--speed", SPEED, "--until", "end")
GOAL_S = 2
ASKED = "TICKTIDE_PANIC_AT requests it"
LOST = r"(?m)^error: process \d \(127\.0\.0\.1:\d+\) (closed|broke|ended)"
BUG = "error: ticktide met a bug and ends\nhint: start it again"


def start(scenario, name, *more, at=None, paced=PACED):
    return scenario.start("run", "bars", "--source", "file", "--path", scenario.work / "input", "--set", INDICATORS,
                          "--warehouse", scenario.work / name, *paced, *more, env={"TICKTIDE_PANIC_AT": at} if at else None)


def ends(child, below):
    """When the first of these processes was seen gone, and when the last: the parent is one of them."""
    first = None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        gone = [not child.running(), *(not alive(pid) for pid in below)]
        if any(gone) and first is None:
            first = time.monotonic()
        if all(gone):
            return time.monotonic() - first
        time.sleep(0.005)
    return float("inf")


def gone_on(scenario, name, what, *shape):
    """A start without the variable goes on; its panics are none."""
    before = epochs(scenario.work / name)
    done = scenario.run_bars(scenario.work / "input", scenario.work / name, "--set", INDICATORS, *shape, timeout_s=120)
    scenario.check(before >= 1 and "panic" not in done.stderr, f"{what}: the next start goes on behind {before} epochs, without a panic", tail(done))
    same(scenario, name, what)


def alone(scenario):
    for at in ("worker-1:4", "files-0:4", "commit:4", "reader-0:3"):
        what, name = f"one process, {at}", f"alone-{at.partition(':')[0]}"
        child = start(scenario, name, "-w", 2, at=at)
        done = child.wait(60)
        scenario.check(done.code == 1 and ASKED in done.stderr and BUG in done.stderr, f"{what}: ends with {done.code}, and says what to do", tail(done))
        gone_on(scenario, name, what, "-w", 1)


def below_a_parent(scenario):
    for count, at, panics in ((2, "worker-1:4", 1), (2, "commit:4", 0), (3, "files-2:4", 2), (3, "reader-1:3", 1)):
        what, name = f"-n {count}, {at}", f"below-{count}-{at.partition(':')[0]}"
        child = start(scenario, name, "-n", count, "--restarts", 0, at=at)
        below = wait_for(lambda: (lambda found: found if len(found) == count else None)(children(child.pid)) if child.running() else None, 20, 0.01)
        if not below:
            scenario.give_up(f"{what}: no {count} processes: {tail(child.wait(1))}")
        took = ends(child, below)
        done = child.wait(5)
        named = f"process {panics} (127.0.0.1:" in done.stderr and "ended: exit status: 1" in done.stderr
        scenario.check(not any(alive(pid) for pid in below), f"{what}: all {count} and their parent are gone", tail(done))
        scenario.soon(took, GOAL_S, f"{what}: the last is gone soon after the first")
        scenario.check(done.code == 1 and named and done.stderr.count(ASKED) == 1,
                       f"{what}: the parent ends with {done.code} and names process {panics}", tail(done, 25))
        gone_on(scenario, name, what, "-w", 2)


def by_hostfile(scenario):
    for count, at, panics in ((2, "commit:4", 0), (2, "reader-1:3", 1), (3, "worker-2:4", 2), (3, "files-0:4", 0)):
        what = f"{count} processes of a hostfile, {at}"
        cluster = Cluster(scenario, f"hosts-{count}-{at.partition(':')[0]}", count, "--speed", str(SPEED), "--set", "epoch.every=300ms")
        scenario.environment = {"TICKTIDE_PANIC_AT": at}
        started = [cluster.start(index) for index in range(count)]
        scenario.environment = {}
        took = ends(started[0], [child.pid for child in started[1:]])
        done = [child.wait(10) for child in started]
        wanted = [1 if index == panics else 4 for index in range(count)]
        scenario.check([one.code for one in done] == wanted, f"{what}: gone with {[one.code for one in done]}", "\n".join(tail(one, 8) for one in done))
        scenario.soon(took, GOAL_S, f"{what}: the last is gone soon after the first")
        told = all(re.search(LOST, one.stderr) for index, one in enumerate(done) if index != panics)
        scenario.check(told and sum(one.stderr.count(ASKED) for one in done) == 1, f"{what}: one has panicked, the others name a process", "\n".join(tail(one, 3) for one in done))
        gone_on(scenario, cluster.folder.name, what, "-w", 2)


def restarted(scenario):
    """With restarts on, the same panic is met again until the log is past its epoch; then the run ends by itself."""
    child = start(scenario, "restarted", "-n", 2, "--backoff", "200ms", at="worker-1:4")
    done = child.wait(120)
    starts = done.stderr.count("all processes are started again")
    scenario.check(done.code == 0 and 1 <= starts <= 4 and done.stderr.count(ASKED) == starts,
                   f"restarts on: {done.stderr.count(ASKED)} panics, {starts} restarts, then it ends by itself with {done.code}", tail(done, 30))
    same(scenario, "restarted", "panicked and started again")


def asked_wrongly(scenario):
    done = start(scenario, "wrong", at="worker:4").wait(30)
    scenario.check(done.code == 2 and "not a thread and a number" in done.stderr and "hint: unset it" in done.stderr and not (scenario.work / "wrong").exists(),
                   f"a place that is none: exit code {done.code}, no lake", tail(done))


def fenced(scenario):
    """Another run takes the lake over: exit 3, whatever process met it, and restarts are allowed but not made."""
    folder = scenario.work / "fenced"
    slow = ("--set", "epoch.every=300ms", "--speed", 200, "--backoff", "200ms")
    first = start(scenario, "fenced", "-n", 3, paced=slow)
    if not wait_for(lambda: epochs(folder) >= 3 or not first.running(), 60) or not first.running():
        scenario.give_up(f"fenced: no epochs: {tail(first.wait(1))}")
    below = children(first.pid)
    second = start(scenario, "fenced", "-w", 1)
    took = ends(first, below)
    done = first.wait(5)
    scenario.check(done.code == 3 and "hint:" in done.stderr and "exit status: 3" in done.stderr,
                   f"-n 3, fenced: all and their parent are gone, it ends with {done.code}", tail(done, 25))
    scenario.soon(took, GOAL_S, "-n 3, fenced: the last is gone soon after the first")
    scenario.check("started again" not in done.stderr and done.stderr.count("cluster complete") == 3, "it was never started again", tail(done, 25))
    done = second.wait(120)
    scenario.check(done.code == 0, f"the other run ends with {done.code}", tail(done))
    same(scenario, "fenced", "taken over by another run")


def unheard(scenario):
    """The reader of the log has gone away: a line that cannot be written ends nothing, and an exit code stays what it is."""
    for name, more, wanted in (("unheard", (), 0), ("unheard-n", ("-n", "2"), 0), ("nowhere", ("--path", scenario.work / "none.jsonl"), 2)):
        reads, writes = os.pipe()
        os.close(reads)
        command = [scenario.binary, "run", "bars", "--source", "file", "--path", scenario.work / "input", "--set", INDICATORS,
                   "--warehouse", scenario.work / name, "--until", "end", *more]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TICKTIDE")}
        if "--path" in more:
            command = [scenario.binary, "run", "bars", "--source", "file", "--warehouse", scenario.work / name, *more]
        done = subprocess.run(list(map(str, command)), stderr=writes, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment, timeout=120)
        os.close(writes)
        scenario.check(done.returncode == wanted, f"{name}: nobody reads the log: exit code {done.returncode}")
        if wanted == 0:
            same(scenario, name, name)


def main():
    scenario = Scenario(__doc__)
    write_input(scenario)
    scenario.run_bars(scenario.work / "input", scenario.work / "one", "--set", INDICATORS)
    Cluster.port = 21_250
    asked_wrongly(scenario)
    unheard(scenario)
    alone(scenario)
    below_a_parent(scenario)
    by_hostfile(scenario)
    restarted(scenario)
    fenced(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
