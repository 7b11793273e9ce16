"""Runs ticktide and Flink in turn over one topic and prints the table of pairs; called by `run`, which prepares both.

Measured is each side's whole process, start-up included: CPU seconds (user and system), greatest resident memory, wall seconds. The
broker's own work counts for neither. Every run's bars are compared with DuckDB's, Flink's readings with its formulas in Python: a side
that does other work gives no figure.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile

from harness import SERVICES, Child, mib, tail
from oracle import bars, generate, lake, produce

HERE = pathlib.Path(__file__).resolve().parent
PORT = int(os.environ.get("TICKTIDE_TEST_PORT", 19_092)) + 800
FIELDS = '{ symbol = "symbol", venue = "exchange", time = "ts", sequence = "seq", price = "price", quantity = "qty" }'
SOURCE = f'source = {{ use = "kafka", topics = ["replaced"], wire = "json", sequence = "trusted", fields = {FIELDS} }}\nsession = "nse"\n'
BARS = SOURCE + 'bars = [{ use = "time", every = "1m" }]\n'
INDICATORS = BARS + """indicators = [
    { use = "ema", period = 12, on = "1m" },
    { use = "ema", period = 26, on = "1m" },
    { use = "rsi", period = 14, on = "1m" },
]
"""
# what ticktide does, what Flink does beside it, and how it is called in the table
KINDS = {
    "bars": ("bars", "minute bars; Flink drops what is late, ticktide corrects"),
    "indicators": ("indicators", "minute bars with EMA(12), EMA(26), RSI(14); only ticktide's are corrected"),
    "market": ("bars", "ticktide's whole `market` (archive, six intervals, 16 indicators, six checks) beside Flink's minute bars"),
}
# Flink's serializers and its shaded Hadoop look into these packages
OPENED = ["java.lang", "java.lang.reflect", "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.time", "java.net",
          "java.io", "java.text"]


class Bench:
    """The records, in the broker and as DuckDB's bars, and both sides' commands."""

    def __init__(self, given, folder):
        self.given, self.folder = given, folder
        self.brokers = subprocess.run([SERVICES / "kafka.sh", "up", folder / "kafka", "1", str(PORT)], check=True, stdout=subprocess.PIPE,
                                      text=True).stdout.strip()
        paths = generate.write(folder / "records", given.trades)
        produce.create(self.brokers, "trades", generate.PARTITIONS)
        produce.send_placed(self.brokers, "trades", paths)
        self.connection = lake.connect()
        bars.load(self.connection, paths, generate.FIELDS, plain=True)
        bars.bars(self.connection, "1m", "oracle")
        self.out = folder / "out"

    def run(self, command):
        done = Child([str(part) for part in command], self.folder, env={"TZ": "UTC"}).wait(900)
        if done.code != 0:
            raise SystemExit(f"error: {command[0]} ended with {done.code}:\n{tail(done)}")
        return done

    def ticktide(self, kind):
        shutil.rmtree(self.out, ignore_errors=True)
        name, more = "market", ["--set", f"source.fields={FIELDS}", "--set", "session=nse"]
        if kind != "market":
            name, more = self.folder / f"{kind}.toml", []
            name.write_text({"bars": BARS, "indicators": INDICATORS}[kind])
        done = self.run([self.given.binary, "run", name, "--brokers", self.brokers, "--topic", "trades", "--warehouse", self.out,
                         "--until", "end", "-w", 2, *more])
        same, more, less = lake.bars_against(self.connection, lake.Lake(self.out), "bars_1m", "oracle")
        if more or less:
            raise SystemExit(f"error: ticktide's bars are not DuckDB's: {same} equal, {more[:1]} only here, {less[:1]} only there")
        return done

    def flink(self, kind):
        shutil.rmtree(self.out, ignore_errors=True)
        checkpoints = self.folder / "checkpoints"
        shutil.rmtree(checkpoints, ignore_errors=True)
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
        done = self.run(["java", "-Xmx2g", *opened, f"-Dlog4j.configurationFile={HERE}/flink/log4j2.properties", "-cp",
                         f"{self.given.classes}:{self.given.libs}/*", "peers.Job", kind, self.brokers, "trades", self.out, checkpoints])
        self.judge_flink(kind)
        return done

    def judge_flink(self, kind):
        """Flink's rows against DuckDB's bars (doubles here, integers there) and against the formulas."""
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE flink AS SELECT * FROM read_parquet('{self.out}/part-*')")
        wrong = self.connection.execute("""
            SELECT count(*) FROM flink FULL JOIN oracle USING (symbol, open_at)
            WHERE (round(flink.open * 1e8) = oracle.open AND round(flink.high * 1e8) = oracle.high AND round(flink.low * 1e8) = oracle.low
                   AND round(flink.close * 1e8) = oracle.close AND flink.volume * 100000000 = oracle.volume
                   AND flink.trades = oracle.trades) IS NOT TRUE""").fetchone()[0]
        if kind == "indicators":
            rows = self.connection.execute("SELECT symbol, close, ema_12, ema_26, rsi_14 FROM flink ORDER BY symbol, open_at").fetchall()
            wrong += sum(not near(row[2:], expected) for row, expected in zip(rows, readings(rows)))
        if wrong:
            raise SystemExit(f"error: {wrong} of Flink's rows differ from the oracle's")


def near(found, expected):
    return all((a is None) == (b is None) and (a is None or math.isclose(a, b, rel_tol=1e-9)) for a, b in zip(found, expected))


def readings(rows):
    """The three indicators again, over (symbol, close, …) in order."""
    symbol = None
    for name, close, *_ in rows:
        if name != symbol:
            symbol, closes, fast, slow, gain, loss = name, 0, close, close, 0.0, 0.0
        else:
            fast, slow = fast + (close - fast) * 2 / 13, slow + (close - slow) * 2 / 27
            up, down = max(close - before, 0.0), max(before - close, 0.0)
            gain, loss = ((gain * 13 + up) / 14, (loss * 13 + down) / 14) if closes > 14 else (gain + up / 14, loss + down / 14)
        before, closes = close, closes + 1
        rsi = None if closes <= 14 else 50.0 if gain + loss == 0 else 100 * gain / (gain + loss)
        yield fast, slow, rsi


def measure(bench, kind, pairs, trades):
    """The pairs of one kind, ours first and theirs first in turn."""
    theirs_kind, what = KINDS[kind]
    print(f"\n{kind}: {what}\n{'pair':>6} {'ticktide':>22} {'Flink':>22} {'Flink ÷ ticktide':>17}", flush=True)
    ratios, ours_us, theirs_us, peaks = [], [], [], [0, 0]
    for pair in range(pairs):
        sides = [lambda: bench.ticktide(kind), lambda: bench.flink(theirs_kind)]
        if pair % 2 == 0:
            ours, theirs = sides[0](), sides[1]()
        else:
            theirs, ours = sides[1](), sides[0]()
        us = [done.cpu_s * 1e6 / trades for done in (ours, theirs)]
        ratios.append(us[1] / us[0])
        ours_us.append(us[0])
        theirs_us.append(us[1])
        peaks = [max(peak, done.rss_bytes_max) for peak, done in zip(peaks, (ours, theirs))]
        cells = [f"{cpu:.2f} µs {done.wall_s:5.1f} s" for cpu, done in zip(us, (ours, theirs))]
        print(f"{pair + 1:>6} {cells[0]:>22} {cells[1]:>22} {ratios[-1]:>17.2f}", flush=True)
    row = {"kind": kind, "trades": trades, "pairs": pairs, "ticktide_us": statistics.median(ours_us), "flink_us": statistics.median(theirs_us),
           "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios), "ticktide_rss": peaks[0], "flink_rss": peaks[1]}
    print(f"median {row['ticktide_us']:19.2f} µs {row['flink_us']:19.2f} µs {row['ratio']:17.2f}   ({row['ratio_min']:.2f}–{row['ratio_max']:.2f}); "
          f"peak memory {mib(peaks[0])} and {mib(peaks[1])}", flush=True)
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("binary", "libs", "classes"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--trades", type=int, default=5_000_000)
    parser.add_argument("--kinds", default=",".join(KINDS), help="of " + ", ".join(KINDS))
    parser.add_argument("--work", help="a folder with room for 6 GiB; default: one that is removed at the end")
    given = parser.parse_args()
    kinds = given.kinds.split(",")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"unknown kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    with tempfile.TemporaryDirectory(dir=given.work, prefix="peers-") as folder:
        folder = pathlib.Path(folder)
        try:
            bench = Bench(given, folder)
            rows = [measure(bench, kind, given.pairs, given.trades) for kind in kinds]
        finally:
            subprocess.run([SERVICES / "kafka.sh", "down", folder / "kafka"], check=False)
    print("\n" + json.dumps(rows))


if __name__ == "__main__":
    main()
