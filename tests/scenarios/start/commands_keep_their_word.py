"""Every command does what its help says, by other people's readers; wrong input ends with exit code 2 and a hint."""
# s14_commands: rotating, 45 s

import collections
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree

import duckdb
import pyarrow.parquet

from harness import Scenario, decode_rows, epochs, tail, wait_for
from oracle import disorder, lake

COUNT = 20_000
PORT = int(os.environ.get("TICKTIDE_TEST_METRICS_PORT", "19464"))
# horizons follow the epoch before, so that what comes with a later one can be late
FOLLOWED = ("--set", "limits.epochs=1")
JUNK = [b"", b"not json", b"\xff\xfe\x00", b'{"type":"banana"}']
MAPPED = """\
source = { use = "file", wire = "json", sequence = "none", fields = { price = "px", quantity = "qty" } }
bars = [{ use = "time", every = "1s" }, { use = "time", every = "1m" }]
"""


def refused(scenario, what, *arguments, words=(), env=None):
    """Runs something that must end with exit code 2, one error, a hint (or clap's usage) and these words."""
    done = scenario.run(*arguments, code=None, timeout_s=60, env=env)
    one = len(re.findall(r"(?m)^error:", done.stderr)) == 1 and "panicked" not in done.stderr
    hinted = "hint:" in done.stderr or "For more information, try '--help'" in done.stderr or "possible values" in done.stderr
    scenario.check(done.code == 2 and one and hinted and all(word in done.stderr for word in words),
                   f"{what}: exit code {done.code}, one error, a hint", tail(done))


def tapes(scenario):
    """A file of good records, mapped ones and junk, to which two late ones are added later; its lines, and those two."""
    trades = [record for record in disorder.tape(2 * COUNT, 14) if record["type"] == "trade"]
    trades = list({(record["symbol"], record["id"]): record for record in trades}.values())[:COUNT]
    mapped = [{("px" if key == "price" else "qty" if key == "quantity" else key): value for key, value in record.items()}
              for record in trades[5000:6000]]
    newest = max(record["time"] for record in trades)
    late = [{**trades[0], "id": f"late-{minutes}", "sequence": minutes, "time": newest - minutes * 60 * 10**6} for minutes in (30, 240)]
    lines = [json.dumps(record).encode() for record in [*trades[:5000], *mapped, *trades[6000:]]] + JUNK
    path = scenario.work / "mixed.jsonl"
    append(path, lines)
    return path, trades, mapped, lines, [json.dumps(record).encode() for record in late]


def append(path, lines):
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)


def plan(scenario):
    for name in ("bars", "market", "us_tape", "demo"):
        svg = scenario.work / f"{name}.svg"
        done = scenario.run("plan", name, "--svg", svg, "--quiet")
        root = xml.etree.ElementTree.parse(svg).getroot()
        texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
        rows = decode_rows(scenario.run("plan", name, "--json").stdout)
        tables = {row["table"] for row in rows if "table" in row}
        operators = {row["operator"] for row in rows if "operator" in row}
        flows = [row for row in rows if "flow" in row]
        scenario.check(operators <= texts and tables <= texts and {flow["from"] for flow in flows} <= operators,
                       f"plan {name}: {len(operators)} operators, {len(flows)} flows, {len(tables)} tables, all in the drawing",
                       sorted((operators | tables) - texts))
        scenario.check(all(name in done.stdout for name in operators | tables), f"plan {name}: all in the text, too")
    return tables


def plan_of_snapshots(scenario):
    """The volume scan that cumulative sources get stands in the text, the JSON and the drawing."""
    svg = scenario.work / "snapshots.svg"
    for what, more, wanted in (("cumulative", ("--set", "source.volume=cumulative"), True), ("trades", (), False)):
        text = scenario.run("plan", "bars", *more, "--svg", svg, "--quiet").stdout
        rows = decode_rows(scenario.run("plan", "bars", *more, "--json").stdout)
        flows = {(row["from"], row["to"]) for row in rows if "flow" in row}
        drawn = {element.text for element in xml.etree.ElementTree.parse(svg).getroot().iter("{http://www.w3.org/2000/svg}text")}
        shown = ("Bars ─▶ Volume" in text, "Volume" in drawn, any(row.get("operator") == "Volume" for row in rows),
                 {("Bars", "Volume"), ("Volume", "Close bars"), ("Volume", "Write")} <= flows, ("Bars", "Close bars") not in flows)
        scenario.check(all(shown) if wanted else not any(shown), f"plan: volume {what}: the scan is {'in text, drawing and JSON' if wanted else 'not there'}", shown)


def tables_of_plan(scenario, folder):
    rows = decode_rows(scenario.run("plan", "bars", "--json").stdout)
    wanted = {row["table"]: [column["name"] for column in row["columns"]] for row in rows if "table" in row}
    read = lake.Lake(folder)
    found = {name: [field.name for field in read.load(name).schema().fields] for name in read.tables()}
    scenario.check(found == wanted, f"plan: its {len(wanted)} tables and their columns are the lake's (by pyiceberg)",
                   {name: (wanted.get(name), found.get(name)) for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)})


def dry_run(scenario):
    folder = scenario.work / "never"
    done = scenario.run("run", "bars", "--dry-run", "--json", "--brokers", "127.0.0.1:9", "--set", "grace=7s", "--warehouse", folder,
                        env={"TICKTIDE_WORKERS": "3", "TICKTIDE_METRICS": "127.0.0.1:1"})
    rows = decode_rows(done.stdout)
    origin = {row["key"]: (row["value"], row["origin"]) for row in rows if "value" in row}
    wanted = {"workers": ("3", "TICKTIDE_WORKERS"), "metrics": ("127.0.0.1:1", "TICKTIDE_METRICS"),
              "source.brokers": ("127.0.0.1:9", "--brokers"), "grace": ("7s", "--set grace=7s"), "warehouse": (str(folder), "--warehouse"),
              "limits.epochs": ("4", "default")}
    scenario.check(all(origin.get(key) == value for key, value in wanted.items()),
                   "dry run: flag, variable, --set and default are shown as origins", {key: origin.get(key) for key in wanted})
    scenario.check(re.fullmatch(r"dataflows/bars\.toml:\d+:\d+", origin["session"][1]), f"dry run: so is the file ({origin['session'][1]})")
    scenario.check({row["table"] for row in rows if "table" in row} >= {"bars_1s", "bars_1m_history", "quarantine"}, "dry run: the tables follow")
    # nobody listens at the broker's address: who asks there does not end well
    scenario.check(done.code == 0 and not folder.exists(), f"dry run: {done.wall_s:.2f} s, no lake, no broker asked")
    beats = scenario.run("run", "bars", "--dry-run", "--json", "-w", "2", "--set", "source.brokers=flag:1",
                         env={"TICKTIDE_WORKERS": "3", "TICKTIDE_BROKERS": "variable:1"})
    origin = {row["key"]: (row["value"], row["origin"]) for row in decode_rows(beats.stdout) if "value" in row}
    scenario.check(origin["workers"] == ("2", "-w") and origin["source.brokers"] == ("flag:1", "--set source.brokers=flag:1"),
                   "dry run: a flag beats a variable, --set beats both", origin)


def sniff(scenario, path, trades, lines):
    rows = decode_rows(scenario.run("list", "formats", "--sniff", path, "--records", 10**6, "--json").stdout)
    json_row = next(row for row in rows if row["format"] == "json")
    ticks = COUNT - 1000
    scenario.check((json_row["records"], json_row["ticks"]) == (len(lines), ticks) and rows[0]["format"] == "json",
                   f"sniff: json decodes {json_row['ticks']} of {json_row['records']} records (wanted {ticks} of {len(lines)})", json_row)
    scenario.check(all(lines[reject["offset"]].decode(errors="replace") == reject["payload"] for reject in json_row["rejects"]),
                   "sniff: each reason has a record of the file: " + ", ".join(f"{r['records']} {r['reason']}" for r in json_row["rejects"]))
    text = scenario.run("list", "formats", "--sniff", path).stdout
    scenario.check("1000 of 1000 records decode" in text, "sniff: the first 1,000 as text", text)
    junk, empty = scenario.work / "junk.txt", scenario.work / "empty"
    junk.write_text("one\ntwo\n")
    empty.write_text("")
    refused(scenario, "sniff of junk", "list", "formats", "--sniff", junk)
    refused(scenario, "sniff of an empty file", "list", "formats", "--sniff", empty)
    refused(scenario, "sniff of nothing", "list", "formats", "--sniff", scenario.work / "nothing")
    refused(scenario, "sniff of sources", "list", "sources", "--sniff", path)


def quarantine(scenario, folder, path, mapped, lines):
    rows = {row["offset"]: row for row in lake.Lake(folder).rows("quarantine")}
    listed = decode_rows(scenario.run("quarantine", "ls", "--json", "--warehouse", folder).stdout)
    by_reason = {}
    for row in rows.values():
        by_reason[row["reason"]] = by_reason.get(row["reason"], 0) + 1
    told = {}
    for row in listed:
        told[row["reason"]] = told.get(row["reason"], 0) + row["rows"]
    scenario.check(told == by_reason and len(by_reason) >= 4, f"quarantine ls: the counts are those of pyiceberg: {by_reason}", told)
    text = scenario.run("quarantine", "ls", "--reason", "too_late", "--warehouse", folder).stdout
    scenario.check(len(text.splitlines()) == 2 and "too_late" in text and f"{path.name}/0" in text, "quarantine ls: a filter by reason", text)
    wrong = []
    for offset, row in list(rows.items())[::97] + list(rows.items())[-5:]:
        shown = decode_rows(scenario.run("quarantine", "show", f"{path.name}/0/{offset}", "--json", "--warehouse", folder).stdout)
        payload = row["payload"] or b""
        if len(shown) != 1 or bytes.fromhex(shown[0]["payload_hex"]) != payload or payload != lines[offset] or shown[0]["reason"] != row["reason"]:
            wrong.append((offset, shown, payload))
    scenario.check(not wrong, "quarantine show: bytes and reason of every record looked at are those of the file", wrong[:2])
    raw = next(offset for offset, row in rows.items() if row["payload"] == b"\xff\xfe\x00")
    scenario.check("ff fe 00" in scenario.run("quarantine", "show", f"{path.name}/0/{raw}", "--warehouse", folder).stdout,
                   "quarantine show: what is no text is shown as hexadecimal digits")
    for what, place in (("no place", "nonsense"), ("no number", "a/b/c"), ("an absent record", f"{path.name}/0/0")):
        refused(scenario, f"quarantine show of {what}", "quarantine", "show", place, "--warehouse", folder)
    refused(scenario, "quarantine of no lake", "quarantine", "ls", "--warehouse", scenario.work / "no-lake")
    refused(scenario, "quarantine by a partition that is no number", "quarantine", "ls", "--partition", "x", "--warehouse", folder)
    retry(scenario, folder, mapped, rows)


def conservation(scenario, folder, lines):
    """Each record of the file is in one place of one epoch: shown by ticktide, counted against file and quarantine."""
    read = lake.Lake(folder)
    shown = {row["epoch"]: decode_rows(scenario.run("epochs", "show", row["epoch"], "--json", "--warehouse", folder).stdout)[0]
             for row in read.rows("epochs")}
    data = [row for _, row in sorted(shown.items()) if row["binding"]]
    steps = [one for row in data for one in row["partitions"].values()]
    scenario.check(all(row["partitions"] == {} for row in shown.values() if not row["binding"]), "epochs show: a takeover has read nothing")
    scenario.check(steps[0]["offset_first"] == 0 and steps[-1]["offset_next"] == len(lines)
                   and all(one["offset_next"] == next_["offset_first"] for one, next_ in zip(steps, steps[1:])),
                   f"epochs show: the epochs' offsets follow each other from 0 to {len(lines)}", steps)
    odd = [one for one in steps if one["balance"] != 0 or one["offset_next"] - one["offset_first"] != one["records"] + one["gaps"]
           or one["records"] != sum(one[name] for name in ("accepted", "duplicates", "rejected", "pending"))]
    scenario.check(not odd, f"epochs show: each of {sum(one['records'] for one in steps)} records is counted once", odd)
    rejected = {}
    for row in read.rows("quarantine"):
        rejected[row["epoch"]] = rejected.get(row["epoch"], 0) + (row["reason"] != "late_partly")
    told = {row["epoch"]: sum(one["rejected"] for one in row["partitions"].values()) for row in data}
    scenario.check({epoch: count for epoch, count in told.items() if count} == {epoch: count for epoch, count in rejected.items() if count}
                   and sum(told.values()) > 0, f"epochs show: {sum(told.values())} rejects are the rows of the quarantine, epoch by epoch", (told, rejected))
    text = scenario.run("epochs", "show", data[-1]["epoch"], "--warehouse", folder).stdout
    scenario.check("balance" in text and "offset_first" in text, "epochs show: partitions as a table", text)


def retry(scenario, folder, mapped, rows):
    told = {row["reason"]: row for row in decode_rows(scenario.run("quarantine", "retry", "--json", "--warehouse", folder).stdout)}
    late = sum(row["reason"] == "too_late" for row in rows.values())
    scenario.check(told["too_late"]["decode"] == late and told["missing_field"]["decode"] == 0 and told["missing_field"]["example"],
                   f"quarantine retry: {late} late records decode, {told['missing_field']['rows']} without their fields do not", told)
    fixed, out = scenario.work / "fixed.toml", scenario.work / "retry-1.jsonl"
    fixed.write_text(MAPPED)
    before = snapshot(folder)
    done = scenario.run("quarantine", "retry", "--dataflow", fixed, "--reason", "missing_field", "--output", out, "--warehouse", folder)
    wanted = [row["payload"] for _, row in sorted(rows.items()) if row["reason"] == "missing_field" and b'"px"' in row["payload"]]
    scenario.check(len(wanted) == len(mapped) and out.read_bytes() == b"".join(line + b"\n" for line in wanted),
                   f"quarantine retry: {len(wanted)} payloads that decode with a corrected mapping are written byte for byte", tail(done))
    scenario.check("new lake" in done.stderr, "quarantine retry: it says that they need a new lake", done.stderr)
    scenario.check(snapshot(folder) == before, "quarantine retry: no file of the lake has changed")
    again = scenario.work / "again"
    scenario.run("run", fixed, "--path", out, "--until", "end", "--warehouse", again)
    total = scenario.query(again, "select sum(accepted) accepted, sum(rejected) rejected from epochs")
    scenario.check(total == [{"accepted": len(mapped), "rejected": 0}], f"quarantine retry: fed again they all count: {total}")
    scenario.run("run", fixed, "--path", out, "--until", "end", "--warehouse", again)
    total = scenario.query(again, "select sum(records) records from epochs")
    scenario.check(total == [{"records": len(mapped)}], f"quarantine retry: the same file a second time adds nothing: {total}")
    everything = scenario.work / "retry-2.jsonl"
    scenario.run("quarantine", "retry", "--all", "--output", everything, "--warehouse", folder)
    wanted = [row["payload"] or b"" for _, row in sorted(rows.items()) if row["reason"] != "late_partly"]
    scenario.check(everything.read_bytes() == b"".join(line + b"\n" for line in wanted) and len(wanted) < len(rows),
                   f"quarantine retry: --all writes {len(wanted)} of {len(rows)} rows, none that is in the tables already")
    refused(scenario, "quarantine retry over a file", "quarantine", "retry", "--output", out, "--warehouse", folder, words=("exists",))
    refused(scenario, "quarantine retry of nothing", "quarantine", "retry", "--reason", "no_such_reason", "--warehouse", folder)
    refused(scenario, "quarantine retry as an unknown dataflow", "quarantine", "retry", "--dataflow", "no_such", "--warehouse", folder)
    refused(scenario, "quarantine retry --all without a file", "quarantine", "retry", "--all", "--warehouse", folder)
    refused(scenario, "quarantine retry into no folder", "quarantine", "retry", "--output", scenario.work / "no" / "x.jsonl", "--warehouse", folder)
    scenario.check(not list(scenario.work.glob("*.part")), "quarantine retry: no half file is left")


COLUMNS = """\
source = { use = "file", wire = "csv", columns = ["symbol", "time", "price", "quantity"] }
bars = [{ use = "time", every = "1s" }, { use = "time", every = "1m" }]
"""


def csv_quarantine(scenario):
    """Records of a csv file keep the names of its columns when the file is gone: shown with them, and retried behind its header."""
    header, begin = b"quantity,price,time,symbol", 1_699_948_800
    headed, plain, flow, folder = (scenario.work / name for name in ("headed.csv", "plain.csv", "columns.toml", "csv-lake"))
    flow.write_text(COLUMNS)
    append(headed, [header, *(b"5,2.5,%d,A" % (begin + second) for second in range(300)), b"5,abc,%d,A" % begin, header, b"5,2.5"])
    append(plain, [*(b"B,%d,3.5,7" % (begin + second) for second in range(300)), b"symbol,time,price,quantity"])

    def run(code=0):
        scenario.run("run", flow, "--path", headed, "--path", plain, "--until", "end", "--warehouse", folder, *FOLLOWED, code=code)

    def retried(*arguments, code=0):
        return scenario.run("quarantine", "retry", "--dataflow", flow, "--warehouse", folder, *arguments, code=code)

    run()
    late = [b"9,4.5,%d,A" % (begin - 14_400 + second) for second in range(2)]
    append(headed, late)
    append(plain, [b"B,%d,8.5,3" % (begin - 14_400)])
    run(code=2)  # all that is new is too late
    headed.unlink()
    plain.unlink()
    reasons = {(row["topic"], row["offset"]): row["reason"] for row in lake.Lake(folder).rows("quarantine")}
    wanted = {("headed.csv", 300): "not_a_number", ("headed.csv", 301): "bad_time", ("headed.csv", 302): "field_count",
              ("headed.csv", 303): "too_late", ("headed.csv", 304): "too_late", ("plain.csv", 300): "bad_time", ("plain.csv", 301): "too_late"}
    scenario.check(reasons == wanted, f"csv: {len(wanted)} records of two files in quarantine, a header has no offset", reasons)
    shown = {place: [(field["name"], field["value"]) for field in decode_rows(
        scenario.run("quarantine", "show", place, "--json", "--warehouse", folder).stdout)[0]["fields"]]
        for place in ("headed.csv/0/300", "headed.csv/0/302", "plain.csv/0/301")}
    scenario.check(shown == {
        "headed.csv/0/300": [("quantity", "5"), ("price", "abc"), ("time", str(begin)), ("symbol", "A")],
        "headed.csv/0/302": [("quantity", "5"), ("price", "2.5"), ("time", None), ("symbol", None)],
        "plain.csv/0/301": [("symbol", "B"), ("time", str(begin - 14_400)), ("price", "8.5"), ("quantity", "3")],
    }, "quarantine show: fields by the file's header, or by `columns`, when both files are gone", shown)
    text = scenario.run("quarantine", "show", "headed.csv/0/300", "--warehouse", folder).stdout
    scenario.check('price     "abc"' in text and "5,abc," in text, "quarantine show: in its text, too", text)
    out = scenario.work / "late-again.csv"
    retried("--topic", "headed.csv", "--reason", "too_late", "--output", out)
    scenario.check(out.read_bytes() == b"\n".join([header, *late, b""]), "quarantine retry: the records stand behind their file's header", out.read_bytes())
    again = scenario.work / "csv-again"
    scenario.run("run", flow, "--path", out, "--until", "end", "--warehouse", again)
    rows = scenario.query(again, "select symbol, close, volume from bars_1m")
    counts = scenario.query(again, "select sum(records) records, sum(accepted) accepted from epochs")
    scenario.check(counts == [{"records": 2, "accepted": 2}] and [(row["symbol"], float(row["close"]), float(row["volume"])) for row in rows] == [("A", 4.5, 18)],
                   f"quarantine retry: fed again they are what they were: {rows}", counts)
    refused(scenario, "quarantine retry of two headers", "quarantine", "retry", "--dataflow", flow, "--output", scenario.work / "two.csv",
            "--reason", "too_late", "--warehouse", folder, words=("cannot be in one file", "--topic"))
    like = ("--topic", "plain.csv", "--reason", "bad_time", "--all", "--output")
    refused(scenario, "quarantine retry of a header as the first line", "quarantine", "retry", "--dataflow", flow, *like, scenario.work / "like.csv",
            "--warehouse", folder, words=("reads as a header", "--single-line"))
    done = retried(*like, scenario.work / "like.csv", "--single-line")
    scenario.check("no records to write" in done.stderr and not (scenario.work / "like.csv").exists(), "quarantine retry: --single-line leaves it out", tail(done))
    twice = scenario.work / "twice.csv"
    retried("--topic", "headed.csv", "--reason", "bad_time", "--all", "--output", twice)
    done = scenario.run("run", flow, "--path", twice, "--until", "end", "--warehouse", scenario.work / "csv-twice", code=2)
    scenario.check(twice.read_bytes() == header + b"\n" + header + b"\n" and "1 of 1 records were refused" in done.stderr,
                   "quarantine retry: behind a header such a line is a record", (twice.read_bytes(), tail(done)))


def snapshot(folder):
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in pathlib.Path(folder).rglob("*")
            if path.is_file() and not path.name.startswith("catalog.db-")}


def query(scenario, folder):
    sql = "select symbol, open_at, close, volume from bars_1m order by symbol, open_at"
    files = {ending: scenario.work / f"out.{ending}" for ending in ("parquet", "csv", "json")}
    for path in files.values():
        scenario.run("query", sql, "--output", path, "--warehouse", folder, "--zone", "Asia/Kolkata")
    table = pyarrow.parquet.read_table(files["parquet"])
    read = {"parquet": [(r["symbol"], r["open_at"].isoformat(), r["close"], r["volume"]) for r in table.to_pylist()]}
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Asia/Kolkata'")
    with files["csv"].open() as file:
        read["csv"] = [(r["symbol"], r["open_at"], r["close"], r["volume"]) for r in csv.DictReader(file)]
    read["json"] = [(r["symbol"], r["open_at"], r["close"], r["volume"]) for r in decode_rows(files["json"].read_text())]
    wanted = sorted((row["symbol"], row["open_at"].timestamp(), row["close"], row["volume"]) for row in lake.Lake(folder).rows("bars_1m"))
    scenario.check(str(table.schema.field("open_at").type) == "timestamp[us, tz=Asia/Kolkata]",
                   f"query: Parquet keeps instants, marked with the zone: {table.schema.field('open_at').type}")
    from datetime import datetime
    from decimal import Decimal
    for ending, rows in read.items():
        same = [(symbol, datetime.fromisoformat(at).timestamp(), Decimal(str(close)), Decimal(str(volume))) for symbol, at, close, volume in rows]
        local = all(at.endswith("+05:30") for _, at, _, _ in rows)
        scenario.check(same == wanted and local, f"query: {len(rows)} rows in .{ending} are pyiceberg's, times of the zone", (rows[:2], wanted[:2]))
    count = connection.execute(f"select count(*) from '{files['parquet']}'").fetchone()[0]
    scenario.check(count == len(wanted), f"query: DuckDB counts {count} rows in the Parquet file")
    files["csv"].write_text("kept")
    refused(scenario, "query with an unknown column", "query", "select nothing from bars_1m", "--output", files["csv"], "--warehouse", folder)
    scenario.check(files["csv"].read_text() == "kept" and not list(scenario.work.glob("*.part")), "query: a failed one leaves the file as it was")
    refused(scenario, "query into an unknown format", "query", sql, "--output", scenario.work / "out.xlsx", "--warehouse", folder)
    refused(scenario, "query into no folder", "query", sql, "--output", scenario.work / "no" / "out.csv", "--warehouse", folder)
    refused(scenario, "query in an unknown zone", "query", sql, "--zone", "Mars/Olympus", "--warehouse", folder, words=("zone",))
    refused(scenario, "query of a table that is not there", "query", "select * from bars_1n", "--warehouse", folder, words=("bars_1",))


def completions(scenario):
    for shell in ("bash", "zsh", "fish", "elvish", "powershell"):
        script = scenario.run("completions", shell).stdout
        scenario.check("ticktide" in script and "quarantine" in script, f"completions: {len(script.splitlines())} lines for {shell}")
    path = scenario.work / "ticktide.bash"
    path.write_text(scenario.run("completions", "bash").stdout)
    ask = f"source {path}; COMP_WORDS=(ticktide quar); COMP_CWORD=1; _ticktide ticktide quar ticktide; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True)
    scenario.check(done.stdout.split() == ["quarantine"], f"completions: bash completes `ticktide quar` to {done.stdout.strip()!r}", done.stderr)
    refused(scenario, "completions of an unknown shell", "completions", "csh")


def scrape(port, path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples(text):
    """Name with labels → value."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


def strict(scenario, text):
    """The text by promtool, and by a reader of our own where there is none."""
    promtool = shutil.which("promtool") or os.environ.get("PROMTOOL")
    if promtool:
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
        scenario.check(done.returncode == 0 and not done.stderr.strip(), "metrics: `promtool check metrics` has nothing to say", done.stdout + done.stderr)
    else:
        scenario.note("promtool is not here (Debian: prometheus); set PROMTOOL or install it")
    wrong, typed, helped, seen = [], {}, set(), set()
    line_form = re.compile(r"([a-z_:][a-z0-9_:]*)(\{[a-z_]+=\"(?:[^\"\\\n]|\\.)*\"(?:,[a-z_]+=\"(?:[^\"\\\n]|\\.)*\")*\})? (NaN|[+-]?Inf|-?[0-9.]+(?:e[+-]?[0-9]+)?)")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split(" ", 3)[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            wrong += [line] if name in typed or kind not in ("counter", "gauge", "histogram") else []
            typed[name] = kind
        else:
            match = line_form.fullmatch(line)
            name = match and re.sub(r"_(bucket|sum|count)$", "", match[1])
            name = name if name in typed else match and match[1]
            key = match and (match[1], match[2])
            if not match or name not in typed or key in seen or (typed[name] == "counter") != match[1].endswith("_total"):
                wrong.append(line)
            seen.add(key)
    scenario.check(not wrong and helped == typed.keys() and text.endswith("\n"), f"metrics: {len(seen)} samples of {len(typed)} families in the text format", wrong[:3])
    for name in (name for name, kind in typed.items() if kind == "histogram"):
        buckets = [value for key, value in samples(text).items() if key.startswith(name + "_bucket")]
        if buckets != sorted(buckets) or buckets[-1] != samples(text)[name + "_count"]:
            scenario.check(False, f"metrics: the buckets of {name} add up", buckets)


def metrics(scenario, path, late, total):
    folder = scenario.work / "watched"
    child = scenario.start("run", "bars", "--source", "file", "--path", path, "--warehouse", folder, "--set", "epoch.every=300ms",
                           *FOLLOWED, "--metrics", f"127.0.0.1:{PORT}")
    wait_for(lambda: epochs(folder) > 1, 60)  # the takeover is the first
    append(path, late)

    def settled():
        try:
            found = samples(scrape(PORT)[1])
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None
        return found if found.get("ticktide_rejected_total") == total["rejected"] and found["ticktide_records_total"] == total["records"] else None

    found = wait_for(settled, 60)
    if not scenario.check(found, "metrics: records and rejects reach the counts of the file", child.read()[1][-500:]):
        child.signal(signal.SIGKILL)
        return
    kind, text = scrape(PORT)
    strict(scenario, text)
    found = samples(text)
    scenario.check(kind.startswith("text/plain; version=0.0.4"), f"metrics: {kind}")
    decided = found["ticktide_epoch_decide_seconds_count"]
    ran_s = time.monotonic() - child.begun
    scenario.check(decided == found["ticktide_epochs_total"] >= 1 and 0 < found["ticktide_epoch_apply_seconds_sum"] < decided * ran_s,
                   f"metrics: {decided:.0f} epochs decided in {found['ticktide_epoch_decide_seconds_sum']:.3f} s, applied in {found['ticktide_epoch_apply_seconds_sum']:.3f} s")
    rss, real = found["process_resident_memory_bytes"], child.rss_bytes()
    scenario.check(0.5 * real < rss < 2 * real, f"metrics: {rss / 2**20:.0f} MiB resident, /proc says {real / 2**20:.0f} MiB")
    scenario.check(found["ticktide_closed_until_age_seconds"] > 0 and 'ticktide_steps_in_flight{worker="0"}' in found and found["ticktide_epochs_undecided"] >= 0,
                   f"metrics: closed_until is {found['ticktide_closed_until_age_seconds']:.0f} s old, {found['ticktide_epochs_undecided']:.0f} epochs undecided")
    for where, code in (("/", 404), ("/metrics?x=1", 200)):
        try:
            status = urllib.request.urlopen(f"http://127.0.0.1:{PORT}{where}", timeout=5).status
        except urllib.error.HTTPError as error:
            status = error.code
        scenario.check(status == code, f"metrics: GET {where} is answered with {status}")
    junk = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(40)]
    for number, client in enumerate(junk):
        client.sendall(b"\x00\xff\r\n\r\n" if number % 2 else b"GET /metr")
    scenario.check(wait_for(lambda: safe_scrape(), 30), "metrics: 40 silent and mad clients do not stop the answers")
    for client in junk:
        client.close()
    refused(scenario, "metrics on a taken port", "run", "bars", "--source", "file", "--path", path, "--warehouse", scenario.work / "other",
            "--metrics", f"127.0.0.1:{PORT}", words=(f"127.0.0.1:{PORT}",))
    child.signal(signal.SIGTERM)
    done = child.wait(30)
    scenario.check(done.code == 0, f"metrics: SIGTERM ends the run with {done.code}", tail(done))
    read = lake.Lake(folder)
    kept = {name: sum(row[name] for row in read.rows("epochs")) for name in ("records", "accepted", "duplicates", "rejected")}
    told = {name: found[f"ticktide_{name}_total"] for name in kept}
    scenario.check(told == kept, f"metrics: the totals are those of the epochs: {kept}", told)
    kept = collections.Counter(f'ticktide_quarantined_total{{reason="{row["reason"]}"}}' for row in read.rows("quarantine"))
    told = {key: value for key, value in found.items() if key.startswith("ticktide_quarantined_total")}
    scenario.check(told == kept, f"metrics: the {sum(kept.values())} rows of the quarantine are counted by {len(kept)} reasons", (told, kept))
    late = sum(count for key, count in kept.items() if "late" in key)
    scenario.check(found["ticktide_late_total"] == late >= 2, f"metrics: {late} of them were late", found["ticktide_late_total"])
    for address in ("nonsense", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"):
        refused(scenario, f"metrics at {address}", "run", "bars", "--source", "file", "--path", path, "--warehouse", scenario.work / "other",
                "--metrics", address)
    refused(scenario, "metrics of a bad TICKTIDE_METRICS", "run", "bars", "--source", "file", "--path", path, "--warehouse",
            scenario.work / "other", env={"TICKTIDE_METRICS": "nonsense"})
    scenario.check(not (scenario.work / "other").exists(), "metrics: no lake was made for any of them")


def safe_scrape():
    try:
        return scrape(PORT)
    except OSError:
        return None


def lag(scenario, path):
    """A Kafka source knows how far behind it is: everything before it reads, nothing after."""
    from oracle import produce

    brokers, topic = scenario.brokers(), scenario.topic("lag")
    produce.create(brokers, topic, 1)
    produce.send_file(brokers, topic, path, 0)
    folder = scenario.work / "lag"
    child = scenario.start("run", "bars", "--brokers", brokers, "--topic", topic, "--warehouse", folder, "--set", "epoch.every=500ms",
                           env={"TICKTIDE_METRICS": f"127.0.0.1:{PORT}"})
    name = f'ticktide_lag_records{{partition="{topic}/0"}}'

    def at(wanted):
        scraped = safe_scrape()
        return scraped and samples(scraped[1]).get(name) == wanted

    scenario.check(wait_for(lambda: epochs(folder) and at(0), 60), "metrics: a Kafka partition that was read has a lag of 0", child.read()[1][-500:])
    child.signal(signal.SIGSTOP)
    produce.send_file(brokers, topic, path, 0)
    child.signal(signal.SIGCONT)
    count = len(path.read_bytes().splitlines())
    scenario.check(wait_for(lambda: at(0) and samples(safe_scrape()[1])["ticktide_records_total"] == 2 * count, 60),
                   f"metrics: and again 0 after {count} more")
    child.signal(signal.SIGTERM)
    child.wait(30)
    produce.delete(brokers, topic)


def main():
    scenario = Scenario(__doc__)
    path, trades, mapped, lines, late = tapes(scenario)
    plan(scenario)
    plan_of_snapshots(scenario)
    dry_run(scenario)
    sniff(scenario, path, trades, lines)
    folder = scenario.work / "lake"
    watched = scenario.work / "watched.jsonl"
    shutil.copy(path, watched)
    scenario.run_bars(path, folder, "-w", 2, *FOLLOWED)
    append(path, late)
    lines += late
    scenario.run_bars(path, folder, "-w", 2, *FOLLOWED)
    tables_of_plan(scenario, folder)
    quarantine(scenario, folder, path, mapped, lines)
    csv_quarantine(scenario)
    conservation(scenario, folder, lines)
    query(scenario, folder)
    completions(scenario)
    metrics(scenario, watched, late, {"records": len(lines), "rejected": len(mapped) + len(JUNK) + 1})
    good = scenario.work / "good.jsonl"
    disorder.write(trades, good)
    lag(scenario, good)
    for what, arguments in {
        "plan of an unknown dataflow": ("plan", "no_such"),
        "plan of a broken file": ("plan", path),
        "a drawing into no folder": ("plan", "bars", "--svg", scenario.work / "no" / "x.svg"),
        "an unknown command": ("plann", "bars"),
        "a dry run of an unknown key": ("run", "bars", "--dry-run", "--set", "grase=1s"),
        "a dry run with no number of workers": ("run", "bars", "--dry-run", "-w", "many"),
        "a list of nothing": ("list", "nothing"),
    }.items():
        refused(scenario, what, *arguments)
    scenario.end()


if __name__ == "__main__":
    main()
