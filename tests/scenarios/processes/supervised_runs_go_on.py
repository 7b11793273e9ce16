"""A run that is supervised goes on by itself: a process that dies or hangs, one of several hosts, a parent that gets a signal.

What must not be started again is not: a wrong path (exit code 2), a run that another one has fenced (3), one that fails too
often. Tables are compared by pyiceberg with those of an undisturbed run.
"""
# s23_supervise: rotating, 70 s

import os
import shutil
import signal
import subprocess
import time

from clusters import INDICATORS, SPEED, Cluster, alive, same, write_input
from harness import ROOT, Scenario, children, epochs, tail, wait_for

PACED = ("--set", "epoch.every=300ms", "--speed", SPEED, "--until", "end")
QUICK = ("--backoff", "200ms", "--hang-after", "2s", "--silence", "2s", "--start-within", "15s")
FOREVER = ("--set", "epoch.every=300ms", "--speed", 200)
UNIT = ROOT / "cluster" / "units" / "ticktide.service"


def start(scenario, name, *more):
    return scenario.start("run", "bars", "--source", "file", "--path", scenario.work / "input", "--set", INDICATORS,
                          "--warehouse", scenario.work / name, *more)


def under_way(scenario, child, folder, more=3):
    """Waits for a few more epochs; the parent's processes by index."""
    before = epochs(folder)
    if not wait_for(lambda: epochs(folder) >= before + more or not child.running(), 60) or not child.running():
        scenario.give_up(f"{folder.name}: no {more} more epochs: {tail(child.finished or child.wait(1))}")
    return children(child.pid)


def restarts(done):
    return done.stderr.count("all processes are started again")


def struck(scenario):
    """A process of each kind of parent is killed, then stopped; the run ends by itself, as if nothing had been."""
    for shape in (("-n", 2), ("--supervise", "-w", 2)):
        name = "struck" + "".join(map(str, shape))
        folder = scenario.work / name
        child = start(scenario, name, *PACED, *QUICK, *shape)
        for number, what in ((signal.SIGKILL, "killed"), (signal.SIGSTOP, "stopped")):
            below = under_way(scenario, child, folder)
            victim = below[-1]
            begun = time.monotonic()
            os.kill(victim, number)
            gone = wait_for(lambda: not any(alive(pid) for pid in below), 60, 0.02)
            took = time.monotonic() - begun
            again = wait_for(lambda: [pid for pid in children(child.pid) if alive(pid)] if child.running() else None, 60, 0.02)
            scenario.check(gone and again, f"{' '.join(map(str, shape))}: one of {len(below)} processes is {what}: all are gone after "
                           f"{took:.1f} s, and started again", child.read()[1][-1500:])
        done = child.wait(120)
        scenario.check(done.code == 0 and restarts(done) == 2, f"then it ends by itself with {done.code}, after {restarts(done)} restarts", tail(done, 30))
        scenario.check("was stuck" in done.stderr or "has been silent" in done.stderr, "it says who was silent", tail(done, 30))
        for line in done.stderr.splitlines():
            if "a process hangs" in line or "started again" in line:
                scenario.note(line[:160])
        same(scenario, name, f"killed and stopped, {' '.join(map(str, shape))}")


def hosts(scenario):
    """Two hosts, a parent on each: one loses its process, both come together again."""
    cluster = Cluster(scenario, "hosts", 2, "--speed", str(SPEED), "--set", "epoch.every=300ms", "--supervise", *QUICK)
    parents = [cluster.start(index) for index in range(2)]
    under_way(scenario, parents[0], cluster.folder)
    victim = children(parents[1].pid)[0]
    os.kill(victim, signal.SIGKILL)
    done = [parent.wait(120) for parent in parents]
    scenario.check([one.code for one in done] == [0, 0] and all(restarts(one) >= 1 for one in done),
                   f"one of two hosts loses its process: each parent starts its own again, and both end with {[one.code for one in done]}",
                   "\n".join(tail(one, 20) for one in done))
    same(scenario, "hosts", "two supervised hosts")


def ends(scenario):
    """The parent gets a signal, or is killed itself."""
    folder = scenario.work / "ends"
    child = start(scenario, "ends", *FOREVER, *QUICK, "-n", 2)
    below = under_way(scenario, child, folder)
    child.signal(signal.SIGTERM)
    done = child.wait(30)
    scenario.check(done.code == 0 and restarts(done) == 0 and not any(alive(pid) for pid in below),
                   f"SIGTERM to the parent ends the epoch, all processes, and exits {done.code}", tail(done))
    child = start(scenario, "ends", *FOREVER, "-n", 2, "--backoff", "20s", "--silence", "2s")
    os.kill(under_way(scenario, child, folder)[0], signal.SIGKILL)
    waits = wait_for(lambda: "all processes are started again" in child.read()[1], 15)
    child.signal(signal.SIGINT)
    done = child.wait(15)  # less than it waits
    scenario.check(waits and done.code == 0, f"SIGINT while it waits for the next start exits {done.code} after {done.wall_s:.1f} s", tail(done))
    child = start(scenario, "ends", *FOREVER, *QUICK, "-n", 2)
    below = under_way(scenario, child, folder)
    child.signal(signal.SIGKILL)
    child.wait(10)
    gone = wait_for(lambda: not any(alive(pid) for pid in below), 15, 0.02)
    scenario.check(gone, "kill -9 of the parent ends its processes", below)


def not_again(scenario):
    work, folder = scenario.work, scenario.work / "fenced"
    done = scenario.run("run", "bars", "--source", "file", "--path", work / "none.jsonl", "--warehouse", work / "none", "-n", 2, *QUICK,
                        code=None, timeout_s=30)
    scenario.check(done.code == 2 and restarts(done) == 0, f"a wrong path: exit code {done.code}, never started again", tail(done))
    first = start(scenario, "fenced", *FOREVER, *QUICK, "-n", 2)
    under_way(scenario, first, folder)
    second = start(scenario, "fenced", *FOREVER, *QUICK, "--supervise")
    done = first.wait(60)
    scenario.check(done.code == 3 and restarts(done) == 0, f"a second run takes the lake over: the first ends with {done.code}, never started again", tail(done))
    under_way(scenario, second, folder)
    second.signal(signal.SIGTERM)
    scenario.check(second.wait(30).code == 0, "and the second goes on undisturbed", tail(second.finished))
    child = start(scenario, "limit", *FOREVER, *QUICK, "-n", 2, "--restarts", 2)
    killed = 0
    while killed < 3 and child.running():
        below = wait_for(lambda: [pid for pid in children(child.pid) if alive(pid)] if child.running() else None, 20, 0.02) or []
        if len(below) == 2:  # all of a generation, none of the one before
            os.kill(below[0], signal.SIGKILL)
            killed += 1
            wait_for(lambda: not any(alive(pid) for pid in below), 10, 0.02)
    done = child.wait(30)
    scenario.check(done.code == 4 and restarts(done) == 2 and "restarted 2 times within 600 s" in done.stderr and "--restarts" in done.stderr,
                   f"`--restarts 2`, killed {killed} times: given up with {done.code} and a hint", tail(done))


def unit(scenario):
    """The systemd unit, with the binary where it is here."""
    verify = shutil.which("systemd-analyze")
    if not verify:
        scenario.note("cluster/units/ticktide.service: skipped, there is no systemd-analyze here")
        return
    copy = scenario.work / "ticktide.service"
    copy.write_text(UNIT.read_text().replace("/usr/local/bin/ticktide", scenario.binary))
    done = subprocess.run([verify, "verify", copy], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "ticktide" in line]
    scenario.check(done.returncode == 0 and not ours, "`systemd-analyze verify` has nothing to say about cluster/units/ticktide.service", done.stderr)
    helped = scenario.run("run", "--help").stdout
    words = ("--supervise", "--restarts", "--restart-window", "--backoff", "--backoff-max", "--hang-after")
    scenario.check(all(word in helped for word in words), "`run --help` names the settings of supervision with their defaults", helped)


def main():
    scenario = Scenario(__doc__)
    write_input(scenario)
    scenario.run_bars(scenario.work / "input", scenario.work / "one", "--set", INDICATORS)
    Cluster.port = 21_150
    unit(scenario)
    not_again(scenario)
    ends(scenario)
    struck(scenario)
    hosts(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
