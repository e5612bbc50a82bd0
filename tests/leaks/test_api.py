from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import unittest
import warnings
from typing import Any
from unittest import mock

from itf import IntegrationTestCase, guard_capabilities, guard_suite, leak_guard, outlives_test
from itf.leaks.creation_sites import current_detector
from itf.leaks.detector import LeakDetector
from itf.leaks.gc_check import GarbageCheck
from itf.leaks.leak import DIMENSIONS
from itf.leaks.registry import active_detectors
from tests.support import run_method, run_script

TIMEOUT = 30


class Waiter(threading.Thread):
    """A thread that waits until it is told to end."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._stop_waiting = threading.Event()
        self.start()

    def run(self) -> None:
        """Wait."""
        self._stop_waiting.wait(TIMEOUT)

    def end(self) -> None:
        """Let it end."""
        self._stop_waiting.set()
        self.join(TIMEOUT)


class LeakGuardTest(unittest.TestCase):
    """`leak_guard` in a script."""

    def test_a_clean_block_has_an_empty_report(self) -> None:
        """And nothing is raised."""
        with leak_guard() as report:
            self.assertFalse(report)
        self.assertEqual([], report.leaks)

    def test_a_process_that_cannot_be_killed(self) -> None:
        """Is told to be there still: the report does not say that it is gone."""
        with (
            mock.patch("itf.leaks.probes.processes._signal"),
            mock.patch("itf.leaks.probes.processes._KILL_WAIT", 0.01),
            self.assertRaises(AssertionError) as caught,
            leak_guard(grace=0),
        ):
            process = subprocess.Popen(["sleep", str(TIMEOUT)])
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
        self.assertIn(
            f"it was killed, and did not end: pid {process.pid} is still there",
            str(caught.exception),
        )

    def test_the_whole_report(self) -> None:
        """A line for each leak, what to do, how to learn more, and the summary at the end."""
        with self.assertRaises(AssertionError) as caught, leak_guard("upload", grace=0) as report:
            waiter = Waiter("pump")
            self.addCleanup(waiter.end)
            os.environ["UPLOAD"] = "now"
        text = str(caught.exception)
        self.assertEqual(text, report.text)
        self.assertRegex(
            text,
            textwrap.dedent(
                r"""
                \Aupload left behind:
                  thread 'pump' \(ident \d+, daemon\), is at .*threading\.py:\d+ in .*
                  variable UPLOAD was not set, became 'now'; it is put back
                join threads; restore what is changed \(unittest\.mock\.patch\); what may stay: .*
                ITF_TRACE=1, or leak_trace = True, tells where each was made
                SUMMARY: 1 thread, 1 variable leaked by upload\Z"""
            ).strip(),
        )
        self.assertNotIn("UPLOAD", os.environ)

    def test_an_error_of_the_block_goes_first(self) -> None:
        """What was left behind is a note on it."""
        with self.assertRaises(KeyError) as caught, leak_guard("upload"):
            os.environ["UPLOAD"] = "now"
            raise KeyError("the error")
        self.assertIn("SUMMARY: 1 variable leaked by upload", caught.exception.__notes__[0])

    def test_a_warning_puts_settings_back_and_nothing_else(self) -> None:
        """With `policy="warn"` nothing is ended or removed."""
        with self.assertWarnsRegex(ResourceWarning, "1 temporary directory, 1 variable"):
            with leak_guard(policy="warn", grace=0):
                os.environ["UPLOAD"] = "now"
                folder = tempfile.mkdtemp()
        self.assertNotIn("UPLOAD", os.environ)
        os.rmdir(folder)

    def test_what_is_on_its_way_out_is_waited_for(self) -> None:
        """A thread that ends within the grace is no leak."""
        ending = threading.Event()
        with leak_guard(grace=TIMEOUT):
            thread = threading.Thread(target=ending.wait, args=(0.05,))
            thread.start()
        self.assertFalse(thread.is_alive())

    def test_what_garbage_keeps_is_no_leak(self) -> None:
        """A circle of garbage is collected before anything is said."""

        class Holder:
            """Keeps a descriptor for as long as it lives, and itself alive."""

            def __init__(self) -> None:
                self.number = os.open(__file__, os.O_RDONLY)
                self.itself = self

            def __del__(self) -> None:
                os.close(self.number)

        with leak_guard(grace=0):
            Holder()

    def test_what_fills_the_table_of_descriptors_is_told(self) -> None:
        """Though nothing can be opened then, not even to list them."""
        script = """
            import os, resource
            from itf import leak_guard
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            opened = 0
            try:
                with leak_guard("filler", grace=0) as report:
                    try:
                        while True:
                            os.open(os.devnull, os.O_RDONLY)
                            opened += 1
                    except OSError:
                        pass
            except AssertionError:
                pass
            print(opened > 0, f"{opened} files" in report.summary, report.summary)
        """
        done = run_script(textwrap.dedent(script))
        self.assertEqual("True True", done.stdout[:9], done.stdout + done.stderr)

    def test_it_can_be_nested(self) -> None:
        """The inner one tells, and the outer one does not tell it again."""
        with leak_guard("outer", grace=0):
            with self.assertRaisesRegex(AssertionError, "leaked by inner"):
                with leak_guard("inner", grace=0):
                    waiter = Waiter("pump")
                    self.addCleanup(waiter.end)

    def test_bad_arguments_are_told(self) -> None:
        """By value, with what there is."""
        for arguments, message in (
            ({"policy": "off"}, "policy is 'off'; it is one of fail, warn"),
            ({"grace": -1}, "grace is -1; it is a number of seconds, 0 or more"),
            ({"grace": "soon"}, "grace is 'soon'; it is a number of seconds, 0 or more"),
            ({"ignore": [""]}, "ignore has ''; an entry is a name or a pattern"),
            ({"ignore": ["thread:x"]}, "ignore has 'thread:x'; an entry is"),
        ):
            with self.subTest(arguments), self.assertRaises(ValueError) as caught:
                with leak_guard(**arguments):  # type: ignore[arg-type]
                    self.fail("it began")
            self.assertIn(message, str(caught.exception))
        for ignore in ("threads", [1]):
            with self.subTest(ignore), self.assertRaises(TypeError):
                with leak_guard(ignore=ignore):  # type: ignore[arg-type]
                    self.fail("it began")

    def test_a_setting_that_cannot_be_put_back_is_told(self) -> None:
        """The others are put back even so."""
        with tempfile.TemporaryDirectory() as outer:
            before = os.getcwd()
            gone = os.path.join(outer, "gone")
            os.mkdir(gone)
            os.chdir(gone)
            try:
                with self.assertRaises(AssertionError) as caught, leak_guard("it", grace=0):
                    os.chdir("/")
                    os.rmdir(gone)
                    os.environ["UPLOAD"] = "now"
            finally:
                os.chdir(before)
        self.assertRegex(str(caught.exception), r"but that failed: FileNotFoundError: .*gone")
        self.assertNotIn("UPLOAD", os.environ)

    def test_what_takes_the_place_of_a_list_or_is_deleted_is_put_back(self) -> None:
        """Whatever a test puts there, or whether it puts nothing."""
        cases: list[tuple[Any, str, Any]] = [
            (sys, "argv", None),
            (sys, "path_hooks", 7),
            (warnings, "filters", ()),
        ]
        for owner, name, value in cases:
            before = getattr(owner, name)
            with self.subTest(name), self.assertRaises(AssertionError) as caught:
                with leak_guard("it"):
                    setattr(owner, name, value)
            self.assertIn(f"became {list(value) if value == () else value}", str(caught.exception))
            self.assertIs(before, getattr(owner, name))
        for owner, name in ((sys, "argv"), (sys, "displayhook"), (sys, "stdin")):
            before = getattr(owner, name)
            with self.subTest(name), self.assertRaises(AssertionError) as caught:
                with leak_guard("it"):
                    delattr(owner, name)
            self.assertIn("became deleted", str(caught.exception))
            self.assertIs(before, getattr(owner, name))
            with mock.patch.object(owner, name):
                delattr(owner, name)
                with self.assertRaises(AssertionError), leak_guard("it"):
                    setattr(owner, name, before)
                self.assertFalse(hasattr(owner, name))

    def test_one_that_cannot_look_does_not_stand(self) -> None:
        """An interrupt while it looks before leaves nothing behind."""
        for name in ("itf.leaks.registry.take_snapshot", "itf.leaks.gc_check.GarbageCheck.begin"):
            check = GarbageCheck()
            guard = LeakDetector(lambda: "it", trace=True, garbage=check)
            with self.subTest(name), mock.patch(name, side_effect=KeyboardInterrupt):
                self.assertRaises(KeyboardInterrupt, guard.begin)
            check.close()
            self.assertFalse(active_detectors.stands)
            self.assertIs(open, io.open)
            self.assertIsNone(current_detector.get())

    def test_what_was_told_is_not_kept(self) -> None:
        """Where one guard stands at a time nobody asks for it again; its number may come again."""
        for number in range(3):
            with leak_guard("it", ignore=["TOLD_*"]):
                os.environ[f"TOLD_{number}"] = "x"
            del os.environ[f"TOLD_{number}"]
        self.assertEqual(set(), active_detectors._told)

    def test_it_is_cheap_to_import(self) -> None:
        """A block brings in neither multiprocessing nor asyncio nor json."""
        script = """
            import sys
            from itf import leak_guard
            with leak_guard(): pass
            print(sorted({"multiprocessing", "asyncio", "json", "subprocess"} & sys.modules.keys()))
        """
        self.assertEqual("[]\n", run_script(textwrap.dedent(script)).stdout)


class OutlivesTest(unittest.TestCase):
    """`outlives_test` declares what is meant to stay."""

    def test_what_is_declared_is_no_leak(self) -> None:
        """A thread, a descriptor, a temporary directory, a setting; anything after it is."""

        class Case(IntegrationTestCase):
            leak_grace = 0

            def test_declares(self) -> None:
                with outlives_test("a pool that is made at first use"):
                    kept["waiter"] = Waiter("pool")
                    kept["file"] = open(__file__)
                    kept["folder"] = tempfile.mkdtemp()
                    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

            def test_leaves(self) -> None:
                kept["other"] = Waiter("other")

        kept: dict[str, Any] = {}
        try:
            self.assertEqual([], run_method(Case, "test_declares").failures)
            self.assertIs(signal.SIG_IGN, signal.getsignal(signal.SIGUSR1))
            self.assertTrue(os.path.isdir(kept["folder"]))
            ((_, text),) = run_method(Case, "test_leaves").failures
            self.assertIn("SUMMARY: 1 thread leaked by", text)
        finally:
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            kept["waiter"].end()
            kept["other"].end()
            kept["file"].close()
            os.rmdir(kept["folder"])

    def test_a_guard_that_comes_meanwhile(self) -> None:
        """In another thread: it does not tell of what was declared, nor is it left in the dark."""
        turns = {name: threading.Event() for name in ("declares", "looks", "made")}
        texts: list[str] = []

        def guard_meanwhile() -> None:
            turns["declares"].wait(TIMEOUT)
            with contextlib.suppress(AssertionError), leak_guard("other", grace=0) as report:
                turns["looks"].set()
                turns["made"].wait(TIMEOUT)
                os.environ["ITS_OWN"] = "1"
            texts.append(report.summary)

        thread = threading.Thread(target=guard_meanwhile)
        thread.start()
        with outlives_test("made while another thread looks"):
            turns["declares"].set()
            turns["looks"].wait(TIMEOUT)
            file = open(__file__)
            self.addCleanup(file.close)
        turns["made"].set()
        thread.join(TIMEOUT)
        self.assertEqual(["SUMMARY: 1 variable leaked by other"], texts)

    def test_what_is_declared_before_another_guard_comes(self) -> None:
        """Is not told, either, when the last of those that stood at once has gone."""
        kept: list[Any] = []

        def declare_and_guard() -> None:
            with outlives_test("made once"):
                kept.append(open(__file__))
            with leak_guard(grace=0):
                """Stand beside the other one."""

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with leak_guard(grace=0):
                thread = threading.Thread(target=declare_and_guard)
                thread.start()
                thread.join(TIMEOUT)
            kept[0].close()
        self.assertEqual([], [str(warning.message) for warning in caught])

    def test_what_is_declared_between_two_tests_is_no_leak_of_the_second(self) -> None:
        """A thread of the class's may make something at any time."""

        class Result(unittest.TestResult):
            """Not of unittest, but taken for it: it stands for that thread."""

            def stopTest(self, test: unittest.TestCase) -> None:
                if test.id().endswith("test_a"):
                    with outlives_test("a cache"):
                        kept.append(open(__file__))
                super().stopTest(test)

        Result.__module__ = "unittest"

        class Case(IntegrationTestCase):
            leak_grace = 0

            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        kept: list[Any] = []
        result = Result()
        unittest.TestLoader().loadTestsFromTestCase(Case).run(result)
        kept[0].close()
        self.assertEqual([], result.failures)

    def test_without_a_reason_it_is_an_error(self) -> None:
        """The reason is for whoever reads the code."""
        for why in ("", "  ", None):
            with self.subTest(why), self.assertRaisesRegex(ValueError, "takes the reason"):
                with outlives_test(why):  # type: ignore[arg-type]
                    self.fail("it began")


class GuardSuiteTest(unittest.TestCase):
    """`guard_suite` around tests of plain TestCases."""

    def run_suite(self, *cases: type[unittest.TestCase], **terms: Any) -> unittest.TestResult:
        """Run all tests of classes under a guard."""
        load = unittest.TestLoader().loadTestsFromTestCase
        suite = guard_suite(unittest.TestSuite(map(load, cases)), grace=0, **terms)
        result = unittest.TestResult()
        suite.run(result)
        return result

    def test_plain_tests_are_guarded(self) -> None:
        """Each leak fails its own test, and the class's its class."""

        class Plain(unittest.TestCase):
            @classmethod
            def setUpClass(cls) -> None:
                os.environ["OF_CLASS"] = "x"

            def test_a(self) -> None:
                os.environ["UPLOAD"] = "now"

            def test_b(self) -> None:
                """Nothing."""

        result = self.run_suite(Plain)
        self.assertEqual(["test_a"], [test._testMethodName for test, _ in result.failures])
        self.assertEqual(1, len(result.errors))
        self.assertIn("variable OF_CLASS", result.errors[0][1])
        self.assertFalse({"OF_CLASS", "UPLOAD"} & os.environ.keys())

    def test_ours_are_left_as_they_are(self) -> None:
        """They have a guard of their own, or want none."""

        class Case(IntegrationTestCase):
            leak_policy = "off"

            def test(self) -> None:
                os.environ["OF_OURS"] = "x"

        self.addCleanup(os.environ.pop, "OF_OURS", None)
        result = unittest.TestResult()
        guard_suite(unittest.TestSuite([Case("test")])).run(result)
        self.assertTrue(result.wasSuccessful(), result.failures)

    def test_an_asynchronous_test_is_guarded(self) -> None:
        """Its loop is not taken for a leak, nor the threads of the loop's executor."""

        class Plain(unittest.IsolatedAsyncioTestCase):
            async def test_clean(self) -> None:
                import asyncio

                await asyncio.to_thread(os.getpid)

            async def test_leaves(self) -> None:
                os.environ["UPLOAD"] = "now"

        result = self.run_suite(Plain)
        self.assertEqual(["test_leaves"], [test._testMethodName for test, _ in result.failures])
        self.assertEqual([], result.errors)

    def test_the_terms_hold(self) -> None:
        """As for `leak_guard`."""

        class Plain(unittest.TestCase):
            def test(self) -> None:
                os.environ["UPLOAD"] = "now"

        self.assertTrue(self.run_suite(Plain, ignore=["UPLOAD"]).wasSuccessful())
        self.assertEqual("now", os.environ.pop("UPLOAD"))
        with self.assertWarnsRegex(ResourceWarning, "1 variable leaked by"):
            self.assertTrue(self.run_suite(Plain, policy="warn").wasSuccessful())

    def test_skips_failures_and_debug_are_as_without(self) -> None:
        """A skipped test is skipped, a failing one fails once, `debug` raises."""

        class Plain(unittest.TestCase):
            @unittest.skip("as asked")
            def test_a_skipped(self) -> None:
                """Never run."""

            def test_b_fails(self) -> None:
                self.fail("on purpose")

        result = self.run_suite(Plain)
        self.assertEqual(1, len(result.skipped))
        self.assertEqual(1, len(result.failures))
        suite = guard_suite(unittest.TestSuite([Plain("test_b_fails")]))
        with self.assertRaisesRegex(AssertionError, "on purpose"):
            suite.debug()
        self.assertIs(threading.excepthook, threading.__excepthook__)


class CapabilitiesTest(unittest.TestCase):
    def test_every_dimension_is_told(self) -> None:
        """Whether it is seen on this platform."""
        told = guard_capabilities()
        self.assertEqual(set(DIMENSIONS), set(told))
        if sys.platform == "linux":
            unseen = {name for name, seen in told.items() if not seen}
            # Python can make them since 3.13, by public means since 3.14.
            self.assertEqual(set() if sys.version_info >= (3, 13) else {"interpreters"}, unseen)


if __name__ == "__main__":
    unittest.main()
