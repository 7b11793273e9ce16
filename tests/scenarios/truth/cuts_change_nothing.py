"""However the input is cut, the tables are the same: 21 runs, other workers, steps, epochs and orders, against one run.

Compared by pyiceberg, row for row: bars, indicators, anomalies and quarantine, by all columns but `epoch`. Input: the gold tape
if TICKTIDE_TAPES is set, else the disordered tape's trades; some of its records are late by up to four hours, beyond all
reaches. Which of them are refused is recomputed from the records alone.
"""
# s5_cuts: always, 60 s

import json
import os
import random

from harness import Scenario, lines
from oracle import disorder, lake, late, tapes

INDICATORS = ('indicators=[{use="sma",period=20,on="1m"},{use="ema",period=20,on="1m"},{use="rsi",period=14,on="1m"},'
              '{use="macd",on="1m"},{use="vwap",on="1m"}]')
CHECKS = ('anomalies=[{use="return_z",on="1m",z=2},{use="instrument_gap",on="1s",seconds=1,times=2},'
          '{use="feed_gap",on="1s",seconds=1}]')
GRACE_MS = 5_000


def records(scenario):
    """The input's lines, one unit of time in ms, and the session they belong to."""
    if os.environ.get("TICKTIDE_TAPES"):
        tapes.write(tapes.gold_trades(), scenario.work / "all.jsonl")
        return lines(scenario.work / "all.jsonl"), 1, "comex"
    unique = {record["id"]: record for record in disorder.tape(60_000, 5) if record["type"] == "trade"}
    disorder.write(sorted(unique.values(), key=lambda record: record["time"]), scenario.work / "all.jsonl")
    return lines(scenario.work / "all.jsonl"), 1_000, "utc-day"


def write(path, rows, mode="wb"):
    with open(path, mode) as file:
        file.writelines(row + b"\n" for row in rows)


def shuffled(rows, unit, seed):
    """The rows in an order of arrival in which none comes more than the grace behind a later one."""
    draw = random.Random(seed)
    arrival = [json.loads(row)["time"] + draw.random() * 0.9 * GRACE_MS * unit for row in rows]
    return [row for _, row in sorted(zip(arrival, rows), key=lambda pair: pair[0])]


def delayed(rows, unit):
    """The rows, of which one in fifty arrives up to four hours late."""
    draw = random.Random(5)
    arrival = [json.loads(row)["time"] + (draw.random() * 4 * 3_600_000 * unit if draw.random() < 0.02 else 0) for row in rows]
    return [row for _, _, row in sorted(zip(arrival, range(len(rows)), rows))]


def judged(scenario, folder, rows, unit):
    """The quarantine holds exactly what is too late by the file's own past."""
    told = late.missed([json.loads(row)["time"] for row in rows], 1_000 * unit)
    expected = {(offset, "too_late" if len(names) == 2 else "late_partly") for offset, names in enumerate(told) if names}
    found = {(row.get("record_offset", row.get("offset")), row["reason"]) for row in lake.Lake(folder).rows("quarantine")}
    scenario.check(found == expected and len(expected) > 100, f"{len(expected)} records are too late by the file's own past, "
                   f"{sum(reason == 'too_late' for _, reason in expected)} of them for everything: so it says",
                   (sorted(found - expected)[:3], sorted(expected - found)[:3]))
    return sum(reason == "too_late" for _, reason in expected)


def main():
    scenario = Scenario(__doc__)
    rows, unit, session = records(scenario)
    rows = delayed(rows, unit)
    write(scenario.work / "all.jsonl", rows)
    settings = ("--set", f"session={session}", "--set", INDICATORS, "--set", CHECKS)
    path = scenario.work / "all.jsonl"

    one = scenario.work / "one"
    scenario.run_bars(path, one, *settings)
    connection = lake.connect()
    lake.Lake(one).view(connection, "indicators_1m")
    filled = connection.execute("SELECT count(*), count(rsi_14) FROM indicators_1m").fetchone()
    scenario.check(filled[0] > 500 and filled[1] > 500, f"one run of {len(rows)} records: {filled[0]} readings, rsi_14 in {filled[1]}")

    refused = judged(scenario, one, rows, unit)
    found = {row["check"] for row in lake.Lake(one).rows("anomalies")}
    scenario.check(len(found) == 3, f"its anomalies are of {', '.join(sorted(found))}")

    def same(name, what):
        result = lake.compare(lake.Lake(one), lake.Lake(scenario.work / name))
        counts = {table: (len(left), len(right)) for table, (_, left, right) in result.items() if left or right}
        scenario.check(not counts, f"{what}: {sum(count for count, _, _ in result.values())} rows of {len(result)} tables are equal",
                       (counts, [(left[:1], right[:1]) for _, left, right in result.values() if left or right]))

    cuts = sorted(random.Random(20).sample(range(1, len(rows)), 20))
    growing = scenario.work / "growing" / "all.jsonl"  # a row of the quarantine names its file
    growing.parent.mkdir()
    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(rows)])):
        write(growing, rows[begin:end], "ab")
        scenario.run_bars(growing, scenario.work / "cuts", *settings, "-w", 1 + number % 3)
    same("cuts", "cut at 20 random records into 21 runs")
    accepted = {name: sum(row["accepted"] for row in lake.Lake(scenario.work / name).rows("epochs")) for name in ("one", "cuts")}
    scenario.check(accepted["one"] == accepted["cuts"] == len(rows) - refused, f"each other record was accepted once: {accepted}")

    scenario.verify("holds on the lake of 21 runs with 1, 2 and 3 workers", "--warehouse", scenario.work / "cuts", *settings, "-w", 2)
    for workers in (2, 3):
        scenario.run_bars(path, scenario.work / f"w{workers}", *settings, "-w", workers)
        same(f"w{workers}", f"-w {workers}")
    scenario.run_bars(path, scenario.work / "bytes", *settings, "-w", 2, "-z")
    same("bytes", "everything exchanged as bytes (-z)")
    for name, what in (("step=1ms", "steps of 1 ms"), ("step=2s", "steps of 2 s"), ("epoch.records=500", "epochs of 500 records"),
                       ("limits.steps=1", "one step in flight")):
        folder = "set-" + name.replace("=", "-")
        scenario.run_bars(path, scenario.work / folder, *settings, "--set", name, "-w", 2)
        same(folder, what)
    # without those that are late: whatever comes within the grace gives the same tables in any order
    rows = [row for row, missed in zip(rows, late.missed([json.loads(row)["time"] for row in rows], 1_000 * unit)) if not missed]
    write(path, rows)
    one = scenario.work / "in-time"
    scenario.run_bars(path, one, *settings)
    for seed in range(1, 13 if scenario.long else 3):
        write(scenario.work / "shuffled.jsonl", shuffled(rows, unit, seed))
        scenario.run_bars(scenario.work / "shuffled.jsonl", scenario.work / f"shuffled-{seed}", *settings, "-w", 2)
        same(f"shuffled-{seed}", f"shuffled within the grace (seed {seed})")
    scenario.end()


if __name__ == "__main__":
    main()
