"""The S3 server of the scenarios as a child process, and lakes in it compared with lakes in folders."""

import os
import pathlib
import signal

from harness import Child, tail, wait_for
from oracle import lake

# nothing in the tape is later than these tables' horizons, so their rows do not depend on the cuts
SETTINGS = ("--set", 'bars=[{use="time",every="1m"},{use="time",every="5m"}]',
            "--set", 'indicators=[{use="ema",period=20,on="1m"},{use="rsi",period=14,on="1m"}]',
            "--set", "source.corrections=true", "--set", "ticks=true", "-w", "2")
# three hours in a few seconds, so that there is an epoch to be killed in
PACED = ("--speed", "1200", "--set", "epoch.every=300ms")


class Store:
    """The S3 server; its objects are files below `folder`. TICKTIDE_TEST_S3 names its binary; without it, it is looked for
    where cargo puts it, beside ticktide's."""

    def __init__(self, scenario, *flags):
        sibling = pathlib.Path(scenario.binary).parent / "examples" / "s3"
        self.binary = os.environ.get("TICKTIDE_TEST_S3", str(sibling))
        self.scenario, self.folder, self.address = scenario, scenario.work / "objects", "127.0.0.1:0"
        self.start(*flags)

    def start(self, *flags):
        self.child = Child([self.binary, *map(str, flags), self.folder, self.address, "market"], self.scenario.work)
        line = wait_for(lambda: next(iter(self.said()), None), 20, 0.02)
        if not line:
            self.scenario.give_up(f"{self.binary} does not start: {self.child.read()[1]}")
        *_, self.address, access_key, secret_key = line.split()
        self.bucket = lake.Bucket(self.address, access_key, secret_key)
        return self.bucket

    def said(self):
        """Its whole lines so far: where it listens, then a fault each."""
        return [line for line in self.child.read()[0].splitlines(keepends=True) if line.endswith("\n")]

    def stop(self):
        self.child.signal(signal.SIGKILL)
        self.child.wait(10)

    def log(self, prefix):
        return self.folder / "market" / prefix / "log"

    def slots(self, prefix):
        return len(list(self.log(prefix).glob("*.json")))

    def place(self, prefix):
        """The flags that lead ticktide to the lake below this prefix."""
        return ("--warehouse", f"s3://market/{prefix}", "--catalog", f"sqlite:{self.scenario.work}/{prefix}.db")

    def lake(self, prefix):
        return lake.Lake(f"s3://market/{prefix}", catalog=self.scenario.work / f"{prefix}.db", bucket=self.bucket)


def compare(scenario, what, folder, bucket_lake, bucket):
    """Every table of rows of the two lakes, by each reader; the histories by what they sum up to."""
    tables = [name for name in folder.tables() if name.startswith(("bars_", "indicators_", "ticks"))]
    for reader in ("pyiceberg", "duckdb"):
        connection, rows, different = lake.connect(bucket), 0, {}
        for name in tables:
            base = name.removesuffix("_history")
            if base != name and reader == "duckdb":
                continue
            folder.view(connection, base, "one", reader)
            if base != name:
                bucket_lake.history(connection, base, "other")
            else:
                bucket_lake.view(connection, name, "other", reader)
            rows += connection.execute("SELECT count(*) FROM one").fetchone()[0]
            only = lake.difference(connection, "one", "other")
            if any(only):
                different[name] = tuple(len(side) for side in only)
        scenario.check(not different and rows > 1_000, f"{what}: by {reader} {rows} rows of [{', '.join(tables)}] are the folder's", different)


def killed(scenario, store, arguments, times, slots):
    """Runs into a bucket, killed with SIGKILL so many times after a takeover and some epochs behind it; none comes to the end."""
    for number in range(1, times + 1):
        before, child = store.slots("killed"), scenario.start(*arguments)
        wait_for(lambda: store.slots("killed") >= before + slots + number % 2 or not child.running(), 120, 0.005)
        if not child.running():
            scenario.give_up(f"the run ended before it could be killed for time {number}: {tail(child.finished)}")
        child.signal(signal.SIGKILL)
        child.wait(10)
