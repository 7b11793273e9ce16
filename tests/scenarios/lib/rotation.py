"""Which scenarios run when time is short, and in which order: pure functions of what is listed, kept and left.

Those of class `always` run whatever is left. Rotating ones take turns: first the one whose last run is the longest ago, as a
file in the machine's cache remembers; a machine that has none begins at the number of commits modulo their number. One is begun
only if what is left is as long as it is expected to take. So where only a part of them fits, each still runs once in a few
landings.

`kept` is {number: {"begun_at": Unix seconds, "seconds": how long it took}}; `left` is seconds, or None without a budget.
"""

import dataclasses
import json
import os
import pathlib
import tempfile


@dataclasses.dataclass
class Plan:
    """`alone` one after the other, then `beside` in lanes, each in its order; `left_out` has no turn this time."""

    alone: list
    beside: list
    left_out: list


def expected(scenario, kept):
    """Seconds it will take: as many as the last time here, else what its file says."""
    return kept.get(scenario.kept_as, {}).get("seconds", scenario.seconds)


def fits(scenario, kept, left):
    """Whether it may begin with so much time left."""
    return left is None or not scenario.rotating or expected(scenario, kept) <= left


def by_age(rotating, kept, start):
    """The longest not run first; those of one age in the order of their numbers, from the `start`-th on and around."""
    count = len(rotating)
    turn = {scenario: (place - start) % count for place, scenario in enumerate(rotating)}
    return sorted(rotating, key=lambda scenario: (kept.get(scenario.kept_as, {}).get("begun_at", 0), turn[scenario]))


def planned(scenarios, kept, start, left, lanes):
    """The plan of a run. The longest of what always runs begins first; where there is no budget, that holds for all."""
    def longest_first(some):
        return sorted(some, key=lambda scenario: -expected(scenario, kept))

    if left is None:
        return Plan([one for one in scenarios if one.alone], longest_first([one for one in scenarios if not one.alone]), [])
    always = [one for one in scenarios if not one.rotating]
    turns = by_age([one for one in scenarios if one.rotating], kept, start)

    def cost(scenario):
        return expected(scenario, kept) / (1 if scenario.alone else lanes)

    # Those that run alone come before the lanes, so it is decided here which of them have a turn: in one row with the others.
    spare, taken = left - sum(map(cost, always)), set()
    for scenario in turns:
        if cost(scenario) <= spare:
            spare -= cost(scenario)
            taken.add(scenario)
    alone = [one for one in [*always, *turns] if one.alone]
    return Plan([one for one in alone if not one.rotating or one in taken],
                [*longest_first([one for one in always if not one.alone]), *(one for one in turns if not one.alone)],
                [one for one in alone if one.rotating and one not in taken])


def lanes_used(plan, most):
    """As many lanes as have something to run: each needs a broker."""
    return max(1, min(most, len(plan.beside)))


def foreseen(plan, kept, left, lanes):
    """([(begin in s, lane, scenario)], left out): how the plan will run if each takes as long as expected."""
    begun, left_out, at = [], list(plan.left_out), 0.0
    free = [0.0]
    for scenarios, count in ((plan.alone, 1), (plan.beside, lanes)):
        free = [at] * count
        for scenario in scenarios:
            lane = free.index(min(free))
            if not fits(scenario, kept, None if left is None else left - free[lane]):
                left_out.append(scenario)
                continue
            begun.append((free[lane], lane, scenario))
            free[lane] += expected(scenario, kept)
        at = max(free)
    return begun, left_out


def cache():
    """The file that remembers, in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "ticktide" / "scenarios.json"


def load(path):
    """What the file remembers; nothing if there is none, or one that cannot be read."""
    try:
        kept = json.loads(path.read_text())
        return {number: {"begun_at": float(row["begun_at"]), "seconds": float(row["seconds"])} for number, row in kept.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def remember(path, scenario, begun_at, seconds):
    """Writes one scenario's run into the file, whole or not at all; a machine without a place for it has none."""
    kept = {**load(path), scenario.kept_as: {"begun_at": begun_at, "seconds": round(seconds, 1)}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
            json.dump(kept, file, indent=1, sort_keys=True)
        os.replace(file.name, path)
    except OSError:
        pass
