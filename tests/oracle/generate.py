"""One synthetic NSE session as JSON lines, for the end-to-end bench: many trades, few bytes of thought.

500 symbols whose activity follows Zipf's law, 4 partitions by symbol, records in order of arrival: up to 2 s later than
their event time, so partitions are out of order. numpy draws, DuckDB writes: 5 million records in well under a minute.
A record:

    {"symbol":"RELIANCE","exchange":"NSECM","ts":1767584700123456,"seq":17,"price":2445.35,"qty":10,"bid":2445.30,
     "ask":2445.40,"bid_qty":120,"ask_qty":80,"cum_volume":90211,"recv_ts":1767584700140000,"cond":"REG"}

    generate.py OUT_DIR [--trades 5000000]     writes OUT_DIR/ticks-<partition>.jsonl
"""

import argparse
import pathlib
import time

import duckdb
import numpy as np
import pyarrow as pa

OPEN_US = 1_767_584_700_000_000  # 2026-01-05 09:15 in Kolkata
LENGTH_US = 375 * 60 * 1_000_000
SYMBOLS, PARTITIONS, DISORDER_US = 500, 4, 2_000_000
FIELDS = {"venue": "exchange", "time": "ts", "sequence": "seq", "quantity": "qty"}


def symbol_names():
    return ["RELIANCE", *(f"SYM{number:04}" for number in range(1, SYMBOLS))]


def draw(trades, seed):
    """The columns of all trades in order of event time, numbered per symbol."""
    random = np.random.default_rng(seed)
    weight = 1.0 / np.arange(1, SYMBOLS + 1)
    symbol = random.choice(SYMBOLS, trades, p=weight / weight.sum()).astype(np.int32)
    at = OPEN_US + np.sort(random.integers(0, LENGTH_US, trades))
    order = np.argsort(symbol, kind="stable")  # by symbol, then by time
    grouped = symbol[order]
    first = np.searchsorted(grouped, np.arange(SYMBOLS))
    sequence, price, volume = (np.empty(trades, np.int64) for _ in range(3))
    sequence[order] = np.arange(trades) - first[grouped] + 1
    quantity = np.minimum(random.geometric(0.05, trades), 5_000)
    # prices in units of 0.05: a walk per symbol around its own level, never near zero
    steps = np.cumsum(random.integers(-1, 2, trades))
    level = random.integers(2_000, 60_000, SYMBOLS)
    price[order] = level[grouped] + np.abs((steps - steps[np.minimum(first, trades - 1)][grouped]) % 2_000 - 1_000)
    total = np.cumsum(quantity[order])
    before = np.where(first > 0, total[np.maximum(first, 1) - 1], 0)
    volume[order] = total - before[grouped]
    delay = random.integers(0, DISORDER_US, trades)
    depth = random.integers(1, 500, (2, trades))
    return pa.table({"symbol": symbol, "moment": at, "sequence": sequence, "price": price, "quantity": quantity,
                     "volume": volume, "received": at + delay, "bid_quantity": depth[0], "ask_quantity": depth[1]})


def write(folder, trades=5_000_000, seed=7):
    """Writes one file a partition, in order of arrival; returns their paths."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    drawn, named = draw(trades, seed), pa.table({"symbol": np.arange(SYMBOLS, dtype=np.int32), "name": symbol_names()})
    connection = duckdb.connect()
    connection.register("drawn", drawn)
    connection.register("named", named)

    def money(ticks):
        return f"({ticks}) // 20 || '.' || lpad(CAST((({ticks}) % 20) * 5 AS VARCHAR), 2, '0')"

    paths = [folder / f"ticks-{partition}.jsonl" for partition in range(PARTITIONS)]
    for partition, path in enumerate(paths):
        connection.execute(f"""
            COPY (SELECT '{{"symbol":"' || name || '","exchange":"NSECM","ts":' || moment || ',"seq":' || sequence
                    || ',"price":' || {money('price')} || ',"qty":' || quantity
                    || ',"bid":' || {money('price - 1')} || ',"ask":' || {money('price + 1')}
                    || ',"bid_qty":' || bid_quantity || ',"ask_qty":' || ask_quantity || ',"cum_volume":' || volume
                    || ',"recv_ts":' || received || ',"cond":"REG"}}'
                  FROM drawn JOIN named USING (symbol) WHERE symbol % {PARTITIONS} = {partition} ORDER BY received, symbol, sequence)
            TO '{path}' (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x1f')""")
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--trades", type=int, default=5_000_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    begun = time.monotonic()
    for path in write(given.folder, given.trades, given.seed):
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB")
    print(f"{given.trades} trades in {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    main()
