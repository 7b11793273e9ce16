"""A lake in Glue is the lake in a folder, and Trino, Athena's engine, reads it at every epoch: after kills and restarts, with rows
deleted by position, after our compaction and its own.

Glue and S3 are stand-ins of their own process on loopback (`tests/services/{glue,s3}`); the Glue refuses stale versions, as
Amazon's does. TICKTIDE_TEST_GLUE and TICKTIDE_TEST_S3 name their binaries. Trino is the real one (`tests/services/trino.sh`);
where it cannot be had, that part is skipped, and said so. TICKTIDE_TEST_TRINO_PORT is its port.
"""
# s20_glue: rotating, 90 s

from buckets import PACED, SETTINGS, Store, compare, killed
from catalogs import Catalog, trino
from harness import Scenario, tail
from oracle import disorder, glue, lake

DATABASE = "market"
KILLS = 3


def for_athena(found, table):
    """Whether a table in Glue has what Athena needs."""
    columns = found["StorageDescriptor"]["Columns"]
    holds = (found["StorageDescriptor"]["Location"] == f"s3://market/killed/market/{table}" and found["TableType"] == "EXTERNAL_TABLE"
             and not found.get("PartitionKeys") and all(column["Type"] for column in columns))
    # a table that no epoch has touched has no earlier metadata
    return holds and found["Parameters"].get("previous_metadata_location") != found["Parameters"]["metadata_location"]


def heads(scenario, folder, engine):
    """Every table of rows at its head by Trino is the folder's."""
    connection, count, different = lake.connect(), 0, {}
    names = [name for name in folder.tables() if name.startswith(("bars_", "indicators_", "ticks")) and not name.endswith("_history")]
    for name in names:
        folder.view(connection, name, "one")
        engine.view(connection, name, "other")
        count += connection.execute("SELECT count(*) FROM other").fetchone()[0]
        only = lake.difference(connection, "one", "other")
        if any(only):
            different[name] = [len(side) for side in only]
    scenario.check(not different and count > 1_000, f"by Trino {count} rows of [{', '.join(names)}] are the folder's", different)
    every = engine.rows("SHOW TABLES")
    for row in every:
        engine.rows(f'SELECT * FROM "{row["Table"]}" LIMIT 1')
    scenario.check({row["Table"] for row in every} >= set(folder.tables()), f"Trino sees and reads all {len(every)} tables")


def epochs(scenario, in_glue, bucket, engine):
    """Every retained epoch by `FOR VERSION AS OF` the ids of `epoch_tables`: as many rows as it counts up to, and bars whose
    volumes are what the histories sum up to."""
    connection = lake.connect(bucket)
    for name in ("epoch_tables", *(name for name in in_glue.tables() if name.endswith("_history"))):
        in_glue.view(connection, name)
    counted = connection.execute("""
        SELECT epoch, "table", snapshot_id,
               sum(rows_added - rows_removed) OVER (PARTITION BY "table" ORDER BY epoch) FROM epoch_tables ORDER BY epoch""").fetchall()
    kept = {name: {row["snapshot_id"] for row in engine.rows(f'SELECT snapshot_id FROM "{name}$snapshots"')}
            for name in {table for _, table, _, _ in counted}}
    retained = {}
    for epoch, table, snapshot, count in counted:
        if snapshot in kept[table]:
            retained.setdefault(epoch, {})[table] = (snapshot, count)
    looked, different = 0, []
    for epoch, tables in retained.items():
        selects = [f"SELECT '{name}', count(*), {'sum(volume)' if name in ('bars_1m', 'bars_5m') else 'NULL'} "
                   f"FROM {name} FOR VERSION AS OF {snapshot}" for name, (snapshot, _) in tables.items()]
        for name, rows, volume in (row.values() for row in engine.rows(
                f"SELECT * FROM ({' UNION ALL '.join(selects)}) AS t (name, rows, volume)")):
            expected = None
            if name in ("bars_1m", "bars_5m"):
                expected = connection.execute(f"SELECT sum(volume * diff) FROM {name}_history WHERE epoch <= {epoch}").fetchone()[0]
            looked += 1
            if (rows, volume or 0) != (tables[name][1], expected or 0):
                different.append((epoch, name, rows, tables[name][1], volume, expected))
    total = len({epoch for epoch, *_ in counted})
    scenario.check(not different and len(retained) >= 10 and looked > 4 * len(retained),
                   f"by Trino {looked} snapshots of {len(retained)} retained epochs (of {total}) have the rows that were announced", different[:5])


def deleted(engine, name):
    """Delete files, and the rows they delete, at the head of a table; by Trino's own look at it."""
    [found] = engine.rows(f'SELECT count(*) AS files, sum(record_count) AS rows FROM "{name}$files" WHERE content = 1')
    return found["files"], found["rows"] or 0


def deletes(scenario, folder, engine, place):
    """Trino reads rows around our delete files, and the same ones when they are compacted away and old epochs are expired."""
    before = {name: deleted(engine, name) for name in ("bars_1m", "bars_5m")}
    scenario.check(all(files > 0 for files, _ in before.values()),
                   f"what Trino has read until now had rows deleted by position (files, rows): {before}")
    done = scenario.run("lake", "compact", *place)
    left = {name: deleted(engine, name) for name in before}
    # Trino has optimized bars_1m on the way: its file is not ours to write again
    scenario.check(left["bars_5m"] == (0, 0) and left["bars_1m"][0] <= 1, f"compacted, but for a file that Trino wrote: {left}", tail(done))
    heads(scenario, folder, engine)
    scenario.run("lake", "expire", "--keep", 10, *place)
    heads(scenario, folder, engine)


def foreign(scenario, engine):
    """Trino's own commits: to tables of the lake, which hold the same rows then, and to its own, made, changed, dropped."""
    for name in ("bars_1m", "ticks"):
        engine.write(f"ALTER TABLE {name} EXECUTE optimize")
    engine.rows("CREATE SCHEMA IF NOT EXISTS other WITH (location = 's3://market/other')")
    engine.rows("CREATE TABLE other.made AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t (n, word)")
    engine.rows("INSERT INTO other.made VALUES (3, 'c')")
    engine.rows("UPDATE other.made SET word = 'd' WHERE n = 2")
    rows = engine.rows("SELECT n, word FROM other.made ORDER BY n")
    scenario.check([tuple(row.values()) for row in rows] == [(1, "a"), (2, "d"), (3, "c")], "Trino writes tables of its own through it", rows)
    engine.rows("DROP TABLE other.made")


def refusals(scenario, path, bucket, arguments):
    """Mistakes end with exit code 2 and a hint, and show no secret."""

    def refused(what, words, given):
        done = scenario.run(*given, code=None)
        text = done.stdout + done.stderr
        holds = done.code == 2 and "hint:" in text and all(word in text for word in words) and bucket.secret_key not in text
        scenario.check(holds, f"{what}: exit code {done.code} after {done.wall_s:.1f} s with a hint", tail(done))

    refused("another catalog", ["belongs to the catalog glue://", "--catalog glue://"],
            [*arguments("killed", f"sqlite:{scenario.work}/other.db")])
    refused("another database", ["belongs to the catalog glue://"], [*arguments("killed", f"glue://{bucket.region}/elsewhere")])
    refused("no such database", ["glue://", "nowhere"], ("query", "select 1", "--warehouse", "s3://market/killed", "--catalog",
                                                        f"glue://{bucket.region}/nowhere"))
    refused("a folder", ["folder"], ("run", "bars", "--source", "file", "--path", path, "--until", "end", "--warehouse",
                                     scenario.work / "x", "--catalog", "glue"))


def main():
    scenario = Scenario(__doc__)
    store, catalog = Store(scenario), Catalog(scenario)
    bucket = lake.Bucket(store.address, *store.child.read()[0].split()[-2:])
    scenario.environment = {**bucket.environment(), "AWS_ENDPOINT_URL_GLUE": f"http://{catalog.address}"}
    engine = trino(scenario, catalog, bucket, DATABASE)  # starts meanwhile

    path = scenario.work / "all.jsonl"
    disorder.write(disorder.tape(120_000 if scenario.long else 40_000, 20), path)
    scenario.run_bars(path, scenario.work / "folder", *SETTINGS)
    folder = lake.Lake(scenario.work / "folder")

    def arguments(name, where="glue"):
        return ("run", "bars", "--source", "file", "--path", path, "--until", "end", "--warehouse", f"s3://market/{name}",
                "--catalog", where, *SETTINGS, "--set", "limits.rewrite=1B")

    dry = scenario.run(*arguments("killed"), "--dry-run").stdout
    minute = [line.split() for line in dry.splitlines() if line.startswith("epoch.every")]
    scenario.check(minute == [["epoch.every", "--catalog", "1m"]], "on Glue an epoch is a minute by default", minute)
    killed(scenario, store, (*arguments("killed"), *PACED), KILLS, slots=3)
    engine = engine()
    if engine:
        foreign(scenario, engine)
    scenario.run(*arguments("killed"), *PACED)
    scenario.note(f"{store.slots('killed')} epochs through Glue, killed {KILLS} times on the way")

    api = glue.Glue(catalog.address, catalog.access_key, bucket.region)
    found = api.tables(DATABASE)
    wrong = {name: table for name, table in found.items() if not for_athena(table, name)}
    scenario.check(len(found) >= len(folder.tables()) and not wrong, f"{len(found)} tables in Glue have columns, a location and their pointers", wrong)
    stale = {key: found["bars_1m"][key] for key in ("Name", "TableType", "StorageDescriptor", "Parameters")}
    try:
        api.call("UpdateTable", DatabaseName=DATABASE, TableInput=stale, VersionId="0")
        refused = "nothing"
    except RuntimeError as error:
        refused = str(error)
    scenario.check(refused == "ConcurrentModificationException", f"a stale version is refused: {refused}")

    lake_in_glue = glue.lake_of(api, DATABASE, bucket)
    compare(scenario, f"killed {KILLS} times", folder, lake_in_glue, bucket)
    place = ("--warehouse", "s3://market/killed", "--catalog", f"glue://{bucket.region}/{DATABASE}")
    counted = scenario.run("query", "select count(*) as bars from bars_1m", "--json", *place).stdout
    scenario.check(f'"bars":{len(folder.rows("bars_1m"))}' in counted.replace(" ", ""), f"`ticktide query` reads it: {counted.strip()}")
    refusals(scenario, path, bucket, arguments)

    if engine:
        heads(scenario, folder, engine)
        epochs(scenario, lake_in_glue, bucket, engine)
        deletes(scenario, folder, engine, place)
    scenario.verify("holds on the lake that was killed", *place, *SETTINGS, "--set", "limits.rewrite=1B")
    scenario.end()


if __name__ == "__main__":
    main()
