"""A lake read by others: by pyiceberg through its SQLite catalog, and by DuckDB from the metadata file.

Two readers on purpose: what both read alike is what Athena and Trino will read. Tables are compared as multisets of
rows, never by ticktide's own hash.

    lake.py DIR                       rows of every table by both readers
    lake.py DIR OTHER                 compares the two lakes' bars, indicators and anomalies
"""

import argparse
import importlib.util
import pathlib

import duckdb
from pyiceberg.catalog.sql import SqlCatalog

# Columns that hold a place, a clock or a cut, not content.
OUTSIDE = ("epoch", "received_at", "partition", "offset")


def connect(bucket=None):
    """DuckDB with the Iceberg reader of the Python package: nothing is downloaded. `bucket`: how it reaches S3."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    load_extensions(connection)
    connection.execute("SET TimeZone = 'UTC'")
    if bucket:
        load_extensions(connection, ("httpfs",))
        connection.execute(f"CREATE SECRET (TYPE s3, KEY_ID '{bucket.access_key}', SECRET '{bucket.secret_key}', REGION '{bucket.region}', "
                           f"ENDPOINT '{bucket.address}', URL_STYLE 'path', USE_SSL false)")
    return connection


class Bucket:
    """How readers reach an S3 that speaks plain HTTP at `address` (HOST:PORT)."""

    def __init__(self, address, access_key, secret_key, region="eu-central-1"):
        self.address, self.access_key, self.secret_key, self.region = address, access_key, secret_key, region

    def properties(self):
        """For pyiceberg."""
        return {"s3.endpoint": f"http://{self.address}", "s3.access-key-id": self.access_key,
                "s3.secret-access-key": self.secret_key, "s3.region": self.region}

    def environment(self):
        """For ticktide."""
        return {"TICKTIDE_S3_ENDPOINT": f"http://{self.address}", "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_REGION": self.region}


def load_extensions(connection, names=("avro", "iceberg")):
    for name in names:
        folder = pathlib.Path(importlib.util.find_spec(f"duckdb_extension_{name}").origin).parent
        connection.execute(f"LOAD '{next(folder.glob(f'extensions/*/{name}.duckdb_extension'))}'")


class Lake:
    """A lake at rest or while it is written; every method reads the heads of this moment.

    In a folder with its `catalog.db`, or, with `catalog` (a SQLite file) and `bucket`, wherever that catalog leads.
    """

    def __init__(self, folder, namespace="market", catalog=None, bucket=None):
        catalog = pathlib.Path(catalog or pathlib.Path(folder) / "catalog.db").resolve()
        if not catalog.exists():
            raise FileNotFoundError(f"there is no {catalog}")
        self.namespace = namespace
        # a reader: it makes no tables in a catalog that is just being made
        self.catalog = SqlCatalog("ticktide", uri=f"sqlite:///{catalog}", warehouse=str(folder), init_catalog_tables="false",
                                  **(bucket.properties() if bucket else {}))

    def tables(self):
        return sorted(name for _, name in self.catalog.list_tables(self.namespace))

    def load(self, name):
        return self.catalog.load_table(f"{self.namespace}.{name}")

    def arrow(self, name):
        """The rows by pyiceberg."""
        return self.load(name).scan().to_arrow()

    def rows(self, name):
        """The rows by pyiceberg as dictionaries."""
        return self.arrow(name).to_pylist()

    def view(self, connection, name, into=None, reader="pyiceberg"):
        """Makes the table readable as `into` (default: its name) in a DuckDB connection, by one of the readers."""
        into = into or name
        if reader == "duckdb":
            metadata = self.load(name).metadata_location.removeprefix("file://")
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS FROM iceberg_scan('{metadata}')")
        else:
            source = self.arrow(name)  # found by DuckDB under this name
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS FROM source")

    def history(self, connection, name, into):
        """What `<name>_history` says the table is: rows with their diffs summed, each of which must come to 0 or 1."""
        self.view(connection, f"{name}_history", "history_raw")
        columns = [f'"{column}"' for column in names(connection, "history_raw") if column not in (*OUTSIDE, "diff")]
        listed = ", ".join(columns)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE history_net AS SELECT {listed}, sum(diff) AS net "
                           f"FROM history_raw GROUP BY {listed} HAVING sum(diff) <> 0")
        odd = connection.execute("SELECT count(*) FROM history_net WHERE net <> 1").fetchone()[0]
        if odd:
            raise AssertionError(f"{name}_history: {odd} rows whose diffs come to neither 0 nor 1")
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT {listed} FROM history_net")


def names(connection, table):
    return [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]


def difference(connection, left, right, without=OUTSIDE):
    """(rows only in left, rows only in right) as multisets over all columns but `without`; a missing column is an error."""
    columns = [sorted(set(names(connection, table)) - set(without)) for table in (left, right)]
    if columns[0] != columns[1]:
        raise AssertionError(f"{left} and {right} have other columns: {sorted(set(columns[0]) ^ set(columns[1]))}")
    listed = ", ".join(f'"{column}"' for column in columns[0])
    sides = [f"SELECT {listed} FROM {table}" for table in (left, right)]
    return tuple(connection.execute(f"FROM ({one} EXCEPT ALL {other}) ORDER BY ALL").fetchall()
                 for one, other in (sides, sides[::-1]))


def compare(left, right, tables=None):
    """{table: (rows, only in left, only in right)} for the tables that must not depend on how the input was cut."""
    connection = connect()
    tables = tables or [name for name in left.tables()
                        if name.startswith(("bars_", "indicators_", "anomalies", "quarantine")) and not name.endswith("_history")]
    result = {}
    for name in tables:
        left.view(connection, name, "left_rows")
        right.view(connection, name, "right_rows")
        count = connection.execute("SELECT count(*) FROM left_rows").fetchone()[0]
        result[name] = (count, *difference(connection, "left_rows", "right_rows"))
    return result


def bars_against(connection, lake, name, oracle, reader="pyiceberg", trades=True, extra=()):
    """Compares the lake's bars with the oracle's table (see bars.py): (equal, only in the lake, only in the oracle)."""
    lake.view(connection, name, "lake_bars", reader)
    whole = [f"CAST(CAST({column} AS DECIMAL(28, 8)) * 100000000 AS BIGINT) AS {column}"
             for column in ("open", "high", "low", "close")]
    wide = [f"CAST(floor({column}) AS HUGEINT) * 100000000 + CAST(({column} - floor({column})) * 100000000 AS HUGEINT) AS {column}"
            for column in ("volume", "turnover")]
    counted = ["trades"] if trades else []
    listed = ", ".join(["venue", "symbol", "epoch_us(open_at) AS open_at", *whole, *wide, *counted, *extra])
    connection.execute(f"CREATE OR REPLACE TEMP TABLE lake_units AS SELECT {listed} FROM lake_bars")
    columns = ", ".join(["venue", "symbol", "open_at", "open", "high", "low", "close", "volume", "turnover", *counted, *extra])
    connection.execute(f"CREATE OR REPLACE TEMP TABLE oracle_units AS SELECT {columns} FROM {oracle}")
    only_lake, only_oracle = difference(connection, "lake_units", "oracle_units", without=())
    total = connection.execute("SELECT count(*) FROM oracle_units").fetchone()[0]
    return total - len(only_oracle), only_lake, only_oracle


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lake")
    parser.add_argument("other", nargs="?")
    given = parser.parse_args()
    lake = Lake(given.lake)
    if given.other:
        different = False
        for name, (count, left, right) in compare(lake, Lake(given.other)).items():
            different |= bool(left or right)
            print(f"{name}: {count} rows, {len(left)} only in the first, {len(right)} only in the second")
        raise SystemExit(int(different))
    connection = connect()
    for name in lake.tables():
        counts = []
        for reader in ("pyiceberg", "duckdb"):
            lake.view(connection, name, "rows_read", reader)
            counts.append(connection.execute("SELECT count(*) FROM rows_read").fetchone()[0])
        print(f"{name}: {counts[0]} rows by pyiceberg, {counts[1]} by duckdb")


if __name__ == "__main__":
    main()
