from __future__ import annotations

import contextlib
import gc
import io
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import types
import unittest
import warnings
import weakref
from typing import Any, ClassVar
from unittest import mock

import itf
from itf import IntegrationTestCase, guard_capabilities, guard_suite, leak_guard, outlives_test
from itf.leaks.creation_sites import current_detector
from itf.leaks.detector import LeakDetector
from itf.leaks.gc_check import GarbageCheck, heap_is_frozen
from itf.leaks.leak import DIMENSIONS
from itf.leaks.registry import active_detectors
from tests.support import in_threads, run_case, run_method, run_script

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


class TracingTest(unittest.TestCase):
    """With tracing, a report says where each thing was made."""

    def leaks(self) -> str:
        """Leave one thing of each sort behind, and return what is told."""
        with self.assertRaises(AssertionError) as caught, leak_guard(trace=True, grace=0):
            file = open(__file__)
            self.addCleanup(file.close)
            ours, theirs = socket.socketpair()
            self.addCleanup(ours.close)
            self.addCleanup(theirs.close)
            process = subprocess.Popen(["sleep", "30"])
            self.addCleanup(process.wait)
            waiter = Waiter("pump")
            self.addCleanup(waiter.end)
            tempfile.mkdtemp()
            os.environ["UPLOAD"] = "now"
        return str(caught.exception)

    def test_each_is_told_with_its_place(self) -> None:
        """File, socket, process, thread, temporary directory, variable."""
        text = self.leaks()
        here = r"test_api\.py:\d+ in TracingTest\.leaks"
        for told in (
            rf"file .*test_api\.py .*, opened at \S*{here}",
            rf"socket unix .*, opened at .*{here}",
            rf"process \d+ \(sleep 30\), started at .*{here}",
            rf"thread 'pump' .*, started at .*Waiter\.__init__, called from \S*{here}",
            rf"temporary directory .*, made at .*{here}",
            rf"variable UPLOAD .*, set at .*{here}",
        ):
            with self.subTest(told):
                self.assertRegex(text, told)
        self.assertNotIn("ITF_TRACE", text)

    def test_everything_is_as_before_after_it(self) -> None:
        """The functions that were watched are the standard library's own again."""
        import builtins
        import io

        before = (builtins.open, io.open, os.open, socket.socket.__init__, threading.Thread.start)
        self.leaks()
        after = (builtins.open, io.open, os.open, socket.socket.__init__, threading.Thread.start)
        self.assertEqual(before, after)

    def test_the_watched_functions_do_as_the_others(self) -> None:
        """They are no methods where they stand in a class, are pickled, and known to os."""
        import pickle

        with leak_guard(trace=True):

            class Opener:
                opener = open

            with Opener().opener(__file__) as file:
                self.assertTrue(file.readable())
            sent = pickle.loads(pickle.dumps(open))
            self.assertIs(getattr(open, "original", None), getattr(sent, "original", sent))
            self.assertIn(os.open, os.supports_dir_fd)
            self.assertEqual("open", open.__name__)

    def test_a_descriptor_of_another_file_is_not_told_with_the_place_of_the_first(self) -> None:
        """A number that was closed and opened anew past the watch has no place."""
        with self.assertRaises(AssertionError) as caught, leak_guard(trace=True, grace=0):
            with open(__file__) as file:
                number = file.fileno()
            libc_open(number)
            self.addCleanup(os.close, number)
        self.assertNotIn("opened at", str(caught.exception))

    def test_the_environment_switches_it_on(self) -> None:
        """`ITF_TRACE=1` for every test of a run; `leak_trace` for a class."""
        script = """
            import itf, unittest
            class Case(itf.IntegrationTestCase):
                leak_grace = 0
                leak_trace = TRACE
                def test(self):
                    self.file = open("/dev/null")
            result = unittest.TestResult()
            Case("test").run(result)
            print(result.failures[0][1])
        """
        for trace, environment in (("False", {"ITF_TRACE": "1"}), ("True", {"ITF_TRACE": ""})):
            with self.subTest(trace):
                source = textwrap.dedent(script).replace("TRACE", trace)
                done = run_script(source, **environment)
                self.assertRegex(
                    done.stdout, r"file /dev/null .*, opened at <string>:7 in Case\.test"
                )


def libc_open(number: int) -> None:
    """Open a file under a number, without any function of Python's."""
    import ctypes

    libc = ctypes.CDLL(None)
    opened = libc.open(b"/dev/null", 0)
    if opened != number:
        libc.dup2(opened, number)
        libc.close(opened)


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


class NeighboursTest(unittest.TestCase):
    """What happens between two tests is no leak of either."""

    def check(self, suite: unittest.TestSuite, result: unittest.TestResult) -> None:
        """Run a suite whose tests are clean, and expect no failure."""
        suite.run(result)
        self.assertEqual([], result.failures + result.errors)

    def test_a_result_of_somebody_elses_may_do_anything(self) -> None:
        """It may change settings in startTest."""

        class Result(unittest.TestResult):
            def startTest(self, test: unittest.TestCase) -> None:
                os.environ["BY_RESULT"] = test.id()
                super().startTest(test)

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        self.addCleanup(os.environ.pop, "BY_RESULT", None)
        suite = unittest.TestLoader().loadTestsFromTestCase(Case)
        self.check(suite, Result())

    def test_a_result_that_was_given_a_method_may_do_anything(self) -> None:
        """As a tool does that wants to hear of each test."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        self.addCleanup(os.environ.pop, "BY_RESULT", None)
        for name in ("startTest", "stopTest", "addSuccess"):
            result = unittest.TestResult()
            setattr(result, name, _telling(getattr(result, name)))
            suite = unittest.TestLoader().loadTestsFromTestCase(Case)
            with self.subTest(name):
                self.check(suite, result)

    def test_a_run_of_the_users_own_may_do_anything(self) -> None:
        """What it changes is no leak of the test."""

        class Case(IntegrationTestCase):
            def run(self, result: unittest.TestResult | None = None) -> Any:
                os.environ["BY_RUN"] = self.id()
                return super().run(result)

            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        self.addCleanup(os.environ.pop, "BY_RUN", None)
        suite = unittest.TestLoader().loadTestsFromTestCase(Case)
        self.check(suite, unittest.TestResult())

    def test_a_test_of_another_class_in_between_may_do_anything(self) -> None:
        """One without a guard, too."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        class Plain(unittest.TestCase):
            def test(self) -> None:
                os.environ["BY_PLAIN"] = "x"

        self.addCleanup(os.environ.pop, "BY_PLAIN", None)
        suite = unittest.TestSuite([Case("test_a"), Plain("test"), Case("test_b")])
        self.check(suite, unittest.TestResult())

    def test_a_suite_of_somebody_elses_may_do_anything(self) -> None:
        """What it makes for the tests in it is no leak of the first of them."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_c = test_a

        class Suite(unittest.TestSuite):
            def run(self, result: unittest.TestResult, debug: bool = False) -> Any:
                with mock.patch.dict(os.environ, BY_SUITE="x"):
                    return super().run(result, debug)

        inner = [unittest.TestSuite([Case("test_b"), Case("test_c")])]
        for suite in (Suite([Case("test_b"), Case("test_c")]), Suite(inner)):
            with self.subTest(suite):
                outer = unittest.TestSuite([Case("test_a"), suite])
                self.check(outer, unittest.TestResult())

    def test_a_run_of_another_base_may_do_anything(self) -> None:
        """As that of unittest's own TestCase for coroutines, which makes a loop for each test."""

        class Case(IntegrationTestCase, unittest.IsolatedAsyncioTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        class Both(itf.AsyncIntegrationTestCase, unittest.IsolatedAsyncioTestCase):
            async def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        for cls in (Case, Both):
            with self.subTest(cls):
                suite = unittest.TestLoader().loadTestsFromTestCase(cls)
                self.check(suite, unittest.TestResult())

    def test_what_has_run_the_tests_is_let_go(self) -> None:
        """When the class is over, nothing keeps the suite, the result and the last test."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        kept = [Case("test_a"), Case("test_b")]
        result = unittest.TestResult()
        suite = unittest.TestSuite([unittest.TestSuite(kept)])
        gone = list(map(weakref.ref, (suite, result, kept[1])))
        suite.run(result)
        del suite, result, kept
        gc.collect()
        self.assertEqual([None] * 3, [each() for each in gone])

    def test_a_forked_child_looks_for_itself(self) -> None:
        """It has another thread, and may have other descriptors."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

        suite = unittest.TestSuite([Case("test_a")])
        suite.run(unittest.TestResult())
        child = os.fork()
        if child == 0:
            code = 1
            try:
                result = unittest.TestResult()
                suite_of_child = unittest.TestSuite([Case("test_a"), Case("test_a")])
                suite_of_child.run(result)
                code = int(not result.wasSuccessful())
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        self.assertEqual(0, status)

    def test_what_a_test_left_is_not_the_next_ones(self) -> None:
        """After a leak that nobody can end, the next look is a fresh one."""

        class Case(IntegrationTestCase):
            leak_grace = 0

            def test_a(self) -> None:
                waiters.append(Waiter("pump"))

            def test_b(self) -> None:
                """Nothing."""

        waiters: list[Waiter] = []
        result = unittest.TestResult()
        unittest.TestLoader().loadTestsFromTestCase(Case).run(result)
        waiters[0].end()
        self.assertEqual(["test_a"], [test._testMethodName for test, _ in result.failures])


def _telling(tell: Any) -> Any:
    def told(test: unittest.TestCase) -> None:
        os.environ["BY_RESULT"] = test.id()
        tell(test)

    return told


class ScopesTest(unittest.TestCase):
    """What belongs to a class, or to a module."""

    def test_what_the_class_made_and_tidies_up_is_no_leak(self) -> None:
        """Neither of a test nor of the class: by tearDownClass, a class cleanup, a context."""

        class Case(IntegrationTestCase):
            @classmethod
            def setUpClass(cls) -> None:
                super().setUpClass()
                cls.file = cls.enterClassContext(open(__file__))
                cls.waiter = Waiter("of class")
                cls.addClassCleanup(cls.waiter.end)
                cls.socket = socket.socket()

            @classmethod
            def tearDownClass(cls) -> None:
                cls.socket.close()

            def test(self) -> None:
                self.assertTrue(self.waiter.is_alive())

        result = unittest.TestResult()
        unittest.TestSuite([Case("test")]).run(result)
        self.assertEqual([], result.failures + result.errors)
        self.assertEqual(1, result.testsRun)

    def test_a_mixin_that_comes_first_is_guarded_too(self) -> None:
        """Whoever defines `setUpClass`, it is the class's."""

        class Mixin:
            @classmethod
            def setUpClass(cls) -> None:
                os.environ["OF_CLASS"] = "x"

        class Case(Mixin, IntegrationTestCase):
            leak_grace = 0

            def test(self) -> None:
                """Nothing."""

        result = unittest.TestResult()
        unittest.TestSuite([Case("test")]).run(result)
        self.assertEqual([], result.failures)
        self.assertEqual(1, len(result.errors))
        self.assertIn("variable OF_CLASS", result.errors[0][1])

    def test_a_leak_of_a_test_is_not_told_again_by_its_class(self) -> None:
        """A thread, which nobody can end."""

        class Case(IntegrationTestCase):
            leak_grace = 0

            @classmethod
            def setUpClass(cls) -> None:
                """Something is guarded."""

            def test(self) -> None:
                waiters.append(Waiter("of test"))

        waiters: list[Waiter] = []
        result = unittest.TestResult()
        unittest.TestSuite([Case("test")]).run(result)
        waiters[0].end()
        self.assertEqual(1, len(result.failures))
        self.assertEqual([], result.errors)

    def test_what_a_module_leaves_is_told_after_it(self) -> None:
        """Under plain `python -m unittest`; what its tests leave is theirs."""
        source = """
            import os, itf
            def setUpModule():
                os.environ["OF_MODULE"] = "x"
            class FirstTest(itf.IntegrationTestCase):
                def test(self): self.assertIn("OF_MODULE", os.environ)
            class SecondTest(itf.IntegrationTestCase):
                leak_grace = 0
                def test(self): os.environ["OF_TEST"] = "x"
        """
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "test_scoped.py").write_text(textwrap.dedent(source))
            root = str(pathlib.Path(itf.__file__).parent.parent)
            done = subprocess.run(
                [sys.executable, "-m", "unittest", "test_scoped"],
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": root,
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHON_COLORS": "0",
                },
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        self.assertIn("ERROR: tearDownModule (test_scoped)", done.stderr)
        self.assertIn("SUMMARY: 1 variable leaked by test_scoped\n", done.stderr)
        self.assertIn("SUMMARY: 1 variable leaked by test_scoped.SecondTest.test", done.stderr)
        self.assertIn("FAILED (failures=1, errors=1)", done.stderr)

    def test_a_second_module_of_the_same_name_is_guarded_too(self) -> None:
        """Of test modules in different folders, run one after the other."""
        source = """
            import os, itf
            def setUpModule():
                os.environ["OF_MODULE"] = "x"
            class Case(itf.IntegrationTestCase):
                def test(self): pass
        """
        self.addCleanup(os.environ.pop, "OF_MODULE", None)
        for number in (1, 2):
            module: Any = types.ModuleType("test_of_one_name")
            with self.subTest(number), mock.patch.dict(sys.modules, {module.__name__: module}):
                exec(textwrap.dedent(source), vars(module))
                result = unittest.TestResult()
                unittest.TestLoader().loadTestsFromModule(module).run(result)
                self.assertEqual(1, len(result.errors))
                self.assertIn("SUMMARY: 1 variable leaked by test_of_one_name", result.errors[0][1])


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
        self.assertRegex(text, r"unclosed resource: unclosed file .*test_api\.py")
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
