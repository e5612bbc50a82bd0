from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
import unittest
import warnings
from typing import Any, ClassVar

import itf
from itf import IntegrationTestCase
from itf.leaks.creation_sites import current_detector
from itf.leaks.registry import active_detectors
from tests.support import run_case, run_method

TIMEOUT = 30


class PolicyTest(unittest.TestCase):
    """`leak_policy`, `leak_ignore` and `leak_grace` of a class."""

    def test_a_leak_fails_its_test(self) -> None:
        """As one failure; the next test begins afresh."""

        class Case(IntegrationTestCase):
            leak_grace = 0

            def test_a(self) -> None:
                os.environ["UPLOAD"] = "now"

            def test_b(self) -> None:
                outer.assertNotIn("UPLOAD", os.environ)

        outer = self
        result = unittest.TestResult()
        unittest.TestLoader().loadTestsFromTestCase(Case).run(result)
        self.assertEqual([], result.errors)
        ((test, text),) = result.failures
        self.assertEqual("test_a", test._testMethodName)
        self.assertTrue(
            text.startswith("AssertionError: "), "no frame of itf's or unittest's is shown"
        )
        self.assertIn(f"SUMMARY: 1 variable leaked by {test.id()}", text)

    def test_a_leak_is_an_event(self) -> None:
        """On the timeline of its test."""

        class Case(IntegrationTestCase):
            leak_grace = 0

            def test(self) -> None:
                os.environ["UPLOAD"] = "now"

        case = Case("test")
        run_case(case)
        self.assertEqual(
            [{"what": "variable", "name": "UPLOAD"}],
            [event["data"] for event in case.timeline.events("leak")],
        )

    def test_no_upcall_is_needed(self) -> None:
        """In `setUp`, `tearDown`, `setUpClass` and `tearDownClass`."""

        class Case(IntegrationTestCase):
            leak_grace = 0

            @classmethod
            def setUpClass(cls) -> None:
                os.environ["OF_CLASS"] = "x"

            @classmethod
            def tearDownClass(cls) -> None:
                """Leave it."""

            def setUp(self) -> None:
                os.environ["OF_SETUP"] = "x"

            def tearDown(self) -> None:
                os.environ["OF_TEARDOWN"] = "x"

            def test(self) -> None:
                outer.assertIn("OF_CLASS", os.environ)

        outer = self
        result = unittest.TestResult()
        unittest.TestSuite([Case("test")]).run(result)
        self.assertEqual(1, len(result.failures))
        self.assertIn("2 variables leaked by", result.failures[0][1])
        self.assertEqual(1, len(result.errors), "the class's own")
        self.assertIn("variable OF_CLASS was not set", result.errors[0][1])
        self.assertIn("SUMMARY: 1 variable leaked by PolicyTest", result.errors[0][1])
        self.assertFalse({"OF_CLASS", "OF_SETUP", "OF_TEARDOWN"} & os.environ.keys())

    def test_warn_and_off(self) -> None:
        """A warning, and settings are put back; or nothing at all."""

        class Warn(IntegrationTestCase):
            leak_policy = "warn"
            leak_grace = 0

            def test(self) -> None:
                os.environ["UPLOAD"] = "now"

        class Off(Warn):
            leak_policy = "off"

        with self.assertWarnsRegex(ResourceWarning, "1 variable leaked by"):
            self.assertTrue(run_method(Warn).wasSuccessful())
        self.assertNotIn("UPLOAD", os.environ)
        self.assertTrue(run_method(Off).wasSuccessful())
        self.assertEqual("now", os.environ.pop("UPLOAD"))

    def test_what_is_ignored(self) -> None:
        """Names, patterns, dimensions, and both; nothing of it is put back."""
        for entry in ("UPLOAD", "UP*", "environment", "environment:UPLOAD", "environment:U*"):
            with self.subTest(entry):

                class Case(IntegrationTestCase):
                    leak_ignore: ClassVar[list[str]] = [entry]
                    leak_grace = 0

                    def test(self) -> None:
                        os.environ["UPLOAD"] = "now"

                self.assertEqual([], run_method(Case).failures)
                self.assertEqual("now", os.environ.pop("UPLOAD"))

    def test_an_entry_that_matched_nothing_is_told(self) -> None:
        """At the end of its class, once all of its tests have run."""

        class Case(IntegrationTestCase):
            leak_ignore = ("environment:UPLOAD", "threads:pump-*")
            leak_grace = 0

            def test_a(self) -> None:
                os.environ["UPLOAD"] = "now"

            def test_b(self) -> None:
                os.environ.pop("UPLOAD", None)

        with self.assertWarns(UserWarning) as caught:
            unittest.TestLoader().loadTestsFromTestCase(Case).run(unittest.TestResult())
        self.assertEqual(
            f"{Case.__qualname__}.leak_ignore has 'threads:pump-*', which matched nothing in any "
            "of its tests; remove what is not needed any more",
            str(caught.warning),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            unittest.TestSuite([Case("test_a")]).run(unittest.TestResult())
        os.environ.pop("UPLOAD", None)

    def test_bad_terms_are_an_error_of_the_test(self) -> None:
        """That names the class."""

        class Case(IntegrationTestCase):
            leak_ignore: ClassVar[Any] = "threads"

            def test(self) -> None:
                """Nothing."""

        class Grace(IntegrationTestCase):
            leak_grace = -1

            def test(self) -> None:
                """Nothing."""

        ((_, text),) = run_method(Case).errors
        self.assertIn("Case.leak_ignore is the text 'threads'; make it a list: ['threads']", text)
        ((_, text),) = run_method(Grace).errors
        self.assertIn("Grace.leak_grace is -1; it is a number of seconds, 0 or more", text)

    def test_ctrl_c_leaves_no_guard_behind(self) -> None:
        """The run ends, and what was changed is put back."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                os.environ["UPLOAD"] = "now"
                raise KeyboardInterrupt

        before = threading.excepthook
        with self.assertRaises(KeyboardInterrupt):
            run_method(Case)
        self.assertNotIn("UPLOAD", os.environ)
        self.assertIs(before, threading.excepthook)

    def test_ctrl_c_while_a_class_is_set_up_leaves_no_guard_behind(self) -> None:
        """What it has changed is put back."""

        class Case(IntegrationTestCase):
            @classmethod
            def setUpClass(cls) -> None:
                os.environ["UPLOAD"] = "now"
                raise KeyboardInterrupt

            def test(self) -> None:
                """Not reached."""

        with self.assertRaises(KeyboardInterrupt):
            unittest.TestSuite([Case("test")]).run(unittest.TestResult())
        self.assertNotIn("UPLOAD", os.environ)
        self.assertFalse(active_detectors.stands)
        self.assertIsNone(current_detector.get())

    def test_output_that_a_runner_redirects_is_no_leak(self) -> None:
        """`python -m unittest -b`."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                print("to the buffer")

        result = unittest.TestResult()
        result.buffer = True
        unittest.TestSuite([Case("test")]).run(result)
        self.assertEqual([], result.failures + result.errors)

    def test_optimized_python_sees_as_much(self) -> None:
        """Under `python -O`, which strips asserts."""
        script = (
            "import itf, os\n"
            "try:\n"
            "    with itf.leak_guard('it', grace=0): os.environ['UPLOAD'] = 'x'\n"
            "except AssertionError as error: print(error)\n"
        )
        root = pathlib.Path(itf.__file__).parent.parent
        done = subprocess.run(
            [sys.executable, "-O", "-c", script],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        self.assertIn("SUMMARY: 1 variable leaked by it", done.stdout)
