"""A lake of many epochs stays quick and small, keeps the epochs it promised, survives others' commits and knows its wounds.

Six tables in a folder with SQLite, an epoch every few milliseconds: 300 of them, or 3,000 with --long. The time of a commit
is the time between decisions, since epochs are ready faster than they can be committed, and is plotted with what the commits
leave. 300 more go over the network, to the stand-ins of S3 and Glue. pyiceberg is the other engine.
"""
# s17_upkeep: rotating, alone, 100 s

import json
import os
import shutil
import statistics

import pyarrow as pa
import health
from buckets import Store
from catalogs import Catalog
from harness import Scenario, decode_rows, tail, wait_for
from oracle import disorder, glue, lake

# nothing in the tape is later than these tables' horizons, so their rows do not depend on the cuts
SETTINGS = ("--set", 'bars=[{use="time",every="1m"},{use="time",every="5m"}]', "--set", "source.corrections=true",
            "--set", "ticks=true")
# records come every few milliseconds, so there is always an epoch to be committed
MANY = ("--set", "epoch.every=1ms", "--set", "step=1ms", "--speed")
KEEP = 30
# epochs, ten times as many with --long
LEAST = 300


def write(path, records, mode="w"):
    with open(path, mode) as file:
        file.writelines(json.dumps(record, separators=(",", ":")) + "\n" for record in records)


def run(scenario, path, folder, *more, **options):
    return scenario.run_bars(path, folder, *SETTINGS, *more, timeout_s=900, **options)


def slots(folder):
    return len(list((folder / "log").glob("*.json")))


def commit_times(scenario, what, found, looks, least, before=0):
    """Commits do not become slower with the number of those before; `before`: epochs that were not measured."""
    rows = found.rows("epochs")
    took = health.took(rows)[before:]
    scenario.check(len(took) >= least, f"{what}: {len(rows)} epochs on 6 tables, {len(took)} of them measured")
    health.plot(scenario, took, looks)
    early, late = statistics.median(took[100:200]), statistics.median(took[-100:])
    # wall times of a minute on a machine that others use: the promise is held against the long run, and what the clock says counts
    # only where the processor's time says it, too
    most, cpu = 1.5 if scenario.long and least > LEAST else 2.5, health.cpu_growth(looks)
    scenario.check(late <= most * early or cpu <= most, f"{what}: a commit takes {late:.1f} ms at the end, {early:.1f} ms after a hundred: "
                   f"{late / early:.2f} times, {cpu:.2f} times the processor's time")


def on_doubles(scenario, path):
    """The same over the network: 300 epochs in a bucket and Glue."""
    store, catalog = Store(scenario), Catalog(scenario)
    bucket, before = store.bucket, scenario.environment
    scenario.environment = {**bucket.environment(), "AWS_ENDPOINT_URL_GLUE": f"http://{catalog.address}"}
    for attempt, speed in enumerate((160, 60)):
        name = f"many{attempt}"
        child = scenario.start("run", "bars", "--source", "file", "--path", path, "--until", "end", "--warehouse", f"s3://market/{name}",
                               "--catalog", f"glue://{bucket.region}/{name}", *SETTINGS, *MANY, speed)
        found = glue.lake_of(glue.Glue(catalog.address, catalog.access_key, bucket.region), name, bucket)
        watched = health.Health(child, store.log(name), lambda: found)
        done = watched.watch(900)
        if done.code != 0:
            scenario.give_up(f"the run into a bucket ended with {done.code}: {tail(done)}")
        scenario.note(f"{store.slots(name)} epochs in a bucket and Glue in {done.wall_s:.1f} s at {speed} times the tape's speed")
        if store.slots(name) > LEAST:
            break
    commit_times(scenario, "S3 and Glue", found, watched.looks, LEAST)
    scenario.verify("holds in a bucket and Glue", "--warehouse", f"s3://market/{name}", "--catalog", f"glue://{bucket.region}/{name}", *SETTINGS)
    scenario.environment = before


def bounded(scenario, found, folder):
    """Live files, manifests, snapshots and metadata files of a table have bounds that do not depend on the epochs."""
    most = {"files": 0, "manifests": 0, "snapshots": 0, "metadata files": 0, "bytes of metadata": 0}
    for name in found.tables():
        table = found.load(name)
        metadata = list((folder / "market" / name / "metadata").glob("*.metadata.json"))
        figures = (len(table.inspect.files()), len(table.inspect.manifests()), len(table.metadata.snapshots), len(metadata),
                   max(path.stat().st_size for path in metadata))
        most = {key: max(most[key], value) for key, value in zip(most, figures)}
    # 360 epochs, some that are about to leave, the last ones of an hour and a day
    limits = dict(zip(most, (120, 52, 400, 22, 2**20)))
    scenario.check(all(most[key] <= limits[key] for key in most), f"the most that a table has: {most}", limits)


def at_epoch(found, epoch):
    """Snapshot ids of an epoch, and the rows that pyiceberg finds at them."""
    pins = {row["table"]: row["snapshot_id"] for row in found.rows("epoch_tables") if row["epoch"] == epoch}
    return pins, {name: sorted(map(str, found.load(name).scan(snapshot_id=pin).to_arrow().to_pylist()))
                  for name, pin in pins.items() if pin}


def doctor(scenario, folder, code=0, *more):
    """The findings; exit code 1 exactly when one is wrong."""
    done = scenario.run("lake", "doctor", "--json", "--warehouse", folder, *more, code=None)
    found = decode_rows(done.stdout)
    scenario.check(done.code == code == int(any(finding["wrong"] for finding in found)), f"doctor ends with {code}, {len(found)} findings",
                   (done.code, found, tail(done)))
    return found


def tidy(scenario, folder, found):
    """Compaction and expiry: fewer files and epochs, the same rows, old epochs as they were."""
    newest = max(row["epoch"] for row in found.rows("epochs"))
    old = newest - KEEP // 2
    pins, before = at_epoch(found, old)
    sql = "select count(*) as n, sum(volume) as v, min(low) as l, max(high) as h from bars_1m"
    query = ("query", sql, "--json", "--epoch", old, "--warehouse", folder)
    answer = scenario.run(*query).stdout
    heads = {name: sorted(map(str, found.rows(name))) for name in pins}

    count = slots(folder)
    planned = decode_rows(scenario.run("lake", "compact", "--dry-run", "--json", "--warehouse", folder).stdout)
    expiring = decode_rows(scenario.run("lake", "expire", "--dry-run", "--json", "--keep", KEEP, "--warehouse", folder).stdout)[0]
    scenario.check(slots(folder) == count and planned and expiring["epochs_expired"] > 0, "a dry run says what would be done and does nothing",
                   (planned, expiring))
    done = decode_rows(scenario.run("lake", "compact", "--json", "--warehouse", folder).stdout)
    files = {name: len(found.load(name).inspect.files()) for name in pins if name not in ("epochs", "epoch_tables")}
    scenario.check(all(count <= 1 for count in files.values()) and {row["table"] for row in done} == {row["table"] for row in planned},
                   f"compact: at most one file a table, {sum(row['files_before'] for row in done)} became {sum(row['files_after'] for row in done)}", files)
    scenario.check("nothing to compact" in scenario.run("lake", "compact", "--warehouse", folder).stdout, "compacted once is compacted")
    objects = sum(1 for path in folder.rglob("*") if path.is_file())
    expired = decode_rows(scenario.run("lake", "expire", "--keep", KEEP, "--json", "--warehouse", folder).stdout)[0]
    left = sum(1 for path in folder.rglob("*") if path.is_file())
    scenario.check(expired["epochs_expired"] > 0 and expired["snapshots_expired"] > 0 and left < objects,
                   f"expire: {expired['epochs_expired']} epochs and {expired['snapshots_expired']} snapshots left, {objects} objects became {left}")
    scenario.check({name: sorted(map(str, found.rows(name))) for name in pins} == heads, "every table has the rows it had")

    scenario.check(scenario.run(*query).stdout == answer, f"`query --epoch {old}` answers as before: {answer.strip()}")
    scenario.check(at_epoch(found, old) == (pins, before), "pyiceberg reads the same rows at each of its snapshot ids")
    rows = {row["epoch"]: row["expired"] for row in found.rows("epochs")}
    gone = [epoch for epoch, marked in rows.items() if marked]
    scenario.check(len(gone) + expired["epochs_kept"] == len(rows) and not rows[old] and rows[2], f"`epochs` marks the {len(gone)} that left")
    refused = scenario.run("query", sql, "--epoch", gone[-1], "--warehouse", folder, code=2)
    scenario.check("no longer kept" in refused.stderr, f"epoch {gone[-1]} is refused: {refused.stderr.splitlines()[0]}")
    readable = [epoch for epoch, marked in rows.items() if not marked]
    for epoch in readable[:: max(1, len(readable) // 5)]:
        scenario.run("query", sql, "--epoch", epoch, "--warehouse", folder)
    scenario.check(True, f"{len(readable)} epochs stay, from {readable[0]}")
    scenario.verify("holds on a lake that was compacted and whose old epochs are gone", "--warehouse", folder, *SETTINGS, timeout_s=900)
    scenario.check(doctor(scenario, folder) == [], "after it the doctor has nothing to say, not even of garbage")


def beside_a_run(scenario, path, folder):
    """A command leaves a run alone unless a flag asks for more."""
    lake_of = ("--warehouse", folder)
    child = scenario.start("run", "bars", "--source", "file", "--path", path, *lake_of, *SETTINGS, "--speed", "1", "--set", "epoch.every=200ms")
    wait_for(lambda: (folder / "owner.json").exists() and slots(folder) > 3, 60)
    refused = scenario.run("lake", "compact", *lake_of, code=2)
    scenario.check(f"process {child.pid}" in refused.stderr and "--take-over" in refused.stderr, f"refused: {refused.stderr.splitlines()[0]}")
    scenario.run("lake", "compact", "--dry-run", *lake_of)
    doctor(scenario, folder)
    scenario.check(child.running(), "the run goes on beside a dry run and the doctor")
    scenario.run("lake", "compact", "--take-over", *lake_of)
    # its next epoch finds the log taken over
    done = child.wait(60)
    scenario.check(done.code == 3, f"with --take-over it is fenced: exit code {done.code}", tail(done))


def foreign(scenario, folder, found):
    """pyiceberg appends a row of an instrument of its own."""
    table = found.load("bars_1m")
    rows = table.scan().to_arrow().slice(0, 1)
    for name in ("instrument", "symbol"):
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), pa.array(["FOREIGN"], rows.schema.field(name).type))
    table.append(rows)
    told = doctor(scenario, folder)
    scenario.check({finding["what"] for finding in told} == {"foreign commits", "foreign rows"} and all(finding["table"] == "bars_1m" for finding in told),
                   "the doctor tells of the foreign commit, and that nothing is wrong", told)
    return [row for row in found.rows("bars_1m") if row["instrument"] == "FOREIGN"]


def main():
    scenario = Scenario(__doc__)
    records = disorder.tape(140_000 if scenario.long else 14_000, 17)
    path, folder, whole = scenario.work / "all.jsonl", scenario.work / "lake", scenario.work / "whole"
    # from here on late and corrected trades come as often as ever: what an epoch has to do stays the same
    steady = len(records) * 3 // 10
    for speed in (40, 20, 10) if scenario.long else (200, 80):
        shutil.rmtree(folder, ignore_errors=True)
        write(path, records[:steady])
        run(scenario, path, folder)
        before = slots(folder)
        write(path, records[steady:-1_000], "a")
        child = scenario.start("run", "bars", "--source", "file", "--path", path, "--warehouse", folder, "--until", "end", *SETTINGS, *MANY, speed)
        watched = health.Health(child, folder / "log", lambda: lake.Lake(folder))
        done = watched.watch(900)
        if done.code != 0:
            scenario.give_up(f"the run ended with {done.code}: {tail(done)}")
        scenario.note(f"{slots(folder)} epochs in {done.wall_s:.1f} s at {speed} times the tape's speed")
        if slots(folder) > before + LEAST * (10 if scenario.long else 1):
            break  # a slow machine commits fewer in the same time
    found = lake.Lake(folder)
    commit_times(scenario, "a folder", found, watched.looks, LEAST * (10 if scenario.long else 1), before)
    bounded(scenario, found, folder)
    scenario.verify("holds on a lake of many epochs", "--warehouse", folder, *SETTINGS, timeout_s=900)
    scenario.check(doctor(scenario, folder) == [], "the doctor is silent on a sound lake")
    tidy(scenario, folder, found)

    mine = foreign(scenario, folder, found)
    write(path, records[-1_000:-500], "a")
    run(scenario, path, folder)
    beside_a_run(scenario, path, scenario.work / "busy")
    write(path, records[-500:], "a")
    run(scenario, path, folder)
    scenario.run("lake", "compact", "--warehouse", folder)
    kept = [row for row in found.rows("bars_1m") if row["instrument"] == "FOREIGN"]
    scenario.check(kept == mine and len(mine) == 1, "the foreign row is there after two runs and a compaction")
    run(scenario, path, whole)
    connection = lake.connect()
    for name in ("bars_1m", "bars_5m", "ticks"):
        lake.Lake(whole).view(connection, name, "expected")
        found.view(connection, name, "all_rows")
        connection.execute("CREATE OR REPLACE TEMP TABLE ours AS FROM all_rows WHERE instrument <> 'FOREIGN'")
        only = lake.difference(connection, "expected", "ours")
        count = connection.execute("SELECT count(*) FROM expected").fetchone()[0]
        scenario.check(only == ([], []), f"{name}: {count} rows as in a lake that was never tidied", only)
    found.view(connection, "bars_1m", "by_duckdb", reader="duckdb")
    found.view(connection, "bars_1m", "by_pyiceberg")
    scenario.check(lake.difference(connection, "by_duckdb", "by_pyiceberg") == ([], []), "DuckDB reads what pyiceberg reads")

    victim = found.load("ticks").inspect.files()["file_path"][0].as_py().removeprefix("file://")
    content = open(victim, "rb").read()
    open(victim, "wb").close()
    damaged = doctor(scenario, folder, 1)
    scenario.check(any(finding["table"] == "ticks" and victim in finding["message"] for finding in damaged), "a truncated file is named", damaged)
    os.remove(victim)
    missing = doctor(scenario, folder, 1)
    name = victim.removeprefix(f"{folder}/")
    scenario.check(any(finding["what"] == "missing files" and finding["table"] == "ticks" and name in finding["message"] for finding in missing),
                   f"a deleted data file is named: {name}", missing)
    doctor(scenario, folder, 1, "--quick")
    with open(victim, "wb") as file:
        file.write(content)
    scenario.check(not any(finding["wrong"] for finding in doctor(scenario, folder)), "put back, the lake is sound again")
    write(path, disorder.tape(14_000, 17))
    on_doubles(scenario, path)
    scenario.end()


if __name__ == "__main__":
    main()
