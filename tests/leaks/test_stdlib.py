"""The standard library's own tests under a guard: nothing is told that is not there.

What was found when this was written, on Python 3.11 to 3.13, in these modules
and in test_os, test_subprocess and test_asyncio.test_events, one by one:

- test_tempfile looks at the type of the names that tempfile gives out: the
  guard watched them by an object of its own.  Mended in the guard.
- test_threading_local imports readline by way of doctest, and that sets LINES
  and COLUMNS behind `os.environ`: readline does so by design, for the programs
  that it starts.  Known to the guard as harmless.
- test_os has tests of IsolatedAsyncioTestCase, whose loop ends after the
  test's cleanups, and with it the threads of its executor.  Known to the guard.
- test_subprocess leaves a ``sleep 3`` that a killed shell had started.  Real.
"""

from __future__ import annotations

import importlib.util
import sys
import unittest

from tests.support import in_threads, run_script

MODULES = (
    "test_contextlib",
    "test_queue",
    "test_selectors",
    "test_tempfile",
    "test_threading_local",
)

SCRIPT = """
import importlib, itf, sys, unittest, warnings
warnings.simplefilter("default")
suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(sys.argv[1]))
result = unittest.TestResult()
itf.guard_suite(suite).run(result)
for test, text in result.failures + result.errors:
    print(test, text)
print("tests:", result.testsRun)
"""


@unittest.skipUnless(sys.platform == "linux", "looked into on Linux")
class StandardLibraryTest(unittest.TestCase):
    def test_nothing_is_found_that_is_not_there(self) -> None:
        """In queue, tempfile, contextlib, threading.local and selectors."""
        there = [name for name in MODULES if importlib.util.find_spec("test") and _spec(name)]
        if not there:
            self.skipTest("the tests of the standard library are not installed")
        # At once, for most of what they do is wait; each in a Python of its own.
        done = in_threads(len(there), lambda number: run_script(SCRIPT, f"test.{there[number]}"))
        for name, process in zip(there, done, strict=True):
            with self.subTest(name):
                told = [line for line in process.stdout.splitlines() if "SUMMARY:" in line]
                self.assertEqual([], told, process.stdout)
                self.assertRegex(process.stdout, r"tests: [1-9]\d+", process.stderr)


def _spec(name: str) -> object:
    return importlib.util.find_spec(f"test.{name}")


if __name__ == "__main__":
    unittest.main()
