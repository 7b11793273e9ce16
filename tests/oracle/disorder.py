"""A disordered tape as JSON lines: late trades, duplicates, cancels and corrections, some before their trade.

Records stand in order of arrival. Most trades arrive within 2 s of their time, one in forty up to 25 minutes late; one in
fifty is corrected (some twice), one in fifty cancelled; one in ten of those arrives before its trade. Everything lies
within one UTC day, so days play no part. The same seed gives the same bytes.

    disorder.py OUT.jsonl [--trades 240000] [--seed 1]
"""

import argparse
import json
import random

START_US = 1_767_607_200_000_000  # 2026-01-05 10:00 UTC
LENGTH_US = 3 * 3_600 * 1_000_000
SYMBOLS = ("ACME", "BOREAL", "CYGNUS", "DORADO", "ERIDANI", "FORNAX")
VENUE = "XTEST"
LATE_US = 25 * 60 * 1_000_000
PROMPT_US = 2_000_000


def money(cents):
    return f"{cents // 100}.{cents % 100:02}"


def trade(symbol, moment, sequence, identity, cents, quantity):
    return {"type": "trade", "venue": VENUE, "symbol": symbol, "time": moment, "sequence": sequence, "id": identity,
            "price": money(cents), "quantity": str(quantity)}


def tape(trades=240_000, seed=1):
    """The records in order of arrival."""
    draw = random.Random(seed)
    cents = {symbol: draw.randrange(2_000, 50_000) for symbol in SYMBOLS}
    sequences = dict.fromkeys(SYMBOLS, 0)
    arrivals = []  # (arrival, tie breaker, record)

    def arrive(moment, record):
        arrivals.append((moment, len(arrivals), record))

    def next_sequence(symbol):
        sequences[symbol] += 1
        return sequences[symbol]

    for moment in sorted(draw.randrange(START_US, START_US + LENGTH_US) for _ in range(trades)):
        symbol = draw.choice(SYMBOLS)
        cents[symbol] = max(100, cents[symbol] + draw.randrange(-3, 4))
        sequence = next_sequence(symbol)
        record = trade(symbol, moment, sequence, f"{symbol}-{sequence}", cents[symbol], draw.choice((0, 1, 5, 10, 100)))
        delay = draw.randrange(LATE_US) if draw.random() < 0.025 else draw.randrange(PROMPT_US)
        arrive(moment + delay, record)
        if draw.random() < 0.01:
            arrive(moment + delay + draw.randrange(60_000_000), record)
        for kind in ("correct", "correct", "cancel"):
            if draw.random() >= (0.02 if kind == "cancel" else 0.01):
                continue
            news = {"type": kind, "venue": VENUE, "symbol": symbol, "id": record["id"], "time": moment,
                    "sequence": next_sequence(symbol)}
            if kind == "correct":
                news |= {"price": money(cents[symbol] + draw.randrange(-50, 51)), "quantity": str(draw.randrange(1, 200))}
            early = draw.random() < 0.1
            arrive(moment + (delay * draw.random() if early else delay + draw.randrange(LATE_US)), news)
    return [record for _, _, record in sorted(arrivals, key=lambda arrival: arrival[:2])]


def hour_late(records):
    """A trade that arrives after all others, an hour and a half late: the new high and close of its minute."""
    moment = START_US + LENGTH_US // 2 + 59_999_999
    symbol = SYMBOLS[0]
    sequence = 1 + max(record["sequence"] for record in records if record["symbol"] == symbol)
    return trade(symbol, moment, sequence, f"{symbol}-{sequence}", 99_999, 7)


def write(records, path):
    with open(path, "w") as file:
        file.writelines(json.dumps(record, separators=(",", ":")) + "\n" for record in records)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--trades", type=int, default=240_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    records = tape(given.trades, given.seed)
    write(records, given.out)
    print(f"{given.out}: {len(records)} records")


if __name__ == "__main__":
    main()
