"""Rows deleted by position read like files written again: the same lake by pyiceberg and DuckDB, at every epoch, killed or not.

`limits.rewrite=1B` lets every file get a delete file as long as half of it stays; the other lake has none. The tape has late,
cancelled and corrected trades, so most epochs correct rows of files that are there. Then the deleted rows are compacted away.
"""
# s28_deletes: rotating, 50 s

import signal

import pyarrow.parquet as parquet
from pyiceberg.manifest import DataFileContent, ManifestContent

from harness import Scenario, decode_rows, tail, wait_for
from oracle import disorder, lake

SETTINGS = ("--set", 'bars=[{use="time",every="1m"},{use="time",every="5m"}]', "--set", "source.corrections=true", "--set", "ticks=true",
            "--set", 'indicators=[{use="ema",period=20,on="1m"}]', "--set", "limits.epochs=2")
DELETING = ("--set", "limits.rewrite=1B")
# three hours in some seconds, for many epochs
PACED = ("--speed", "900", "--set", "epoch.every=150ms")
FILE_PATH, POSITION = 2147483546, 2147483545


def slots(folder):
    return len(list((folder / "log").glob("*.json")))


def corrected(found):
    """The tables whose rows are corrected."""
    return [name for name in found.tables() if name.startswith(("bars_", "indicators_")) and not name.endswith("_history")]


def alike(scenario, what, one, other):
    """Every table of rows, by both readers; and what the histories sum up to."""
    connection, different, count = lake.connect(), {}, 0
    for name in [name for name in one.tables() if not name.startswith("epoch") and not name.endswith("_history")]:
        one.view(connection, name, "expected")
        count += connection.execute("SELECT count(*) FROM expected").fetchone()[0]
        for reader in ("pyiceberg", "duckdb", "history"):
            if reader != "history":
                other.view(connection, name, "found", reader)
            elif f"{name}_history" in other.tables():
                other.history(connection, name, "found")
            only = lake.difference(connection, "expected", "found")
            if any(only):
                different[name, reader] = [len(side) for side in only]
    scenario.check(not different and count > 10_000, f"{what}: pyiceberg and DuckDB read the {count} rows of the lake without deletes", different)


def entries(table, snapshot):
    """(data entries by path, delete entries) that are live at a snapshot, with the manifests' contents checked on the way."""
    data, deletes, misplaced = {}, [], []
    for manifest in snapshot.manifests(table.io):
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            is_data = entry.data_file.content == DataFileContent.DATA
            if is_data != (manifest.content == ManifestContent.DATA):
                misplaced.append(entry.data_file.file_path)
            if is_data:
                data[entry.data_file.file_path] = entry
            else:
                deletes.append(entry)
    return data, deletes, misplaced


def sound(scenario, found):
    """What Iceberg asks of delete files, and what we promise of them, at every snapshot that is kept."""
    wrong, snapshots, live, most, seen = [], 0, 0, 0, {}
    for name in corrected(found):
        table = found.load(name)
        for snapshot in table.metadata.snapshots:
            data, deletes, misplaced = entries(table, snapshot)
            wrong += [("in a manifest of the other content", path) for path in misplaced]
            targets, positions = set(), 0
            for entry in deletes:
                file = entry.data_file
                target = file.lower_bounds[FILE_PATH].decode()
                positions += file.record_count
                rows = seen.get(file.file_path)
                if rows is None:
                    rows = seen[file.file_path] = parquet.read_table(file.file_path.removeprefix("file://")).to_pydict()
                problems = {
                    "not of one file": file.upper_bounds[FILE_PATH].decode() != target or set(rows["file_path"]) != {target},
                    "of a file that is not live": target not in data,
                    "a second of one file": target in targets,
                    "older than its data file": target in data and entry.sequence_number < data[target].sequence_number,
                    "of another partition": target in data and file.partition != data[target].data_file.partition,
                    "not sorted": rows["pos"] != sorted(set(rows["pos"])),
                    "with other positions than it says": len(rows["pos"]) != file.record_count,
                    "beyond the file's end": target in data and rows["pos"][-1] >= data[target].data_file.record_count,
                    "of more than half of a file": target in data and 2 * file.record_count > data[target].data_file.record_count,
                }
                wrong += [(what, name, file.file_path) for what, holds in problems.items() if holds]
                targets.add(target)
            summary = snapshot.summary.additional_properties
            said = [int(summary[key]) for key in ("total-data-files", "total-delete-files", "total-position-deletes", "total-records")]
            counted = [len(data), len(deletes), positions, sum(entry.data_file.record_count for entry in data.values())]
            if said != counted:
                wrong.append(("a summary", name, snapshot.snapshot_id, said, counted))
            snapshots, most = snapshots + 1, max(most, len(deletes))
        live += len(entries(table, table.current_snapshot())[1])
    scenario.check(not wrong and len(seen) > 20 and live > 0, f"{len(seen)} delete files in {snapshots} snapshots, {live} live at the heads, at most {most} "
                   "in a snapshot: each of one live data file, sorted, counted in the summaries", wrong[:5])
    return live


def at_every_epoch(scenario, found):
    """Rows of corrected tables at every retained epoch: as many as were announced, and of bars those that the history sums up to."""
    connection, looked, different = lake.connect(), 0, []
    counts = {}
    for row in sorted(found.rows("epoch_tables"), key=lambda row: row["epoch"]):
        counts[row["table"]] = counts.get(row["table"], 0) + row["rows_added"] - row["rows_removed"]
        table = row["table"]
        if table not in corrected(found) or row["snapshot_id"] is None:
            continue
        loaded = found.load(table)
        metadata = loaded.metadata_location.removeprefix("file://")
        by_duckdb = connection.execute(f"SELECT count(*) FROM iceberg_scan('{metadata}', snapshot_from_id={row['snapshot_id']})").fetchone()[0]
        by_pyiceberg = loaded.scan(snapshot_id=row["snapshot_id"]).to_arrow().num_rows
        looked += 1
        if {by_duckdb, by_pyiceberg} != {counts[table]}:
            different.append((row["epoch"], table, counts[table], by_duckdb, by_pyiceberg))
    scenario.check(not different and looked > 50, f"at {looked} epochs and tables both readers find as many rows as were announced", different[:5])


def own_readers(scenario, folder, other, *more):
    """`query`, `query --epoch`, `verify`, `lake doctor`."""
    sql = "select count(*) as n, sum(volume) as v, min(low) as l, max(high) as h from bars_1m"
    ours, theirs = (scenario.run("query", sql, "--json", "--warehouse", where).stdout for where in (folder, other))
    scenario.check(ours == theirs, f"`query` answers as on the other lake: {ours.strip()}", theirs)
    scenario.verify("holds around deleted rows", "--warehouse", folder, *SETTINGS, *more)
    told = scenario.run("lake", "doctor", "--json", "--warehouse", folder, code=None)
    scenario.check(told.code == 0 and not [row for row in decode_rows(told.stdout) if row["wrong"]], "`lake doctor` finds nothing wrong", tail(told))
    scenario.run("lake", "doctor", "--quick", "--warehouse", folder)


def answers(scenario, folder, epochs):
    sql = "select count(*) as n, sum(volume) as v, sum(turnover) as t from bars_1m"
    return {epoch: scenario.run("query", sql, "--json", "--epoch", epoch, "--warehouse", folder).stdout for epoch in epochs}


def compacted(scenario, folder, copied):
    """Afterwards no delete file is left at the heads, and nothing else has changed."""
    found = lake.Lake(folder)
    newest = max(row["epoch"] for row in found.rows("epochs"))
    asked = range(newest // 2, newest, max(1, newest // 10))
    before = answers(scenario, folder, asked)
    done = decode_rows(scenario.run("lake", "compact", "--json", "--warehouse", folder).stdout)
    left = {name: len(entries(found.load(name), found.load(name).current_snapshot())[1]) for name in corrected(found)}
    scenario.check(not any(left.values()), f"compact: {sum(row['files_before'] for row in done)} data and delete files became "
                   f"{sum(row['files_after'] for row in done)}, none of deletes", left)
    scenario.check("nothing to compact" in scenario.run("lake", "compact", "--warehouse", folder).stdout, "compacted once is compacted")
    alike(scenario, "compacted", copied, found)
    scenario.check(answers(scenario, folder, asked) == before, f"`query --epoch` answers as before at {len(asked)} epochs")
    scenario.run("lake", "expire", "--keep", 10, "--warehouse", folder)
    alike(scenario, "expired", copied, found)
    files = list((folder / "market").rglob("*-deletes-*.parquet"))
    reached = {entry.data_file.file_path.removeprefix("file://") for name in corrected(found) for snapshot in found.load(name).metadata.snapshots
               for entry in entries(found.load(name), snapshot)[1]}
    scenario.check({str(path) for path in files} == reached, f"expire leaves the {len(reached)} delete files that retained epochs need, no other",
                   [str(path) for path in files if str(path) not in reached][:5])
    told = scenario.run("lake", "doctor", "--json", "--warehouse", folder, code=None)
    scenario.check(told.code == 0 and not decode_rows(told.stdout), "after it the doctor has nothing to say", tail(told))


def main():
    scenario = Scenario(__doc__)
    path = scenario.work / "all.jsonl"
    disorder.write(disorder.tape(120_000 if scenario.long else 30_000, 28), path)
    folders = {name: scenario.work / name for name in ("copied", "deleted", "killed")}
    scenario.run_bars(path, folders["copied"], *SETTINGS)
    scenario.run_bars(path, folders["deleted"], *SETTINGS, *PACED, *DELETING)
    copied, deleted = lake.Lake(folders["copied"]), lake.Lake(folders["deleted"])
    none = [name for name in corrected(copied) if entries(copied.load(name), copied.load(name).current_snapshot())[1]]
    scenario.check(not none, "by default files of this size are written again: no delete file", none)
    sound(scenario, deleted)
    alike(scenario, f"{slots(folders['deleted'])} epochs", copied, deleted)
    at_every_epoch(scenario, deleted)
    own_readers(scenario, folders["deleted"], folders["copied"], *DELETING)

    arguments = ("run", "bars", "--source", "file", "--path", path, "--until", "end", "--warehouse", folders["killed"], *SETTINGS, *PACED, *DELETING)
    for number in range(3):
        before, child = slots(folders["killed"]), scenario.start(*arguments)
        wait_for(lambda: slots(folders["killed"]) >= before + 6 + number or not child.running(), 120, 0.005)
        scenario.check(child.running(), f"killed after {slots(folders['killed'])} epochs")
        child.signal(signal.SIGKILL)
        child.wait(10)
    # the last one goes on with files that are written again, over those with deletes
    scenario.run(*arguments[:-1], "limits.rewrite=1GiB")
    killed = lake.Lake(folders["killed"])
    alike(scenario, "killed three times, the end without new deletes", copied, killed)
    own_readers(scenario, folders["killed"], folders["copied"])
    compacted(scenario, folders["deleted"], copied)
    scenario.verify("holds on files that were merged", "--warehouse", folders["deleted"], *SETTINGS, *DELETING)
    scenario.end()


if __name__ == "__main__":
    main()
