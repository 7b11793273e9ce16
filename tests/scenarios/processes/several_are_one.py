"""Several processes are one: the same tables, strangers kept out, and all end together when one is gone.

The same input with other workers and processes, started by one parent or one by one with a hostfile; 100 junk connections
while the cluster starts; a process that differs, is missing, stopped or killed. Tables are compared by pyiceberg.
"""
# s10_processes: always, alone, 110 s

import os
import pathlib
import re
import signal
import socket
import time

from clusters import INDICATORS, SPEED, Cluster, alive, errors, same, write_input
from harness import Scenario, children, epochs, tail, wait_for
from oracle import generate, lake

CPU_RATIO = 1.25
DATAFLOW = """\
source = { use = "file", wire = "json", sequence = "trusted",
           fields = { symbol = "symbol", venue = "exchange", time = "ts", sequence = "seq", price = "price", quantity = "qty" } }
session = "nse"
bars = [{ use = "time", every = "1m" }]
"""


def shapes(scenario, records):
    path = scenario.work / "input"
    scenario.run_bars(path, scenario.work / "one", "--set", INDICATORS, "-w", 1)
    for shape in (("-w", 3), ("-n", 2, "-w", 1), ("-n", 3, "-w", 2)):
        name = "".join(map(str, shape))
        done = scenario.run_bars(path, scenario.work / name, "--set", INDICATORS, *shape)
        what = " ".join(map(str, shape))
        scenario.check(f"{records} records = {records} accepted" in done.stdout, f"{what}: its figures are those of all processes", done.stdout)
        same(scenario, name, what)


def resumed(scenario):
    """Stopped by a signal to the parent, and gone on with by other workers and processes."""
    path, folder = scenario.work / "input", scenario.work / "resumed"
    for number, shape in enumerate((("-n", 2, "-w", 1), ("-n", 3, "-w", 2), ("-w", 2), ("-n", 2, "-w", 2))):
        before = epochs(folder)
        child = scenario.start("run", "bars", "--source", "file", "--path", path, "--warehouse", folder, "--set", INDICATORS, "--set",
                               "epoch.every=300ms", "--speed", SPEED, "--until", "end", *shape)
        wait_for(lambda: epochs(folder) > before + 3 or not child.running(), 60)
        child.signal(signal.SIGTERM)
        done = child.wait(30)
        scenario.check(done.code == 0, f"{' '.join(map(str, shape))}: SIGTERM ends the epoch and exits {done.code}", tail(done))
        if number == 0:
            scenario.check("records = " in done.stdout and done.stdout.count("records = ") == 1, "one line of figures", done.stdout)
    scenario.run_bars(path, folder, "--set", INDICATORS, "-n", 3)
    same(scenario, "resumed", "four times stopped, each time gone on with in another shape")
    scenario.verify("holds on it", "--warehouse", folder, "--set", INDICATORS, "--set", "epoch.every=300ms", "-w", 2)


def junk(scenario):
    cluster = Cluster(scenario, "junk", 2)
    first = cluster.start(0)
    host, port = cluster.hosts[0].split(":")

    def connect():
        try:
            return socket.create_connection((host, int(port)), 1)
        except OSError:
            return None

    strangers = [wait_for(connect, 30, 0.05)]
    strangers += [socket.create_connection((host, int(port)), 5) for _ in range(99)]
    for number, stranger in enumerate(strangers):
        said = [b"", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"TICKTIDE-MESH-1\n" + os.urandom(48), os.urandom(64)][number % 4]
        if said:
            stranger.sendall(said)
    wrong = cluster.start(1, "--start-within", "1s", secret=cluster.write_secret("the secret of another cluster", "wrong.secret")).wait(30)
    scenario.check(wrong.code == 2 and "it has another secret" in wrong.stderr and "--secret-file" in errors(wrong),
                   f"a process with another secret ends with {wrong.code}", tail(wrong))
    scenario.note(errors(wrong))
    time.sleep(2.5)  # as long as a silent one is listened to
    scenario.check(first.running(), "junk, silent, HTTP and forged connections do not end the process", first.read()[1])
    second = cluster.start(1).wait(60)
    first = first.wait(60)
    found = re.search(r"cluster complete .*refused=(\d+)", first.stderr)
    scenario.check(first.code == second.code == 0, f"the cluster starts all the same and ends with {first.code}, {second.code}", tail(first))
    scenario.check(found and int(found[1]) >= 101, f"refused and counted: {found and found[1]} connections", first.stderr[-1500:])
    words = {word: len(re.findall(f"connection refused .*refusal={word}", first.stderr)) for word in ("silent", "junk", "wrong secret")}
    scenario.check(words["silent"] >= 25 and words["junk"] >= 50 and words["wrong secret"] >= 26, f"by kind: {words}")
    same(scenario, "junk", "with strangers at the door")
    for stranger in strangers:
        stranger.close()


def other_version(scenario):
    """A copy of the binary that says, and so believes, that it is of another version: the digits behind the mark are changed."""
    found = re.search(rb"ticktide code version ([0-9]+\.[0-9]+\.)([0-9]+);", pathlib.Path(scenario.binary).read_bytes())
    if not found:
        scenario.give_up("the binary does not carry its version behind its mark")
    ours = (found[1] + found[2]).decode()
    digits = b"9" * len(found[2]) if found[2] != b"9" * len(found[2]) else b"8" * len(found[2])
    copy = scenario.work / "other-version"
    copy.write_bytes(pathlib.Path(scenario.binary).read_bytes().replace(found[0], found[0].replace(found[1] + found[2], found[1] + digits)))
    copy.chmod(0o755)
    return copy, ours, (found[1] + digits).decode()


def differing(scenario):
    copy, ours, theirs = other_version(scenario)
    three = scenario.work / "three.hosts"
    for what, values, more, others in (("version", (ours, theirs), (), {"binary": copy}),
                                       ("number of workers", ("-w 1", "-w 2"), (), {"workers": 2}),
                                       ("dataflow", ("has bars ", "has bars "), ("--set", "grace=6s"), {}),
                                       ("number of processes", ("-n 2", "-n 3"), (), {"hostfile": three}),
                                       ("lake", ("differ-lake", "elsewhere"), (), {"folder": scenario.work / "elsewhere"})):
        cluster = Cluster(scenario, f"differ-{what.replace(' ', '-')}", 2)
        three.write_text("\n".join([*cluster.hosts, "127.0.0.1:21099"]) + "\n")
        done = [child.wait(30) for child in (cluster.start(0), cluster.start(1, *more, **others))]
        texts = [errors(one) for one in done]
        holds = all(one.code == 2 and f"the {what} differs" in text and all(value in text for value in values) and "hint:" in text
                    for one, text in zip(done, texts))
        scenario.check(holds, f"another {what}: both sides end with {[one.code for one in done]} and name both values", "\n".join(texts))
        scenario.note(texts[1].splitlines()[0] if texts[1] else "")
        scenario.check(not (cluster.folder / "log").exists(), f"another {what}: no lake was taken over")


def missing(scenario):
    cluster = Cluster(scenario, "missing", 3, "--start-within", "2s")
    done = [child.wait(30) for child in [cluster.start(0), cluster.start(1)]]
    text = errors(done[0])
    scenario.check(all(one.code == 4 and f"host 2 ({cluster.hosts[2]}) did not join within 2 s" in one.stderr and "hint:" in one.stderr for one in done),
                   f"a missing host is named at the deadline, after {done[0].wall_s:.1f} s: exit codes {[one.code for one in done]}", text)
    scenario.soon(max(one.wall_s for one in done), 4, "all have ended within two seconds more")
    scenario.note(text)


def running(scenario, name, count, *more):
    """A cluster in the middle of its run."""
    cluster = Cluster(scenario, name, count, "--speed", str(SPEED), "--set", "epoch.every=300ms", *more)
    started = [cluster.start(index) for index in range(count)]
    wait_for(lambda: epochs(cluster.folder) > 3 or not all(child.running() for child in started), 60)
    for child in started:
        if not child.running():
            scenario.give_up(f"{name}: a process has ended early: {tail(child.finished)}")
    return cluster, started


def gone_on(scenario, cluster, what):
    scenario.run_bars(scenario.work / "input", cluster.folder, "--set", INDICATORS, "-n", 2, timeout_s=120)
    same(scenario, cluster.folder.name, what)


def stopped(scenario):
    for stopped in (1, 0):
        cluster, started = running(scenario, f"stopped-{stopped}", 2, "--silence", "2s")
        begun = time.monotonic()
        started[stopped].signal(signal.SIGSTOP)
        other = started[1 - stopped].wait(30)
        took = time.monotonic() - begun
        scenario.check(other.code == 4 and f"process {stopped} ({cluster.hosts[stopped]}) has been silent for 2 s" in other.stderr,
                       f"process {stopped} is stopped: the other ends with {other.code}", tail(other))
        scenario.soon(took, 4, "and soon behind the 2 s of silence that it allows")
        scenario.note(errors(other))
        started[stopped].signal(signal.SIGCONT)
        again = started[stopped].wait(30)
        scenario.check(again.code == 4, f"when it goes on it ends with {again.code}, too", tail(again))
        gone_on(scenario, cluster, f"after process {stopped} was stopped")


def killed(scenario):
    for victim in (0, 2):
        cluster, started = running(scenario, f"killed-{victim}", 3)
        begun = time.monotonic()
        started[victim].signal(signal.SIGKILL)
        others = [child.wait(30) for index, child in enumerate(started) if index != victim]
        took = time.monotonic() - begun
        scenario.check(all(other.code == 4 for other in others), f"kill -9 of process {victim}: the others end with "
                       f"{[other.code for other in others]}", "\n".join(tail(other) for other in others))
        scenario.soon(took, 2, "and at once")
        scenario.check(all(f"process {victim} ({cluster.hosts[victim]})" in errors(other) or "process" in errors(other) for other in others),
                       "and name a process", errors(others[0]))
        scenario.note(errors(others[0]))
        gone_on(scenario, cluster, f"after process {victim} was killed")


def parents(scenario):
    path = scenario.work / "input"

    def start(name):
        folder = scenario.work / name
        child = scenario.start("run", "bars", "--source", "file", "--path", path, "--warehouse", folder, "--set", INDICATORS, "--set",
                               "epoch.every=300ms", "--speed", SPEED, "--until", "end", "-n", 3, "--restarts", 0)
        wait_for(lambda: epochs(folder) > 2 or not child.running(), 60)
        return child, children(child.pid) if child.running() else []

    child, family = start("parent-killed")
    arguments = [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family]
    secrets = [re.search(rb"TICKTIDE_SECRET=([0-9a-f]+)", pathlib.Path(f"/proc/{pid}/environ").read_bytes()) for pid in family]
    scenario.check(len(family) == 3 and all(secrets) and not any(secret[1] in line for secret in secrets for line in arguments),
                   "-n 3 is three processes with a secret that is in no argument")
    child.signal(signal.SIGKILL)
    child.wait(10)
    gone = wait_for(lambda: not any(alive(pid) for pid in family), 15, 0.02)
    scenario.check(gone, "kill -9 of the parent ends its processes", family)
    child, family = start("child-killed")
    begun = time.monotonic()
    os.kill(family[1], signal.SIGKILL)
    done = child.wait(30)
    took = time.monotonic() - begun
    scenario.check(done.code == 4 and not any(alive(pid) for pid in family),
                   f"kill -9 of one of its processes, `--restarts 0`: the parent ends with {done.code}, and all with it", tail(done))
    scenario.soon(took, 2.5, "and at once")
    for name in ("parent-killed", "child-killed"):
        scenario.run_bars(path, scenario.work / name, "--set", INDICATORS, "-w", 2)
        same(scenario, name, name)
    done = scenario.run("run", "bars", "--source", "file", "--path", scenario.work / "none.jsonl", "--warehouse", scenario.work / "none",
                        "--until", "end", "-n", 2, code=None, timeout_s=30)
    scenario.check(done.code == 2 and "none.jsonl" in done.stderr, f"a wrong path in {done.wall_s:.1f} s: exit code {done.code}", tail(done))


def refused(scenario):
    """What is wrong before anything starts."""
    work = scenario.work
    far, near, readable = work / "far.hosts", work / "near.hosts", work / "readable.secret"
    far.write_text("10.0.0.1:2101\n10.0.0.2:2101\n")
    near.write_text("127.0.0.1:21098\n127.0.0.1:21097\n")
    readable.write_text("0123456789abcdef0123456789abcdef")
    readable.chmod(0o644)
    for what, word, *arguments in (("another machine without a secret", "no secret", "-p", 0, "--hostfile", far),
                                   ("a secret that everybody can read", "644", "-p", 0, "--hostfile", near, "--secret-file", readable),
                                   ("-n that is not the hostfile's", "`-n 3`", "-n", 3, "-p", 0, "--hostfile", near),
                                   ("-p behind the last line", "`-p 2`", "-p", 2, "--hostfile", near),
                                   ("a hostfile without -p", "-p I", "--hostfile", near)):
        done = scenario.run("run", "bars", "--source", "file", "--path", work / "input", "--warehouse", work / "refused", *arguments, code=None)
        scenario.check(done.code == 2 and word in errors(done) and "hint:" in done.stderr, f"{what}: exit code {done.code}", tail(done))


def cpu(scenario):
    trades = 2_000_000 if scenario.long else 500_000
    generate.write(scenario.work / "session", trades)
    dataflow = scenario.work / "bench.toml"
    dataflow.write_text(DATAFLOW)
    best = {}
    for attempt in range(3):
        for shape in (("-n", 1, "-w", 2), ("-n", 2, "-w", 1)):
            done = scenario.run("run", dataflow, "--path", scenario.work / "session", "--warehouse", scenario.work / f"cpu{shape[1]}-{attempt}",
                                "--until", "end", *shape, timeout_s=600)
            best[shape] = min(best.get(shape, done.cpu_s), done.cpu_s)
    one, two = best.values()
    text = (f"{trades} trades: {one:.2f} s CPU in one process with two workers, {two:.2f} s in two processes: {two / one:.2f} x "
            f"(goal: at most {CPU_RATIO})")
    scenario.goal(two / one, CPU_RATIO, text)
    result = lake.compare(lake.Lake(scenario.work / "cpu1-0"), lake.Lake(scenario.work / "cpu2-0"))
    scenario.check(not any(left or right for _, left, right in result.values()), "and their tables are equal")


def main():
    scenario = Scenario(__doc__)
    records = write_input(scenario)
    refused(scenario)
    shapes(scenario, records)
    resumed(scenario)
    junk(scenario)
    differing(scenario)
    missing(scenario)
    stopped(scenario)
    killed(scenario)
    parents(scenario)
    cpu(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
