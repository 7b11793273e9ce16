"""A market of 2,500 shares from Kafka to the lake: every bar has the exchange's true volume, and the cost of a frame is printed.

The simulator tells of some shares each second and of most of them rarely, as in a real market. Ten minutes of a session, or the
whole of it with --long; the dataflow is the shipped `iifl`. DuckDB holds the bars against the simulator's truth.
"""
# s35_session: rotating, 45 s

import json

from harness import Scenario, mib
from oracle import lake, produce

INSTRUMENTS = 2_500
INTERVALS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600}


def held_against(connection, found, interval, width_s):
    """(bars, their volume, bars whose volume is not the truth, bars that only one side has)"""
    found.view(connection, f"bars_{interval}", "bars")
    # a bar begins where its phase does: at 09:00 or 09:15 in India, which is 210 or 225 minutes into the day in UTC
    return connection.execute(f"""
        WITH expected AS (
            SELECT venue, instrument, phase, start_s + (opens_s - start_s) // {width_s} * {width_s} AS opens_s, sum(volume) AS volume
            FROM (SELECT *, epoch(open_at)::BIGINT AS opens_s,
                         epoch(date_trunc('day', open_at))::BIGINT + CASE phase WHEN 'pre_open' THEN 210 ELSE 225 END * 60 AS start_s FROM truth)
            GROUP BY ALL),
        found AS (SELECT venue, instrument, phase, epoch(open_at)::BIGINT AS opens_s, volume FROM bars WHERE volume IS NOT NULL)
        SELECT count(found.volume), sum(found.volume), count(*) FILTER (found.volume <> expected.volume),
               count(*) FILTER ((found.volume IS NULL) <> (expected.volume IS NULL))
        FROM found FULL JOIN expected USING (venue, instrument, phase, opens_s)""").fetchone()


def main():
    scenario = Scenario(__doc__)
    until, active = ("15:30", 60) if scenario.long else ("09:25", 200)
    truth, prefix = scenario.work / "truth.csv", scenario.topic("session") + "-"
    done = scenario.run("feed", "simulate", "--brokers", scenario.brokers(), "--prefix", prefix, "--instruments", INSTRUMENTS, "--active", active,
                        "--until", until, "--codes", "1501,1510", "--truth", truth, "--kafka", "compression.type=lz4", "--json", timeout_s=1800)
    produced = json.loads(done.stdout)
    frames = produced["frames"]
    scenario.note(f"{frames:,} frames of {INSTRUMENTS} shares, their futures and an index, 09:00 to {until}, in {produced['seconds']:.0f} s")
    folder = scenario.work / "lake"
    topics = [word for name in ("1501", "1510", "master") for word in ("--topic", prefix + name)]
    done = scenario.run("run", "iifl", "--brokers", scenario.brokers(), *topics, "--warehouse", folder, "--until", "end", "-w", 2, code=None,
                        timeout_s=3600)
    scenario.check(done.code == 0, f"`run iifl -w 2`: {frames:,} frames in {done.wall_s:.0f} s, {frames / done.wall_s:,.0f} a second, "
                   f"{done.cpu_s / frames * 1e6:.1f} µs of CPU each, at most {mib(done.rss_bytes_max)} resident", done.stderr[-2000:])

    found, connection = lake.Lake(folder), lake.connect()
    connection.execute(f"CREATE TEMP TABLE truth AS SELECT * REPLACE (instrument::VARCHAR AS instrument) FROM read_csv('{truth}')")
    for interval, width_s in INTERVALS.items():
        bars, volume, wrong, lonely = held_against(connection, found, interval, width_s)
        scenario.check(bars > 1_000 and not wrong and not lonely, f"{bars:,} bars of {interval} have the true volume, {int(volume or 0):,} in all", (wrong, lonely))
    counted = [sum(row[name] for row in found.rows("epochs")) for name in ("records", "accepted", "duplicates", "rejected")]
    scenario.check(counted[0] == frames == counted[1] + counted[2] and counted[3] == 0,
                   f"{counted[0]:,} records = {counted[1]:,} accepted + {counted[2]:,} duplicates", counted)
    files = list((folder / "market").rglob("*.parquet"))
    scenario.note(f"{len(found.rows('epochs'))} epochs, {len(files)} data files of {mib(sum(path.stat().st_size for path in files))}")
    for name in ("1501", "1510", "master"):
        produce.delete(scenario.brokers(), prefix + name)
    scenario.end()


if __name__ == "__main__":
    main()
