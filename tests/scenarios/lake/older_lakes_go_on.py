"""A lake that an older ticktide made is read, verified and gone on with; and the small inputs have the sums they always had.

The lake was made by the release before the stages became crates (`tests/lakes/small.py pack`). It is unpacked where it was
made, for its files name their folder. Its epochs were made by the first rules of lateness and are verified by them; what goes on
with it is made by the second. In what is not late, both must come to what one ticktide makes of both parts.
"""
# s36_older: always, 20 s

import json
import shutil

from harness import ROOT, Scenario
from lakes import small

LAKES = ROOT / "tests" / "lakes"
# what is too late for 1s is too late by other rules
LATE = ("bars_1s", "quarantine")
TABLES = ("bars_1s", "bars_1m", "bars_5m", "bars_1d", "indicators_1m", "indicators_5m", "anomalies", "quarantine")


def rows(scenario, lake, *more):
    """Table → its rows as text, without what names an epoch or a moment of reading."""
    found = {}
    for table in TABLES:
        listed = scenario.run("query", f"select * from {table}", "--json", "--warehouse", lake, *more).stdout.splitlines()
        kept = ({name: value for name, value in json.loads(row).items() if name not in ("epoch", "received_at")} for row in listed)
        found[table] = sorted(json.dumps(row, sort_keys=True) for row in kept)
    return found


def settings(folder):
    return ("--set", f"source.paths=[\"{folder / 'corrected.jsonl'}\"]")


def packed(scenario):
    lake = small.unpack(LAKES / "before_the_frame.tar.xz")
    folder = lake.parent
    expected = json.loads((LAKES / "packed.json").read_text())
    scenario.check(small.sums(scenario.binary, lake) == expected, f"its {len(expected)} tables have the sums they were made with", expected)
    before = rows(scenario, lake)
    epochs = [row["epoch"] for row in scenario.query(lake, "select epoch from epochs order by epoch")]
    scenario.check(sum(map(len, before.values())) > 2_000, f"{sum(map(len, before.values()))} rows of {len(epochs)} epochs are read")
    scenario.verify("holds on the older lake", str(folder / "corrected.toml"), "--warehouse", lake, *settings(folder))
    again = scenario.work / "again"
    for records in small.STEPS:
        scenario.run(*small.write(again, "corrected", small.tape()[:records]))
    made = rows(scenario, again / "lake")
    same = [table for table in TABLES if made[table] == before[table]]
    scenario.check(set(same) == set(TABLES) - set(LATE), f"made again from the first part, its rows are the same, but for what is late: {same}")

    for where in (folder, again):
        scenario.run(*small.write(where, "corrected", small.tape()))
    gone_on, made = rows(scenario, lake), rows(scenario, again / "lake")
    differ = [table for table in TABLES if gone_on[table] != made[table]]
    scenario.check(set(differ) <= set(LATE) and len(made["bars_1m"]) > len(before["bars_1m"]),
                   f"gone on with, it equals the lake that one ticktide made, but for what is late: {differ}")
    rules = {}
    for row in scenario.query(lake, "select epoch from epochs order by epoch"):
        shown = json.loads(scenario.run("epochs", "show", row["epoch"], "--json", "--warehouse", lake).stdout)
        if shown["binding"]:
            rules[row["epoch"]] = shown["binding"].get("lateness", 1)
    old = {rules[epoch] for epoch in rules if epoch <= epochs[-1]}
    new = [rules[epoch] for epoch in sorted(rules) if epoch > epochs[-1]]
    scenario.check(old == {1} and new[-1] == 2, f"its epochs say their rules: {rules}")
    slot = json.loads((lake / "log" / f"{epochs[-1] + 1:020}.json").read_text())
    scenario.check(slot["format"] == 2 and slot["kind"] not in ("data", "takeover", "maintain"),
                   "the slot that it goes on from is of format 2, and of a kind that older binaries stop at", slot["kind"])
    scenario.verify("holds on its older epochs alone", str(folder / "corrected.toml"), "--warehouse", lake, *settings(folder), "--epochs", f"{epochs[0]}..{epochs[-1]}")
    scenario.check(rows(scenario, lake, "--epoch", epochs[-1]) == before, f"epoch {epochs[-1]} reads as before")
    scenario.verify("holds on what was gone on with", str(folder / "corrected.toml"), "--warehouse", lake, *settings(folder))
    shutil.rmtree(small.AT)


def main():
    scenario = Scenario(__doc__)
    expected = json.loads((LAKES / "sums.json").read_text())
    found = small.all_sums(scenario.binary, scenario.work / "sums")
    differ = [(name, table) for name, tables in expected.items() for table in tables if found[name].get(table) != tables[table]]
    count = sum(map(len, expected.values()))
    scenario.check(found.keys() == expected.keys() and not differ, f"{count} tables of {len(expected)} inputs have the sums they always had", differ)
    packed(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
