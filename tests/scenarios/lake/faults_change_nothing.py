"""A bucket whose answers are lost, late, refused or broken off: the tables are those of an undisturbed run.

Every twentieth request goes wrong by chance from a seed: denied (503, 409), done and then denied (so that the repetition
meets 412, its own write), 500 before and after the effect, a closed connection, no answer at all, a write that takes effect
seconds after it was given up, bodies that come slowly or break off. The runs are killed on the way, too, and one that gives
up is started again, as a supervisor would. Then pyiceberg and DuckDB read the bucket through a server without faults.
"""
# s18_faults: always, 75 s

import collections
import signal

from buckets import Store, compare
from harness import Scenario, tail, wait_for
from oracle import disorder, lake

# nothing in the tape is later than these tables' horizons, so their rows do not depend on the cuts
SETTINGS = ("--set", 'bars=[{use="time",every="1m"},{use="time",every="5m"}]', "--set", 'indicators=[{use="ema",period=20,on="1m"}]',
            "--set", "source.corrections=true", "--set", "ticks=true", "-w", "2")
PACED = ("--speed", "1500", "--set", "epoch.every=300ms")
PERCENT, KILLS, STARTS_MAX = 5, 2, 8


def spoilt(scenario, store, name, arguments, seed):
    """Runs to the end through a server with faults, killed on the way, started again when it gives up."""
    store.stop()
    store.start("--faults", f"{seed}:{PERCENT}")
    starts, gave_up = 0, []
    while starts < STARTS_MAX:
        starts += 1
        before, child = store.slots(name), scenario.start(*arguments)
        if starts <= KILLS:
            wait_for(lambda: store.slots(name) >= before + 2 + (seed + starts) % 3 or not child.running(), 120, 0.005)
            child.signal(signal.SIGKILL)
        done = child.wait(240)
        if done.code == 0:
            break
        if starts > KILLS:
            gave_up.append(done)
    faults = collections.Counter(line.split("(")[0].split()[0] for line in store.said()[1:])
    for done in gave_up:
        scenario.note(f"gave up with {done.code}: {' '.join(line for line in done.stderr.splitlines() if line.startswith('error'))}")
    # an outage that outlasts the patience of a request may end a run; data that is found damaged may not
    scenario.check(done.code == 0 and all(one.code == 1 and "perhaps done" in one.stderr for one in gave_up),
                   f"seed {seed}: after {starts} starts, {len(gave_up)} of them given up, it ends with {done.code}", tail(done))
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()))
    scenario.check(sum(faults.values()) > 30 and len(faults) >= 6, f"seed {seed}: {sum(faults.values())} requests went wrong: {kinds}")
    store.stop()
    store.start()


def whole(scenario, store, name, folder):
    """The log has no gap, every epoch is announced once, every record was accepted once."""
    names = sorted(path.stem for path in (store.folder / "market" / name / "log").glob("*.json"))
    rows = sorted(store.lake(name).rows("epochs"), key=lambda row: row["epoch"])
    scenario.check([int(one) for one in names] == list(range(len(names))) == [row["epoch"] for row in rows],
                   f"{name}: {len(names)} slots without a gap, each announced once")
    counted = [sum(row["accepted"] for row in lake_rows) for lake_rows in (folder.rows("epochs"), rows)]
    scenario.check(counted[0] == counted[1] > 1_000, f"{name}: each record was accepted once: {counted[1]}", counted)


def main():
    scenario = Scenario(__doc__)
    path = scenario.work / "all.jsonl"
    disorder.write(disorder.tape(120_000 if scenario.long else 20_000, 18), path)
    scenario.run_bars(path, scenario.work / "folder", *SETTINGS)
    folder, store = lake.Lake(scenario.work / "folder"), Store(scenario)
    scenario.environment = store.bucket.environment()
    for seed in range(1, 13 if scenario.long else 4):
        name = f"seed{seed}"
        arguments = ("run", "bars", "--source", "file", "--path", path, "--until", "end", *store.place(name), *SETTINGS, *PACED)
        spoilt(scenario, store, name, arguments, seed)
        compare(scenario, f"seed {seed}", folder, store.lake(name), store.bucket)
        whole(scenario, store, name, folder)
        scenario.verify(f"seed {seed}", *store.place(name), *SETTINGS)
    scenario.end()


if __name__ == "__main__":
    main()
