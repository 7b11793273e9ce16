"""Bars under disorder: late ticks, duplicates, cancels and corrections, some before their trade, against DuckDB.

`bars_1m` must equal a recomputation from scratch whole; `bars_1s` that of all records but those which quarantine lists as
too late for 1s. Then one trade an hour and a half late: `_history` may only speak of its bar and the readings after it.
"""
# s3_disorder: always, 15 s

import json

from harness import Scenario
from oracle import bars, disorder, lake, late

SETTINGS = ("--set", "source.corrections=true", "--set", "epoch.records=4000", "--set", "limits.epochs=2",
            "--set", 'indicators=[{use="rsi",period=14,on="1m"},{use="ema",period=20,on="1m"},{use="vwap",on="1m"}]', "-w", 2)


def equal(scenario, folder, paths, interval, what):
    connection = lake.connect()
    bars.load(connection, paths)
    bars.bars(connection, interval, "oracle")
    same, more, less = lake.bars_against(connection, lake.Lake(folder), f"bars_{interval}", "oracle")
    scenario.check(not more and not less, f"{same} bars_{interval} equal the recomputation{what}; {len(more)} more, "
                   f"{len(less)} missing", (more[:3], less[:3]))


def quarantined(scenario, folder, records):
    """The offsets listed as too late for 1s; anything else in quarantine is a failure."""
    rows = lake.Lake(folder).rows("quarantine")
    listed = [row for row in rows if row["reason"] == "late_partly"]
    others = [row for row in rows if row["reason"] != "late_partly"]
    scenario.check(not others, f"quarantine holds nothing but late ticks ({len(listed)} listed)",
                   [(row["reason"], row["detail"], row["payload"]) for row in others[:3]])
    first = {}  # a copy is a duplicate, late or not
    for offset, record in enumerate(records):
        first.setdefault(json.dumps(record, sort_keys=True), offset)
    missed = late.missed([record["time"] for record in records])
    expected = {offset for offset in first.values() if missed[offset]}
    told = {row["offset"] for row in listed}
    scenario.check(told == expected and all("1s" in row["detail"] for row in listed), f"{len(expected)} records are too late for 1s "
                   "by the file's own past, and those are listed", (sorted(told - expected)[:5], sorted(expected - told)[:5]))
    same = [row for row in listed if row["payload"] and json.loads(row["payload"]) != records[row["offset"]]]
    scenario.check(not same, "their rows carry the records themselves", same[:1])
    return told


def hour_late(scenario, folder, path, records):
    read = lake.Lake(folder)
    before = max(row["epoch"] for row in read.rows("epochs"))
    record = disorder.hour_late(records)
    with open(path, "a") as file:
        file.write(json.dumps(record) + "\n")
    scenario.run_bars(path, folder, *SETTINGS)
    opened = record["time"] - record["time"] % 60_000_000
    for name in ("bars_1m", "indicators_1m"):
        rows = [row for row in read.rows(f"{name}_history") if row["epoch"] > before]
        places = {(row["symbol"], int(row["open_at"].timestamp() * 1e6)) for row in rows}
        if name == "bars_1m":
            stray = places - {(record["symbol"], opened)}
        else:
            stray = {place for place in places if place[0] != record["symbol"] or place[1] < opened}
        scenario.check(rows and not stray and sum(row["diff"] for row in rows) == 0,
                       f"an hour-late trade: {len(rows)} rows in {name}_history, all of its bar"
                       + (" or after it" if name != "bars_1m" else ""), sorted(stray)[:3])
    connection = lake.connect()
    for name in ("bars_1m", "indicators_1m"):
        read.view(connection, name)
        read.history(connection, name, "net")
        left, right = lake.difference(connection, name, "net")
        scenario.check(not left and not right, f"{name}_history summed is {name}", (left[:2], right[:2]))


def whole(scenario, seed):
    path, folder = scenario.work / f"disorder-{seed}.jsonl", scenario.work / f"lake-{seed}"
    records = disorder.tape(seed=seed)
    disorder.write(records, path)
    done = scenario.run_bars(path, folder, *SETTINGS)
    scenario.note(f"seed {seed}: {len(records)} records in {done.wall_s:.1f} s")
    equal(scenario, folder, [path], "1m", "")
    late = quarantined(scenario, folder, records)
    in_time = scenario.work / "in-time.jsonl"
    # a copy of a listed tick is the same tick: it counts as a duplicate and does not come in by the back door
    listed = {json.dumps(records[offset], sort_keys=True) for offset in late}
    disorder.write([record for record in records if json.dumps(record, sort_keys=True) not in listed], in_time)
    equal(scenario, folder, [in_time], "1s", f" without the {len(late)} listed")
    hour_late(scenario, folder, path, records)
    equal(scenario, folder, [path], "1m", " with the hour-late trade")


def main():
    scenario = Scenario(__doc__)
    for seed in range(1, 6 if scenario.long else 2):
        whole(scenario, seed)
    scenario.end()


if __name__ == "__main__":
    main()
