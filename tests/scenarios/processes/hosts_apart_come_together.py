"""Three hosts, one cluster: a run over a real network, and one whose two hosts cannot hear each other for 30 s.

The hosts are network namespaces on one bridge with one shared disk, which takes root and iproute2; without them the
scenario is skipped. Tables are compared by pyiceberg with those of one process.
"""
# s11_hosts: rotating, 100 s

import atexit
import os
import shutil
import signal
import subprocess
import sys
import time

from clusters import same
from harness import Child, Scenario, epochs, tail, wait_for
from oracle import disorder

HOSTS, NET, BRIDGE = 3, "10.78.0", "ttbr0"
PORT, SILENCE_S, APART_S, SPEED = 2101, 8, 30, 400
SKIPPED = 77


def ip(*arguments, check=True):
    return subprocess.run(["ip", *map(str, arguments)], check=check, capture_output=True, text=True)


def space(host):
    return f"tthost{host}"


def address(host):
    return f"{NET}.{10 + host}"


def down():
    for host in range(HOSTS):
        ip("link", "del", f"ttv{host}", check=False)
        ip("netns", "del", space(host), check=False)
    ip("link", "del", BRIDGE, check=False)


def up():
    """A bridge with three namespaces on it; what went wrong, or None."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "network namespaces take root and iproute2"
    down()
    atexit.register(down)
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "set", BRIDGE, "up")
        for host in range(HOSTS):
            ip("netns", "add", space(host))
            ip("link", "add", f"ttv{host}", "type", "veth", "peer", "name", "eth0", "netns", space(host))
            ip("link", "set", f"ttv{host}", "master", BRIDGE, "up")
            ip("-n", space(host), "addr", "add", f"{address(host)}/24", "dev", "eth0")
            ip("-n", space(host), "link", "set", "lo", "up")
            ip("-n", space(host), "link", "set", "eth0", "up")
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.strip()}"
    return None


def apart(left, right):
    """Frames between the two go to an address that nobody has: nothing arrives and nobody says so."""
    for one, other in ((left, right), (right, left)):
        ip("-n", space(one), "neigh", "replace", address(other), "lladdr", "02:00:00:00:00:fe", "dev", "eth0", "nud", "permanent")


def together(left, right):
    for one, other in ((left, right), (right, left)):
        ip("-n", space(one), "neigh", "del", address(other), "dev", "eth0")


class Cluster:
    def __init__(self, scenario):
        self.scenario = scenario
        self.hostfile, self.secret = scenario.work / "hosts", scenario.work / "secret"
        self.hostfile.write_text("".join(f"{address(host)}:{PORT}\n" for host in range(HOSTS)))
        self.secret.write_text("a secret of the three hosts")
        self.secret.chmod(0o600)

    def start(self, folder, *more):
        """One process on each host."""
        return [Child(["ip", "netns", "exec", space(host), self.scenario.binary, "run", "bars", "--source", "file", "--path",
                       str(self.scenario.work / "input"), "--until", "end", "--warehouse", str(folder), "-w", "2", "-p", str(host),
                       "--hostfile", str(self.hostfile), "--secret-file", str(self.secret), "--silence", f"{SILENCE_S}s", *more],
                      self.scenario.work) for host in range(HOSTS)]


def main():
    scenario = Scenario(__doc__)
    wrong = up()
    if wrong:
        print(f"SKIP {scenario.name}: {wrong}", flush=True)
        sys.exit(SKIPPED)
    unique = {record["id"]: record for record in disorder.tape(60_000, 5) if record["type"] == "trade"}
    rows = sorted(unique.values(), key=lambda record: record["time"])
    (scenario.work / "input").mkdir()
    for number, symbol in enumerate(disorder.SYMBOLS):
        disorder.write([row for row in rows if row["symbol"] == symbol], scenario.work / "input" / f"{number}.jsonl")
    scenario.run_bars(scenario.work / "input", scenario.work / "one")
    cluster = Cluster(scenario)

    done = [child.wait(120) for child in cluster.start(scenario.work / "calm")]
    scenario.check(all(one.code == 0 for one in done), f"three hosts, one hostfile: exit codes {[one.code for one in done]}", "\n".join(map(tail, done)))
    same(scenario, "calm", "three hosts")

    for pair in ((0, 1), (1, 2)):
        name = f"apart-{pair[0]}-{pair[1]}"
        folder = scenario.work / name
        started = cluster.start(folder, "--speed", str(SPEED), "--set", "epoch.every=500ms")
        wait_for(lambda: epochs(folder) > 3 or not all(child.running() for child in started), 60)
        scenario.check(all(child.running() for child in started), f"hosts {pair}: in the middle of a run, after {epochs(folder)} epochs",
                       "\n".join(tail(child.finished) for child in started if child.finished))
        begun = time.monotonic()
        apart(*pair)
        ended = wait_for(lambda: not any(child.running() for child in started), 5 * SILENCE_S + 20)
        took = time.monotonic() - begun
        for child in started:
            child.signal(signal.SIGKILL)
        done = [child.wait(5) for child in started]
        codes = [one.code for one in done]
        named = [line for one in done for line in one.stderr.splitlines() if line.startswith("error:")]
        scenario.check(ended and codes == [4, 4, 4] and len(named) == 3 and all("process" in line for line in named),
                       f"hosts {pair} apart: exit codes {codes}", "\n".join(map(tail, done)))
        scenario.soon(took, SILENCE_S + 4, f"and soon behind the {SILENCE_S} s of silence that they allow")
        for line in named:
            scenario.note(line)
        # started again while they are still apart: the hosts that cannot reach each other say so
        again = cluster.start(folder, "--start-within", "5s")
        done = [child.wait(60) for child in again]
        scenario.check(all(one.code == 4 for one in done) and any("did not join within 5 s" in one.stderr for one in done),
                       f"hosts {pair} still apart: a start names the missing one, exit codes {[one.code for one in done]}", "\n".join(map(tail, done)))
        time.sleep(max(0, APART_S - (time.monotonic() - begun)))
        together(*pair)
        done = [child.wait(120) for child in cluster.start(folder)]
        scenario.check(all(one.code == 0 for one in done), f"hosts {pair} together after {time.monotonic() - begun:.0f} s: {[one.code for one in done]}",
                       "\n".join(map(tail, done)))
        same(scenario, name, f"hosts {pair} were apart for 30 s")
    scenario.end()


if __name__ == "__main__":
    main()
