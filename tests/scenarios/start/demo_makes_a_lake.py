"""The demo: a seeded market becomes a lake in seconds, survives SIGKILL, and its second run is the next trading day."""
# s1_demo: always, 60 s

import re
import signal

from harness import ROOT, Scenario, epochs, wait_for
from oracle import lake

SECONDS = 15


def text_of(done):
    return done.stdout + done.stderr


def shows(scenario, done):
    """What a stranger must see in the output."""
    text = text_of(done)
    for word, what in (("synthetic", "says that the market is synthetic"), ("rsi_14", "shows rsi_14"),
                       ("cancel", "shows a cancelled trade"), ("late", "shows a late trade"),
                       ("_history", "reads `_history`"), ("select", "shows its queries"),
                       ("anomalies: ", "compares its anomalies with the undisturbed run's")):
        scenario.check(word in text.lower(), f"the demo {what}", text[-1500:])
    planted, found = map(int, re.search(r"Bad prints of the day: (\d+) planted, (\d+) found", text).groups())
    scenario.check(planted > 0 and 2 * found > planted, f"the demo finds {found} of {planted} planted bad prints", text[-1500:])
    scenario.soon(done.wall_s, SECONDS, "the demo is over in seconds")


def balances(scenario, folder):
    """records = accepted + duplicates + rejected + pending, over all epochs."""
    rows = lake.Lake(folder).rows("epochs")
    total = {name: sum(row[name] or 0 for row in rows) for name in ("records", "accepted", "duplicates", "rejected", "pending")}
    parts = sum(total[name] for name in ("accepted", "duplicates", "rejected", "pending"))
    scenario.check(total["records"] == parts and total["records"] > 0 and total["duplicates"] > 0,
                   f"records {total['records']} = accepted {total['accepted']} + duplicates {total['duplicates']} + "
                   f"rejected {total['rejected']} + pending {total['pending']}", total)


def corrected(scenario, folder):
    """The corrections are in `_history`, and history summed is the table."""
    connection, read = lake.connect(), lake.Lake(folder)
    for name in ("bars_1m", "indicators_1m"):
        read.view(connection, name)
        read.history(connection, name, "net")
        left, right = lake.difference(connection, name, "net")
        taken_back = connection.execute("SELECT count(*) FROM history_raw WHERE diff < 0").fetchone()[0]
        scenario.check(not left and not right and taken_back > 0,
                       f"{name}_history summed is {name}; {taken_back} rows were taken back", (left[:2], right[:2]))


def beside(scenario):
    """A lake in the working directory, and neighbours whose names are near: nothing of them is touched."""
    home = scenario.work / "home"
    lakes = {"here": (home / "here", "."), "lake.prod": (home, "lake.prod")}
    for name in ("here", "lake.undisturbed", "lake"):
        (home / name).mkdir(parents=True)
        (home / name / "precious").write_text(name)
    before = {path.name for path in home.iterdir()}
    for name, (cwd, warehouse) in lakes.items():
        scenario.run("demo", "--warehouse", warehouse, cwd=cwd)
        kept = [(home / other / "precious").exists() for other in ("here", "lake.undisturbed", "lake")]
        after = {path.name for path in home.iterdir()}
        scenario.check(all(kept) and after - before <= {"lake.prod"}, f"--warehouse {warehouse}: the neighbours are there, and nothing else is left", sorted(after))


def readme(scenario):
    """What the README shows of the demo's lake works as it stands there."""
    text = (ROOT / "README.md").read_text()
    sql = re.search(r'query --warehouse ticktide-demo \\\n\s*"([^"]+)"', text).group(1)
    rows = scenario.query(scenario.work / "ticktide-demo", sql)
    scenario.check(len(rows) == 10 and all(row["rsi_14"] is not None for row in rows), f"the README's query gives {len(rows)} rows", rows[:2])


def killed(scenario, undisturbed):
    """SIGKILL in the middle, the same command again: the same tables."""
    folder = scenario.work / "killed"
    child = scenario.start("demo", "--warehouse", folder)
    seen = wait_for(lambda: epochs(folder) >= 2 or not child.running(), 60, 0.05)
    was_running = child.running()
    child.signal(signal.SIGKILL)
    child.wait(10)
    scenario.check(bool(seen) and was_running, f"the demo was killed while it ran, after {epochs(folder)} epochs")
    scenario.run("demo", "--warehouse", folder)
    result = lake.compare(lake.Lake(undisturbed), lake.Lake(folder))
    rows = sum(count for count, _, _ in result.values())
    scenario.check(all(not left and not right for _, left, right in result.values()) and rows > 0,
                   f"killed and started again: {len(result)} tables with {rows} rows equal the undisturbed run's",
                   {name: (len(left), len(right)) for name, (_, left, right) in result.items()})


def next_day(scenario, folder):
    """A second run leaves the first day's rows as they are and adds another day."""
    connection = lake.connect()
    first = lake.Lake(folder)
    tables = [name for name in first.tables() if name.startswith(("bars_", "indicators_")) and not name.endswith("_history")]
    for name in tables:
        first.view(connection, name, f"first_{name}")
    scenario.run("demo", "--warehouse", folder)
    for name in tables:
        first.view(connection, name, "second")
        days = connection.execute(f"SELECT max(trading_date) FROM first_{name}").fetchone()[0]
        connection.execute(f"CREATE OR REPLACE TEMP TABLE old_days AS FROM second WHERE trading_date <= '{days}'")
        left, right = lake.difference(connection, f"first_{name}", "old_days", without=())
        fresh = connection.execute(f"SELECT count(*) FROM second WHERE trading_date > '{days}'").fetchone()[0]
        scenario.check(not left and not right and fresh > 0, f"the next trading day adds {fresh} rows to {name} and leaves "
                       "day one as it was", (left[:2], right[:2]))


def main():
    scenario = Scenario(__doc__)
    done = scenario.run("demo", cwd=scenario.work)  # writes ./ticktide-demo
    folder = scenario.work / "ticktide-demo"
    shows(scenario, done)
    balances(scenario, folder)
    corrected(scenario, folder)
    counted = scenario.query(folder, "select count(*) as bars from bars_1m")
    by_others = len(lake.Lake(folder).rows("bars_1m"))
    scenario.check(str(counted[0]["bars"]) == str(by_others), f"`ticktide query` and pyiceberg count {by_others} bars_1m", counted)
    readme(scenario)
    beside(scenario)
    killed(scenario, folder)
    next_day(scenario, folder)
    scenario.end()


if __name__ == "__main__":
    main()
