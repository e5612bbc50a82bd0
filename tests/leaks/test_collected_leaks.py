from __future__ import annotations

import gc
import socket
import sys
import threading
import unittest
import warnings
from typing import Any, ClassVar

from itf import IntegrationTestCase
from itf.leaks.gc_check import heap_is_frozen
from tests.support import in_threads, run_method

TIMEOUT = 30


class GarbageTest(unittest.TestCase):
    """`gc_check` of a class."""

    def test_what_is_dropped_is_told_of_its_test(self) -> None:
        """Unclosed resources, in circles too; the next test is told of nothing."""

        class Case(IntegrationTestCase):
            gc_check = True

            def test_a_drops(self) -> None:
                open(__file__)
                circle: list[Any] = [socket.socket()]
                circle.append(circle)

            def test_b_drops_nothing(self) -> None:
                with open(__file__):
                    """Closed."""

        result = unittest.TestResult()
        unittest.TestLoader().loadTestsFromTestCase(Case).run(result)
        self.assertEqual([], result.errors)
        ((test, text),) = result.failures
        self.assertEqual("test_a_drops", test._testMethodName)
        self.assertRegex(text, r"unclosed resource: unclosed file .*test_collected_leaks\.py")
        self.assertRegex(text, r"unclosed resource: unclosed <socket\.socket")
        self.assertIn(f"SUMMARY: 2 unclosed resources leaked by {test.id()}", text)

    def test_what_is_ignored(self) -> None:
        """By the dimension, or the type."""
        for entry in ("garbage", "garbage:*TextIOWrapper"):
            with self.subTest(entry):

                class Case(IntegrationTestCase):
                    gc_check = True
                    leak_ignore: ClassVar[list[str]] = [entry]

                    def test(self) -> None:
                        open(__file__)

                self.assertEqual([], run_method(Case).failures)
                Case.doClassCleanups()

    def test_tests_of_one_class_may_run_at_once(self) -> None:
        """Each is told of what it drops itself."""
        barrier = threading.Barrier(8, timeout=TIMEOUT)
        if heap_is_frozen():  # by whoever imported what freezes it
            gc.unfreeze()
            self.addCleanup(gc.freeze)

        class Case(IntegrationTestCase):
            gc_check = True

            def test_clean(self) -> None:
                barrier.wait()

            def test_drops(self) -> None:
                barrier.wait()
                open(__file__)

        names = ["test_clean", "test_drops"] * 4
        results = in_threads(8, lambda number: run_method(Case, names[number]))
        Case.doClassCleanups()
        self.assertEqual([], [error for result in results for error in result.errors])
        self.assertEqual([0, 1] * 4, [len(result.failures) for result in results])
        self.assertFalse(heap_is_frozen())

    def test_the_hooks_are_python_s_own_after_it(self) -> None:
        """Those of the collector lie below the guard's, and go with them."""

        class Case(IntegrationTestCase):
            gc_check = True

            def test(self) -> None:
                """Nothing."""

            def test_raises(self) -> None:
                raise KeyboardInterrupt

        self.addCleanup(Case.doClassCleanups)
        hooks = (sys.unraisablehook, threading.excepthook, warnings.showwarning)
        run_method(Case)
        self.assertEqual(hooks, (sys.unraisablehook, threading.excepthook, warnings.showwarning))
        with self.assertRaises(KeyboardInterrupt):
            run_method(Case, "test_raises")
        self.assertEqual(hooks, (sys.unraisablehook, threading.excepthook, warnings.showwarning))

    def test_growth_is_asserted_of_a_test(self) -> None:
        """As a method of the TestCase."""
        kept: list[object] = []

        class Request:
            """What grows."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.assert_no_growth(lambda: kept.append(Request()), rounds=3)

        ((_, text),) = run_method(Case).failures
        self.assertIn("Request", text)
