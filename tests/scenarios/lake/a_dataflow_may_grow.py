"""A lake goes on with a dataflow that has more than before: what was added begins, what was there stays, both readers agree.

A disordered tape in three parts: one with the first dataflow, then `--evolve` adds indicators, an interval with readings of its
own, a check and the archive; killed in the middle and continued. Rows from before are null in the new columns, those behind
are right by DuckDB's own windows, everything else equals a lake that was never changed. A changed grace is refused.
"""
# s27_evolve: rotating, 30 s

import json
import signal

from harness import Scenario, tail, wait_for
from oracle import bars, disorder, lake

# no tick of the tape is too late for anything: cuts play no part
SHARED = ("--set", "source.corrections=true", "--set", "epoch.records=1000", "--set", "limits.bytes=1MiB", "--set",
          'horizon={"1s"="2h","1m"="2h",default="1 session"}')
EMA, SMA, RSI = '{use="ema",period=20,on="1m"}', '{use="sma",period=5,on="1m"}', '{use="rsi",period=14,on="1m"}'
FIRST = ("--set", f"indicators=[{EMA}]")
MORE = ("--set", f'indicators=[{EMA},{SMA},{RSI},{{use="sma",period=3,on="5m"}}]', "--set",
        'bars=[{use="time",every="1s"},{use="time",every="1m"},{use="time",every="5m"}]', "--set",
        'anomalies=[{use="return_z",on="1m",z=2}]', "--set", "ticks=true")
TRADES = 60_000


def write(path, rows, mode="wb"):
    with open(path, mode) as file:
        file.writelines(row + b"\n" for row in rows)


def run(scenario, path, folder, *more, code=0):
    return scenario.run("run", "bars", "--source", "file", "--path", path, "--warehouse", folder, "--until", "end", *SHARED, *more,
                        code=code)


def count(connection, sql):
    return connection.execute(sql).fetchone()[0]


def both_readers(scenario, folder, tables):
    """DuckDB's own reader and pyiceberg see the same rows."""
    connection, read, rows = lake.connect(), lake.Lake(folder), 0
    for table in tables:
        read.view(connection, table, "by_pyiceberg")
        read.view(connection, table, "by_duckdb", "duckdb")
        left, right = lake.difference(connection, "by_pyiceberg", "by_duckdb", without=())
        if not scenario.check(not left and not right, f"{table} is the same by pyiceberg and DuckDB", (left[:1], right[:1])):
            return
        rows += count(connection, "SELECT count(*) FROM by_duckdb")
    scenario.note(f"{rows} rows of {len(tables)} tables")


def unchanged(scenario, folder, plain):
    """What both dataflows have equals the lake that was never changed."""
    connection = lake.connect()
    for table, columns in (("bars_1s", "*"), ("bars_1m", "*"), ("indicators_1m", "* EXCLUDE (sma_5, rsi_14)")):
        lake.Lake(folder).view(connection, table, "evolved")
        connection.execute(f"CREATE OR REPLACE TEMP TABLE evolved AS SELECT {columns} FROM evolved")
        lake.Lake(plain).view(connection, table, "plain")
        left, right = lake.difference(connection, "evolved", "plain")
        scenario.check(not left and not right, f"{table}: {count(connection, 'SELECT count(*) FROM plain')} rows as without "
                       "the change", (left[:2], right[:2]))


def additions(scenario, folder, path, seen_us):
    """Null before, right behind."""
    connection, read = lake.connect(), lake.Lake(folder)
    read.view(connection, "indicators_1m", "readings")
    read.view(connection, "bars_1m", "minutes")
    connection.execute("""
        CREATE TEMP TABLE expected AS SELECT symbol, open_at, count(*) OVER last5 AS n, avg(close::DOUBLE) OVER last5 AS sma
        FROM minutes WINDOW last5 AS (PARTITION BY symbol ORDER BY open_at ROWS 4 PRECEDING)""")
    before = count(connection, f"SELECT count(*) FROM readings WHERE epoch_us(open_at) <= {seen_us}")
    filled = count(connection, f"SELECT count(*) FROM readings WHERE epoch_us(open_at) <= {seen_us} AND (sma_5 IS NOT NULL OR rsi_14 IS NOT NULL)")
    scenario.check(before > 100 and filled == 0, f"{before} rows from before have null in the new columns ({filled} have not)")
    behind, wrong = connection.execute(f"""
        SELECT count(*), count(*) FILTER (sma_5 IS NULL OR abs(sma_5 - sma) > 1e-6 * sma OR rsi_14 IS NULL)
        FROM readings JOIN expected USING (symbol, open_at) WHERE epoch_us(open_at) > {seen_us}""").fetchone()
    scenario.check(behind > 100 and wrong == 0, f"{behind} rows behind have the mean of five closes by DuckDB ({wrong} have not)")
    bars.load(connection, [path])
    bars.bars(connection, "5m", "all_bars")
    connection.execute(f"CREATE TEMP TABLE oracle AS FROM all_bars WHERE open_at > {seen_us}")
    same, more, less = lake.bars_against(connection, read, "bars_5m", "oracle")
    scenario.check(same > 50 and not more and not less, f"the new bars_5m: {same} rows, all that open behind {seen_us} µs",
                   (more[:2], less[:2]))
    read.view(connection, "indicators_5m", "five")
    expected = count(connection, "SELECT count(*) FROM oracle")
    scenario.check(count(connection, "SELECT count(*) FROM five") == expected and count(
        connection, "SELECT count(*) FROM five WHERE sma_3 IS NOT NULL") > 20, f"indicators_5m has a reading for each of them ({expected})")
    read.view(connection, "anomalies", "found")
    least = connection.execute("SELECT count(*), min(epoch_us(started_at)) FROM found").fetchone()
    scenario.check(least[0] > 0 and least[1] > seen_us, f"the new check found {least[0]} anomalies, all behind")
    for table in ("bars_5m", "indicators_1m", "indicators_5m", "bars_1m"):
        read.view(connection, table, "net_of")
        read.history(connection, table, "net")
        left, right = lake.difference(connection, "net_of", "net")
        scenario.check(not left and not right, f"{table}_history summed is {table}", (left[:2], right[:2]))


def rebuilt(scenario, rows, path):
    """What is added and rebuilt equals a lake that had it from the start; killed while it is rebuilt."""
    folder, whole = scenario.work / "rebuilt", scenario.work / "whole"
    write(path, rows[:len(rows) // 2])
    run(scenario, path, folder, *FIRST)
    write(path, rows[len(rows) // 2:], "ab")
    child = scenario.start("run", "bars", "--source", "file", "--path", path, "--warehouse", folder, "--until", "end", *SHARED,
                           *MORE, "--evolve", "--rebuild")
    wait_for(lambda: not child.running() or (folder / "lineages" / "1.json").exists(), 60, 0.005)
    alive = child.running()
    child.signal(signal.SIGKILL)
    child.wait(10)
    scenario.check(alive, "a run with --rebuild was killed before it had rebuilt anything")
    run(scenario, path, folder, *MORE, "-w", 2)
    run(scenario, path, whole, *MORE)
    for name, (total, left, right) in lake.compare(lake.Lake(folder), lake.Lake(whole)).items():
        scenario.check(not left and not right, f"rebuilt {name}: {total} rows as in a lake that had it from the start",
                       (len(left), len(right), left[:2], right[:2]))
    log = lake.Lake(folder).rows("epoch_tables")
    epochs = {row["epoch"] for row in log if row["table"] == "bars_5m" and row["rows_added"]}
    first = min(epochs)
    touched = sorted(row["table"] for row in log if row["epoch"] == first and row["rows_added"] and not row["table"].endswith("_history"))
    scenario.check("bars_1m" not in touched and {"bars_5m", "indicators_1m", "indicators_5m"} <= set(touched),
                   f"in one epoch, {first}, which touches {', '.join(touched)}", touched)
    scenario.verify("holds on it", "--warehouse", folder, *SHARED, *MORE, "-w", 2)


def main():
    scenario = Scenario(__doc__)
    records = disorder.tape(TRADES, 11)
    rows = [json.dumps(record, separators=(",", ":")).encode() for record in records]
    path, folder, plain = scenario.work / "tape.jsonl", scenario.work / "lake", scenario.work / "plain"
    parts = [rows[:len(rows) // 2], rows[len(rows) // 2:len(rows) * 4 // 5], rows[len(rows) * 4 // 5:]]
    seen_us = max(json.loads(row)["time"] for row in parts[0])

    write(path, parts[0])
    run(scenario, path, folder, *FIRST)
    write(path, parts[1], "ab")
    done = run(scenario, path, folder, *MORE, code=2)
    scenario.check(all(key in done.stderr for key in ("indicators", "bars", "anomalies", "ticks", "--evolve")),
                   "another dataflow is refused with its keys, and with --evolve as the way", tail(done))
    for setting, key in (("grace=7s", "grace"), ("source.corrections=false", "source.corrections"),
                         (f"indicators=[{RSI},{EMA}]", "indicators"), ('bars=[{use="time",every="1m"},{use="time",every="5m"}]', "bars")):
        done = run(scenario, path, folder, *MORE, "--set", setting, "--evolve", code=2)
        error = next(line for line in done.stderr.splitlines() if line.startswith("error:"))
        scenario.check(f"[{key}" in error, f"--evolve with {key} changed is refused", error)

    child = scenario.start("run", "bars", "--source", "file", "--path", path, "--warehouse", folder, "--until", "end", *SHARED, *MORE,
                           "--evolve", "-w", 2)
    begun = len(list((folder / "log").glob("*.json")))
    wait_for(lambda: not child.running() or len(list((folder / "log").glob("*.json"))) > begun + 4, 60, 0.005)
    alive = child.running()
    child.signal(signal.SIGKILL)
    child.wait(10)
    scenario.check(alive, "the evolved run was killed in the middle")
    run(scenario, path, folder, *MORE)
    write(path, parts[2], "ab")
    run(scenario, path, folder, *MORE, "-w", 2)
    done = run(scenario, path, folder, *FIRST, code=2)
    scenario.check("indicators" in done.stderr, "the first dataflow is refused from now on", tail(done))

    run(scenario, path, plain, *FIRST)
    unchanged(scenario, folder, plain)
    additions(scenario, folder, path, seen_us)
    both_readers(scenario, folder, ("indicators_1m", "indicators_1m_history", "bars_5m", "bars_1m", "indicators_5m", "anomalies", "ticks"))
    asked = scenario.query(folder, "select count(*) as rows, count(sma_5) as filled, count(ema_20) as old from indicators_1m")[0]
    scenario.check(asked["rows"] > asked["old"] > asked["filled"] > 100, f"`query` reads it: {asked}")

    scenario.verify("holds within the new lineage", "--warehouse", folder, *SHARED, *MORE, "-w", 2)
    first = min(row["epoch"] for row in lake.Lake(folder).rows("bars_5m"))
    done = scenario.run("verify", "--warehouse", folder, "--epochs", f"1..{first}", *SHARED, *MORE, code=2)
    scenario.check("different dataflows" in done.stderr, "epochs of two dataflows are no range", tail(done))
    rebuilt(scenario, rows, path)
    scenario.end()


if __name__ == "__main__":
    main()
