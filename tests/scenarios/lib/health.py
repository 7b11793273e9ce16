"""The health of many commits: how long each took, and what they left, as a plot in text.

The time of a commit is the time between two decisions of a run that always has an epoch ready. The metadata
that the heads name is read each hundred epochs, while the run goes on: it says what the commits left.
"""

import os
import pathlib
import statistics
import time

HUNDRED = 100
WIDTH = 48


class Health:
    """Watches a child that runs: `log` is the folder of its slots, `found()` gives the lake as a reader sees it."""

    def __init__(self, child, log, found):
        self.child, self.log, self.found, self.looks, self.epochs = child, log, found, [], 0

    def watch(self, timeout_s):
        """Until the child's end; gives how it ended."""
        until = time.monotonic() + timeout_s
        while self.child.running() and time.monotonic() < until:
            # to list the folder would take the longer, the more there is in it
            while (self.log / f"{self.epochs:020}.json").exists():
                self.epochs += 1
            if self.epochs >= HUNDRED * (1 + len(self.looks)):
                self.looks.append({**look(self.found()), "epochs": self.epochs, "cpu_s": cpu_s(self.child.pid)})
            time.sleep(0.05)
        return self.child.wait(max(1, until - time.monotonic()))


def cpu_s(pid):
    """Processor seconds of a process so far; 0 once it has ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_growth(looks):
    """How many times the processor time of a commit of the first hundred that were looked at the last hundred takes; without
    two of them infinity."""
    looks = [one for one in looks if one["cpu_s"] > 0]  # the last one may come when the child has just ended
    spent = [(after["cpu_s"] - before["cpu_s"]) / max(1, after["epochs"] - before["epochs"]) for before, after in zip(looks, looks[1:])]
    return spent[-1] / spent[0] if len(spent) > 1 and spent[0] > 0 else float("inf")


def look(found):
    """The greatest number of files, delete files, manifests, snapshots and bytes of metadata that a table has."""
    most = {"files": 0, "manifests": 0, "snapshots": 0, "metadata bytes": 0}
    for name in found.tables():
        try:
            table = found.load(name)
            snapshot = table.current_snapshot()
            manifests = len(snapshot.manifests(table.io)) if snapshot else 0
        except Exception:  # the head has moved on and its files are gone
            continue
        summary = snapshot.summary.additional_properties if snapshot else {}
        files = int(summary.get("total-data-files", 0)) + int(summary.get("total-delete-files", 0))
        size = len(table.io.new_input(table.metadata_location)) if hasattr(table.io, "new_input") else 0
        figures = {"files": files, "manifests": manifests, "snapshots": len(table.metadata.snapshots), "metadata bytes": size}
        most = {key: max(most[key], value) for key, value in figures.items()}
    return most


def took(rows):
    """Milliseconds of each commit, from the rows of `epochs`: the first is the takeover, the last the flush."""
    moments = [row["decided_at"].timestamp() * 1_000 for row in sorted(rows, key=lambda row: row["epoch"])[1:-1]]
    return [after - before for before, after in zip(moments, moments[1:])]


def plot(scenario, milliseconds, looks):
    """A line a hundred epochs: `#` up to the median, `-` up to the ninth decile; beside it what was there then, and the processor
    time of the whole run for each of them, which other processes disturb less than the clock."""
    hundreds = [milliseconds[at:at + HUNDRED] for at in range(0, len(milliseconds) - HUNDRED + 1, HUNDRED)]
    if not hundreds:
        return
    figures = [(statistics.median(some), statistics.quantiles(some, n=10)[-1]) for some in hundreds]
    scale = WIDTH / max(greatest for _, greatest in figures)
    scenario.note(f"{'epochs':>11} {'median':>7} {'p90':>7} ms {'':{WIDTH}} {'files':>6} {'manifests':>9} {'snapshots':>9} {'metadata':>9} {'cpu':>6} ms")
    for at, (median, greatest) in enumerate(figures):
        bar = "#" * round(median * scale) + "-" * (round(greatest * scale) - round(median * scale))
        left, before = looks[at] if at < len(looks) else None, looks[at - 1] if at else {"epochs": 0, "cpu_s": 0}
        spent = (left["cpu_s"] - before["cpu_s"]) * 1_000 / max(1, left["epochs"] - before["epochs"]) if left else 0
        counts = f"{left['files']:6} {left['manifests']:9} {left['snapshots']:9} {left['metadata bytes'] / 1024:5.0f} KiB {spent:6.1f}" if left else ""
        scenario.note(f"{at * HUNDRED:5}–{(at + 1) * HUNDRED:5} {median:7.1f} {greatest:7.1f}    {bar:{WIDTH}} {counts}")
