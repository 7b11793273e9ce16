"""A lake read through Glue: its API for the pointers, pyiceberg and DuckDB for what they lead to; and Trino, Athena's engine."""

import base64
import datetime
import decimal
import json
import re
import time
import urllib.error
import urllib.request

import pyarrow
from pyiceberg.table import StaticTable

from oracle import lake


class Glue:
    """The few operations of Glue that a look needs; `address` is HOST:PORT of plain HTTP.

    It signs with its key's name only, which is all that the stand-in checks.
    """

    def __init__(self, address, access_key, region):
        self.address = address
        self.scope = f"AWS4-HMAC-SHA256 Credential={access_key}/20260101/{region}/glue/aws4_request, SignedHeaders=host, Signature=0"

    def call(self, operation, **body):
        """The answer; an exception's name as a RuntimeError."""
        request = urllib.request.Request(f"http://{self.address}/", json.dumps(body).encode(), headers={
            "X-Amz-Target": f"AWSGlue.{operation}", "Content-Type": "application/x-amz-json-1.1", "Authorization": self.scope})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["__type"]) from None

    def tables(self, database):
        """The Iceberg tables of a database by name."""
        tables, token = {}, None
        while True:
            page = self.call("GetTables", DatabaseName=database, **({"NextToken": token} if token else {}))
            tables.update({table["Name"]: table for table in page["TableList"]
                           if table.get("Parameters", {}).get("table_type", "").upper() == "ICEBERG"})
            token = page.get("NextToken")
            if not token:
                return tables


class Pointers(lake.Lake):
    """A lake whose pointers come from somewhere else than a SQLite file: `find` gives {table: metadata location}."""

    def __init__(self, find, bucket=None):
        self.find, self.bucket = find, bucket

    def tables(self):
        return sorted(self.find())

    def load(self, name):
        return StaticTable.from_metadata(self.find()[name], self.bucket.properties() if self.bucket else {})


def lake_of(glue, database, bucket):
    """The lake whose tables are a database's."""
    return Pointers(lambda: {name: table["Parameters"]["metadata_location"] for name, table in glue.tables(database).items()}, bucket)


class Trino:
    """A Trino's statements over HTTP."""

    def __init__(self, address, schema):
        self.address, self.schema = address, schema

    def _send(self, request):
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def arrow(self, sql):
        """The rows of a statement, typed as Trino says. An error of Trino's is a RuntimeError with its words."""
        headers = {"X-Trino-User": "reader", "X-Trino-Catalog": "lake", "X-Trino-Schema": self.schema, "X-Trino-Time-Zone": "UTC",
                   "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME"}  # else times end at the millisecond
        page = self._send(urllib.request.Request(f"{self.address}/v1/statement", sql.encode(), headers=headers))
        columns, rows = None, []
        while True:
            if "error" in page:
                raise RuntimeError(f"{sql[:300]}: {page['error']['message']}")
            columns = page.get("columns", columns)
            rows += page.get("data", [])
            if "nextUri" not in page:
                break
            if "data" not in page:
                time.sleep(0.01)
            page = self._send(page["nextUri"])
        if columns is None:
            return pyarrow.table({})
        arrays = []
        for at, column in enumerate(columns):
            kind, read = typed(column["type"])
            arrays.append(pyarrow.array([None if row[at] is None else read(row[at]) for row in rows], kind))
        return pyarrow.table(arrays, [column["name"] for column in columns])

    def rows(self, sql):
        return self.arrow(sql).to_pylist()

    def write(self, sql, seconds=60):
        """A statement that writes on all nodes of a catalog. Trino answers before it knows that it is one itself."""
        until = time.monotonic() + seconds
        while True:
            try:
                return self.rows(sql)
            except RuntimeError as error:
                none_yet = "nodes is empty" in str(error) or "No nodes available" in str(error)
                if not none_yet or time.monotonic() > until:
                    raise
            time.sleep(1)

    def view(self, connection, name, into):
        """Makes a table, read by Trino, readable in a DuckDB connection."""
        source = self.arrow(f'SELECT * FROM "{name}"')  # found by DuckDB under this name
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS FROM source")


def moment(text):
    return datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=datetime.timezone.utc)


def typed(name):
    """Arrow's type of Trino's, and how a value of its JSON is read. A type that no table of ticktide has is an error."""
    if found := re.fullmatch(r"decimal\((\d+), ?(\d+)\)", name):
        return pyarrow.decimal128(*map(int, found.groups())), decimal.Decimal
    plain = {
        "bigint": (pyarrow.int64(), int), "integer": (pyarrow.int32(), int), "double": (pyarrow.float64(), float),
        "boolean": (pyarrow.bool_(), bool), "date": (pyarrow.date32(), datetime.date.fromisoformat),
        "varbinary": (pyarrow.binary(), base64.b64decode), "timestamp(6) with time zone": (pyarrow.timestamp("us", "UTC"), moment),
    }
    if name.startswith("varchar"):
        return pyarrow.string(), str
    return plain[name]
