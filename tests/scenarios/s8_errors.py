"""Mistakes end with an exit code and a hint: a bad dataflow file, a wrong topic, broker or path, a full disk."""

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
    full_disk(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
