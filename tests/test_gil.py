from __future__ import annotations

import sys
import unittest

from tests.support import run_script

_PREFIX = """
import sys, warnings
sys._is_gil_enabled = lambda: False
warnings.simplefilter("always")
import unittest
import itf
from itf import *
class Case(IntegrationTestCase):
    def test(self, temp_workspace): pass
class AsyncCase(AsyncIntegrationTestCase):
    async def test(self): pass
class PlainCase(unittest.TestCase):
    def test(self): pass
def run(test):
    result = unittest.TestResult()
    test.run(result)
    if not result.wasSuccessful(): print(result.errors + result.failures)
def workspace():
    with temp_workspace(): pass
def faults():
    with inject_faults(sys, "getrefcount", FaultPlan.nth_call(1, returns=1)): sys.getrefcount(1)
def guarded():
    with leak_guard(): pass
print("imported", flush=True)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
"""

# The ways in which a user may use itf for the first time in a process.
_USES = [
    "run(Case('test'))",
    "run(AsyncCase('test'))",
    "run(guard_suite(unittest.TestSuite([PlainCase('test')])))",
    "workspace()",
    "faults()",
    "guarded()",
    "interleave(int, runs=1)",
    "assert_no_growth(int, rounds=2, warmup=0)",
]


class WarningTest(unittest.TestCase):
    def warned(self, *lines: str) -> list[str]:
        """Return the warnings that a script gets without the GIL, after its imports."""
        body = "".join(f"    {line}\n" for line in lines)
        found = "for w in caught: print(w.category.__name__, w.message)"
        result = run_script(_PREFIX + body + found)
        self.assertEqual("", result.stderr)
        first, *others = result.stdout.splitlines()
        self.assertEqual("imported", first)
        return others

    def test_once_at_first_use(self) -> None:
        """The first use of any part of itf warns, once in a process; the import does not warn."""
        version = ".".join(map(str, sys.version_info[:3]))
        text = (
            "RuntimeWarning itf has not been tested without the GIL, which is off in this "
            f"process (Python {version}), so its results may be wrong; start Python with "
            "PYTHON_GIL=1 in its environment to switch the GIL on"
        )
        for use in _USES:
            with self.subTest(use):
                self.assertEqual([text], self.warned(use, use))
        self.assertEqual([text], self.warned(*_USES))

    def test_with_errors_for_warnings_the_first_test_fails(self) -> None:
        """With ``-W error``, the first test has an error, and the next test passes."""
        result = run_script(
            _PREFIX
            + "    warnings.simplefilter('error')\n"
            + "    for _ in range(2):\n"
            + "        result = unittest.TestResult()\n"
            + "        Case('test').run(result)\n"
            + "        print(len(result.errors), result.wasSuccessful())\n"
        )
        self.assertEqual(("imported\n1 False\n0 True\n", ""), (result.stdout, result.stderr))

    def test_no_warning_with_the_gil(self) -> None:
        """With the GIL, and on a Python without the private name, there is no warning."""
        for line in ("sys._is_gil_enabled = lambda: True", "del sys._is_gil_enabled"):
            with self.subTest(line):
                self.assertEqual([], self.warned(line, *_USES))


if __name__ == "__main__":
    unittest.main()
