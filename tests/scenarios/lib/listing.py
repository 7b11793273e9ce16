"""The scenarios there are: files below the themes' folders, each with a line that says how it is run.

    # s7_bench: rotating, alone, 75 s

The line stands behind the file's docstring and is read without importing the file. `s7` is the scenario's number, `s7_bench`
its older name; both lead to it, as the file's name and the theme's do. `always` runs whatever the budget of time,
`rotating` takes turns when time is short. `alone`: another scenario beside it would be in a figure that it limits. The
seconds are a guess, used until a run on this machine has told better ones.
"""

import dataclasses
import difflib
import pathlib
import re

FOLDER = pathlib.Path(__file__).resolve().parents[1]
THEMES = ("start", "truth", "kafka", "processes", "lake", "feed")
LINE = re.compile(r"(?m)^# (s(\d+)_[a-z0-9_]+): (always|rotating)(, alone)?, (\d+) s$")


@dataclasses.dataclass(frozen=True)
class Listed:
    """One scenario; `kept_as` is its key in what a machine remembers."""

    path: pathlib.Path
    order: int
    alias: str
    rotating: bool
    alone: bool
    seconds: float

    @property
    def name(self):
        return self.path.stem

    @property
    def theme(self):
        return self.path.parent.name

    @property
    def kept_as(self):
        return f"s{self.order}"

    def __str__(self):
        return f"{self.kept_as} {self.name}"


def listed(folder=FOLDER):
    """All scenarios in the order of their numbers. ValueError: a file without its line, or a number or name twice."""
    found = [read(path) for theme in THEMES for path in (folder / theme).glob("*.py")]
    found.sort(key=lambda scenario: scenario.order)
    for what in ("order", "name"):
        values = [getattr(scenario, what) for scenario in found]
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise ValueError(f"two scenarios have the same {what}: {', '.join(map(str, twice))}")
    return found


def read(path):
    """What the line of a file says."""
    lines = LINE.findall(path.read_text())
    if len(lines) != 1:
        raise ValueError(f"{path}: {len(lines)} lines like `# s7_bench: rotating, 75 s`, it must be one")
    alias, order, kind, alone, seconds = lines[0]
    return Listed(path, int(order), alias, kind == "rotating", bool(alone), float(seconds))


def chosen(asked, scenarios):
    """Those that are meant by numbers, names, older names and themes, each once, in the order of their numbers; all of them
    when nothing is asked for. ValueError: a word that means none."""
    meant = set()
    for word in asked:
        word = word.removesuffix(".py").rpartition("/")[2]
        found = [one for one in scenarios if word in (one.kept_as, one.name, one.alias, one.theme)]
        if not found:
            words = [word for one in scenarios for word in (one.name, one.alias, one.theme)]
            near = difflib.get_close_matches(word, words, 1)
            raise ValueError(f"no scenario {word!r}\nhint: " + (f"did you mean {near[0]!r}? " if near else "") + "tests/README.md lists them")
        meant.update(found)
    return [one for one in scenarios if one in meant or not asked]
