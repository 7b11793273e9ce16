"""Breakouts equal a naive recomputation, under both start rules, and CSV files give the lake that JSON gives.

A seeded tape of three days with late and cancelled trades and quiet instruments, once as JSON lines and once as two CSV files
whose headers name their columns in different orders. DuckDB finds the last price of each window of five minutes; the averages
and their crossovers are the formula of the DEBS 2022 challenge, written as it stands there.
"""
# s16_breakout: rotating, 15 s

import csv
import json
import random

from harness import Scenario
from oracle import bars, lake

START_US = 1_767_571_200_000_000  # 2026-01-05 00:00 UTC
DAYS = 3
LATE_US = 20 * 60 * 1_000_000
# how often an instrument trades: the last one leaves many windows without a trade
EVERY_S = {"BRISK": 20, "CALM": 60, "DULL": 240, "EMPTY": 1_500}
OUTPUTS = ("crossover_38_100", "crossover_38_100_fast", "crossover_38_100_slow")


def tape(seed):
    """The records in order of arrival, times within each day's first 20 hours."""
    draw = random.Random(seed)
    arrivals = []
    for symbol, every_s in EVERY_S.items():
        cents, drift, sequence = 50_000, 0.0, 0
        for day in range(DAYS):
            moment = START_US + day * 86_400_000_000
            end = moment + 20 * 3_600_000_000
            while (moment := moment + 1 + int(draw.expovariate(1 / every_s) * 1e6)) < end:
                drift = draw.uniform(-9, 9) if draw.random() < every_s / 9_000 else drift
                cents = max(100, cents + round(drift + draw.gauss(0, 6)))
                sequence += 1
                record = {"type": "trade", "venue": "XTEST", "symbol": symbol, "time": moment, "sequence": sequence,
                          "id": f"{symbol}-{sequence}", "price": f"{cents // 100}.{cents % 100:02}", "quantity": "1"}
                delay = draw.randrange(LATE_US if draw.random() < 0.01 else 1_000_000)
                arrivals.append((moment + delay, len(arrivals), record))
                if draw.random() < 0.02:
                    sequence += 1
                    cancel = {"type": "cancel", "venue": "XTEST", "symbol": symbol, "time": moment, "sequence": sequence,
                              "id": record["id"], "price": "", "quantity": ""}
                    arrivals.append((moment + delay + draw.randrange(LATE_US), len(arrivals), cancel))
    return [record for _, _, record in sorted(arrivals, key=lambda arrival: arrival[:2])]


def write_csv(path, records, columns, names):
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL if len(columns) > 8 else csv.QUOTE_MINIMAL)
        writer.writerow([names.get(column, column) for column in columns])
        writer.writerows([record.get(column, "of no use, \"quoted\"") for column in columns] for record in records)


def side(fast, slow):
    """Which average is above; equal but for rounding is equal."""
    return 0 if abs(fast - slow) <= 1e-12 * slow else 1 if fast > slow else -1


def breakouts(closes, first):
    """{(symbol, open_us): (signal, fast, slow)} of {symbol: [(open_us, close)]}."""
    said = {}
    for symbol, windows in closes.items():
        before = [windows[0][1]] * 2 if first else [0.0, 0.0]
        for open_us, close in windows:
            now = [close * (2 / (1 + j)) + ema * (1 - 2 / (1 + j)) for j, ema in zip((38, 100), before)]
            was, is_now = (side(*pair) for pair in (before, now))
            signal = 1.0 if was <= 0 < is_now else -1.0 if was >= 0 > is_now else 0.0
            said[symbol, open_us] = (signal, *now)
            before = now
    return said


def near(left, right):
    return left is not None and abs(left - right) <= 1e-9 * max(1.0, abs(right))


def readings(folder, suffix=""):
    names = [name.replace("38_100", "38_100" + suffix) for name in OUTPUTS]
    return {(row["symbol"], int(row["open_at"].timestamp()) * 1_000_000): tuple(row[name] for name in names)
            for row in lake.Lake(folder).rows("indicators_5m")}


def compare(scenario, got, wanted, text):
    wrong = [(key, got.get(key), row) for key, row in wanted.items()
             if key not in got or got[key][0] != row[0] or not all(map(near, got[key][1:], row[1:]))]
    ups, downs = (sum(row[0] == sign for row in wanted.values()) for sign in (1.0, -1.0))
    scenario.check(not wrong and len(got) == len(wanted) and ups > len(EVERY_S) and downs > 0,
                   f"{len(wanted)} windows, {ups} crossings up and {downs} down, {text}, equal the recomputation; "
                   f"{len(wrong)} wrong, {len(got.keys() - wanted.keys())} others", wrong[:3])


def main():
    scenario = Scenario(__doc__)
    for seed in range(1, 6 if scenario.long else 2):
        records, folder = tape(seed), scenario.work / f"seed{seed}"
        folder.mkdir()
        path = folder / "tape.jsonl"
        path.write_text("".join(json.dumps({name: text for name, text in record.items() if text != ""}) + "\n" for record in records))
        connection = bars.connect()
        bars.load(connection, [path])
        bars.bars(connection, "5m", "oracle")
        closes = {}
        for symbol, moment, close in connection.execute("SELECT symbol, open_at, close FROM oracle ORDER BY 1, 2").fetchall():
            closes.setdefault(symbol, []).append((moment, close / 1e8))
        scenario.note(f"seed {seed}: {len(records)} records")

        def run(name, files, *more):
            paths = [argument for file in files for argument in ("--path", file)]
            scenario.run("run", "breakout", "--source", "file", *paths, "--warehouse", folder / name, "--until", "end",
                         "--set", "source.corrections=true", *more)

        run("zero", [path], "-w", 2)
        compare(scenario, readings(folder / "zero"), breakouts(closes, first=False), "averages from 0")
        run("first", [path], "--set", "indicators=[{use=\"crossover\",start=\"first\",on=\"5m\"}]")
        compare(scenario, readings(folder / "first", "_first"), breakouts(closes, first=True), "averages from the first close")

        columns = ["type", "venue", "symbol", "time", "sequence", "id", "price", "quantity"]
        halves = [[record for record in records if (record["symbol"] < "D") == early] for early in (True, False)]
        names = {"time": "ts", "price": "px"}
        write_csv(folder / "a.csv", halves[0], columns, names)
        write_csv(folder / "b.csv", halves[1], ["note", *reversed(columns)], names)
        run("csv", [folder / "a.csv", folder / "b.csv"], "--set", "source.wire=csv", "--set", "source.fields={time=\"ts\",price=\"px\"}")
        lakes = [lake.Lake(folder / name) for name in ("zero", "csv")]
        for table in ("bars_5m", "indicators_5m"):
            both = [sorted(str({name: row[name] for name in row if name not in lake.OUTSIDE}) for row in one.rows(table)) for one in lakes]
            scenario.check(both[0] == both[1], f"{len(both[1])} rows of {table} from two CSV files equal those from JSON lines",
                           [pair for pair in zip(*both) if pair[0] != pair[1]][:2])
        rejects = [row["reason"] for row in lakes[1].rows("quarantine")] if "quarantine" in lakes[1].tables() else []
        scenario.check(not rejects, "no CSV record and no header is a reject", rejects[:5])
    scenario.end()


if __name__ == "__main__":
    main()
