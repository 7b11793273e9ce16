"""A generation that was stopped and goes on when another owns the lake changes nothing and says who does: exit code 3.

All of its processes are stopped (SIGSTOP), a successor takes the lake over and commits, the old ones go on (SIGCONT): while
the successor runs, and after it has ended; stopped anywhere, and with the PUT of a slot on its way, which then reaches the
store when the slot is taken, or never. With one process and with two.
"""
# s19_zombie: always, 50 s

import hashlib
import os
import pathlib
import signal
import sqlite3

from buckets import Store, compare
from harness import Scenario, children, epochs, tail, wait_for
from oracle import disorder, lake

SETTINGS = ("--set", 'bars=[{use="time",every="1m"},{use="time",every="5m"}]', "--set", 'indicators=[{use="ema",period=20,on="1m"}]',
            "--set", "source.corrections=true", "--set", "ticks=true")
PACED = ("--speed", "700", "--set", "epoch.every=300ms")
SHAPES = {1: ("-w", "2"), 2: ("-n", "2")}


class Old:
    """A generation that is stopped as a whole."""

    def __init__(self, scenario, arguments, count, catalog):
        self.scenario, self.catalog, self.count = scenario, catalog, count
        self.child = scenario.start(*arguments, *PACED, *SHAPES[count])

    def signal(self, number):
        for pid in self.pids:
            os.kill(pid, number)

    def stop(self):
        """Stops all processes where they do not hold the catalog: SQLite has one writer, whoever sleeps in it."""
        self.pids = [self.child.pid, *(children(self.child.pid) if self.count > 1 else [])]
        if len(self.pids) != (self.count + 1 if self.count > 1 else 1):
            self.scenario.give_up(f"{len(self.pids)} processes of {self.count}: {tail(self.child.wait(1))}")
        for _ in range(50):
            self.signal(signal.SIGSTOP)
            if not self.holds_catalog():
                return
            self.signal(signal.SIGCONT)
        self.scenario.give_up("no moment outside of the catalog")

    def holds_catalog(self):
        connection = sqlite3.connect(self.catalog, timeout=0.2, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            return False
        except sqlite3.OperationalError:
            return True
        finally:
            connection.close()

    def go_on(self, what, owner):
        self.signal(signal.SIGCONT)
        done = self.child.wait(90)
        said = [line for line in done.stderr.splitlines() if line.startswith(("error", "hint"))]
        fenced = any(f"was decided by generation {owner}, this run is generation {owner - 1}" in line for line in said)
        self.scenario.check(done.code == 3 and fenced and "hint:" in done.stderr, f"{what}: the old one ends with {done.code}", tail(done, 25))
        self.scenario.note(next((line for line in said if "generation" in line), ""))


def content(log, catalog):
    """The log and where every table is, as one hash."""
    seen = hashlib.sha256()
    for path in sorted(log.glob("*.json")):
        seen.update(path.name.encode() + path.read_bytes())
    connection = sqlite3.connect(f"file:{catalog}?mode=ro", uri=True, timeout=30)
    seen.update(repr(connection.execute("SELECT * FROM iceberg_tables ORDER BY 1, 2, 3").fetchall()).encode())
    connection.close()
    return seen.hexdigest()


def anywhere(scenario, arguments, count, after, number):
    """Stopped anywhere in a folder's lake; goes on beside its successor, or after it."""
    name = f"folder-{count}-{'after' if after else 'beside'}-{number}"
    what = f"{count} process{'es' if count > 1 else ''}, {'after' if after else 'beside'} its successor"
    folder = scenario.work / name
    place = ("--warehouse", folder)
    old = Old(scenario, (*arguments, *place), count, folder / "catalog.db")
    wait_for(lambda: epochs(folder) >= 4 or not old.child.running(), 60, 0.02)
    old.stop()
    before = epochs(folder)
    new = scenario.start(*arguments, *place, *PACED, *SHAPES[count])
    if after:
        done = new.wait(120)
        committed = content(folder / "log", folder / "catalog.db")
        scenario.check(done.code == 0 and epochs(folder) > before + 3, f"{what}: the successor commits {epochs(folder) - before} epochs", tail(done))
        old.go_on(what, 2)
        scenario.check(content(folder / "log", folder / "catalog.db") == committed, f"{what}: it has changed neither the log nor a table")
    else:
        wait_for(lambda: epochs(folder) >= before + 4 or not new.running(), 60, 0.02)
        running = new.running()
        old.go_on(what, 2)
        done = new.wait(120)
        scenario.check(running and done.code == 0, f"{what}: the successor does not notice and ends with {done.code}", tail(done))
    equal(scenario, what, lake.Lake(folder))
    scenario.verify(what, *place, *SETTINGS)


def equal(scenario, what, found):
    result = lake.compare(lake.Lake(scenario.work / "undisturbed"), found)
    different = {table: (len(left), len(right)) for table, (_, left, right) in result.items() if left or right}
    scenario.check(not different, f"{what}: {sum(count for count, _, _ in result.values())} rows of {len(result)} tables are those of an undisturbed run", different)


def at_its_slot(scenario, store, hold, arguments, count, verdict):
    """Stopped with the PUT of its slot under way; later it reaches the store, or its connection is closed."""
    what = f"{count} process{'es' if count > 1 else ''}, its slot {'written late' if verdict == 'go' else 'never written'}"
    name = f"slot-{count}-{verdict}"
    place, catalog = store.place(name), scenario.work / f"{name}.db"
    log = store.folder / "market" / name / "log"
    old = Old(scenario, (*arguments, *place), count, catalog)
    wait_for(lambda: store.slots(name) >= 3 or not old.child.running(), 60, 0.01)
    epoch = store.slots(name) + 2
    object_name = f"{name}/log/{epoch:020}.json"
    hold.write_text(object_name + "\n")
    kept = wait_for(lambda: any(line.startswith("kept") and object_name in line for line in store.said()), 60, 0.005)
    old.stop()
    if not kept or (log / f"{epoch:020}.json").exists():
        scenario.give_up(f"{what}: the slot was not kept: {store.said()[-3:]} {tail(old.child.wait(1))}")
    new = scenario.start(*arguments, *place, *PACED, *SHAPES[count])
    wait_for(lambda: store.slots(name) >= epoch + 4 or not new.running(), 60, 0.02)
    slot = (log / f"{epoch:020}.json").read_text()
    scenario.check('"kind":"claim"' in slot, f"{what}: epoch {epoch} is the successor's takeover")
    hold.write_text(verdict + "\n")
    wait_for(lambda: any(object_name in line and line.startswith(("let in", "dropped")) for line in store.said()), 10, 0.01)
    old.go_on(what, 2)
    scenario.check((log / f"{epoch:020}.json").read_text() == slot, f"{what}: the slot is still the successor's")
    done = new.wait(120)
    scenario.check(done.code == 0, f"{what}: the successor ends with {done.code}", tail(done))
    compare(scenario, what, lake.Lake(scenario.work / "undisturbed"), store.lake(name), store.bucket)
    scenario.verify(what, *place, *SETTINGS)


def main():
    scenario = Scenario(__doc__)
    path = scenario.work / "all.jsonl"
    disorder.write(disorder.tape(20_000, 19), path)
    scenario.run_bars(path, scenario.work / "undisturbed", *SETTINGS)
    arguments = ("run", "bars", "--source", "file", "--path", path, "--until", "end", *SETTINGS)
    for number in range(5 if scenario.long else 1):
        for count, after in ((1, False), (1, True), (2, False), (2, True)) if scenario.long else ((1, False), (2, True)):
            anywhere(scenario, arguments, count, after, number)
    hold = pathlib.Path(scenario.work / "hold")
    hold.write_text("\n")
    store = Store(scenario, "--hold", hold)
    scenario.environment = store.bucket.environment()
    for count, verdict in ((1, "go"), (1, "drop"), (2, "go"), (2, "drop")) if scenario.long else ((1, "drop"), (2, "go")):
        at_its_slot(scenario, store, hold, arguments, count, verdict)
    scenario.end()


if __name__ == "__main__":
    main()
