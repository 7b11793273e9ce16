"""Several processes that are one run: started one by one with a hostfile on loopback, and held against the lake of one worker."""

import pathlib

from oracle import disorder, lake

INDICATORS = ('indicators=[{use="ema",period=20,on="1m"},{use="rsi",period=14,on="1m"},{use="macd",on="1m"},{use="vwap",on="1m"}]')
PARTITIONS, FIRST_PORT, SPEED = 4, 21_100, 1_000


class Cluster:
    """Processes that are started one by one, with a hostfile on loopback and a secret."""

    port = FIRST_PORT

    def __init__(self, scenario, name, count, *settings):
        self.scenario, self.settings = scenario, settings
        self.hosts = [f"127.0.0.1:{port}" for port in range(Cluster.port, Cluster.port + count)]
        Cluster.port += count
        self.hostfile, self.secret = scenario.work / f"{name}.hosts", scenario.work / f"{name}.secret"
        self.hostfile.write_text("# the processes\n" + "\n".join(self.hosts) + "\n")
        self.write_secret("a secret that nobody else has")
        self.folder = scenario.work / name

    def write_secret(self, text, name=None):
        path = self.secret.with_name(name) if name else self.secret
        path.write_text(text)
        path.chmod(0o600)
        return path

    def start(self, index, *more, hostfile=None, secret=None, workers=1, folder=None, binary=None):
        return self.scenario.start("run", "bars", "--source", "file", "--path", self.scenario.work / "input", "--until", "end",
                                   "--set", INDICATORS, "--warehouse", folder or self.folder, "-w", workers, "-p", index, "--hostfile",
                                   hostfile or self.hostfile, "--secret-file", secret or self.secret, *self.settings, *more, binary=binary)


def errors(done):
    return "\n".join(line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:")))


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def write_input(scenario):
    """The disordered tape's trades, each once, in the order of their times; a symbol's are all in one partition."""
    unique = {record["id"]: record for record in disorder.tape(60_000, 5) if record["type"] == "trade"}
    rows = sorted(unique.values(), key=lambda record: record["time"])
    (scenario.work / "input").mkdir()
    place = {symbol: number % PARTITIONS for number, symbol in enumerate(disorder.SYMBOLS)}
    for partition in range(PARTITIONS):
        disorder.write([row for row in rows if place[row["symbol"]] == partition], scenario.work / "input" / f"{partition}.jsonl")
    return len(rows)


def same(scenario, name, what):
    """The tables of this lake are those of the lake that one worker wrote."""
    result = lake.compare(lake.Lake(scenario.work / "one"), lake.Lake(scenario.work / name))
    counts = {table: (len(left), len(right)) for table, (_, left, right) in result.items() if left or right}
    scenario.check(not counts, f"{what}: {sum(count for count, _, _ in result.values())} rows of {len(result)} tables are equal", counts)
    accepted = [sum(row["accepted"] for row in lake.Lake(scenario.work / folder).rows("epochs")) for folder in ("one", name)]
    scenario.check(accepted[0] == accepted[1], f"{what}: each record was accepted once: {accepted[1]}")
