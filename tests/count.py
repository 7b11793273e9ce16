"""Counts the tests that cargo says have passed, and fails when there are fewer than there were.

    cargo test … 2>&1 | count.py tests/tests.count

What comes in is passed on. The file holds how many `#[test]`s must have passed at least; doc tests are counted by themselves.
"""

import pathlib
import re
import sys

RESULT = re.compile(r"test result: \w+\. (\d+) passed;")


def counted(lines):
    """(#[test]s, doc tests) that have passed in all test binaries of an output."""
    counts, docs = [0, 0], False
    for line in lines:
        heading = line.split(maxsplit=1)[:1]
        if heading in (["Running"], ["Doc-tests"]):
            docs = heading == ["Doc-tests"]
        elif found := RESULT.match(line):
            counts[docs] += int(found[1])
    return tuple(counts)


def main():
    path = pathlib.Path(sys.argv[1])
    lines = []
    for line in sys.stdin:
        sys.stdout.write(line)
        sys.stdout.flush()
        lines.append(line)
    least = int(path.read_text())
    tests, docs = counted(lines)
    print(f"{tests} tests and {docs} doc tests passed; {path.name} wants {least} tests at least", flush=True)
    if tests < least:
        print(f"error: {tests} tests passed, there must be {least} at least\n"
              f"hint: a test that was removed on purpose lowers the number in {path}; else one is not found any more", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
