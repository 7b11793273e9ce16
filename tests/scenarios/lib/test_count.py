"""What `tests/count.py` makes of cargo's output."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

COUNT = pathlib.Path(__file__).resolve().parents[2] / "count.py"
OUTPUT = """   Compiling ticktide v0.1.0 (/src)
    Finished `release` profile [optimized] target(s) in 3m 20s
     Running unittests src/lib.rs (target/release/deps/ticktide-0123)

running 2 tests
test a ... ok

test result: ok. 593 passed; 0 failed; 4 ignored; 0 measured; 0 filtered out; finished in 90.12s

     Running tests/walls.rs (target/release/deps/walls-0123)
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s

   Doc-tests ticktide_flow
test result: ok. 18 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.10s
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
"""


class Count(unittest.TestCase):
    def count(self, least, output=OUTPUT):
        with tempfile.NamedTemporaryFile("w", suffix=".count") as file:
            file.write(f"{least}\n")
            file.flush()
            return subprocess.run([sys.executable, COUNT, file.name], input=output, capture_output=True, text=True, check=False)

    def test_tests_and_doc_tests_are_counted_by_themselves(self):
        done = self.count(595)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith(OUTPUT))
        self.assertIn("595 tests and 19 doc tests passed", done.stdout)

    def test_fewer_than_there_were_is_an_error_that_says_both(self):
        done = self.count(596)
        self.assertEqual(done.returncode, 1)
        self.assertIn("error: 595 tests passed, there must be 596 at least\nhint:", done.stderr)

    def test_an_output_without_a_test_is_an_error(self):
        self.assertEqual(self.count(1, "error: could not compile `ticktide`\n").returncode, 1)


if __name__ == "__main__":
    unittest.main()
