"""A lake that wild times have moved is set back, and ends as if they had moved nothing.

Four records say a time two years ahead, which our clock does not refute: their partition believes them, and all that follows is
too late. `lake rewind` sets it back, `quarantine retry` gives the refused records back, and a run over both files makes the
bars of a file that never had the four, plus the four's own. Where memory had gone on meanwhile what it had let go of stays.
"""
# s37_rewind: always, 20 s

import json

from harness import Scenario, decode_rows

# Monday 2024-10-07, 10:00 in New York
BEGIN = 1_728_309_600
YEARS = 2 * 365 * 86_400
COUNT, AT, WILD = 3_896, 2_000, 4
TABLES = ("bars_1s", "bars_1m")
# the four's own bars are later
BORDER = "2025-01-01"


def record(time, price):
    return json.dumps({"symbol": "A", "time": time, "price": price, "quantity": 1}) + "\n"


def tape():
    """Two trades a minute or so, in the order of time."""
    return [record(BEGIN + 7 * number, 100 + number * 31 % 47) for number in range(COUNT)]


def moment(seconds):
    """As a command takes it."""
    days, rest = divmod(seconds - BEGIN, 86_400)
    assert days == 0 and BEGIN % 86_400 == 50_400, "the tape is of one day, from 14:00 in UTC on"
    rest += 50_400
    return f"2024-10-07T{rest // 3_600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


def bars(scenario, lake, table, wild=False):
    side = ">" if wild else "<"
    sql = f"select symbol, open_at, open, high, low, close, volume, trades from {table} where open_at {side} '{BORDER}' order by open_at"
    return scenario.query(lake, sql)


def rejected(scenario, lake):
    rows = decode_rows(scenario.run("quarantine", "ls", "--json", "--warehouse", lake).stdout)
    return {row["reason"]: sum(other["rows"] for other in rows if other["reason"] == row["reason"]) for row in rows}


def begin(scenario, name, pieces, *more):
    """A lake of the tape with the four in it, and where it lies; what follows them comes in so many runs."""
    folder = scenario.work / name
    folder.mkdir()
    records = tape()
    records[AT:AT] = [record(BEGIN + YEARS + 60 * number, 999) for number in range(WILD)]
    lake = folder / "lake"
    for piece in range(pieces):
        ends = AT + WILD + (len(records) - AT - WILD) * (piece + 1) // pieces
        (folder / "ticks.jsonl").write_text("".join(records[:ends]))
        # a run of which more than half is refused says so at its end
        scenario.run_bars(folder / "ticks.jsonl", lake, "--set", "session=\"utc-day\"", *more, code=None if piece else 0)
    return folder, lake


def set_back(scenario, folder, lake, *more):
    """Back to the last record before the four, then the refused ones again."""
    options = ("--partition", "ticks.jsonl/0", "--to", moment(BEGIN + 7 * (AT - 1)), "--set", "session=\"utc-day\"", *more,
               "--warehouse", lake)
    epochs = scenario.query(lake, "select count(*) n from epochs")[0]["n"]
    shown = json.loads(scenario.run("lake", "rewind", *options, "--dry-run", "--json").stdout)
    unchanged = scenario.query(lake, "select count(*) n from epochs")[0]["n"] == epochs
    numbers = shown["numbers"]["running_time"]
    scenario.check(unchanged and not shown["done"] and numbers["before"].startswith("2026-10-07") and numbers["after"].startswith("2024-10-07"),
                   f"dry run: {numbers['before']} would become {numbers['after']}, and nothing is written", shown)
    done = json.loads(scenario.run("lake", "rewind", *options, "--json").stdout)
    scenario.check(done["done"] and done["numbers"] == shown["numbers"], f"epoch {done['epoch']} says what the dry run showed", done)
    scenario.run("lake", "rewind", *options, code=2)
    again = folder / "again.jsonl"
    scenario.run("quarantine", "retry", "--reason", "too_late", "--output", again, "--warehouse", lake)
    scenario.run("run", "bars", "--source", "file", "--path", folder / "ticks.jsonl", "--path", again, "--warehouse", lake,
                 "--until", "end", "--set", "session=\"utc-day\"", *more)
    return done["epoch"], ("--path", folder / "ticks.jsonl", "--path", again, "--set", "session=\"utc-day\"", *more, "--warehouse", lake)


def nothing_lost(scenario, whole):
    folder, lake = begin(scenario, "moved", 1)
    found = rejected(scenario, lake)
    scenario.check(found == {"too_late": COUNT - AT}, f"all {COUNT - AT} records behind the four are too late", found)
    epoch, recorded = set_back(scenario, folder, lake)
    for table in TABLES:
        expected, found = bars(scenario, whole, table), bars(scenario, lake, table)
        scenario.check(len(expected) > 400 and found == expected, f"{table}: {len(found)} bars are those of a file without the four",
                       [pair for pair in zip(expected, found) if pair[0] != pair[1]][:2])
        own = bars(scenario, lake, table, wild=True)
        scenario.check(len(own) == WILD and all(bar["trades"] == 1 for bar in own), f"{table}: the four have their own", own)
    scenario.verify("holds over it", "bars", *recorded)
    scenario.verify("holds from it on", "bars", *recorded, "--epochs", f"{epoch}..")
    scenario.verify("holds behind it", "bars", *recorded, "--epochs", f"{epoch + 1}..")
    sound = scenario.run("lake", "doctor", "--warehouse", lake, code=None)
    scenario.check(sound.code == 0, "the doctor finds it sound", sound.stdout)
    scenario.run("lake", "compact", "--warehouse", lake)
    scenario.check(bars(scenario, lake, "bars_1m") == bars(scenario, whole, "bars_1m"), "and so it is when it is compacted")
    shown = json.loads(scenario.run("epochs", "show", epoch, "--json", "--warehouse", lake).stdout)
    scenario.check(shown["binding"]["rewound"]["partition"] == "ticks.jsonl/0", "epochs show names the partition", shown["binding"])


def memory_had_gone_on(scenario, whole):
    # horizons follow in the next epoch
    small = ("--set", "limits.epochs=1")
    folder, lake = begin(scenario, "gone_on", 4, *small)
    before = {table: bars(scenario, lake, table) for table in TABLES}
    _, recorded = set_back(scenario, folder, lake, *small)
    for table in TABLES:
        found, expected = bars(scenario, lake, table), bars(scenario, whole, table)
        left = len(before[table])
        scenario.check(found[:left] == before[table] and found[left:] == expected[left:],
                       f"{table}: {left} bars had left memory and stay, {len(found) - left} are those of a file without the four",
                       [pair for pair in zip(expected, found) if pair[0] != pair[1]][:2])
    partly = rejected(scenario, lake).get("late_partly", 0)
    scenario.check(0 < partly <= 10, f"{partly} records of the minute that had left count for their seconds alone")
    scenario.verify("holds over it", "bars", *recorded, "-w", "2")


def refused(scenario):
    lake = scenario.work / "moved" / "lake"
    for what, more in (("a partition that is not there", ("--partition", "other/0", "--to", "2024-10-07T14:00:00Z")),
                       ("a time that is later", ("--partition", "ticks.jsonl/0", "--to", "2030-01-01T00:00:00Z")),
                       ("no time", ("--partition", "ticks.jsonl/0", "--to", "yesterday"))):
        done = scenario.run("lake", "rewind", *more, "--set", "session=\"utc-day\"", "--warehouse", lake, code=None)
        scenario.check(done.code == 2 and "panicked" not in done.stderr, f"{what} is refused: {done.stderr.splitlines()[0]}", done.stderr)


def main():
    scenario = Scenario(__doc__)
    (scenario.work / "usual.jsonl").write_text("".join(tape()))
    whole = scenario.work / "whole"
    scenario.run_bars(scenario.work / "usual.jsonl", whole, "--set", "session=\"utc-day\"")
    nothing_lost(scenario, whole)
    memory_had_gone_on(scenario, whole)
    refused(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
