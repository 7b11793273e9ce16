"""The small seeded inputs that lakes are compared by: what is in them, how they are run, and the sums of their tables.

    small.py pack BINARY OUT.tar.xz     makes the lake at its fixed path with that ticktide, and packs it with its input
    small.py sums BINARY WORK           prints the content hash of every table over every input, as JSON

A lake's files name its folder, so a packed lake is unpacked where it was made: AT. The sums are those that `epoch_tables` has
for the last epoch; they do not depend on order or epochs, so histories, which hold epochs, are left out.
"""

import json
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from oracle import disorder  # noqa: E402

AT = pathlib.Path("/tmp/ticktide-packed-lake")
# how many records each run of the packed lake found; what comes after them is for whoever goes on
STEPS = (800, 1_500, 2_200)
DATAFLOW = """
source     = { use = "file", sequence = "trusted", corrections = CORRECTIONS, volume = "VOLUME" }
epoch      = { records = 400 }
limits     = { epochs = 2 }
ticks      = true
bars       = [{ use = "time", every = "1s" }, { use = "time", every = "1m" }, { use = "time", every = "5m" }, { use = "time", every = "1d" }]
indicators = [
  { use = "ema", period = 5, on = "1m" }, { use = "rsi", period = 5, on = "1m" }, { use = "macd", on = "1m" },
  { use = "bbands", period = 5, on = "1m" }, { use = "atr", period = 5, on = "1m" }, { use = "vwap", on = "1m" }, { use = "obv", on = "5m" },
]
anomalies  = [
  { use = "bad_price_size" }, { use = "crossed_quote" }, { use = "return_z", on = "1m" }, { use = "instrument_gap", on = "1m" },
  { use = "feed_gap", on = "1s" }, { use = "two_partitions" },
]
"""


def tape():
    """Trades with disorder, duplicates, cancels, corrections, prices five times too high, and three records that are no ticks."""
    drawn = disorder.tape(trades=4_000, seed=17)
    for record in drawn[50::400]:
        if record["type"] == "trade":
            record["price"] = disorder.money(5 * int(record["price"].replace(".", "")))
    records = [json.dumps(record) for record in drawn]
    for place, junk in ((700, "{not json"), (1_900, '{"type":"trade","venue":"XTEST","symbol":"ACME","price":"x"}'), (3_100, "")):
        records.insert(place, junk)
    return records


def snapshots():
    """Snapshots of four instruments with a cumulative volume; some are stale, some repeat, some cross their quotes."""
    draw, records, volume = random.Random(23), [], {}
    for number in range(3_000):
        symbol = draw.choice(("ACME", "BOREAL", "CYGNUS", "DORADO"))
        moment = disorder.START_US + number * 1_500_000 - (draw.randrange(90_000_000) if draw.random() < 0.02 else 0)
        volume[symbol] = volume.get(symbol, 0) + draw.choice((0, 0, 1, 7, 100))
        cents = 10_000 + draw.randrange(-200, 201)
        bid = cents - draw.choice((5, 5, 5, 5, -10))
        records.append(json.dumps({
            "type": "snapshot", "venue": "XTEST", "symbol": symbol, "time": moment, "price": disorder.money(cents),
            "cumulative_volume": str(volume[symbol]), "bid": disorder.money(bid), "bid_quantity": "10",
            "ask": disorder.money(cents + 5), "ask_quantity": "20", "trade_time": moment - draw.randrange(3_000_000),
        }))
        if draw.random() < 0.01:
            records.append(records[-1])
    return records


# name → (records, corrections, volume)
INPUTS = {
    "trades": (tape, "false", "trade"),
    "corrected": (tape, "true", "trade"),
    "snapshots": (snapshots, "false", "cumulative"),
}


def write(folder, name, records):
    """The input and its dataflow file; the dataflow's path and the options of `run`."""
    _, corrections, volume = INPUTS[name]
    folder.mkdir(parents=True, exist_ok=True)
    dataflow = folder / f"{name}.toml"
    dataflow.write_text(DATAFLOW.replace("CORRECTIONS", corrections).replace("VOLUME", volume))
    path = folder / f"{name}.jsonl"
    path.write_text("".join(record + "\n" for record in records))
    return ["run", str(dataflow), "--path", str(path), "--until", "end", "--warehouse", str(folder / "lake")]


def pack(binary, out):
    shutil.rmtree(AT, ignore_errors=True)
    for records in STEPS:
        subprocess.run([binary, *write(AT, "corrected", tape()[:records])], check=True)
    with tarfile.open(out, "w:xz") as packed:
        packed.add(AT, arcname=".")


def unpack(packed):
    """The packed lake where it was made; its folder."""
    shutil.rmtree(AT, ignore_errors=True)
    AT.mkdir()
    with tarfile.open(packed) as archive:
        archive.extractall(AT, filter="data")
    return AT / "lake"


def sums(binary, lake):
    """Table → content hash at the last epoch."""
    sql = "select * from epoch_tables where epoch = (select max(epoch) from epochs)"
    asked = subprocess.run([binary, "query", sql, "--json", "--warehouse", str(lake)], check=True, stdout=subprocess.PIPE, text=True)
    rows = [json.loads(line) for line in asked.stdout.splitlines()]
    named = {row.get("table_name", row.get("table")): row["content_hash"] for row in rows}
    return {name: hash for name, hash in sorted(named.items()) if not name.endswith("_history")}


def all_sums(binary, work):
    """Input → table → content hash, each input run into a lake of its own."""
    found = {}
    for name, (records, _, _) in INPUTS.items():
        folder = pathlib.Path(work) / name
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([binary, *write(folder, name, records()), "--quiet"], check=True)
        found[name] = sums(binary, folder / "lake")
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["pack"]:
        pack(sys.argv[2], sys.argv[3])
    elif sys.argv[1:2] == ["sums"]:
        print(json.dumps(all_sums(sys.argv[2], sys.argv[3]), indent=1))
    else:
        sys.exit(__doc__)
