"""Two ticktides over the same inputs: the content hash of every table of each, side by side.

    compare.py BINARY OTHER WORK     prints a table in Markdown; exit code 1 if one differs

The inputs are those of the scenarios: the demo and its second day, the vendors' tapes, disorder with cancels and corrections,
a session of 500 symbols in four files with every indicator and check, a simulated XTS feed, and the small seeded ones. Each
binary makes a lake of its own from the same files. Histories hold epochs, which the clock cuts: they are left out.
"""

import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import small  # noqa: E402
from oracle import disorder, generate, tapes  # noqa: E402

FIELDS = '{ symbol = "symbol", venue = "exchange", time = "ts", sequence = "seq", price = "price", quantity = "qty" }'


def run(binary, *arguments):
    subprocess.run([binary, *map(str, arguments), "--quiet"], check=True)


def file(path, *more):
    return ("--source", "file", "--path", path, "--until", "end", *more)


def inputs(binary, folder):
    """Name → the runs that make its lake, each a list of arguments; the files are written once."""
    gold, equity, frames = (folder / name for name in ("gold.jsonl", "equity.jsonl", "frames.txt"))
    tapes.write(tapes.gold_trades(), gold)
    tapes.write(tapes.equity_trades(), equity)
    run(binary, "feed", "simulate", "--output", frames, "--codes", "1501,1105", "--wrapped")
    session = generate.write(folder / "session", trades=300_000)
    paths = [word for path in session for word in ("--path", path)]
    runs = {
        "demo": [["demo"]],
        "demo, two days": [["demo"], ["demo"]],
        "gold, bars": [["run", "bars", *file(gold)]],
        "gold, market": [["run", "market", *file(gold, "-w", 2)]],
        "us equities": [["run", "us_tape", *file(equity, "-w", 2)]],
        "session, market": [["run", "market", "--source", "file", *paths, "--until", "end", "-w", 2, "--set", f"source.fields={FIELDS}",
                             "--set", "session=nse"]],
        "xts frames, iifl": [["run", "iifl", *file(frames)]],
        "gold, breakout": [["run", "breakout", *file(gold)]],
    }
    for seed in (1, 2, 3):
        path = folder / f"disorder-{seed}.jsonl"
        disorder.write(disorder.tape(trades=60_000, seed=seed), path)
        settings = ("--set", "source.corrections=true", "--set", 'indicators=[{use="rsi",period=14,on="1m"},{use="vwap",on="1m"}]')
        runs[f"disorder {seed}"] = [["run", "bars", *file(path, *settings)]]
    return runs


def sums_of(binary, work, runs):
    found = small.all_sums(binary, work / "small")
    for name, commands in runs.items():
        lake = work / name.replace(" ", "-").replace(",", "")
        for command in commands:
            run(binary, *command, "--warehouse", lake)
        found[name] = small.sums(binary, lake)
    return found


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    binary, other, work = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    runs = inputs(binary, work)
    one, two = sums_of(binary, work / "one", runs), sums_of(other, work / "other", runs)
    differ = 0
    print("| input | table | content hash | other |\n|---|---|---|---|")
    for name in one:
        for table in sorted(one[name].keys() | two[name].keys()):
            ours, theirs = one[name].get(table), two[name].get(table)
            differ += ours != theirs
            print(f"| {name} | {table} | {ours} | {'equal' if ours == theirs else theirs} |")
    count = sum(map(len, one.values()))
    print(f"\n{count} tables of {len(one)} inputs, {differ} differ")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
