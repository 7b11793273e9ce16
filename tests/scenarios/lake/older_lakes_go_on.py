"""A lake that an older ticktide made is read, verified and gone on with; and the small inputs have the sums they always had.

The lake was made by the release before the stages became crates (`tests/lakes/small.py pack`). It is unpacked where it was
made, for its files name their folder. What goes on with it must come to what one ticktide makes of both parts.
"""
# s36_older: always, 20 s

import json
import shutil

from harness import ROOT, Scenario
from lakes import small

LAKES = ROOT / "tests" / "lakes"
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
    scenario.check(rows(scenario, again / "lake") == before, "made again from the first part, its rows are the same")

    for where in (folder, again):
        scenario.run(*small.write(where, "corrected", small.tape()))
    scenario.check(rows(scenario, lake) == rows(scenario, again / "lake"), "gone on with, it equals the lake that one ticktide made")
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
