"""The pages are true to the tree: links lead somewhere, named files exist, commands parse, sizes and words are kept.

    python3 -m unittest tests/docs.py                                     needs Python alone
    TICKTIDE=target/release/ticktide python3 -m unittest tests/docs.py    holds commands against `--help`, too

Where mkdocs can be imported, the site is built with `--strict`. A comment `<!-- only parsed: REASON -->` before a shell block says that
`the_docs_commands_work.py` does not run it (`needs a lake`: it runs on the README's); every block's commands are parsed here. Generated pages may say what they like.
"""

import functools
import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
README_BYTES, PAGES_LEAST = 7_000, 12
FENCE = re.compile(r"(?ms)^(?:<!-- only parsed: (?P<reason>[^>]+) -->\n)?```(?P<language>[a-z]*)\n(?P<text>.*?)^```$")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
ROOMS = "src|tests|docs|cluster|calendars|dataflows|benches|examples"
NAMED = re.compile(rf"`((?:{ROOMS})/[A-Za-z0-9_./-]*)`")
# what a reader would make himself
MADE = {"src/flow/indicators/change.rs"}
BANNED = re.compile(
    r"(?i)\b(blazing(ly)?|seamless(ly)?|cutting[- ]edge|state[- ]of[- ]the[- ]art|powerful|effortless(ly)?|world[- ]class|game[- ]chang\w+"
    r"|next[- ]gen\w*|enterprise[- ]grade|battle[- ]tested|lightning|robust(ly|ness)?|leverag\w+|just works|simply|of course|obviously"
    r"|todo|tbd|fixme|coming soon|it is looked|is looked whether|of ours|when all stands|counts no more|issue #?\d+)\b"
    r"|/work/|/var/tmp|/root/|/home/")
OPERATORS = {"|", "||", "&&", ";", "&", "(", ")", "{", "}", "do", "then", "else", "if", "while", "until", "!", "$("}


def pages():
    """README and the others at the root, then all of docs/."""
    return [*(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def generated(page):
    return page.parent.name == "reference" or "<!-- Made from" in page.read_text()[:400]


def blocks(page, language="sh"):
    """(line, reason or None, text) of each fenced block in a language. The reason says why it is only parsed."""
    text = page.read_text()
    found = (match for match in FENCE.finditer(text) if match["language"] == language)
    return [(text.count("\n", 0, match.start()) + 1, match["reason"], match["text"]) for match in found]


def statements(text):
    """The words of each command of a shell block; what is between a here-document's words is left out."""
    said, awaited = "", None
    for line in text.splitlines():
        if awaited:
            awaited = None if line.strip() == awaited else awaited
            continue
        said += line + "\n"
        if line.endswith("\\"):
            said = said[:-2] + " "
            continue
        try:
            lexer = shlex.shlex(said, posix=True, punctuation_chars="|&;()<>")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:  # a quote that is still open
            continue
        found = re.search(r"<<-?\s*'?(\w+)'?", said)
        said, awaited = "", found and found[1]
        command = []
        for word in [*words, ";"]:
            if word in OPERATORS:
                if command:
                    yield command
                command = []
            else:
                command.append(word)
    if said.strip():
        raise ValueError(f"a quote has no end: {said.strip()[:60]}")


def calls(text):
    """The arguments of each call of ticktide in a shell block."""
    for command in statements(text):
        while command and re.fullmatch(r"\w+=.*", command[0]):
            command = command[1:]
        if command[:1] == ["ticktide"]:
            redirected = next((place for place, word in enumerate(command) if word[:1] in "<>" or word == "2"), len(command))
            yield command[1:redirected]


@functools.cache
def help_of(*names):
    """(subcommands, flags) that `--help` of a command lists."""
    text = subprocess.run([os.environ["TICKTIDE"], *names, "--help"], check=True, capture_output=True, text=True).stdout
    listed = re.search(r"(?ms)^Commands:\n(.*?)^\S", text + "\n.")
    commands = set(re.findall(r"(?m)^  ([a-z]+) ", listed[1])) if listed else set()
    return commands, set(re.findall(r"(?m)^\s+(?:-\w, )?(--[a-z-]+)", text)) | set(re.findall(r"(?m)^\s+(-\w)\b", text))


def wrong(arguments):
    """What of a call `--help` does not know; None if it knows all."""
    names = []
    while True:
        commands, flags = help_of(*names)
        rest = arguments[len(names):]
        if not commands or not rest or rest[0].startswith("-"):
            break
        if rest[0] not in commands:
            return f"no command {' '.join([*names, rest[0]])!r}"
        names.append(rest[0])
    unknown = [word for word in arguments if re.match(r"--?[a-zA-Z]", word) and word.split("=")[0] not in flags | {"--version"}]
    return f"{' '.join(names)} has no {', '.join(unknown)}" if unknown else None


def anchors(page):
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    heads = re.findall(r"(?m)^#+ (.+)$", FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


class Docs(unittest.TestCase):
    def each(self, problems):
        self.assertEqual([], [str(problem) for problem in problems])

    def test_links_lead_to_pages_files_and_headings_that_are_there(self):
        problems = []
        for page in pages():
            for target in LINK.findall(FENCE.sub("", page.read_text())):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                if not file.exists():
                    problems.append(f"{page.relative_to(ROOT)}: {target}")
                elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                    problems.append(f"{page.relative_to(ROOT)}: {target}: no such heading")
        self.each(problems)

    def test_files_that_are_named_exist(self):
        self.each(f"{page.relative_to(ROOT)}: {name}" for page in pages() for name in NAMED.findall(page.read_text())
                  if name not in MADE and not (ROOT / name).exists())

    def test_scenarios_that_are_named_exist(self):
        known = {word for path in (ROOT / "tests/scenarios").glob("*/*.py") for word in (path.stem, path.parent.name)}
        known |= {f"s{number}" for path in (ROOT / "tests/scenarios").glob("*/*.py") for number in re.findall(r"(?m)^# s(\d+)_", path.read_text())}
        asked = ((page, word) for page in pages() for line in re.findall(r"`tests/run ([^`]+)`", page.read_text()) for word in line.split())
        self.each(f"{page.relative_to(ROOT)}: tests/run {word}" for page, word in asked
                  if word not in known | {"long", "NAME"} and not word.startswith("--"))

    def test_each_command_parses(self):
        problems, asked = [], 0
        for page in pages():
            for line, _, text in blocks(page):
                try:
                    found = list(calls(text))
                except ValueError as error:
                    problems.append(f"{page.relative_to(ROOT)}:{line}: {error}")
                    continue
                asked += len(found)
                if "TICKTIDE" in os.environ:
                    problems += [f"{page.relative_to(ROOT)}:{line}: {fault}" for fault in map(wrong, found) if fault]
        self.each(problems)
        self.assertGreater(asked, 50, "the blocks were found")

    def test_the_readme_is_short_and_begins_with_the_demo_then_the_tests(self):
        readme = ROOT / "README.md"
        self.assertLessEqual(len(readme.read_bytes()), README_BYTES)
        commands = [" ".join(command) for _, _, text in blocks(readme) for command in statements(text)]
        self.assertEqual(["cargo run --release -- demo", "tests/run"], commands[:2])

    def test_there_are_pages_and_each_has_one_title(self):
        found = sorted((ROOT / "docs").rglob("*.md"))
        self.assertGreaterEqual(len(found), PAGES_LEAST)
        self.each(page for page in found if len(re.findall(r"(?m)^# ", FENCE.sub("", page.read_text()))) != 1)

    def test_no_page_has_a_banned_phrase(self):
        self.each(f"{page.relative_to(ROOT)}: {found[0]}" for page in pages() if not generated(page)
                  for found in BANNED.finditer(page.read_text()))

    def test_the_first_hour_takes_at_most_five_steps(self):
        self.each(page for page in (ROOT / "docs/first-hour").glob("*.md") if len(re.findall(r"(?m)^\*\*\d", page.read_text())) > 5)

    @unittest.skipUnless(importlib.util.find_spec("mkdocs"), "no mkdocs")
    def test_the_site_is_built(self):
        with tempfile.TemporaryDirectory() as site:
            done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", site], cwd=ROOT,
                                  capture_output=True, text=True)
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
