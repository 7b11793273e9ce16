"""Bars from real tapes equal the vendor's own: gold through Kafka, US equities under the tape's conditions.

Gold: four partitions keyed by symbol, read back by DuckDB and by pyiceberg; every one of the 1,500 minute bars must be the
vendor's. Equities: `us_tape` over IBM and BAC, at least 99.9 % of the second bars without 09:30:00 and 15:59:59.
"""
# s2_tape: always, 25 s

from decimal import Decimal

from harness import Scenario
from oracle import bars, lake, produce, tapes


def fields(rows):
    """{(symbol, open_ms): (open, high, low, close, volume)}"""
    return {(row["symbol"], int(row["open_at"].timestamp() * 1000)):
            tuple(Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")) for row in rows}


def duckdb_rows(folder, table):
    connection = lake.connect()
    lake.Lake(folder).view(connection, table, "rows_read", "duckdb")
    return connection.execute("SELECT symbol, open_at, open, high, low, close, volume FROM rows_read").to_arrow_table().to_pylist()


def gold(scenario):
    path, folder, topic = scenario.work / "gold.jsonl", scenario.work / "gold", scenario.topic("gold")
    count = tapes.write(tapes.gold_trades(), path)
    produce.create(scenario.brokers(), topic, 4)
    produce.send_file(scenario.brokers(), topic, path)
    done = scenario.run("run", "bars", "--brokers", scenario.brokers(), "--topic", topic, "--warehouse", folder,
                        "--until", "end", "-w", 2)
    produce.delete(scenario.brokers(), topic)
    scenario.note(f"{count} trades, 4 partitions, {done.wall_s:.1f} s")
    wanted = tapes.gold_minutes()
    for reader, rows in (("pyiceberg", lake.Lake(folder).rows("bars_1m")), ("DuckDB", duckdb_rows(folder, "bars_1m"))):
        got = fields(rows)
        equal = sum(got.get(key) == bar for key, bar in wanted.items())
        scenario.check(got == wanted and len(rows) == len(wanted), f"{equal} of {len(wanted)} gold minute bars by {reader} "
                       f"equal the vendor's, {len(got.keys() - wanted.keys())} others",
                       [(key, got.get(key), bar) for key, bar in wanted.items() if got.get(key) != bar][:3])
    connection = lake.connect()
    bars.load(connection, [path])
    for interval in ("1s", "1m"):
        bars.bars(connection, interval, "oracle")
        equal, more, less = lake.bars_against(connection, lake.Lake(folder), f"bars_{interval}", "oracle")
        scenario.check(not more and not less, f"{equal} gold bars_{interval} equal DuckDB's recomputation, turnover and "
                       f"trades too; {len(more)} more, {len(less)} missing", (more[:2], less[:2]))


def equities(scenario):
    path, folder = scenario.work / "equities.jsonl", scenario.work / "equities"
    count = tapes.write(tapes.equity_trades(), path)
    done = scenario.run("run", "us_tape", "--source", "file", "--path", path, "--warehouse", folder, "--until", "end", "-w", 2)
    scenario.note(f"{count} trades, {done.wall_s:.1f} s")
    starts = [tapes.midnight_ms(day) for day in tapes.EQUITY_DAYS]
    got = {key: bar for key, bar in fields(lake.Lake(folder).rows("bars_1s")).items()
           if not any(0 <= key[1] - start < 86_400_000 and tapes.auction_second(key[1] - start) for start in starts)}
    wanted = tapes.equity_seconds()
    equal = sum(got.get(key) == bar for key, bar in wanted.items())
    scenario.check(equal >= 0.999 * len(wanted) and len(got.keys() - wanted.keys()) <= 0.001 * len(wanted),
                   f"{equal} of {len(wanted)} equity second bars ({100 * equal / len(wanted):.3f} %) equal the vendor's, "
                   f"{len(got.keys() - wanted.keys())} others",
                   [(key, got.get(key), bar) for key, bar in wanted.items() if got.get(key) != bar][:3])


def main():
    scenario = Scenario(__doc__)
    gold(scenario)
    equities(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
