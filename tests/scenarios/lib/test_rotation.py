"""What the rotation promises: `python3 -m unittest discover -s tests/scenarios/lib`."""

import contextlib
import io
import itertools
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

import lanes
import listing
import rotation

LANDINGS = 20
ALL = listing.listed()
ROTATING = [scenario for scenario in ALL if scenario.rotating]
# what always runs takes so long, by what the files say
ALWAYS_S = max(begin + scenario.seconds for begin, _, scenario in rotation.foreseen(
    rotation.planned([one for one in ALL if not one.rotating], {}, 0, None, 2), {}, None, 2)[0])


def landing(kept, start, left, at, keeps=True, takes=lambda scenario: scenario.seconds):
    """One run of CI as it is foreseen: what ran, and what the machine remembers then."""
    plan = rotation.planned(ALL, kept, start, left, 2)
    begun, left_out = rotation.foreseen(plan, kept, left, rotation.lanes_used(plan, 2))
    ran = [scenario for _, _, scenario in begun]
    assert sorted(map(str, [*ran, *left_out])) == sorted(map(str, ALL)), "each one runs or is named as not run, once"
    if keeps:
        kept = kept | {scenario.kept_as: {"begun_at": at + begin, "seconds": takes(scenario)} for begin, _, scenario in begun}
    return ran, kept


def landings(left, start=lambda number: 4_321 + number, **options):
    """What ran in each of 20 landings, an hour apart."""
    kept, found = {}, []
    for number in range(LANDINGS):
        ran, kept = landing(kept, start(number), left, 1_000_000 + 3_600 * number, **options)
        found.append(ran)
    return found


class Turns(unittest.TestCase):
    def each_had_a_turn(self, found):
        ran = set(itertools.chain(*found))
        self.assertEqual([str(one) for one in ROTATING if one not in ran], [])
        for some in found:
            self.assertEqual([str(one) for one in ALL if not one.rotating and one not in some], [])

    def test_with_a_cache_each_rotating_scenario_runs_within_a_few_landings(self):
        for spare, landings_most in ((150, 20), (300, 8), (600, 4)):
            found = landings(ALWAYS_S + spare)
            self.assertTrue(all(len(ran) < len(ALL) for ran in found), "only a part fits")
            for begin in range(0, LANDINGS - landings_most + 1):
                with self.subTest(spare=spare, begin=begin):
                    self.each_had_a_turn(found[begin:begin + landings_most])

    def test_without_a_cache_each_rotating_scenario_runs_within_twenty_landings(self):
        for spare, seed in itertools.product((200, 300, 600), range(5)):
            with self.subTest(spare=spare, seed=seed):
                self.each_had_a_turn(landings(ALWAYS_S + spare, lambda number: 100 * seed + number, keeps=False))

    def test_without_a_cache_landings_of_many_commits_give_each_a_turn_too(self):
        counts = list(itertools.accumulate(random.Random(17).choices(range(1, 30), k=LANDINGS)))
        self.each_had_a_turn(landings(ALWAYS_S + 500, counts.__getitem__, keeps=False))

    def test_a_slow_machine_that_remembers_gives_each_a_turn_too(self):
        self.each_had_a_turn(landings(2.6 * (ALWAYS_S + 300), takes=lambda scenario: 2.6 * scenario.seconds))

    def test_what_always_runs_does_so_when_no_time_is_left(self):
        for left in (0, -1_000):
            ran, _ = landing({}, 0, left, 0)
            self.assertEqual(set(ran), {scenario for scenario in ALL if not scenario.rotating})

    def test_with_time_enough_or_without_a_budget_all_run(self):
        for left in (None, 10_000):
            self.assertEqual(len(landing({}, 7, left, 0)[0]), len(ALL))

    def test_the_longest_not_run_is_the_first_and_the_start_decides_among_equals(self):
        a, b, c, d = ROTATING[:4]
        kept = {a.kept_as: {"begun_at": 30, "seconds": 1}, c.kept_as: {"begun_at": 10, "seconds": 1}}
        self.assertEqual(rotation.by_age([a, b, c, d], kept, 0), [b, d, c, a])
        self.assertEqual(rotation.by_age([a, b, c, d], kept, 2), [d, b, c, a])
        self.assertEqual(rotation.by_age([a, b, c, d], {}, 4 * 1_000 + 3), [d, a, b, c])

    def test_a_measured_time_counts_more_than_a_guess(self):
        scenario = ROTATING[0]
        kept = {scenario.kept_as: {"begun_at": 1, "seconds": 5}}
        self.assertTrue(rotation.fits(scenario, kept, 5) and not rotation.fits(scenario, kept, 4.9))
        self.assertFalse(rotation.fits(scenario, {}, scenario.seconds - 1))

    def test_one_that_runs_alone_overlaps_nothing(self):
        plan = rotation.planned(ALL, {}, 0, 10_000, 2)
        begun, _ = rotation.foreseen(plan, {}, 10_000, 2)
        for begin, _, scenario in begun:
            if scenario.alone:
                others = [one for at, _, one in begun if one != scenario and at < begin + scenario.seconds and begin < at + one.seconds]
                self.assertEqual(others, [])

    def test_as_many_lanes_as_are_used(self):
        by = {scenario.kept_as: scenario for scenario in ALL}
        for numbers, wanted in ((["s4"], 1), (["s7", "s10"], 1), (["s7", "s4"], 1), (["s3", "s4"], 2), (["s2", "s3", "s4"], 2)):
            plan = rotation.planned([by[number] for number in numbers], {}, 0, None, 2)
            self.assertEqual(rotation.lanes_used(plan, 2), wanted, numbers)
        self.assertEqual(rotation.lanes_used(rotation.planned(ALL, {}, 0, None, 1), 1), 1)


class Memory(unittest.TestCase):
    def test_what_is_remembered_is_read_again_and_rubbish_is_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "new" / "scenarios.json"
            self.assertEqual(rotation.load(path), {})
            rotation.remember(path, ROTATING[0], 12.5, 3.04)
            rotation.remember(path, ROTATING[1], 13.5, 4)
            self.assertEqual(rotation.load(path), {ROTATING[0].kept_as: {"begun_at": 12.5, "seconds": 3.0},
                                                   ROTATING[1].kept_as: {"begun_at": 13.5, "seconds": 4.0}})
            self.assertEqual([one.name for one in path.parent.iterdir()], ["scenarios.json"])
            for rubbish in ("", "{", "[]", '{"s7": 1}', '{"s7": {"begun_at": 1}}', '{"s7": {"begun_at": "x", "seconds": 1}}'):
                path.write_text(rubbish)
                self.assertEqual(rotation.load(path), {}, rubbish)

    def test_a_machine_without_a_place_for_it_goes_on(self):
        rotation.remember(pathlib.Path("/proc/no/such/scenarios.json"), ROTATING[0], 1, 1)


class Listing(unittest.TestCase):
    def test_a_scenario_is_meant_by_number_older_name_name_and_theme(self):
        for words, wanted in ((["s7"], ["s7"]), (["s7_bench"], ["s7"]), (["a_tick_costs_little.py"], ["s7"]), (["s12", "s3", "s12_s3"], ["s3", "s12"]),
                              (["tests/scenarios/kafka/a_tick_costs_little.py"], ["s7"]), (["kafka"], ["s6", "s7", "s15", "s22"])):
            self.assertEqual([one.kept_as for one in listing.chosen(words, ALL)], wanted)
        self.assertEqual(listing.chosen([], ALL), ALL)

    def test_a_word_that_means_none_is_named(self):
        for word, hint in (("s99", "tests/README.md"), ("kafak", "did you mean 'kafka'")):
            with self.assertRaisesRegex(ValueError, word) as told:
                listing.chosen([word], ALL)
            self.assertIn(hint, str(told.exception))

    def test_a_file_without_its_line_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "truth" / "x.py"
            path.parent.mkdir()
            for text in ('"""A promise."""\n', '"""A promise."""\n\n# s1_a: always, 1 s\n# s2_b: always, 1 s\n', '"""A promise."""\n\n# s1_a: daily, 1 s\n'):
                path.write_text(text)
                with self.assertRaisesRegex(ValueError, "x.py"):
                    listing.listed(pathlib.Path(folder))
            path.write_text('"""A promise."""\n\n# s1_a: always, 1 s\n')
            (path.parent / "y.py").write_text('"""Another."""\n\n# s1_b: always, 1 s\n')
            with self.assertRaisesRegex(ValueError, "order: 1"):
                listing.listed(pathlib.Path(folder))

    def test_the_readme_lists_each_scenario_with_its_number_class_and_promise(self):
        rows = [line for line in (listing.FOLDER.parent / "README.md").read_text().splitlines() if "](scenarios/" in line]
        wanted = []
        for theme in listing.THEMES:
            for one in (scenario for scenario in ALL if scenario.theme == theme):
                kind = "rotating" if one.rotating else "always"
                wanted.append(f"[{theme}/{one.name}](scenarios/{theme}/{one.name}.py) | {one.kept_as} | {kind}{', alone' if one.alone else ''} |")
        self.assertEqual([row.split(" | ", 1)[1] for row in rows], wanted)


class Screen(unittest.TestCase):
    def shown(self, *arguments, **environment):
        """What `lanes.py` prints in a process of its own, without a cache."""
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, lanes.__file__, *arguments], capture_output=True, text=True, check=False,
                                  env={**os.environ, "XDG_CACHE_HOME": folder, "TICKTIDE_TEST_DEADLINE": "", **environment})
        return done

    def test_the_plan_of_all_names_each_and_leaves_none_out(self):
        done = self.shown("--plan")
        self.assertEqual((done.returncode, len(done.stdout.splitlines()), "not run" in done.stdout), (0, len(ALL), False), done.stderr)

    def test_a_plan_with_a_deadline_names_last_what_is_not_run(self):
        with tempfile.NamedTemporaryFile("r") as told:
            done = self.shown("--plan", TICKTIDE_TEST_DEADLINE=str(time.time() + ALWAYS_S + 200), TICKTIDE_TEST_LEFT_OUT=told.name)
            *ran, last = done.stdout.splitlines()
            self.assertEqual(told.read(), last + "\n")
        self.assertTrue(last.startswith("not run: s"), last)
        self.assertEqual(len(ran) + len(last.split(",")), len(ALL))
        self.assertEqual(sum(", always" in line for line in ran), len(ALL) - len(ROTATING))

    def test_the_count_of_lanes_and_an_unknown_name(self):
        self.assertEqual([self.shown("--count", *words).stdout for words in ((), ("s7",), ("--long",), ("truth",))], ["2\n", "1\n", "1\n", "2\n"])
        done = self.shown("--count", "s99")
        self.assertEqual((done.returncode, "error: no scenario 's99'\nhint:" in done.stderr), (2, True), done.stderr)


SCRIPT = '''"""A promise."""

# s{order}_x: {line}
import os, pathlib, signal, sys, time
import harness  # the paths are set
pathlib.Path(sys.argv[sys.argv.index("--work") + 1]).mkdir(parents=True)
{body}
'''
ENDS_WITH = "sys.exit({code})"
WAITS = """signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
pathlib.Path({mark!r}).write_text("here")
time.sleep(60)"""


class Running(unittest.TestCase):
    """Real processes in place of scenarios."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(unittest.mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(self.folder / "cache"), "TICKTIDE_TEST_LEFT_OUT": ""}))

    def make(self, order, line, body):
        path = self.folder / "truth" / f"promise_{order}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(SCRIPT.format(order=order, line=line, body=body))
        return listing.read(path)

    def run_them(self, scenarios, deadline=None, before=lambda run: None, **options):
        given = lanes.argparse.Namespace(binary="none", work=str(self.folder / "work"), lane=["19092=a:1", "20092=b:1"], long=False, **options)
        kept = rotation.load(rotation.cache())
        run = lanes.Run(given, kept, deadline)
        with tempfile.TemporaryFile("w+") as screen, contextlib.redirect_stdout(io.TextIOWrapper(screen.buffer, write_through=True)) as out:
            before(run)
            run.everything(rotation.planned(scenarios, kept, 0, lanes.left(deadline), 2))
            code = run.verdict()
            out.flush()
            screen.seek(0)
            text = screen.read()
            out.detach()
        return code, text

    def test_passed_failed_and_skipped_are_told_and_what_did_not_fail_is_remembered(self):
        some = [self.make(number, line, ENDS_WITH.format(code=code)) for number, line, code in
                ((1, "always, 1 s", 0), (2, "always, alone, 1 s", 0), (3, "rotating, 1 s", 1), (4, "rotating, 1 s", 77))]
        code, text = self.run_them(some)
        self.assertEqual(code, 1, text)
        self.assertIn("failed scenarios: s3 promise_3\nskipped scenarios: s4 promise_4\n2 passed, 1 failed, 1 skipped\n", text)
        self.assertEqual(sorted(rotation.load(rotation.cache())), ["s1", "s2", "s4"])

    def test_what_has_no_time_is_named_last_and_is_no_failure(self):
        some = [self.make(number, line, ENDS_WITH.format(code=0)) for number, line in
                ((1, "always, 500 s"), (2, "rotating, 500 s"), (3, "rotating, 1 s"), (4, "rotating, alone, 500 s"))]
        code, text = self.run_them(some, deadline=time.time() + 100)
        self.assertEqual((code, text.splitlines()[-1]), (0, "not run: s2 promise_2, s4 promise_4"), text)
        self.assertIn("2 passed, 0 failed, 0 skipped", text)

    def test_a_signal_reaches_what_runs_and_begins_nothing_more(self):
        marks = [str(self.folder / f"mark{number}") for number in range(3)]
        some = [self.make(number, "always, 1 s", WAITS.format(mark=mark)) for number, mark in enumerate(marks, 1)]

        def stop_later(run):
            def wait():
                while not all(os.path.exists(mark) for mark in marks[:2]):
                    time.sleep(0.01)
                run.stop()
            lanes.threading.Thread(target=wait).start()

        begun = time.monotonic()
        code, text = self.run_them(some, before=stop_later)
        self.assertEqual((code, os.path.exists(marks[2])), (130, False), text)
        self.assertLess(time.monotonic() - begun, 30)

    def test_a_signal_at_any_moment_leaves_no_scenario_running(self):
        some = [self.make(number, "always, 1 s", "time.sleep(60)") for number in range(1, 5)]
        for delay_ms in range(0, 40, 5):
            code, text = self.run_them(some, before=lambda run: lanes.threading.Timer(delay_ms / 1_000, run.stop).start())
            self.assertEqual(code, 130, text)


if __name__ == "__main__":
    unittest.main()
