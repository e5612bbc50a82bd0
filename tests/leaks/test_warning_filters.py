"""Filters of `warnings` are seen in both places where Python may keep them."""

from __future__ import annotations

import re
import sys
import unittest
import warnings
from unittest import mock

from itf.leaks import finalizer_warnings
from itf.leaks.gc_check import NEVER_AWAITED
from itf.leaks.probes import warning_filters
from tests.support import run_script

# How a Python is started: with one list of filters for all, or with one for each
# context, which threads inherit or not.  Before 3.14 all three are the first.
MODES = {
    "of the module": {"PYTHON_CONTEXT_AWARE_WARNINGS": "0", "PYTHON_THREAD_INHERIT_CONTEXT": "0"},
    "of a context": {"PYTHON_CONTEXT_AWARE_WARNINGS": "1", "PYTHON_THREAD_INHERIT_CONTEXT": "0"},
    "inherited": {"PYTHON_CONTEXT_AWARE_WARNINGS": "1", "PYTHON_THREAD_INHERIT_CONTEXT": "1"},
}

# As a runner does: each test runs within a catch_warnings.
RUN = """
import threading, unittest, warnings
import itf
from itf.leaks.probes.warning_filters import filters_here

def run(body, **attributes):
    case = type("Case", (itf.IntegrationTestCase,), {"test": body, **attributes})
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = list(filters_here())
        unittest.TestSuite([case("test")]).run(result)
        print(len(result.failures), before == filters_here(), result.errors)
        for _, text in result.failures:
            print(*(line for line in text.splitlines() if line.startswith(("  ", "SUMMARY"))))

def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(60)

async def answer():
    pass
"""


class BothPlacesTest(unittest.TestCase):
    """Each script, in each of the modes."""

    def check(self, script: str, *expected: str) -> None:
        """Run a script, and compare its lines with patterns."""
        for name, environment in MODES.items():
            with self.subTest(name):
                done = run_script(RUN + script, **environment)
                self.assertEqual("", done.stderr)
                lines = done.stdout.splitlines()
                self.assertEqual(len(expected), len(lines), done.stdout)
                for pattern, line in zip(expected, lines, strict=True):
                    self.assertRegex(line, pattern)

    def test_a_filter_that_a_test_leaves(self) -> None:
        """It is told, and taken out again."""
        self.check(
            "run(lambda self: warnings.filterwarnings('ignore', 'left'))",
            r"^1 True \[\]$",
            r"setting warnings\.filters was .*always.*, became .*left.*SUMMARY: 1 setting leaked",
        )

    def test_filters_that_a_test_removes(self) -> None:
        """They are put back."""
        self.check(
            "run(lambda self: warnings.resetwarnings())",
            r"^1 True \[\]$",
            r"setting warnings\.filters was .*always.*, became \[\]; .*SUMMARY: 1 setting leaked",
        )

    def test_a_catch_warnings_that_a_test_does_not_leave(self) -> None:
        """It is told, and the filters are those of before it."""
        self.check(
            "run(lambda self: warnings.catch_warnings().__enter__())",
            r"^1 True \[\]$",
            r"setting warnings\.filters was .*SUMMARY: 1 setting leaked",
        )

    def test_a_filter_within_a_catch_warnings_is_no_leak(self) -> None:
        """The test has put all back itself."""
        self.check(
            "def test(self):\n"
            "    with warnings.catch_warnings():\n"
            "        warnings.simplefilter('ignore')\n"
            "run(test)\n"
            "run(lambda self: in_thread(lambda: test(self)))\n",
            r"^0 True \[\]$",
            r"^0 True \[\]$",
        )

    def test_a_coroutine_that_a_test_records_is_no_leak(self) -> None:
        """It was looked at on purpose, in the test's own thread or in another one."""
        self.check(
            "def record():\n"
            "    with warnings.catch_warnings(record=True) as log:\n"
            "        warnings.simplefilter('always')\n"
            "        answer()\n"
            "    print([str(entry.message) for entry in log])\n"
            "def look(self):\n"
            "    with self.assertWarnsRegex(RuntimeWarning, 'never awaited'):\n"
            "        answer()\n"
            "for check in (False, True):\n"
            "    run(lambda self: record(), gc_check=check)\n"
            "    run(lambda self: in_thread(record), gc_check=check)\n"
            "    run(look, gc_check=check)\n",
            *(r'never awaited"\]$', r"^0 True \[\]$", r'never awaited"\]$', "^0 ", "^0 ") * 2,
        )

    def test_a_coroutine_that_nobody_records_is_a_leak(self) -> None:
        """In whichever thread it is dropped."""
        leak = r"coroutine 'answer' was never awaited.*SUMMARY: 1 coroutine leaked"
        self.check(
            "for check in (False, True):\n"
            "    run(lambda self: answer() and None, gc_check=check)\n"
            "    run(lambda self: in_thread(answer), gc_check=check)\n",
            *(r"^1 True \[\]$", leak) * 4,
        )

    def test_what_is_dropped_unclosed_is_found_in_any_thread(self) -> None:
        """Also where the test ignores such warnings by a filter that was set before it."""
        leak = r"unclosed file .*SUMMARY: 1 unclosed resource leaked"
        self.check(
            "warnings.simplefilter('ignore')\n"
            "def drop():\n"
            "    open('README.md')\n"
            "run(lambda self: drop(), gc_check=True)\n"
            "run(lambda self: in_thread(drop), gc_check=True)\n",
            *(r"^1 True \[\]$", leak) * 2,
        )

    def test_guards_in_several_threads_are_not_told_of_one_anothers_filters(self) -> None:
        """Each thread may have filters of its own, which is no change of a setting."""
        self.check(
            "both, first_gone = threading.Barrier(2, timeout=60), threading.Event()\n"
            "def guard_second():\n"
            "    with warnings.catch_warnings():\n"
            "        warnings.filterwarnings('ignore', 'of the second')\n"
            "        with itf.leak_guard('second', ignore=['threads']):\n"
            "            both.wait()\n"
            "            first_gone.wait(60)\n"
            "        print('of the second' in str(filters_here()))\n"
            "other = threading.Thread(target=guard_second)\n"
            "import sys\n"
            "if getattr(sys.flags, 'context_aware_warnings', False):\n"
            "    with itf.leak_guard('first', ignore=['threads']):\n"
            "        other.start()\n"
            "        both.wait()\n"
            "    first_gone.set()\n"
            "    other.join(60)\n"
            "else:\n"
            "    print(True)\n",
            "^True$",
        )


class PrivateTest(unittest.TestCase):
    """What is taken from `warnings` beside its public names, on this Python."""

    def test_filters_of_a_context(self) -> None:
        """They are known wherever Python has them."""
        aware = bool(getattr(sys.flags, "context_aware_warnings", False))
        self.assertEqual(aware, warning_filters.CONTEXT_AWARE)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "of this block")
            here = warning_filters.filters_here()
            self.assertIn("of this block", str(here[0]))
            self.assertEqual(aware, here is not warnings.filters)
            self.assertIs(here, warning_filters.all_filters()[0])
            self.assertTrue(warning_filters.are_in_effect(here))
        self.assertFalse(warning_filters.are_in_effect(here))

    def test_without_the_private_functions(self) -> None:
        """The filters of the module are seen, and no others."""
        with (
            mock.patch.object(warning_filters, "_get_context", None),
            mock.patch.object(warning_filters, "_set_context", None),
        ):
            self.assertIs(warnings.filters, warning_filters.filters_here())
            self.assertEqual(1, len(warning_filters.all_filters()))
            self.assertTrue(warning_filters.are_in_effect(warnings.filters))
            self.assertIsNone(warning_filters.ContextFilters().read())
        self.assertIsNone(warning_filters._find("_no_such_function"))

    def test_the_text_on_a_coroutine(self) -> None:
        """It is the one that our filter lets through, whatever other filters say."""

        async def answer() -> None:
            """Never awaited."""

        with warnings.catch_warnings(record=True) as log:
            warnings.simplefilter("always")
            answer()
        self.assertEqual([RuntimeWarning], [entry.category for entry in log])
        self.assertRegex(str(log[0].message), NEVER_AWAITED)
        self.assertIsNotNone(re.match(NEVER_AWAITED, str(log[0].message)))

    def test_the_code_that_shows_a_warning(self) -> None:
        """Every frame between who warns and a hook is known to be of `warnings`."""
        frames = []

        def show(*_: object) -> None:
            frame = sys._getframe(1)
            while frame is not None and frame.f_code is not warn.__code__:
                frames.append(frame)
                frame = frame.f_back

        def warn() -> None:
            warnings.warn("shown", UserWarning, stacklevel=1, source=frames)

        with warnings.catch_warnings():
            warnings.simplefilter("always")
            with mock.patch.object(warnings, "showwarning", show):
                warn()
        self.assertTrue(frames)
        self.assertTrue(all(map(finalizer_warnings._is_of_warnings, frames)), frames)
        self.assertLess(len(frames), finalizer_warnings._FRAMES_TO_MESSAGE)


if __name__ == "__main__":
    unittest.main()
