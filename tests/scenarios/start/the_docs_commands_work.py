"""The commands of README, the tutorial, the first hour and the readers do what their pages say, in a fresh folder each.

Blocks that need a broker, a cloud or the internet are marked on the page (`<!-- only parsed: REASON -->`) and only parsed. The tutorial's two
archives are those of TICKTIDE_TAPES; without it that page is skipped, and said so. Python blocks, and what needs no more than a lake, run on
that of the README.
"""
# s38_docs: rotating, 60 s

import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import unittest

import docs
from harness import ROOT, Scenario

# what a page's output must hold
PAGES = {
    "README.md": r"ACC +\| 2026-01-05T03:45:00Z \|.*\| 15\.0",
    "docs/tutorial.md": r"1500 of 1500 minute bars(?s:.*)48\.16(?s:.*)74\.67(?s:.*)recomputation: equal",
    "docs/sources/files.md": r"not_a_number",
    "docs/sources/kafka.md": r"mine\.toml: good",
    "docs/sources/calendars.md": r"closing_auction(?s:.*)hours\.toml: good",
    "docs/first-hour/indian-broker.md": r"(\d\d+) of \1 volumes",
    "docs/first-hour/kafka-to-iceberg.md": r"3 accepted \+ 1 duplicates",
    "docs/first-hour/csv-trades.md": r"4 accepted(?s:.*)3 rows of epoch 1 written to bars\.parquet",
    "docs/first-hour/three-hosts.md": r"started again(?s:.*)S2 +\| \d+ +\| 40000\.0",
}
CPU_S, WALL_S = 60, 240
LOADED = "from oracle.lake import load_extensions; load_extensions(duckdb.default_connection())"
TAPE = "future/comex/{}/gc/20131007_trade.zip"


def run(folder, text, environment):
    """(exit code, output, CPU seconds) of a script. What is left of its process group afterwards is killed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=environment, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        output, _ = child.communicate(timeout=WALL_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output = child.communicate()[0] + f"\n(stopped after {WALL_S} s)"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return child.returncode, output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def shown(scenario, name, wanted, environment):
    """Runs the unmarked shell blocks of a page, one after the other, as one script. The folder it ran in."""
    folder = scenario.work / pathlib.Path(name).stem
    folder.mkdir()
    if name == "docs/tutorial.md":
        tapes(folder)
    texts = [text for _, reason, text in docs.blocks(ROOT / name) if not reason]
    code, output, cpu_s = run(folder, "\n".join(texts), environment)
    found = re.search(wanted, output)
    scenario.check(code == 0 and found and cpu_s <= CPU_S,
                   f"{name}: {len(texts)} blocks end with {code}, say what the page says, and take {cpu_s:.1f} CPU seconds (at most {CPU_S})",
                   f"{output[-1800:]}\n(wanted: {wanted})")
    return folder


def snippets(folder, scenario, environment):
    """The Python blocks of a page, each by itself beside a lake. DuckDB's extension comes from its package: nothing is downloaded."""
    for line, _, text in docs.blocks(ROOT / "docs/lakes/readers.md", "python"):
        text = text.replace('duckdb.sql("INSTALL iceberg; LOAD iceberg")', LOADED)
        done = subprocess.run([sys.executable, "-c", text], cwd=folder, env={**environment, "PYTHONPATH": str(ROOT / "tests")},
                              capture_output=True, text=True)
        scenario.check(done.returncode == 0 and done.stdout.strip(), f"readers.md:{line}: the Python block runs on the README's lake",
                       (done.stdout + done.stderr)[-1500:])


def of_a_lake(folder, scenario, environment):
    """The blocks of all pages that need no more than a lake, on that of the README."""
    for page in docs.pages():
        texts = [text for _, reason, text in docs.blocks(page) if reason == "needs a lake"]
        if texts:
            code, output, _ = run(folder, "\n".join(texts), environment)
            scenario.check(code == 0, f"{page.relative_to(ROOT)}: {len(texts)} blocks that need a lake end with {code}", output[-1500:])


def mappings(scenario):
    """Every block of TOML is a dataflow that `check` calls good."""
    for page in docs.pages():
        for line, _, text in docs.blocks(page, "toml"):
            file = scenario.work / "block.toml"
            file.write_text(text)
            done = scenario.run("check", file, code=None, env={"KAFKA_PASSWORD": "one"})
            scenario.check(done.code == 0, f"{page.relative_to(ROOT)}:{line}: the dataflow is good", done.stderr[-800:])


def parsed(scenario):
    """What `tests/docs.py` holds, here with the binary: every command of every page is known to its help."""
    os.environ["TICKTIDE"] = scenario.binary
    done = unittest.TestResult()
    docs.Docs("test_each_command_parses").run(done)
    scenario.check(done.wasSuccessful(), "each command on each page is known to `--help`", "\n".join(text for _, text in done.failures + done.errors))


def tapes(folder):
    for kind, name in (("tick", "trades.zip"), ("minute", "minutes.zip")):
        shutil.copy(pathlib.Path(os.environ["TICKTIDE_TAPES"]) / "lean" / TAPE.format(kind), folder / name)


def main():
    scenario = Scenario(__doc__)
    commands = scenario.work / "bin"
    commands.mkdir()
    (commands / "ticktide").symlink_to(scenario.binary)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKTIDE_")}
    environment["PATH"] = f"{commands}:{environment['PATH']}"
    parsed(scenario)
    mappings(scenario)
    for name, wanted in PAGES.items():
        if name == "docs/tutorial.md" and not (os.environ.get("TICKTIDE_TAPES") and shutil.which("unzip")):
            scenario.note("skipped: the tutorial, for TICKTIDE_TAPES names no folder of tapes, or there is no unzip")
            continue
        folder = shown(scenario, name, wanted, environment)
        if name == "README.md":
            snippets(folder, scenario, environment)
            of_a_lake(folder, scenario, environment)
    scenario.end()


if __name__ == "__main__":
    main()
