"""Anomalies against the truth: what the synthetic market has planted is found, nothing else is, and a cause that goes takes its row along.

Truth comes from the generator (`feed labels`), rows from the lake by pyiceberg. A bad print is found when a row of
`return_z` of its instrument covers its time; a silence when a row overlaps at least half of it. A row is true when it
covers an uncancelled bad print, or lies at least by half in a planted silence of its instrument or of the feed.
"""
# s13_anomalies: rotating, 35 s

import datetime
import json

from harness import Scenario
from oracle import lake

RECALL, PRECISION = 0.95, 0.9
CHECKS = """anomalies = [
    { use = "bad_price_size" },
    { use = "crossed_quote" },
    { use = "return_z", on = "1m", z = 6 },
    { use = "instrument_gap", on = "1m" },
    { use = "feed_gap", on = "1s" },
]
"""
MARKET = """source = {{ use = "synthetic", until = "end", sequence = "trusted", corrections = true, seed = {seed}, instruments = 40,
    partitions = 4, trades_a_day = {trades}, gaps = {gaps} }}
session = {{ zone = "UTC", open = "09:15", close = "15:30" }}
bars = [{{ use = "time", every = "1s" }}, {{ use = "time", every = "1m" }}]
"""
# what comes later lies in the reach of all its bars
RECORDED = """source = { use = "file", sequence = "trusted", corrections = true }
bars = [{ use = "time", every = "1s" }, { use = "time", every = "1m" }]
horizon = { "1s" = "6h", "1m" = "6h" }
retention = "6h"
"""


def moment(text):
    return datetime.datetime.fromisoformat(text)


def labels(scenario, flow, days):
    """What is planted on the days: bad prints that no cancel takes back, and silences."""
    rows = []
    for day in range(days):
        done = scenario.run("feed", "labels", flow, "--day", day, "--json")
        rows += [json.loads(line) for line in done.stdout.splitlines()]
    cancelled = {(row["partition"], row["offset"]) for row in rows if row["kind"] == "cancelled"}
    prints = [row for row in rows if row["kind"] == "bad_print" and (row["partition"], row["offset"]) not in cancelled]
    for row in rows:
        row["at"] = moment(row["at"])
        if "until" in row:
            row["until"] = moment(row["until"])
    return prints, [row for row in rows if row["kind"] == "instrument_gap"], [row for row in rows if row["kind"] == "feed_gap"]


def overlap(row, gap):
    """Seconds that both cover."""
    return (min(row["ended_at"], gap["until"]) - max(row["started_at"], gap["at"])).total_seconds()


def covers(row, label):
    return row["symbol"] == label["symbol"] and row["started_at"] <= label["at"] < row["ended_at"]


def lies_in(row, gap):
    return 2 * overlap(row, gap) >= (row["ended_at"] - row["started_at"]).total_seconds()


def finds(row, gap):
    return 2 * overlap(row, gap) >= (gap["until"] - gap["at"]).total_seconds()


def truth(scenario, flow, seed, days):
    folder = scenario.work / f"market-{seed}"
    for _ in range(days):
        scenario.run("run", flow, "--warehouse", folder, "-w", 2)
    prints, of_instruments, of_feed = labels(scenario, flow, days)
    rows = lake.Lake(folder).rows("anomalies")
    by_check = {name: [row for row in rows if row["check"] == name] for name in
                ("return_z", "instrument_gap", "feed_gap", "bad_price_size", "crossed_quote")}
    scenario.note(f"seed {seed}, {days} days        planted  found  missed   rows  false  recall  precision")
    for check, planted, found, true in (
        ("return_z", prints, covers, lambda row: any(covers(row, label) for label in prints)),
        ("instrument_gap", of_instruments, lambda row, gap: row["symbol"] == gap["symbol"] and finds(row, gap),
         lambda row: any(lies_in(row, gap) for gap in of_feed)
         or any(row["symbol"] == gap["symbol"] and lies_in(row, gap) for gap in of_instruments)),
        ("feed_gap", of_feed, finds, lambda row: any(lies_in(row, gap) for gap in of_feed)),
        ("bad_price_size", [], None, lambda row: False),
        ("crossed_quote", [], None, lambda row: False),
    ):
        said = by_check[check]
        hits = sum(any(found(row, label) for row in said) for label in planted)
        false = [row for row in said if not true(row)]
        recall = hits / len(planted) if planted else 1.0
        precision = 1 - len(false) / len(said) if said else 1.0
        scenario.note(f"{check:<22} {len(planted):9} {hits:6} {len(planted) - hits:7} {len(said):6} {len(false):6} "
                      f"{recall:7.3f} {precision:10.3f}")
        missed = [label for label in planted if not any(found(row, label) for row in said)]
        if planted:
            scenario.check(recall >= RECALL and precision >= PRECISION,
                           f"{check}: recall {recall:.3f} ≥ {RECALL}, precision {precision:.3f} ≥ {PRECISION}",
                           {"missed": missed[:5], "false": false[:5]})
        else:
            scenario.check(not said, f"{check}: nothing is planted, nothing is reported", said[:5])
    return folder


def same_for_any_cuts(scenario, flow, folder, days):
    """Other workers, steps and epochs: the same rows."""
    for name, settings in (("w1", ("-w", 1, "--set", "epoch.records=20_000")), ("w3", ("-w", 3, "--set", "step=1s"))):
        other = scenario.work / name
        for _ in range(days):
            scenario.run("run", flow, "--warehouse", other, *settings)
        count, left, right = lake.compare(lake.Lake(folder), lake.Lake(other), ["anomalies"])["anomalies"]
        scenario.check(count > 0 and not left and not right, f"{' '.join(map(str, settings))}: {count} rows of anomalies are equal",
                       (left[:2], right[:2]))
    connection = lake.connect()
    read = lake.Lake(folder)
    read.view(connection, "anomalies")
    read.history(connection, "anomalies", "net")
    left, right = lake.difference(connection, "anomalies", "net")
    scenario.check(not left and not right, "anomalies_history summed is anomalies", (left[:2], right[:2]))


def record(second, sequence, price, symbol="ACME", **more):
    return {"type": "trade", "venue": "XTEST", "symbol": symbol, "time": 1_767_607_200_000_000 + int(second * 1_000_000),
            "sequence": sequence, "price": f"{price:.2f}", "quantity": "1", **more}


def causes(scenario):
    """An hour with one of each; then the causes are taken back."""
    flow, path, folder = scenario.work / "recorded.toml", scenario.work / "hour.jsonl", scenario.work / "hour"
    flow.write_text(RECORDED + CHECKS)
    silent = range(1_800, 2_100)
    rows = [record(second, 10 * second, 100 + second % 3 / 20) for second in range(0, 3_600, 2) if second not in silent]
    rows += [record(1_000.5, 10_005, 130, id="spike"), record(1_200.5, 12_005, -5, id="negative"),
             {**record(1_300.5, 13_005, 100), "type": "snapshot", "bid": "101", "ask": "100"}]
    rows.sort(key=lambda row: row["time"])

    def run(rows):
        with path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        scenario.run("run", flow, "--path", path, "--until", "end", "--warehouse", folder)
        return lake.Lake(folder).rows("anomalies")

    first = run(rows)
    found = sorted(row["check"] for row in first)
    scenario.check(found == ["bad_price_size", "crossed_quote", "feed_gap", "instrument_gap", "return_z"],
                   f"one row of each check: {', '.join(found)}", first)
    for row in first:
        if row["check"] in ("bad_price_size", "crossed_quote"):
            at = rows[row["offset_first"]]
            scenario.check(row["offset_first"] == row["offset_last"] and row["interval"] is None
                           and row["started_at"].timestamp() * 1e6 == at["time"],
                           f"{row['check']} names its record: offset {row['offset_first']}, {row['observed']} against {row['expected']}", row)
    second = run([{**record(1_000.5, 40_001, 0), "type": "cancel", "id": "spike"},
                  {**record(1_200.5, 40_002, 0), "type": "cancel", "id": "negative"},
                  *[record(second, 10 * second, 100) for second in silent if second % 2 == 0]])
    scenario.check([row["check"] for row in second] == ["crossed_quote"],
                   "two cancels and the late trades of the silence: only the crossed quote is left", second)
    diffs = {}
    for row in lake.Lake(folder).rows("anomalies_history"):
        diffs.setdefault(row["check"], []).append((row["epoch"], row["diff"]))
    history = {check: [diff for _, diff in sorted(rows)] for check, rows in diffs.items()}
    expected = {check: [1] if check == "crossed_quote" else [1, -1] for check in found}
    scenario.check(history == expected, f"their history: {history}", diffs)


PARTITIONS = """source = { use = "file", sequence = "trusted" }
bars = [{ use = "time", every = "1s" }, { use = "time", every = "1m" }]
anomalies = [{ use = "two_partitions" }]
"""


def partitions(scenario):
    """An instrument in two files, and later in a third: one row a day, the same for any workers, processes and cuts."""
    flow = scenario.work / "partitions.toml"
    flow.write_text(PARTITIONS)
    paths = [scenario.work / f"{name}.jsonl" for name in ("a", "b", "c")]

    def put(path, symbols, seconds, sequence):
        with path.open("a") as file:
            file.writelines(json.dumps(record(second, sequence + second, 100, symbol)) + "\n" for second in seconds for symbol in symbols)

    def found(folder):
        rows = lake.Lake(folder).rows("anomalies")
        return [(row["symbol"], (row["started_at"].timestamp() - 1_767_607_200), row["topic"], row["offset_first"], row["observed"], row["severity"])
                for row in rows]

    def run(folder, *shape):
        given = [argument for path in paths if path.exists() for argument in ("--path", path)]
        scenario.run("run", flow, *given, "--until", "end", "--warehouse", folder, *shape)

    shapes = (("-w", 1), ("-w", 3), ("-n", 2, "-w", 1))
    folders = [scenario.work / f"partitions{''.join(map(str, shape))}" for shape in shapes]
    put(paths[0], ("ACME", "BOLT"), range(0, 120, 3), 0)
    put(paths[1], ("ACME", "CORK"), range(10, 130, 3), 10_000)
    for shape, folder in zip(shapes, folders):
        run(folder, *shape)
    first = [("ACME", 10.0, "b.jsonl", 0, 2.0, "warning")]
    scenario.check(all(found(folder) == first for folder in folders), f"an instrument in two files is reported once, with the record in the second: {first[0]}",
                   [found(folder) for folder in folders])
    put(paths[0], ("ACME", "BOLT"), range(130, 180, 3), 0)
    put(paths[1], ("ACME", "CORK"), range(130, 180, 3), 10_000)
    for shape, folder in zip(shapes, folders):
        run(folder, *shape)
    scenario.check(all(found(folder) == first for folder in folders), "a later run has nothing new to say of it", [found(folder) for folder in folders])
    put(paths[2], ("ACME",), range(5, 200, 5), 20_000)
    put(paths[2], ("BOLT",), range(200, 210, 5), 20_000)
    for shape, folder in zip(shapes, folders):
        run(folder, *shape)
    third = [("ACME", 5.0, "c.jsonl", 0, 3.0, "warning"), ("BOLT", 200.0, "c.jsonl", 39, 2.0, "warning")]
    scenario.check(all(sorted(found(folder)) == third for folder in folders), "in a third file: its row is another one, which came before", [found(folder) for folder in folders])
    history = sorted((row["symbol"], row["epoch"], row["diff"]) for row in lake.Lake(folders[0]).rows("anomalies_history"))
    scenario.check([(symbol, diff) for symbol, _, diff in history if symbol == "ACME"] in ([("ACME", 1), ("ACME", -1), ("ACME", 1)], ),
                   "its history: told, taken back, told anew", history)
    once = scenario.work / "partitions-once"
    run(once, "-w", 2)
    scenario.check(sorted(found(once)) == third, "all in one run: the same rows", found(once))
    together = scenario.work / "partitions-dedupe"
    run(together, "-w", 2, "--set", "dedupe=instrument")
    scenario.check(found(together) == [], 'with dedupe = "instrument" there is nothing to say', found(together))
    run(folders[0], "-w", 2)
    scenario.verify("holds with anomalies taken back", flow, "--warehouse", folders[0], "--path", paths[0], "--path", paths[1], "--path", paths[2])


def main():
    scenario = Scenario(__doc__)
    partitions(scenario)
    days = 2
    for seed in (7, 8, 9, 10) if scenario.long else (7,):
        flow = scenario.work / f"market_{seed}.toml"
        flow.write_text(MARKET.format(seed=seed, trades=1_000_000 if scenario.long else 400_000, gaps=8) + CHECKS)
        folder = truth(scenario, flow, seed, days)
        if seed == 7:
            same_for_any_cuts(scenario, flow, folder, days)
    causes(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
