"""Real tapes of the vendor as JSON lines in the wire format `json`, and the vendor's own bars to compare with.

The vendor's files are read from the folder of TICKTIDE_TAPES (its README says what is in them). Why a converter and not
a wire format: the tapes are zips of one CSV a contract with times since midnight; what must be tested is the path from a
record to a bar, not unzipping. Prices are written from their digits, never through floats.

    tapes.py gold|equity OUT.jsonl        writes the trades in order of time
"""

import argparse
import datetime
import json
import os
import pathlib
import zipfile
import zoneinfo
from decimal import Decimal

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
GOLD_DAY = "20131007"
# The gold files count from midnight UTC: their one long pause is 21:15-22:00, COMEX's daily break of 17:15-18:00 in New York.
GOLD_ZONE = datetime.UTC
EQUITY_DAYS = ("20131007", "20131008")
EQUITY_SYMBOLS = ("ibm", "bac")


def folder():
    """The tapes' folder, or an error that says what to do."""
    path = os.environ.get("TICKTIDE_TAPES")
    if not path or not (pathlib.Path(path) / "lean").is_dir():
        raise SystemExit("error: no tapes\nhint: set TICKTIDE_TAPES to the folder that holds lean/")
    return pathlib.Path(path) / "lean"


def midnight_ms(day, zone=NEW_YORK):
    """Midnight of a day in a zone, milliseconds of UTC (the tapes lie on days without a change of the clocks)."""
    moment = datetime.datetime.strptime(day, "%Y%m%d").replace(tzinfo=zone)
    return int(moment.timestamp() * 1000)


def rows(path):
    """Yields (file name, rows of strings) for every CSV of a zip."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            lines = archive.read(name).decode().splitlines()
            yield name, [line.split(",") for line in lines if line]


def scaled(digits):
    """A price of an equity tape (times 10,000) in plain units, exactly."""
    value = Decimal(digits).scaleb(-4)
    return format(value.normalize() if value else value, "f")


def contract(name):
    return "GC" + name.rsplit("_", 1)[1].removesuffix(".csv")


def gold_trades():
    """Every trade of the gold tape, one symbol a contract, without each file's repeated last row."""
    start = midnight_ms(GOLD_DAY, GOLD_ZONE)
    trades = []
    for name, lines in rows(folder() / f"future/comex/tick/gc/{GOLD_DAY}_trade.zip"):
        if len(lines) > 1 and lines[-1] == lines[-2]:
            lines = lines[:-1]
        for sequence, line in enumerate(lines, 1):
            trades.append({"type": "trade", "venue": "COMEX", "symbol": contract(name), "time": start + int(line[0]),
                           "sequence": sequence, "price": line[1], "quantity": line[2]})
    trades.sort(key=lambda trade: trade["time"])  # stable: a contract's order is its file's
    return trades


def gold_minutes():
    """The vendor's minute bars: {(symbol, open_ms): (open, high, low, close, volume)}."""
    start = midnight_ms(GOLD_DAY, GOLD_ZONE)
    return {
        (contract(name), start + int(line[0])): tuple(map(Decimal, line[1:6]))
        for name, lines in rows(folder() / f"future/comex/minute/gc/{GOLD_DAY}_trade.zip")
        for line in lines
    }


def equity_trades():
    """IBM and BAC with conditions (hexadecimal) and the suspicious flag, both days, in order of time."""
    trades = []
    for symbol in EQUITY_SYMBOLS:
        for day in EQUITY_DAYS:
            start = midnight_ms(day)
            for _, lines in rows(folder() / f"equity/usa/tick/{symbol}/{day}_trade.zip"):
                for sequence, line in enumerate(lines, 1):
                    trades.append({"type": "trade", "venue": "US", "symbol": symbol.upper(),
                                   "time": start + int(line[0]), "sequence": sequence, "price": scaled(line[1]),
                                   "quantity": line[2], "conditions": line[4], "suspicious": int(line[5])})
    trades.sort(key=lambda trade: trade["time"])
    return trades


def equity_seconds():
    """The vendor's second bars without 09:30:00 and 15:59:59, where auction prints were put in by other rules."""
    bars = {}
    for symbol in EQUITY_SYMBOLS:
        for day in EQUITY_DAYS:
            start = midnight_ms(day)
            for _, lines in rows(folder() / f"equity/usa/second/{symbol}/{day}_trade.zip"):
                for line in lines:
                    if not auction_second(int(line[0])):
                        prices = tuple(Decimal(digits).scaleb(-4) for digits in line[1:5])
                        bars[symbol.upper(), start + int(line[0])] = (*prices, Decimal(line[5]))
    return bars


def auction_second(ms_of_day):
    return ms_of_day // 1000 in (34_200, 57_599)


def write(trades, path):
    with open(path, "w") as file:
        file.writelines(json.dumps(trade, separators=(",", ":")) + "\n" for trade in trades)
    return len(trades)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tape", choices=["gold", "equity"])
    parser.add_argument("out")
    given = parser.parse_args()
    count = write(gold_trades() if given.tape == "gold" else equity_trades(), given.out)
    print(f"{given.out}: {count} trades")


if __name__ == "__main__":
    main()
