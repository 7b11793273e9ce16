"""Mistakes end with an exit code and a hint: a bad dataflow file, a wrong topic, broker or path, a full disk."""
# s8_errors: always, 25 s

import os
import re
import subprocess

from harness import Scenario, tail
from oracle import disorder, produce

BAD = """\
source = { use = "kafka", topics = ["ticks"], wire = "json" }
session = "utc-day"
grase = "5s"
ticks = "yes"
bars = [{ use = "time", every = "1x" }]
"""


def bad_file(scenario):
    path = scenario.work / "bad.toml"
    path.write_text(BAD)
    done = scenario.run("check", path, code=None)
    text = done.stdout + done.stderr
    errors = re.findall(r"bad\.toml:\d+:\d+:", text)
    scenario.check(done.code == 2 and len(errors) == 3, f"check reports {len(errors)} errors at once and exits {done.code}", text)
    scenario.check(text.count("hint:") >= 3, f"each with a hint ({text.count('hint:')})", text)
    for line, what in ((3, "grase"), (4, "ticks"), (5, "1x")):
        scenario.check(re.search(rf"bad\.toml:{line}\b", text) and what in text, f"line {line} is named for {what}", text)
    scenario.check("grace" in text, "the unknown key gets the name that was meant", text)
    good = scenario.run("list", "dataflows", code=None)
    scenario.check(good.code == 0 and all(name in good.stdout for name in ("market", "bars", "us_tape")), "the shipped dataflows are listed", tail(good))


def failing(scenario, what, codes, *arguments, words=(), timeout_s=120):
    """Runs something that must fail with one of the codes, one error, a hint and these words."""
    done = scenario.run(*arguments, code=None, timeout_s=timeout_s)
    text = done.stderr
    wanted = " or ".join(map(str, codes))
    holds = done.code in codes and "error:" in text and "hint:" in text and all(word in text for word in words)
    scenario.check(holds, f"{what}: exit code {done.code} (wanted {wanted}) after {done.wall_s:.1f} s with a hint", tail(done))
    scenario.check("panicked" not in text and len(re.findall(r"(?m)^error:", text)) == 1, f"{what}: one error, no panic", tail(done))
    for line in text.splitlines():
        if line.startswith(("error:", "hint:")):
            scenario.note(line)


def another_file(scenario):
    """A recording under the name of one that was read is refused; with that one beside it, each is read once."""
    tape, folder = disorder.tape(2_000, 9), scenario.work / "two-days"
    paths = [scenario.work / f"day{day}" / "ticks.jsonl" for day in (1, 2)]
    for path, records in zip(paths, (tape[:1_000], tape[1_000:])):
        path.parent.mkdir()
        disorder.write(records, path)
    settings = ("--set", "source.corrections=true")

    def counted():
        return scenario.query(folder, "select sum(records) as records from epochs")[0]["records"]

    scenario.run_bars(paths[0], folder, *settings)
    failing(scenario, "another file of the same name", (2,), "run", "bars", "--source", "file", "--path", paths[1], "--warehouse", folder,
            "--until", "end", *settings, words=("ticks.jsonl", "its beginning is different"))
    lines = [len(path.read_bytes().splitlines()) for path in paths]
    both = [path.parent for path in paths]
    for what, given in (("both", both), ("the second one alone", both[1:]), ("both by other ways", [both[0] / ".." / "day1", both[1]])):
        more = [word for path in given[1:] for word in ("--path", path)]
        scenario.run_bars(given[0], folder, *more, *settings)
        scenario.check(counted() == sum(lines), f"{what}: {counted()} records of {lines} are in the lake")
    scenario.verify("holds for both files", "--warehouse", folder, "--source", "file", "--path", both[0], "--path", both[1], *settings)


def places(scenario):
    """A lake that cannot be where it is wanted, and an answer that cannot."""
    path, folder, file = scenario.work / "some.jsonl", scenario.work / "some", scenario.work / "a-file"
    disorder.write(disorder.tape(500, 3), path)
    file.write_text("kept")
    run = ("run", "bars", "--source", "file", "--path", path, "--until", "end", "--set", "source.corrections=true", "--warehouse")
    for what, warehouse, more in (("an empty warehouse", "", ()), ("a warehouse that is a file", file, ()),
                                  ("a warehouse below a file", file / "lake", ()), ("a warehouse where nothing can be", "/proc/no/such", ()),
                                  ("a catalog without a file", folder, ("--catalog", "sqlite:")),
                                  ("a catalog in memory", folder, ("--catalog", "sqlite::memory:"))):
        failing(scenario, what, (2,), *run, warehouse, *more)
    scenario.check(file.read_text() == "kept" and not folder.exists(), "nothing was made or changed")
    scenario.run(*run, folder)
    failing(scenario, "an answer into no folder", (2,), "query", "select * from bars_1m", "--output", scenario.work / "no" / "x.csv",
            "--warehouse", folder, words=("x.csv cannot be written",))
    with open("/dev/full", "w") as full:
        done = subprocess.run([scenario.binary, "query", "select * from bars_1m", "--warehouse", folder], stdout=full, stderr=subprocess.PIPE, text=True)
    scenario.check(done.returncode == 2 and "standard output cannot be written" in done.stderr and "space" in done.stderr
                   and "columns" not in done.stderr, "an answer that finds no room names its place", done.stderr)


def full_disk(scenario):
    if os.geteuid() != 0:
        scenario.note("full disk: skipped, a small file system can only be mounted by root")
        return
    small, path = scenario.work / "small", scenario.work / "many.jsonl"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], capture_output=True, text=True)
    if mounted.returncode != 0:
        scenario.note(f"full disk: skipped, no tmpfs here: {mounted.stderr.strip()}")
        return
    try:
        disorder.write(disorder.tape(200_000, 8), path)
        failing(scenario, "full disk", (1, 2), "run", "bars", "--source", "file", "--path", path, "--warehouse", small / "lake",
                "--until", "end", "--set", "epoch.records=20000", "--set", "source.corrections=true", "--set", "ticks=true")
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def main():
    scenario = Scenario(__doc__)
    bad_file(scenario)
    folder = scenario.work / "lake"
    topic = scenario.topic("there")
    produce.create(scenario.brokers(), topic, 1)
    failing(scenario, "wrong topic", (2,), "run", "bars", "--brokers", scenario.brokers(), "--topic", f"{topic}x",
            "--warehouse", folder, "--until", "end", words=(f'"{topic}x" does not exist', f'did you mean "{topic}"'))
    produce.delete(scenario.brokers(), topic)
    failing(scenario, "wrong broker", (1, 2), "run", "bars", "--brokers", "127.0.0.1:9", "--topic", "ticks", "--warehouse", folder,
            "--until", "end", words=("127.0.0.1:9",))
    missing = scenario.work / "no" / "such.jsonl"
    failing(scenario, "unreadable path", (2,), "run", "bars", "--source", "file", "--path", missing, "--warehouse", folder,
            "--until", "end", words=(str(missing),))
    failing(scenario, "unknown dataflow", (2,), "run", "no_such_dataflow", "--warehouse", folder)
    nonsense = scenario.work / "nonsense.jsonl"
    nonsense.write_text("time,price,quantity\n" * 2_000)
    failing(scenario, "a format that decodes nothing", (2,), "run", "bars", "--source", "file", "--path", nonsense, "--warehouse",
            folder, "--until", "end")
    another_file(scenario)
    places(scenario)
    full_disk(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
