"""Bars recomputed from scratch by DuckDB, from the same JSON lines that ticktide reads.

Nothing here is shared with ticktide: SQL over the whole input, no state, no order of arrival. All numbers are exact
(prices and quantities as integers at scale 10^-8, turnover at 10^-16, rounded half-even once).

The rules (they are the interface's): a trade counts once per (symbol, UTC day of its time, id or else sequence); the
greatest correction of an id replaces price and quantity; a cancel takes the trade away for good; first and last are by
(time, sequence); quantity 0 sets prices; a price <= 0 stays out.

    bars.py --interval 1m IN.jsonl...     prints the bars as CSV
"""

import argparse

import duckdb

WIRE = {"type": "type", "venue": "venue", "symbol": "symbol", "time": "time", "sequence": "sequence", "id": "id",
        "price": "price", "quantity": "quantity", "conditions": "conditions", "suspicious": "suspicious"}
MICROS = {"1s": 1_000_000, "1m": 60_000_000, "5m": 300_000_000, "15m": 900_000_000, "1h": 3_600_000_000}
US_TAPE = {
    "no_price": f"(code & {0x50002E0}) != 0 AND (code & {0x2000}) = 0 OR code IN ({0x20100000}, {0x20000008}, {0x20104800})",
    "no_volume": f"(code & {0x50000C0}) != 0",
}


def connect():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    return connection


def load(connection, paths, fields=None, table="trades", plain=False):
    """Makes the table of live trades (venue, symbol, day, moment, sequence, price …) from files.

    `plain`: the input is known to hold trades only, each once; saves half the time.
    """
    wire = WIRE | (fields or {})
    names = ", ".join(f"'{name}': 'VARCHAR'" for name in sorted(set(wire.values())))
    files = ", ".join(f"'{path}'" for path in paths)
    unit = "CASE WHEN abs(t) < 100000000000 THEN 1000000 WHEN abs(t) < 100000000000000 THEN 1000 ELSE 1 END"
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE records AS
        WITH raw AS (SELECT *, CAST({wire['time']} AS BIGINT) AS t FROM read_json([{files}], format = 'newline_delimited',
                     columns = {{{names}}}, maximum_object_size = 1048576))
        SELECT coalesce("{wire['type']}", 'trade') AS kind, "{wire['venue']}" AS venue, "{wire['symbol']}" AS symbol,
               CASE WHEN abs(t) < 100000000000000000 THEN t * ({unit}) ELSE t // 1000 END AS moment,
               TRY_CAST("{wire['sequence']}" AS BIGINT) AS sequence, "{wire['id']}" AS id,
               {units(wire['price'])} AS price, {units(wire['quantity'])} AS quantity,
               "{wire['conditions']}" AS conditions, coalesce("{wire['suspicious']}", '0') NOT IN ('0', 'false', '') AS suspicious
        FROM raw""")
    if plain:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT *, moment // 86400000000 AS day FROM records")
        connection.execute("DROP TABLE records")
        return
    same = "venue, symbol, moment // 86400000000, coalesce(id, '#' || sequence)"
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE {table} AS
        WITH once AS (SELECT DISTINCT ON ({same}) *, moment // 86400000000 AS day FROM records
                      WHERE kind = 'trade' AND coalesce(id, CAST(sequence AS VARCHAR)) IS NOT NULL
                      UNION ALL SELECT *, moment // 86400000000 FROM records
                      WHERE kind = 'trade' AND id IS NULL AND sequence IS NULL),
             corrected AS (SELECT venue, symbol, id, max({{'rank': coalesce(sequence, moment), 'price': price,
                           'quantity': quantity}}) AS last FROM records WHERE kind = 'correct' GROUP BY ALL),
             cancelled AS (SELECT DISTINCT venue, symbol, id FROM records WHERE kind = 'cancel')
        SELECT venue, symbol, day, moment, sequence, coalesce(corrected.last.price, price) AS price,
               coalesce(corrected.last.quantity, quantity) AS quantity, conditions, suspicious
        FROM once LEFT JOIN corrected USING (venue, symbol, id)
        WHERE NOT EXISTS (FROM cancelled WHERE cancelled.id = once.id AND cancelled.symbol = once.symbol
                          AND cancelled.venue = once.venue)""")
    connection.execute("DROP TABLE records")


def units(column):
    return f'CAST(CAST(CAST("{column}" AS DECIMAL(18, 8)) AS DECIMAL(28, 8)) * 100000000 AS BIGINT)'


def bars(connection, interval, into, table="trades", conditions=None):
    """Makes the table `into`: venue, symbol, open_at (µs), open … volume, turnover in units of 10^-8, trades."""
    width = MICROS[interval]
    if conditions:
        code = "coalesce(TRY_CAST('0x' || conditions AS BIGINT), 0)"
        marked = (f"SELECT * EXCLUDE (code), price > 0 AND NOT suspicious AND NOT ({conditions['no_price']}) AS sets, "
                  f"NOT ({conditions['no_volume']}) AS adds FROM (SELECT *, {code} AS code FROM {table})")
    else:
        marked = f"SELECT *, price > 0 AS sets, price > 0 AS adds FROM {table}"
    key = "moment::HUGEINT * 1099511627776 + coalesce(sequence, 0)"
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE {into} AS
        WITH buckets AS (
            SELECT venue, symbol, day, moment - moment % {width} AS bucket,
                   arg_min(price, {key}) FILTER (sets) AS open, max(price) FILTER (sets) AS high,
                   min(price) FILTER (sets) AS low, arg_max(price, {key}) FILTER (sets) AS close,
                   coalesce(sum(quantity::HUGEINT) FILTER (adds), 0)::HUGEINT AS volume,
                   coalesce(sum(price::HUGEINT * quantity) FILTER (adds), 0)::HUGEINT AS turnover,
                   count(*) FILTER (adds) AS trades
            FROM ({marked}) GROUP BY ALL),
        owned AS (SELECT *, max(bucket) FILTER (open IS NOT NULL)
                         OVER (PARTITION BY venue, symbol, day ORDER BY bucket) AS open_at FROM buckets),
        summed AS (SELECT venue, symbol, open_at, max(open) AS open, max(high) AS high, max(low) AS low, max(close) AS close,
                          sum(volume)::HUGEINT AS volume, sum(turnover)::HUGEINT AS turnover16, sum(trades)::BIGINT AS trades
                   FROM owned WHERE open_at IS NOT NULL GROUP BY ALL)
        SELECT * EXCLUDE (turnover16),
               turnover16 // 100000000 + CASE WHEN turnover16 % 100000000 > 50000000 OR turnover16 % 100000000 = 50000000
               AND (turnover16 // 100000000) % 2 = 1 THEN 1 ELSE 0 END AS turnover
        FROM summed""")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interval", default="1m", choices=list(MICROS))
    parser.add_argument("--us-tape", action="store_true", help="the conditions of the US equity tape")
    parser.add_argument("paths", nargs="+")
    given = parser.parse_args()
    connection = connect()
    load(connection, given.paths)
    bars(connection, given.interval, "out", conditions=US_TAPE if given.us_tape else None)
    connection.execute("COPY (FROM out ORDER BY ALL) TO '/dev/stdout' (FORMAT csv, HEADER)")


if __name__ == "__main__":
    main()
