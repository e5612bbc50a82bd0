"""IntegrationTestCase: fixtures, state, notes, and the checks at the end of a test."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import threading
import unittest
import unittest.mock
import warnings
from typing import Any

import itf
from itf import AsyncIntegrationTestCase, IntegrationTestCase, fixture, resource_monitor
from tests.support import run_case, run_method

# Tests inside tests are local classes, so that no runner collects them.


def only_text(result: unittest.TestResult) -> str:
    """Return the only failure or error of a result, as a runner prints it."""
    problems = [*result.errors, *result.failures]
    assert len(problems) == 1, problems
    return problems[0][1]


class PicklableCase(IntegrationTestCase):
    """A case at module level, which pickle needs; it contains no test of this suite."""

    def __init__(self, methodName: str = "check", colour: str = "red") -> None:
        super().__init__(methodName)
        self.colour = colour

    def check(self) -> None:
        self.capture_cross_module_error("a", "b", ValueError("boom"))
        self.on_config_change("key", 1, 2)
        with self.tracking("module", "lock", "id"):
            self.assertTrue(self.temp_workspace.is_dir())
        self.seen = self.colour


class AsyncPicklableCase(AsyncIntegrationTestCase):
    """The same for coroutines."""

    async def check(self) -> None:
        self.on_config_change("key", 1, 2)


class LifecycleTest(unittest.TestCase):
    """The order in which a test ends, without any super() call."""

    def test_the_end_of_a_test_has_its_order(self) -> None:
        """tearDown, the user's cleanups, workers, then fixtures in reverse order."""
        order: list[str] = []

        @contextlib.contextmanager
        def noted(name: str) -> Any:
            yield name
            order.append(name)

        class Case(IntegrationTestCase):
            first = fixture(lambda: noted("first"))
            second = fixture(lambda: noted("second"))

            def setUp(self) -> None:
                self.addCleanup(order.append, "cleanup added first")

            def tearDown(self) -> None:
                order.append("tearDown")

            def test(self, first: str, second: str, parallel_test_environment: Any) -> None:
                env = parallel_test_environment
                stop = env.stop_workers
                env.stop_workers = lambda: (order.append("workers"), stop())
                self.addCleanup(order.append, "cleanup added last")

        result = run_method(Case)
        self.assertTrue(result.wasSuccessful(), result)
        expected = ["tearDown", "cleanup added last", "cleanup added first", "workers"]
        # The environment's tear-down also stops its workers, before the fixture is torn down.
        expected += ["workers", "second", "first"]
        self.assertEqual(expected, order)

    def test_a_subclass_need_not_call_super(self) -> None:
        """setUp, tearDown and setUpClass need no super() call."""
        paths: list[pathlib.Path] = []

        class Case(IntegrationTestCase):
            @classmethod
            def setUpClass(cls) -> None:
                return

            def setUp(self) -> None:
                paths.append(self.temp_workspace)

            def tearDown(self) -> None:
                paths.append(self.temp_workspace)

            def test(self) -> None:
                self.track_resource("module", "lock", "forgotten")

        result = run_method(Case)
        self.assertEqual(paths[0], paths[1])
        self.assertFalse(paths[0].exists())
        self.assertIn("forgotten", only_text(result))

    def test_fixtures_are_torn_down_when_setup_fails(self) -> None:
        """If setUp fails, its fixtures are torn down."""
        paths: list[pathlib.Path] = []

        class Case(IntegrationTestCase):
            def setUp(self) -> None:
                paths.append(self.temp_workspace)
                raise RuntimeError("no database")

            def test(self) -> None:
                self.fail("not reached")

        result = run_method(Case)
        self.assertIn("no database", only_text(result))
        self.assertFalse(paths[0].exists())

    def test_a_skipped_test_runs_nothing_and_leaves_nothing(self) -> None:
        """Skips by decorator and by skipTest are skips."""

        class Case(IntegrationTestCase):
            @unittest.skip("not today")
            def test(self) -> None:
                self.fail("not reached")

            def test_within(self, temp_workspace: pathlib.Path) -> None:
                self.skipTest("not now")

        for name, reason in (("test", "not today"), ("test_within", "not now")):
            case = Case(name)
            result = run_case(case)
            self.assertEqual([(case, reason)], result.skipped)
            self.assertTrue(result.wasSuccessful())

    def test_a_skipped_test_can_be_run_twice(self) -> None:
        """Repeated runs of a skipped test accumulate no cleanups."""

        class Case(IntegrationTestCase):
            skip = True

            def test(self) -> None:
                self.assertTrue(self.temp_workspace.exists())

        skipped = unittest.skip("once")(Case)("test")
        for _ in range(3):
            self.assertEqual(1, len(run_case(skipped).skipped))

    def test_an_expected_failure_is_one(self) -> None:
        """The wrapper keeps the mark of unittest.expectedFailure."""

        class Case(IntegrationTestCase):
            @unittest.expectedFailure
            def test(self, temp_workspace: pathlib.Path) -> None:
                self.fail("as expected")

        result = run_method(Case)
        self.assertEqual(1, len(result.expectedFailures))
        self.assertTrue(result.wasSuccessful())

    def test_debug_runs_the_test_and_tidies_up(self) -> None:
        """debug() raises the test's error, and removes the workspace."""
        paths: list[pathlib.Path] = []

        class Case(IntegrationTestCase):
            def test(self) -> None:
                paths.append(self.temp_workspace)
                raise LookupError("seen by debug")

            def test_well(self) -> None:
                paths.append(self.temp_workspace)

        with self.assertRaisesRegex(LookupError, "seen by debug"):
            Case("test").debug()
        Case("test_well").debug()
        self.assertEqual([False, False], [path.exists() for path in paths])

    def test_ctrl_c_leaves_no_workspace_behind(self) -> None:
        """Ctrl-C in a test, in setUp or in a cleanup removes the workspace."""
        paths: list[pathlib.Path] = []

        class Case(IntegrationTestCase):
            def use(self) -> None:
                paths.append(pathlib.Path(self.temp_workspace))
                raise KeyboardInterrupt

            def setUp(self) -> None:
                if self._testMethodName == "test_after_set_up":
                    self.use()

            def test_itself(self) -> None:
                self.use()

            def test_after_set_up(self) -> None:
                """Not reached."""

            def test_before_clean_up(self) -> None:
                self.addCleanup(self.use)

        for name in unittest.TestLoader().getTestCaseNames(Case):
            with self.subTest(name), self.assertRaises(KeyboardInterrupt):
                Case(name).run(unittest.TestResult())
            self.assertFalse(paths[-1].exists())
        self.assertEqual(3, len(paths))

    def test_debug_finds_leaks(self) -> None:
        """debug() raises the failures of the checks at the end."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.track_resource("module", "lock", "forgotten")

        with self.assertRaisesRegex(AssertionError, "leaked resources .*\n.*'forgotten'"):
            Case("test").debug()

    def test_docleanups_in_the_middle_does_not_lose_later_fixtures(self) -> None:
        """A fixture used after doCleanups() is torn down too."""
        paths: list[pathlib.Path] = []

        class Case(IntegrationTestCase):
            def test(self) -> None:
                paths.append(self.temp_workspace)
                self.doCleanups()
                paths.append(self.temp_workspace)

        self.assertTrue(run_method(Case).wasSuccessful())
        self.assertNotEqual(paths[0], paths[1])
        self.assertEqual([False, False], [path.exists() for path in paths])

    def test_one_failing_teardown_is_raised_as_it_is(self) -> None:
        """An error of the user's own fixture keeps its type."""

        @contextlib.contextmanager
        def breaking() -> Any:
            yield
            raise ConnectionError("cable cut")

        class Case(IntegrationTestCase):
            line = fixture(breaking)

            def test(self) -> None:
                self.assertIsNone(self.line)

        text = only_text(run_method(Case))
        self.assertIn("ConnectionError: cable cut", text)
        self.assertIn("while fixture 'line' was being torn down", text)

    def test_several_failing_teardowns_are_one_failure(self) -> None:
        """All fixtures are torn down; one AssertionError lists all failures."""

        @contextlib.contextmanager
        def breaking(what: str) -> Any:
            yield
            raise ConnectionError(f"{what} cut")

        class Case(IntegrationTestCase):
            line = fixture(lambda: breaking("line"))
            cable = fixture(lambda: breaking("cable"))

            def test(self) -> None:
                self.assertIsNone(self.line or self.cable)

        result = run_method(Case)
        self.assertEqual([], result.errors)
        text = only_text(result)
        self.assertIn("2 fixtures failed at their tear-down:", text)
        self.assertLess(text.index("ConnectionError: cable cut"), text.index("line cut"))

    def test_ctrl_c_in_a_teardown_ends_the_run(self) -> None:
        """Ctrl-C is not combined with other failures."""

        @contextlib.contextmanager
        def breaking(error: BaseException) -> Any:
            yield
            raise error

        class Case(IntegrationTestCase):
            line = fixture(lambda: breaking(ConnectionError("cut")))
            cable = fixture(lambda: breaking(KeyboardInterrupt()))

            def test(self) -> None:
                self.assertIsNone(self.line or self.cable)

        with self.assertRaises(KeyboardInterrupt):
            run_method(Case)

    def test_a_workspace_is_kept_whatever_failed(self) -> None:
        """Any failure, also of setUp or a subtest, keeps the workspace; a pass or skip does not."""

        class Case(IntegrationTestCase):
            def setUp(self) -> None:
                kept[self._testMethodName] = self.temp_workspace
                if "setup_fails" in self._testMethodName:
                    raise RuntimeError
                if "setup_skips" in self._testMethodName:
                    self.skipTest("not here")

            def tearDown(self) -> None:
                if "teardown_fails" in self._testMethodName:
                    raise RuntimeError

            def test_fails(self) -> None:
                self.fail()

            def test_subtest_fails(self) -> None:
                with self.subTest():
                    self.fail()

            def test_passes(self) -> None:
                return

            def test_skips(self) -> None:
                self.skipTest("not now")

            test_setup_fails = test_teardown_fails = test_setup_skips = test_passes

        kept: dict[str, pathlib.Path] = {}
        with (
            unittest.mock.patch.dict("os.environ", ITF_KEEP_WORKSPACE="failed"),
            contextlib.redirect_stderr(io.StringIO()) as told,
        ):
            for name in unittest.defaultTestLoader.getTestCaseNames(Case):
                run_method(Case, name)
        there = {name for name, path in kept.items() if path.exists()}
        for name in there:
            shutil.rmtree(kept[name])
            self.assertIn(f"kept workspace {kept[name]}", told.getvalue())
        failing = {"test_fails", "test_subtest_fails", "test_setup_fails", "test_teardown_fails"}
        self.assertEqual(failing, there)

    def test_a_coroutine_in_a_plain_test_case_is_an_error(self) -> None:
        """unittest alone would pass such a test without running it."""

        class Case(IntegrationTestCase):
            async def test(self) -> None:
                self.fail("not reached")

        text = only_text(run_method(Case))
        self.assertIn("Case.test is a coroutine function; derive from itf.Async", text)

    def test_a_second_run_starts_clean(self) -> None:
        """A second run of an instance has none of the first run's state."""
        paths: list[pathlib.Path] = []

        class Case(IntegrationTestCase):
            def test(self) -> None:
                paths.append(self.temp_workspace)
                self.on_config_change("key", 1, 2)
                self.capture_cross_module_error("a", "b", ValueError())
                with self.tracking("module", "lock", "id"):
                    self.counted = len(self.get_change_log() + self.get_all_resources())
                self.assertEqual(2, self.counted)
                self.assertEqual(1, len(self.get_error_chain()))

        case = Case("test")
        for _ in range(2):
            result = run_case(case)
            self.assertTrue(result.wasSuccessful(), result.failures + result.errors)
        self.assertNotEqual(paths[0], paths[1])

    def test_two_tests_share_no_state(self) -> None:
        """A test does not have the records of another test."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                self.assertEqual([], self.get_change_log())
                self.on_config_change("key", 1, 2)
                self.map_config("key", "module")

            def test_b(self) -> None:
                self.assertEqual([], self.get_change_log())
                self.assertEqual([], self.get_affected_modules("key"))

        for names in (("test_a", "test_b"), ("test_b", "test_a")):
            suite = unittest.TestSuite(map(Case, names))
            result = unittest.TestResult()
            suite.run(result)
            self.assertTrue(result.wasSuccessful(), result.failures)

    def test_interfaces_and_fixtures_share_the_timeline_of_the_test(self) -> None:
        """One ordered timeline, also for fixtures that the user creates."""
        kinds: list[str] = []

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.on_config_change("key", 1, 2)
                self.capture_cross_module_error("a", "b", ValueError())
                with resource_monitor() as monitor, monitor.tracking("module", "lock", "id"):
                    self.performance_monitor.start_timing("work")
                self.performance_monitor.end_timing("work")
                kinds.extend(event["kind"] for event in self.timeline)
                self.ids = {event["test"] for event in self.timeline}

        case = Case("test")
        self.assertTrue(run_case(case).wasSuccessful())
        self.assertEqual(
            # tracked, set up, released, torn down, timed
            ["config", "error", "fixture", "resource", "fixture", "resource", "fixture", "timing"],
            kinds,
        )
        self.assertEqual({case.id()}, case.ids)

    def test_a_fixture_is_set_up_once_for_eight_threads(self) -> None:
        """Eight threads that use a fixture first get the same one."""
        found: list[Any] = []

        class Case(IntegrationTestCase):
            def test(self) -> None:
                barrier = threading.Barrier(8)

                def use() -> None:
                    barrier.wait(30)
                    found.append(self.temp_workspace)

                threads = [threading.Thread(target=use) for _ in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(30)

        self.assertTrue(run_method(Case).wasSuccessful())
        self.assertEqual((8, 1), (len(found), len(set(map(id, found)))))


class EndOfTestChecksTest(unittest.TestCase):
    """Failures found at the end of a test that itself passed."""

    def test_an_active_resource_fails_the_test(self) -> None:
        """One failure lists all leaked resources of the test and its fixtures."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.track_resource("chunker.parallel", "process", "worker_1")
                self.resource_monitor.track_resource("chunker.cache", "file_handle", "cache.db")

        result = run_method(Case)
        self.assertEqual([], result.errors)
        text = only_text(result)
        self.assertRegex(text, r"'worker_1' \(process\) owned by chunker.parallel, .* s old")
        self.assertIn("'cache.db' (file_handle) owned by chunker.cache", text)
        self.assertIn(f"tracked at {__file__}", text)

    def test_a_released_resource_does_not(self) -> None:
        """A resource found leaked and released later does not fail the test."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.track_resource("module", "lock", "id")
                self.verify_cleanup()

            def tearDown(self) -> None:
                self.release_resource("id")

        self.assertTrue(run_method(Case).wasSuccessful())

    def test_the_leak_policy_decides(self) -> None:
        """`warn` issues a ResourceWarning, `off` does nothing."""

        class Warn(IntegrationTestCase):
            leak_policy = "warn"

            def test(self) -> None:
                self.track_resource("module", "lock", "forgotten")

        class Off(Warn):
            leak_policy = "off"

        with self.assertWarnsRegex(ResourceWarning, "test: leaked resources .*\n.*'forgotten'"):
            self.assertTrue(run_method(Warn).wasSuccessful())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertTrue(run_method(Off).wasSuccessful())

    def test_an_unknown_leak_policy_is_an_error(self) -> None:
        """The message has the class, the value and the choices."""

        class Case(IntegrationTestCase):
            leak_policy = "ignore"  # type: ignore[assignment]

            def test(self) -> None:
                return

        text = only_text(run_method(Case))
        self.assertIn("Case.leak_policy is 'ignore'; set it to one of fail, warn, off", text)

    def test_an_error_that_was_not_retrieved_fails_the_test(self) -> None:
        """An error that ended a thread fails the test, with its traceback."""

        class Case(IntegrationTestCase):
            def test(self, error_tracking_context: Any) -> None:
                thread = threading.Thread(target=lambda: {}["key"], name="pump")
                thread.start()
                thread.join(30)

            def test_looked(self, error_tracking_context: Any) -> None:
                self.test(error_tracking_context)
                self.assertEqual(1, len(error_tracking_context.get_error_chain()))

        text = only_text(run_method(Case))
        self.assertIn("1 error not retrieved; retrieve errors with get_error_chain():", text)
        self.assertIn("KeyError: 'key' (thread 'pump' died", text)
        self.assertIn("Traceback (most recent call last):", text)
        self.assertTrue(run_method(Case, "test_looked").wasSuccessful())

    def test_a_captured_error_keeps_nothing_alive_after_the_test(self) -> None:
        """The frames of captured tracebacks are cleared at the end."""
        import weakref

        class Socket:
            """An object that a frame would keep alive."""

        alive: list[weakref.ref[Socket]] = []

        class Case(IntegrationTestCase):
            def test(self) -> None:
                def fail() -> None:
                    socket = Socket()
                    alive.append(weakref.ref(socket))
                    raise OSError("refused")

                try:
                    fail()
                except OSError as error:
                    self.capture_cross_module_error("net", "app", error)

        case = Case("test")
        self.assertTrue(run_case(case).wasSuccessful())
        self.assertIsNone(alive[0]())
        self.assertIn("refused", case.get_error_chain()[0]["context_data"]["traceback"][-1])

    def test_every_kind_of_problem_is_a_failure_of_its_own(self) -> None:
        """The test's failure, an unretrieved error and a leak are three failures."""

        class Case(IntegrationTestCase):
            def test(self, error_tracking_context: Any) -> None:
                self.track_resource("module", "lock", "forgotten")
                thread = threading.Thread(target=lambda: {}["key"])
                thread.start()
                thread.join(30)
                self.fail("by itself")

        result = run_method(Case)
        self.assertEqual([], result.errors)
        self.assertEqual(3, len(result.failures))


class NotesTest(unittest.TestCase):
    """The notes of a failing test."""

    def test_a_failure_carries_the_timeline(self) -> None:
        """Each event is a line: time since the start, origin, description."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.on_config_change("parser_timeout", 30, 60)
                self.fail("boom")

        case = Case("test")
        text = only_text(run_case(case))
        self.assertRegex(
            text,
            rf"AssertionError: boom\ntimeline of {case.id()} \(last 1 of 1 events\):\n"
            r"  \+0\.\d{6} s  \[MainThread\]  "
            r"config: parser_timeout: 30 -> 60 \(affects no module\)",
        )

    def test_the_last_twenty_events_are_shown(self) -> None:
        """The note has the number of all events."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                for number in range(30):
                    self.on_config_change(f"key{number}.", number, number + 1)
                self.fail("boom")

        text = only_text(run_method(Case))
        self.assertIn("(last 20 of 30 events)", text)
        self.assertNotIn("key9.", text)
        self.assertIn("key10.", text)
        self.assertIn("key29.", text)

    def test_without_events_there_is_no_note(self) -> None:
        """Without events, there is no note."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.fail("boom")

        self.assertNotIn("timeline", only_text(run_method(Case)))

    def test_a_failing_subtest_carries_it_once(self) -> None:
        """A failing subtest has one note, and its arguments; the test continues."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.on_config_change("key", 1, 2)
                for number in range(3):
                    with self.subTest("numbers", number=number):
                        self.assertEqual(1, number)

        result = run_method(Case)
        self.assertEqual(2, len(result.failures))
        for case, text in result.failures:
            self.assertRegex(str(case), r"\[numbers\] \(number=[02]\)")
            self.assertEqual(1, text.count("timeline of"))

    def test_a_passed_test_pays_nothing_for_it(self) -> None:
        """Only a failure formats the timeline."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.on_config_change("key", 1, 2)

        with unittest.mock.patch("itf.timeline.Timeline.describe") as describe:
            self.assertTrue(run_method(Case).wasSuccessful())
        describe.assert_not_called()

    def test_no_frame_of_itf_is_shown(self) -> None:
        """Tracebacks have no frames of itf, neither around the test nor in helpers."""

        class Case(IntegrationTestCase):
            def test_helper(self) -> None:
                self.release_resource("unknown")

            def test_observer(self) -> None:
                def observer(event: object) -> None:
                    raise LookupError("observer")

                self.register_observer(observer)
                self.on_config_change("key", 1, 2)

            def test_parameter(self, temp_workspace: pathlib.Path) -> None:
                self.assert_error_path(ValueError(), "a", "b")

        for name in ("test_helper", "test_observer", "test_parameter"):
            with self.subTest(name):
                text = only_text(run_method(Case, name))
                folder = str(pathlib.Path(itf.__file__).parent)
                self.assertNotIn(folder, text)
                self.assertIn(__file__, text)

    def test_an_exception_that_takes_no_note_is_raised_unchanged(self) -> None:
        """An exception that refuses attributes is raised unchanged."""

        class FrozenError(Exception):
            def __setattr__(self, name: str, value: object) -> None:
                if name != "__traceback__":  # unittest sets __traceback__
                    raise AttributeError(name)

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.on_config_change("key", 1, 2)
                raise FrozenError("cold")

        self.assertIn("FrozenError: cold", only_text(run_method(Case)))


class ParametersTest(unittest.TestCase):
    """Parameters of a test method are filled with fixtures by name."""

    def test_an_unknown_parameter_is_an_error_that_helps(self) -> None:
        """The message has the test, the parameter and the nearest fixture."""

        class Case(IntegrationTestCase):
            def test(self, temp_workspaces: object) -> None:
                self.fail("not reached")

        text = only_text(run_method(Case))
        self.assertIn(
            "Case.test asks for 'temp_workspaces', which is no fixture of Case; "
            "did you mean 'temp_workspace'?",
            text,
        )

    def test_patch_and_fixtures_go_together(self) -> None:
        """Arguments of a decorator and fixtures can be combined."""
        seen: list[object] = []

        class Case(IntegrationTestCase):
            @unittest.mock.patch("os.getcwd")
            def test(self, getcwd: unittest.mock.Mock, thread_safe_counter: Any) -> None:
                seen.extend([getcwd, thread_safe_counter.increment()])

            @unittest.mock.patch("os.getcwd")
            def test_patch_alone(self, getcwd: unittest.mock.Mock) -> None:
                seen.append(getcwd)

        for name in ("test", "test_patch_alone"):
            result = run_method(Case, name)
            self.assertTrue(result.wasSuccessful(), result.errors)
        self.assertIsInstance(seen[0], unittest.mock.Mock)
        self.assertEqual(1, seen[1])
        self.assertIsInstance(seen[2], unittest.mock.Mock)

    def test_a_default_is_left_alone(self) -> None:
        """A parameter with a default that names no fixture keeps the default."""

        class Case(IntegrationTestCase):
            def test(self, retries: int = 3, *, temp_workspace: pathlib.Path) -> None:
                self.assertEqual(3, retries)
                self.assertTrue(temp_workspace.is_dir())

        self.assertTrue(run_method(Case).wasSuccessful())


class AssertErrorPropagatedTest(unittest.TestCase):
    """The assertion about the path of an error."""

    def setUp(self) -> None:
        class Case(IntegrationTestCase):
            def runTest(self) -> None:
                return

        self.case = Case()
        self.error = ValueError("timeout")
        self.case.capture_cross_module_error("chunker.parser", "chunker.parallel", self.error)
        self.case.capture_cross_module_error("chunker.parallel", "cli.main", self.error)

    def test_it_passes_for_modules_in_order(self) -> None:
        """All modules of the path, or some in order, pass."""
        self.case.assertErrorPropagated(
            self.error, "chunker.parser", "chunker.parallel", "cli.main"
        )
        self.case.assertErrorPropagated(self.error, "chunker.parser", "cli.main")

    def test_it_fails_for_another_order(self) -> None:
        """The message has the actual and the expected path."""
        with self.assertRaises(AssertionError) as caught:
            self.case.assertErrorPropagated(self.error, "cli.main", "chunker.parser")
        self.assertEqual(
            "ValueError did not propagate through cli.main -> chunker.parser; "
            "it went chunker.parser -> chunker.parallel -> cli.main",
            str(caught.exception),
        )

    def test_it_fails_for_an_error_never_captured(self) -> None:
        """An error never captured fails, even without modules."""
        with self.assertRaisesRegex(AssertionError, r"it went \(nothing was captured\)"):
            self.case.assertErrorPropagated(KeyError("other"))

    def test_a_message_is_added(self) -> None:
        """``msg`` is added as in unittest's assertions."""
        with self.assertRaisesRegex(AssertionError, "it went .* : on the way up"):
            self.case.assertErrorPropagated(self.error, "nowhere", msg="on the way up")


class PickleTest(unittest.TestCase):
    """Parallel runners send tests between processes, before and after a run."""

    def test_before_and_after_its_run_it_can_be_copied_and_runs(self) -> None:
        """Copies by pickle, copy and deepcopy run, and keep the user's attributes."""
        copiers = {
            "pickle": lambda case: pickle.loads(pickle.dumps(case)),
            "copy": copy.copy,
            "deepcopy": copy.deepcopy,
        }
        for name, duplicate in copiers.items():
            for times_run in (0, 1, 2):
                with self.subTest(name, times_run=times_run):
                    case = PicklableCase("check", colour="blue")
                    for _ in range(times_run):
                        self.assertTrue(run_case(case).wasSuccessful())
                    twin = duplicate(case)
                    self.assertIsNot(twin, case)
                    self.assertEqual((case.id(), "blue"), (twin.id(), twin.colour))
                    self.assertEqual(case, twin)
                    result = run_case(twin)
                    self.assertTrue(result.wasSuccessful(), result.errors + result.failures)
                    self.assertEqual("blue", twin.seen)

    def test_an_async_one_as_well(self) -> None:
        """A copy has neither the loop nor the context."""
        case = AsyncPicklableCase("check")
        # unittest's own IsolatedAsyncioTestCase runs an instance only once on 3.11.
        for prepare in (lambda: None, lambda: run_case(case)):
            prepare()
            twin = pickle.loads(pickle.dumps(copy.deepcopy(case)))
            self.assertTrue(run_case(twin).wasSuccessful())


class AsyncIntegrationTestCaseTest(unittest.TestCase):
    """The same for coroutines."""

    def test_fixtures_notes_and_checks_work_in_coroutines(self) -> None:
        """Parameters, attributes, timeline and leaks work in coroutine tests."""
        paths: list[pathlib.Path] = []

        class Case(AsyncIntegrationTestCase):
            async def asyncSetUp(self) -> None:
                paths.append(self.temp_workspace)

            async def test(self, temp_workspace: pathlib.Path) -> None:
                paths.append(temp_workspace)
                self.on_config_change("key", 1, 2)
                self.fail("boom")

            async def test_leak(self) -> None:
                self.track_resource("module", "lock", "forgotten")

        text = only_text(run_method(Case))
        self.assertEqual(paths[0], paths[1])
        self.assertFalse(paths[0].exists())
        self.assertRegex(text, r"\[MainThread, task .*\]  config: key: 1 -> 2")
        self.assertNotIn("itf/", text.replace(__file__, ""))
        self.assertIn("forgotten", only_text(run_method(Case, "test_leak")))

    def test_a_fixture_made_by_hand_joins_the_timeline(self) -> None:
        """Fixtures created in setUp, asyncSetUp and the test share the timeline."""
        counts: list[int] = []

        class Case(AsyncIntegrationTestCase):
            def by_hand(self) -> None:
                before = len(self.timeline)
                with itf.thread_safe_counter():
                    counts.append(len(self.timeline) - before)

            def setUp(self) -> None:
                self.by_hand()

            async def asyncSetUp(self) -> None:
                self.by_hand()

            async def test(self) -> None:
                self.by_hand()

        self.assertTrue(run_method(Case).wasSuccessful())
        self.assertEqual([1, 1, 1], counts)

    def test_the_runner_for_plain_tests_says_what_to_do(self) -> None:
        """async_test_runner.run inside a coroutine raises an error with advice."""

        class Case(AsyncIntegrationTestCase):
            async def test(self, async_test_runner: Any) -> None:
                async def nothing() -> None:
                    return

                with self.assertRaisesRegex(itf.FixtureError, "a.*loop is running.*await"):
                    async_test_runner.run(nothing())

        result = run_method(Case)
        self.assertTrue(result.wasSuccessful(), result.errors)


class CollectionTest(unittest.TestCase):
    """Loaders collect only real tests."""

    def test_a_module_with_every_public_name_has_only_its_own_tests(self) -> None:
        """unittest's loader finds no tests in the public names."""
        names = "\n".join(f"from itf import {name}" for name in itf.__all__)
        source = f"{names}\nclass Own(IntegrationTestCase):\n    def test_own(self): pass\n"
        with itf.temp_workspace() as workspace:
            (workspace / "test_names.py").write_text(source)
            found = subprocess.run(
                [sys.executable, "-m", "unittest", "discover", "-v", "-s", str(workspace)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                cwd=pathlib.Path(itf.__file__).parent.parent,
                env={**os.environ, "PYTHON_COLORS": "0"},
            )
        self.assertIn("Ran 1 test in", found.stderr)
        self.assertIn("test_own (test_names.Own.test_own) ... ok", found.stderr)

    def test_no_fixture_is_taken_for_a_test(self) -> None:
        """The fixture `test_file_generator` is not run as a test."""
        names = unittest.defaultTestLoader.getTestCaseNames(IntegrationTestCase)
        self.assertEqual([], list(names))
        self.assertFalse(itf.TestFileGenerator.__test__)


if __name__ == "__main__":
    unittest.main()
