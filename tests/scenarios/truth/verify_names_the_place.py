"""`verify` holds on lakes from files and from Kafka, killed and restarted in the middle, with other workers; else it names where.

The input has late, doubled, cancelled and corrected trades and junk. A lake written with one worker is verified with two and
the other way round. Then a data file is replaced by another of the same shape, one is lost, a record of the source is
altered, the source is gone: table, epoch and key are named, or the command ends with 2 and says what else can be done.
"""
# s26_verify: always, 40 s

import json
import random
import shutil
import signal

import pyarrow
import pyarrow.parquet as parquet

from harness import Scenario, epochs, tail, wait_for
from oracle import disorder, lake, produce

SETTINGS = ("--set", "source.corrections=true", "--set", "limits.epochs=2", "--set", "ticks=true", "--set",
            'indicators=[{use="ema",period=20,on="1m"},{use="rsi",on="1m"}]', "--set",
            'anomalies=[{use="return_z",on="1m",z=2},{use="instrument_gap",on="1s",seconds=30,times=2},'
            '{use="feed_gap",on="1s",seconds=1},{use="bad_price_size"}]')
CUTS = ("--set", "epoch.records=1000", "--set", "limits.bytes=1MiB")
TRADES = 60_000


def records(seed):
    """A disordered tape with some junk in it."""
    draw = random.Random(seed)
    rows = [json.dumps(record, separators=(",", ":")).encode() for record in disorder.tape(TRADES, seed)]
    for junk in (b"{", b'{"symbol":"ACME"}', b"\xff\xfe", b'{"symbol":"ACME","time":"yesterday","price":"1","quantity":"1"}'):
        for _ in range(5):
            rows.insert(draw.randrange(2_000, len(rows)), junk)
    return rows


def write(path, rows):
    path.write_bytes(b"".join(row + b"\n" for row in rows))


def errors(done):
    return "\n".join(line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:")))


def killed_once(scenario, folder, arguments, after):
    """Runs until some epochs are there, kills, runs to the end."""
    child = scenario.start("run", "bars", *arguments, "--warehouse", folder, "--until", "end")
    wait_for(lambda: not child.running() or len(list((folder / "log").glob("*.json"))) > after, 60, 0.005)
    alive = child.running()
    child.signal(signal.SIGKILL)
    child.wait(10)
    scenario.run("run", "bars", *arguments, "--warehouse", folder, "--until", "end")
    return alive


def equal(scenario, folder, what, *more, settings=SETTINGS):
    return scenario.verify(what, "--warehouse", folder, *settings, *more)


def from_files(scenario):
    """Three files that are three partitions."""
    rows = records(7)
    folder, inputs = scenario.work / "files", scenario.work / "input"
    inputs.mkdir()
    for number in range(3):
        write(inputs / f"part{number}.jsonl", [row for at, row in enumerate(rows) if hash_of(row, at) % 3 == number])
    arguments = ("--source", "file", "--path", inputs, *SETTINGS, *CUTS, "-w", 1)
    alive = killed_once(scenario, folder, arguments, 8)
    generations = {row["generation"] for row in lake.Lake(folder).rows("epochs")}
    scenario.check(alive and len(generations) == 2, f"a lake from files was killed in the middle ({epochs(folder)} epochs)")
    parts = equal(scenario, folder, "a lake from files, written with -w 1, verified with -w 2", "-w", 2)
    scenario.check(parts["recomputation"]["records"] == len(rows), f"all {len(rows)} records were read again")
    last = max(row["epoch"] for row in lake.Lake(folder).rows("epochs"))
    again = equal(scenario, folder, "the same from its own archive", "-w", 3, "--source", "lake")["recomputation"]
    scenario.check(again["records"] < len(rows) and again["rows"] == parts["recomputation"]["rows"], f"without {len(rows) - again['records']} "
                   "duplicates, which it does not keep, to the same rows")
    parts = equal(scenario, folder, "a part of it, from the state that the log has", "--epochs", f"{last // 2}..{last - 1}", "-w", 3)
    scenario.check(parts["recomputation"]["first"] == last // 2, f"it began with epoch {last // 2}")
    return folder, inputs, rows


def hash_of(row, at):
    """Which file a record is in: all records of a symbol in one, in order; junk anywhere."""
    try:
        return sum(json.loads(row)["symbol"].encode())
    except (ValueError, KeyError):
        return at


def from_kafka(scenario):
    rows = records(8)
    topic, folder, path = scenario.topic("verify"), scenario.work / "kafka-lake", scenario.work / "kafka.jsonl"
    produce.create(scenario.brokers(), topic, 2)
    sink = produce.Sink(scenario.brokers())
    # broker times near the trades' own: none is of the future
    for at, row in enumerate(rows):
        stamp = (disorder.START_US + disorder.LENGTH_US * 2) // 1000
        sink.put(topic, row, None, hash_of(row, at) % 2, stamp)
    sink.flush()
    arguments = ("--brokers", scenario.brokers(), "--topic", topic, *SETTINGS, *CUTS, "-w", 2)
    alive = killed_once(scenario, folder, arguments, 8)
    scenario.check(alive, f"a lake from Kafka was killed in the middle ({epochs(folder)} epochs)")
    equal(scenario, folder, "a lake from Kafka, written with -w 2, verified with -w 1", "-w", 1)
    equal(scenario, folder, "the same from its own archive", "-w", 2, "--source", "lake")
    write(path, rows[:10])
    produce.delete(scenario.brokers(), topic)

    def gone():
        done = scenario.run("verify", "--warehouse", folder, *SETTINGS, code=None)
        return done if done.code != 0 else None

    done = wait_for(gone, 30, 1)
    scenario.check(done and done.code == 2 and topic in done.stderr and "verify --files" in done.stderr,
                   "with its topic deleted, verify ends with 2 and names what else can be done", done and tail(done))
    scenario.run("verify", "--warehouse", folder, "--files")
    scenario.check(True, "and the files are still held against the log")


def replaced(scenario, folder, name, change):
    """A copy of the lake's bytes at its own address, with something done to it, then put back."""
    safe = scenario.work / "safe"
    shutil.copytree(folder, safe, dirs_exist_ok=False)
    try:
        table, epoch = change(folder)
        done = scenario.run("verify", "--warehouse", folder, "--files", "--json", code=None)
        said = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
        holds = done.code == 1 and (said.get("table"), said.get("epoch")) == (table, epoch)
        scenario.check(holds and f"table {table}, epoch {epoch}" in done.stderr,
                       f"{name}: exit 1 names table {table}, epoch {epoch}", (said, tail(done)))
        if holds:
            scenario.note(errors(done).splitlines()[0][:200])
    finally:
        shutil.rmtree(folder)
        safe.rename(folder)


def written(folder, table):
    """[(epoch, file)] that epochs have written into the table, by the log, the oldest first; none is older than the retention."""
    found = []
    for path in sorted((folder / "log").glob("*.json")):
        slot = json.loads(path.read_text())
        work = (slot["tables"].get(table) or {}).get("work") or {"files": []}
        found.extend((slot["epoch"], folder / file["path"]) for file in work["files"])
    return found


def same_shape(folder):
    """The file of an epoch overwritten by that of another: same columns, other rows."""
    files = written(folder, "bars_1s_history")
    epoch, path = files[2]
    shutil.copyfile(next(other for of, other in reversed(files) if of != epoch), path)
    return "bars_1s_history", epoch


def one_value(folder):
    """One close in one file is another by a cent; as many rows, the same bounds of time."""
    epoch, path = written(folder, "ticks")[2]
    table = parquet.read_table(path, partitioning=None)
    at = table.schema.get_field_index("price")
    prices = table.column(at).to_pylist()
    prices[7] = prices[7] + 1
    changed = pyarrow.array(prices, table.schema.field(at).type)
    parquet.write_table(table.set_column(at, table.schema.field(at), changed), path)
    return "ticks", epoch


def fewer_rows(folder):
    epoch, path = written(folder, "ticks")[3]
    parquet.write_table(parquet.read_table(path, partitioning=None).slice(1), path)
    return "ticks", epoch


def lost(folder):
    epoch, path = written(folder, "indicators_1m_history")[0]
    path.unlink()
    return "indicators_1m_history", epoch


def other_record(scenario, folder, inputs, rows):
    """One price in the source is another than when the lake read it."""
    path = sorted(inputs.iterdir())[0]
    before = path.read_bytes()
    changed, said = before.split(b"\n"), None
    for at in range(len(changed) // 2, len(changed)):
        if b"trade" not in changed[at]:
            continue
        record = json.loads(changed[at])
        if record["type"] == "trade" and record["quantity"] != "0":
            said = record
            changed[at] = changed[at].replace(f'"price":"{record["price"]}"'.encode(), b'"price":"99999"')
            break
    path.write_bytes(b"\n".join(changed))
    done = scenario.run("verify", "--warehouse", folder, "--json", *SETTINGS, "-w", 2, code=None)
    found = json.loads(done.stdout.splitlines()[-1])
    scenario.check(done.code == 1 and found["table"] == "ticks" and said["symbol"] in found["key"] and "99999" in
                   found["recomputed"], "another price in the source: exit 1 names table, epoch and key", (found, tail(done)))
    scenario.note(errors(done).splitlines()[0][:300])
    path.write_bytes(b"\n".join(before.split(b"\n")[:-500]) + b"\n")
    done = scenario.run("verify", "--warehouse", folder, *SETTINGS, code=None)
    scenario.check(done.code == 2 and "verify --files" in done.stderr, "a file that has become shorter: exit 2", tail(done))
    path.unlink()
    done = scenario.run("verify", "--warehouse", folder, *SETTINGS, code=None)
    scenario.check(done.code == 2 and path.stem in done.stderr and "verify --files" in done.stderr,
                   "a file of the source is gone: exit 2 names it and what else can be done", tail(done))
    path.write_bytes(before)
    done = scenario.run("verify", "--warehouse", folder, *SETTINGS, "--set", "grace=7s", code=None)
    scenario.check(done.code == 2 and "grace" in done.stderr, "another dataflow than the lake's: exit 2 names the key", tail(done))


def main():
    scenario = Scenario(__doc__)
    folder, inputs, rows = from_files(scenario)
    for name, change in (("a data file replaced by another of the same shape", same_shape), ("one value changed", one_value),
                         ("a row less", fewer_rows), ("a file lost", lost)):
        replaced(scenario, folder, name, change)
    equal(scenario, folder, "put back, it holds again", "-w", 2)
    other_record(scenario, folder, inputs, rows)
    from_kafka(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
