from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import os
import re
import signal
import socket
import threading
import time
import unittest
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest import mock

from itf import AsyncIntegrationTestCase, IntegrationTestCase
from itf.event_loops import task_deadlines
from tests.support import in_threads, run_case, run_method, run_script

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def stuck() -> None:
    await asyncio.Event().wait()


def run_class(*classes: type[unittest.TestCase]) -> unittest.TestResult:
    """Run all tests of classes in a suite, with class fixtures."""
    result = unittest.TestResult()
    loader = unittest.defaultTestLoader
    unittest.TestSuite(map(loader.loadTestsFromTestCase, classes)).run(result)
    return result


class Base(unittest.TestCase):
    def only_text(self, result: unittest.TestResult) -> str:
        """Return the text of the only failure or error of a result."""
        told = result.failures + result.errors
        self.assertEqual(1, len(told), told)
        return str(told[0][1])

    def assert_passed(self, result: unittest.TestResult, tests: int = 1) -> None:
        self.assertEqual([], result.failures + result.errors)
        self.assertEqual(tests, result.testsRun)

    def is_closed(self, loop: asyncio.AbstractEventLoop) -> None:
        self.assertTrue(loop.is_closed())


class StepsTest(Base):
    """The steps of a test equal those of unittest.IsolatedAsyncioTestCase."""

    def steps_of(self, base: Any) -> list[str]:
        """Return the steps of a test, in order."""
        seen: list[str] = []

        @contextlib.asynccontextmanager
        async def manager() -> AsyncIterator[str]:
            seen.append("enter")
            yield "value"
            seen.append("exit")

        async def cleanup(what: str, *, end: str = "") -> None:
            await asyncio.sleep(0)
            seen.append(f"{what}{end} {variable.get()}")

        class Case(base):  # type: ignore[misc]
            def setUp(self) -> None:
                variable.set("setUp")
                self.loop = asyncio.get_event_loop()
                self.addCleanup(lambda: seen.append(f"plain cleanup {variable.get()}"))

            async def asyncSetUp(self) -> None:
                seen.append(f"asyncSetUp {variable.get()}")
                variable.set("asyncSetUp")
                seen.append(await self.enterAsyncContext(manager()))
                self.addAsyncCleanup(cleanup, "async cleanup", end="!")
                self.addCleanup(cleanup, "coroutine function as a cleanup")

            async def test(self) -> None:
                seen.append(f"test {variable.get()} {self.loop is asyncio.get_running_loop()}")
                variable.set("test")

            async def asyncTearDown(self) -> None:
                seen.append(f"asyncTearDown {variable.get()}")
                variable.set("asyncTearDown")

            def tearDown(self) -> None:
                seen.append(f"tearDown {variable.get()}")

        self.assert_passed(run_method(Case))
        self.assertEqual("unset", variable.get())
        return seen

    def test_they_come_in_the_same_order_with_the_same_context(self) -> None:
        """Context variables set in a step are visible in later steps only."""
        steps = self.steps_of(AsyncIntegrationTestCase)
        self.assertEqual(self.steps_of(unittest.IsolatedAsyncioTestCase), steps)
        self.assertIn("test asyncSetUp True", steps)

    def test_a_class_derived_from_both_has_each_step_once(self) -> None:
        """A class derived from both test cases runs each step once."""
        seen: list[str] = []

        class Case(AsyncIntegrationTestCase, unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self) -> None:
                seen.append("asyncSetUp")

            async def test(self) -> None:
                seen.append("test")

            async def asyncTearDown(self) -> None:
                seen.append("asyncTearDown")

        self.assert_passed(run_method(Case))
        self.assertEqual(["asyncSetUp", "test", "asyncTearDown"], seen)

    def test_a_failing_set_up_runs_cleanups_and_no_test(self) -> None:
        """After a failing setUp, cleanups run and the test does not."""
        seen: list[str] = []

        class Case(AsyncIntegrationTestCase):
            async def asyncSetUp(self) -> None:
                self.addAsyncCleanup(self.note, "cleanup")
                raise LookupError("not set up")

            async def note(self, what: str) -> None:
                seen.append(what)

            async def test(self) -> None:
                seen.append("test")

            async def asyncTearDown(self) -> None:
                seen.append("asyncTearDown")

        self.assertIn("LookupError: not set up", self.only_text(run_method(Case)))
        self.assertEqual(["cleanup"], seen)

    def test_every_failing_cleanup_is_reported(self) -> None:
        """All cleanups run, and each failure is reported."""

        class Case(AsyncIntegrationTestCase):
            async def fail(self, text: str) -> None:
                raise LookupError(text)

            async def test(self) -> None:
                self.addAsyncCleanup(self.fail, "one")
                self.addAsyncCleanup(self.fail, "two")

        result = run_method(Case)
        self.assertEqual(["two", "one"], [text.split()[-1] for _, text in result.errors])

    def test_skips_expected_failures_and_subtests(self) -> None:
        """The outcomes equal unittest's."""

        class Case(AsyncIntegrationTestCase):
            async def test_skip(self) -> None:
                self.skipTest("not now")

            @unittest.skip("never")
            async def test_skipped(self) -> None:
                raise AssertionError

            @unittest.expectedFailure
            async def test_expected(self) -> None:
                self.fail("as expected")

            async def test_subtests(self) -> None:
                for number in range(3):
                    with self.subTest(number=number):
                        await asyncio.sleep(0)
                        self.assertEqual(1, number)

            def test_plain(self) -> None:
                self.assertEqual("unset", variable.get())

        result = run_class(Case)
        self.assertEqual(["not now", "never"], [why for _, why in result.skipped])
        self.assertEqual(1, len(result.expectedFailures))
        self.assertEqual(2, len(result.failures))
        self.assertEqual([], result.errors)

    def test_an_instance_may_run_twice(self) -> None:
        """A second run works, also on Python 3.11, where unittest's own fails."""
        seen: list[str] = []

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                seen.append(variable.get())
                variable.set("changed")

        case = Case("test")
        for _ in range(2):
            self.assert_passed(run_case(case))
        case.debug()
        self.assertEqual(["unset"] * 3, seen)

    def test_a_traceback_has_the_users_frames_alone(self) -> None:
        """Tracebacks have no frames of asyncio or itf."""

        async def helper() -> None:
            await asyncio.sleep(0)
            raise LookupError("deep")

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                await helper()

        text = self.only_text(run_method(Case))
        files = set(re.findall(r'File "(.*?)"', text))
        self.assertEqual({__file__}, files)

    def test_a_coroutine_that_a_plain_method_returns_is_awaited(self) -> None:
        """A decorated coroutine function may look like a plain function."""
        seen: list[str] = []

        def decorated(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def wrapper(self: Any) -> Any:
                return function(self)

            return wrapper

        class Case(AsyncIntegrationTestCase):
            @decorated
            async def test(self) -> None:
                await asyncio.sleep(0)
                seen.append("test")
                self.addCleanup(functools.partial(decorated(Case.late), self))

            async def late(self) -> None:
                seen.append("cleanup")

        self.assert_passed(run_method(Case))
        self.assertEqual(["test", "cleanup"], seen)

    def test_what_is_no_async_context_manager_is_refused(self) -> None:
        """The message equals unittest's."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                await self.enterAsyncContext(42)  # type: ignore[arg-type]

        self.assertIn(
            "TypeError: 'builtins.int' object does not support the asynchronous context manager",
            self.only_text(run_method(Case)),
        )

    def test_asyncio_has_no_current_loop_after_the_test(self) -> None:
        """As after asyncio.run, no event loop is set."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                await asyncio.sleep(0)

        self.assert_passed(run_method(Case))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with self.assertRaises(RuntimeError):
                asyncio.get_event_loop()


class LoopTest(Base):
    """Each test has an event loop of its own."""

    def test_each_test_has_a_new_loop_that_is_closed_after_it(self) -> None:
        """No two tests share a loop, and each loop is closed before the next test starts."""
        loops: list[asyncio.AbstractEventLoop] = []

        class Case(AsyncIntegrationTestCase):
            async def test_one(self) -> None:
                self.assertTrue(all(loop.is_closed() for loop in loops))
                loops.append(asyncio.get_running_loop())

            test_three = test_two = test_one

        self.assert_passed(run_class(Case), tests=3)
        self.assertEqual(3, len(set(map(id, loops))))
        self.assertTrue(loops[-1].is_closed())

    def test_no_resource_warning_at_the_end_of_the_process(self) -> None:
        """Python warns neither about unclosed loops nor about executor threads."""
        script = """
import asyncio, unittest, itf
class Case(itf.AsyncIntegrationTestCase):
    async def test(self):
        asyncio.get_running_loop().slow_callback_duration = 60
        await asyncio.to_thread(int)
for _ in range(3):
    Case("test").debug()
print("done")
"""
        done = run_script(script)
        self.assertEqual(("done\n", ""), (done.stdout, done.stderr))

    def test_tests_in_several_threads_have_a_loop_each(self) -> None:
        """Simultaneous tests pass, and all their loops are closed."""
        barrier = threading.Barrier(8, timeout=60)
        loops: list[asyncio.AbstractEventLoop] = []

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                loops.append(asyncio.get_running_loop())
                asyncio.get_running_loop().slow_callback_duration = (
                    60  # because the barrier blocks the loop
                )
                barrier.wait()
                variable.set(threading.current_thread().name)
                await asyncio.sleep(0)
                self.assertEqual(threading.current_thread().name, variable.get())

        with warnings.catch_warnings():
            # The loops of other threads must not be reported as leaks of a test.
            warnings.simplefilter("error")
            for result in in_threads(8, lambda number: [run_method(Case) for _ in range(5)]):
                for each in result:
                    self.assert_passed(each)
        self.assertEqual(40, len(set(map(id, loops))))
        self.assertTrue(all(loop.is_closed() for loop in loops))

    def test_nothing_set_on_a_loop_reaches_the_next_test(self) -> None:
        """Timers, readers, executors and handlers end with their test."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        called: list[str] = []

        class Case(AsyncIntegrationTestCase):
            async def test_a_timer(self) -> None:
                asyncio.get_running_loop().call_later(3600, called.append, "timer")

            async def test_b_reader(self) -> None:
                asyncio.get_running_loop().add_reader(ours, called.append, "reader")

            def test_c_timer_outside_of_a_coroutine(self) -> None:
                asyncio.get_event_loop().call_later(3600, called.append, "timer")

            async def test_d_executor(self) -> None:
                from concurrent.futures import ThreadPoolExecutor

                asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
                theirs.send(b"x")
                await asyncio.sleep(0)

            async def test_e_handlers(self) -> None:
                loop = asyncio.get_running_loop()
                loop.set_exception_handler(lambda *_: called.append("handler"))
                loop.set_task_factory(
                    lambda loop, coro, **rest: called.append("factory")  # type: ignore[arg-type]
                )

            async def test_f_after_handlers(self) -> None:
                await asyncio.create_task(asyncio.sleep(0))
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "told", "exception": LookupError("told")}
                )

        result = run_class(Case)
        self.assertIn("LookupError: told", self.only_text(result))
        self.assertEqual("test_f_after_handlers", result.errors[0][0]._testMethodName)  # type: ignore[attr-defined]
        self.assertEqual([], called)

    def test_a_callback_that_is_ready_runs_before_the_test_is_over(self) -> None:
        """The error of a ready callback belongs to the test that scheduled it."""

        class Case(AsyncIntegrationTestCase):
            async def test_a(self) -> None:
                def late() -> None:
                    raise LookupError("late")

                asyncio.get_running_loop().call_soon(late)

            async def test_b(self) -> None:
                await asyncio.sleep(0)

        result = run_class(Case)
        self.assertIn("LookupError: late", self.only_text(result))
        self.assertEqual("test_a", result.errors[0][0]._testMethodName)  # type: ignore[attr-defined]

    def test_callbacks_that_reschedule_endlessly_end_with_the_test(self) -> None:
        """Endlessly rescheduled callbacks do not reach the next test."""
        loops: list[asyncio.AbstractEventLoop] = []

        class Case(AsyncIntegrationTestCase):
            def again(self) -> None:
                loops[0].call_soon(self.again)

            async def test_a(self) -> None:
                loops.append(asyncio.get_running_loop())
                self.again()

            async def test_b(self) -> None:
                loops.append(asyncio.get_running_loop())

        self.assert_passed(run_class(Case), tests=2)
        self.assertIsNot(loops[0], loops[1])

    def test_a_loop_that_is_stopped_is_an_error(self) -> None:
        """loop.stop() fails the test with its name."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                asyncio.get_running_loop().stop()
                await stuck()

        result = run_method(Case)
        self.assertIn("the event loop was stopped before test was over", result.errors[0][1])

    def test_a_factory_makes_a_loop_for_each_test(self) -> None:
        """The factory is called without arguments; each loop is closed."""
        made: list[asyncio.AbstractEventLoop] = []

        class Special(asyncio.SelectorEventLoop):
            pass

        def make() -> asyncio.AbstractEventLoop:
            made.append(Special())
            return made[-1]

        class Case(AsyncIntegrationTestCase):
            loop_factory = make

            async def test_one(self) -> None:
                self.assertIs(made[-1], asyncio.get_running_loop())
                await asyncio.to_thread(int)

            test_two = test_one

        self.assert_passed(run_class(Case), tests=2)
        self.assertEqual([True, True], [loop.is_closed() for loop in made])

    def test_a_factory_that_makes_no_loop_is_refused(self) -> None:
        """A loop_factory with another result raises a TypeError that shows the value."""

        class Case(AsyncIntegrationTestCase):
            loop_factory = int  # type: ignore[assignment]

            async def test(self) -> None:
                self.fail("not reached")

        with self.assertRaisesRegex(TypeError, "^loop_factory must return a new event loop, got 0"):
            run_method(Case)

    def test_the_loops_of_a_policy_are_used(self) -> None:
        """Without a loop_factory, asyncio.new_event_loop creates the loop."""
        made: list[asyncio.AbstractEventLoop] = []

        class Special(asyncio.SelectorEventLoop):
            def __init__(self) -> None:
                super().__init__()
                made.append(self)

        class Case(AsyncIntegrationTestCase):
            async def test_one(self) -> None:
                self.assertIs(made[-1], asyncio.get_running_loop())

            test_two = test_one

        with mock.patch.object(asyncio, "new_event_loop", Special):
            self.assert_passed(run_class(Case), tests=2)
        self.assertEqual([True, True], [loop.is_closed() for loop in made])

    def test_debug_mode_can_be_switched_on(self) -> None:
        """async_debug = True enables the debug mode for that class only."""
        default = asyncio.new_event_loop()  # True under -X dev and PYTHONASYNCIODEBUG
        default.close()
        seen: list[bool] = []

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                seen.append(asyncio.get_running_loop().get_debug())

        self.assert_passed(run_method(Case))
        with mock.patch.object(Case, "async_debug", True):
            self.assert_passed(run_method(Case))
        self.assert_passed(run_method(Case))
        self.assertEqual([default.get_debug(), True, default.get_debug()], seen)

    def test_asyncios_own_switch_for_the_debug_mode(self) -> None:
        """PYTHONASYNCIODEBUG=1 enables the debug mode; the default is off."""
        script = """
import asyncio, itf
class Case(itf.AsyncIntegrationTestCase):
    async def test(self):
        print(asyncio.get_running_loop().get_debug())
Case("test").debug()
"""
        for value, shown in (("1", "True\n"), ("", "False\n")):
            with mock.patch.dict(os.environ, {"PYTHONASYNCIODEBUG": value}):
                done = run_script(script)
            self.assertEqual((shown, ""), (done.stdout, done.stderr))

    def test_a_loop_that_the_test_has_closed(self) -> None:
        """A test may close its loop itself after its last coroutine."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                await asyncio.sleep(0)

            def tearDown(self) -> None:
                asyncio.get_event_loop().close()

        self.assert_passed(run_method(Case))

    def test_inside_a_running_loop_a_test_is_refused(self) -> None:
        """The error has reason and advice."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                self.fail("not reached")

        async def main() -> unittest.TestResult:
            return run_method(Case)

        self.assertIn(
            "FixtureError: an event loop is running in this thread already, and a test has a loop "
            "of its own; run the test where no loop is running, or in another thread",
            self.only_text(asyncio.run(main())),
        )

    def test_descriptors_do_not_pile_up(self) -> None:
        """After a hundred classes, no more descriptors are open."""

        def one() -> None:
            class Case(AsyncIntegrationTestCase):
                async def test(self) -> None:
                    await asyncio.sleep(0)

            self.assert_passed(run_class(Case))

        one()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(100):
            one()
        self.assertEqual(before, len(os.listdir("/proc/self/fd")))

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_a_fork_inside_leaves_the_parents_loop_alone(self) -> None:
        """A forked child may run its own loop, return from the test, and exit."""
        script = """
import asyncio, os, sys, unittest, itf

class Case(itf.AsyncIntegrationTestCase):
    async def test_a_fork(self):
        asyncio.get_running_loop().slow_callback_duration = 60
        pid = os.fork()
        if pid == 0:
            # Straight out of the test, through all that is around it.
            raise SystemExit
        self.assertEqual(0, os.waitpid(pid, 0)[1])

    async def test_b_still_wakes(self):
        loop = asyncio.get_running_loop()
        import threading
        event = asyncio.Event()
        threading.Timer(0.05, loop.call_soon_threadsafe, (event.set,)).start()
        await asyncio.wait_for(event.wait(), 30)
        print("woke", flush=True)

parent = os.getpid()
result = unittest.TestResult()
unittest.TestSuite([Case("test_a_fork")]).run(result)
if os.getpid() != parent:
    sys.exit(0)
print(result.wasSuccessful(), flush=True)
Case("test_b_still_wakes").debug()
if os.fork() == 0:
    Case("test_b_still_wakes").debug()
    sys.exit(0)
os.wait()
Case("test_b_still_wakes").debug()
"""
        done = run_script(script)
        self.assertEqual("True\nwoke\nwoke\nwoke\n", done.stdout, done.stderr)
        self.assertEqual("", done.stderr)


class LeftoversTest(Base):
    """Tasks, generators and threads left in the loop are ended, and fail their test."""

    def test_a_task_fails_its_test_by_name_and_place(self) -> None:
        """A pending task is cancelled and awaited; the next test passes."""
        tidied: list[bool] = []

        class Case(AsyncIntegrationTestCase):
            async def pump(self) -> None:
                try:
                    await stuck()
                finally:
                    await asyncio.sleep(0)
                    tidied.append(True)

            async def test_a(self) -> None:
                self.task = asyncio.create_task(self.pump(), name="pump")
                await asyncio.sleep(0)

            async def test_b(self) -> None:
                self.assertEqual(1, len(asyncio.all_tasks()))

        text = self.only_text(run_class(Case))
        self.assertRegex(
            text,
            r"AssertionError: 1 task outlived the test; await, or cancel and await:\n"
            rf"  pump \(.*Case.pump\)\n    at {re.escape(__file__)}:\d+ in .*Case.pump\n"
            rf"    at {re.escape(__file__)}:\d+ in stuck\n",
        )
        self.assertEqual([True], tidied)

    def test_the_leak_policy_holds_for_tasks(self) -> None:
        """`warn` warns, `off` does nothing; the task ends in any case."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                tasks_left.append(asyncio.create_task(stuck(), name="pump"))
                await asyncio.sleep(0)

        tasks_left: list[asyncio.Task[None]] = []
        with (
            mock.patch.object(Case, "leak_policy", "warn"),
            self.assertWarnsRegex(ResourceWarning, r"Case.test: 1 task outlived(.|\n)*pump"),
        ):
            self.assert_passed(run_method(Case))
        with mock.patch.object(Case, "leak_policy", "off"):
            self.assert_passed(run_method(Case))
        self.assertEqual([True, True], [task.cancelled() for task in tasks_left])

    def test_leak_ignore_holds_for_tasks(self) -> None:
        """Names and patterns allow tasks; others fail the test."""

        class Case(AsyncIntegrationTestCase):
            leak_ignore = ("tasks:pump-*",)

            async def test_a(self) -> None:
                self.task = asyncio.create_task(stuck(), name="pump-1")
                await asyncio.sleep(0)

            async def test_b(self) -> None:
                self.task = asyncio.create_task(stuck(), name="pump-2")
                self.other = asyncio.create_task(stuck(), name="other")
                await asyncio.sleep(0)

        text = self.only_text(run_class(Case))
        self.assertIn("1 task outlived the test; await, or cancel and await:\n  other", text)
        self.assertNotIn("pump-2", text)

    def test_a_task_that_never_began_counts(self) -> None:
        """A task that never started fails the test, and its coroutine is closed."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                self.task = asyncio.ensure_future(stuck())

        self.assertIn("1 task outlived the test", self.only_text(run_method(Case)))

    def test_a_task_that_was_cancelled_and_not_awaited_may_end(self) -> None:
        """A task that the test cancelled is awaited, and does not fail the test."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                task = asyncio.ensure_future(stuck())
                await asyncio.sleep(0)
                task.cancel()

        self.assert_passed(run_method(Case))

    def test_a_task_that_a_cleanup_ends_is_no_leftover(self) -> None:
        """Tasks are checked after the user's tearDown and cleanups."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                self.task = asyncio.ensure_future(stuck())
                self.addCleanup(self.task.cancel)

        self.assert_passed(run_method(Case))

    def test_a_task_that_refuses_is_an_error_and_keeps_no_later_test(self) -> None:
        """After the grace period, the error shows the stack of a task that does not end."""
        loops: list[asyncio.AbstractEventLoop] = []

        class Case(AsyncIntegrationTestCase):
            async def refuse(self) -> None:
                while not self.over:
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(0.01)

            async def test_a(self) -> None:
                self.over = False
                loops.append(asyncio.get_running_loop())
                self.task = asyncio.ensure_future(self.refuse())
                await asyncio.sleep(0)

            async def test_b(self) -> None:
                loops.append(asyncio.get_running_loop())

        with mock.patch.object(task_deadlines, "CANCEL_GRACE", 0.05), self.assertNoLogs("asyncio"):
            result = run_class(Case)
            text = self.only_text(result)
            gc.collect()
        self.assertIn("1 task outlived the test", text)
        self.assertRegex(
            text, r"1 task is still running 0.05 s after being cancelled(.|\n)*Case.refuse"
        )
        self.assertIsNot(loops[0], loops[1])

    def test_an_async_generator_left_open_fails_the_test(self) -> None:
        """An open async generator is closed, and fails the test."""
        closed: list[bool] = []

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                closed.append(True)

        class Case(AsyncIntegrationTestCase):
            async def test_a(self) -> None:
                self.generator = numbers()
                async for _ in self.generator:
                    break

            async def test_b_closed(self) -> None:
                async with contextlib.aclosing(numbers()) as generator:  # type: ignore[type-var]
                    await anext(generator)

        text = self.only_text(run_class(Case))
        self.assertRegex(
            text,
            r"left open by the test; close it with `contextlib.aclosing` or `aclose\(\)`: "
            rf"async generator .*numbers at {re.escape(__file__)}:\d+ in ",
        )
        self.assertEqual([True, True], closed)

    def test_a_coroutine_that_nobody_awaited_fails_the_test(self) -> None:
        """The failure has name and location; also with warnings as errors."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                stuck()  # type: ignore[unused-coroutine]

        for action in ("default", "error"):
            with self.subTest(action), warnings.catch_warnings():
                warnings.simplefilter(action)  # type: ignore[arg-type]
                text = self.only_text(run_method(Case))
                self.assertRegex(
                    text,
                    "coroutine 'stuck' was never awaited, defined at "
                    rf"{re.escape(__file__)}:\d+, dropped at {re.escape(__file__)}:\d+ in .*test",
                )

    def test_an_error_that_nobody_awaited_fails_the_test(self) -> None:
        """The failure has asyncio's message, and a pending task is reported too."""

        async def fail() -> None:
            raise LookupError("in the background")

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                asyncio.ensure_future(fail())  # noqa: RUF006
                self.task = asyncio.ensure_future(stuck())
                for _ in range(3):
                    await asyncio.sleep(0)

        result = run_method(Case)
        self.assertEqual((1, 1), (len(result.failures), len(result.errors)))
        self.assertIn("1 task outlived the test", result.failures[0][1])
        self.assertIn(
            "LookupError: in the background\n"
            "nobody awaited it; asyncio says: Task exception was never retrieved",
            result.errors[0][1],
        )

    def test_a_thread_that_does_not_end_is_named_in_time(self) -> None:
        """unittest's own test case would wait for such a thread forever."""
        go, busy = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        def work() -> None:
            busy.set()
            go.wait(60)

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.to_thread(work), 0.01)
                busy.wait(60)

        with mock.patch.object(task_deadlines, "CANCEL_GRACE", 0.05):
            began = time.monotonic()
            text = self.only_text(run_method(Case))
        self.assertLess(time.monotonic() - began, 30)
        self.assertRegex(
            text, r"1 thread of the event loop did not end, .*'asyncio_0' \(at .*in .*work"
        )

    def test_threads_of_to_thread_end_with_the_test(self) -> None:
        """The next test starts new threads."""
        names: list[threading.Thread] = []

        class Case(AsyncIntegrationTestCase):
            async def test_a(self) -> None:
                names.append(await asyncio.to_thread(threading.current_thread))

            async def test_b(self) -> None:
                self.is_over = not names[0].is_alive()
                self.assertTrue(self.is_over)
                names.append(await asyncio.to_thread(threading.current_thread))

        self.assert_passed(run_class(Case), tests=2)

    def test_tasks_end_before_what_they_use(self) -> None:
        """A pending task is cancelled while the workspace still exists."""
        there: list[bool] = []

        class Case(AsyncIntegrationTestCase):
            async def use(self) -> None:
                try:
                    await stuck()
                finally:
                    there.append(self.temp_workspace.exists())

            async def test(self) -> None:
                self.assertTrue(self.temp_workspace.exists())
                self.task = asyncio.ensure_future(self.use())
                await asyncio.sleep(0)

        self.assertIn("1 task outlived", self.only_text(run_method(Case)))
        self.assertEqual([True], there)

    def test_a_blocked_loop_is_reported(self) -> None:
        """asyncio's log and the timeline have the duration of a blocked loop."""
        events: list[Any] = []

        class Case(AsyncIntegrationTestCase):
            async def test_blocks(self) -> None:
                asyncio.get_running_loop().slow_callback_duration = 0.01
                time.sleep(0.02)

            async def test_usual(self) -> None:
                self.assertEqual(0.1, asyncio.get_running_loop().slow_callback_duration)

        case = Case("test_blocks")
        with self.assertLogs("asyncio", "WARNING") as logs:
            self.assert_passed(run_case(case))
        events = case.timeline.events("async")
        default = asyncio.new_event_loop()
        default.close()
        if default.get_debug():
            # Under -X dev asyncio logs the slow callback, and itf does not log it again.
            self.assertRegex(logs.output[0], r"Executing <Task .*test_blocks.* took 0\.\d+ seconds")
            self.assertEqual([], events)
            return
        self.assertRegex(
            logs.output[0],
            r"Case.test_blocks blocked its event loop for 0\.\d+ s; set async_debug = True to see",
        )
        self.assertEqual("blocked", events[0]["data"]["action"])
        self.assertGreaterEqual(events[0]["data"]["seconds"], 0.02)
        self.assert_passed(run_method(Case, "test_usual"))


class InterruptTest(Base):
    """Ctrl-C in a test ends the run, and cancels its tasks."""

    def setUp(self) -> None:
        self.addCleanup(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def test_it_cancels_the_test_and_its_tasks(self) -> None:
        """Ctrl-C while the loop sleeps, or while a coroutine runs, closes the loop."""
        tidied: list[str] = []
        loops: list[asyncio.AbstractEventLoop] = []

        async def tidy(name: str) -> None:
            try:
                await stuck()
            finally:
                await asyncio.sleep(0)
                tidied.append(name)

        class Case(AsyncIntegrationTestCase):
            async def test_asleep(self) -> None:
                loops.append(asyncio.get_running_loop())
                self.task = asyncio.ensure_future(tidy("task"))
                timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
                timer.start()
                try:
                    await tidy("test")
                finally:
                    timer.join()

            async def test_awake(self) -> None:
                loops.append(asyncio.get_running_loop())
                self.task = asyncio.ensure_future(tidy("task"))
                await asyncio.sleep(0)
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000):
                    await asyncio.sleep(0)

            async def test_after(self) -> None:
                self.fail("the run goes on")

        for name, ended in (("test_asleep", ["task", "test"]), ("test_awake", ["task"])):
            tidied.clear()
            suite = unittest.TestSuite([Case(name), Case("test_after")])
            with self.subTest(name), self.assertRaises(KeyboardInterrupt):
                suite.run(unittest.TestResult())
            self.assertEqual(ended, sorted(tidied))
            self.is_closed(loops[-1])

    def test_debug_lets_it_through_as_well(self) -> None:
        """debug() raises the KeyboardInterrupt and restores the test's attributes."""
        paths: list[Any] = []

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                paths.append(self.temp_workspace)
                self.task = asyncio.ensure_future(stuck())
                raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            Case("test").debug()
        self.assertFalse(paths[0].exists())

    def test_system_exit_in_a_task_is_an_error_of_its_test(self) -> None:
        """SystemExit in a task is an error of its test, and the run continues, as in unittest."""

        class Case(AsyncIntegrationTestCase):
            async def leave(self) -> None:
                raise SystemExit(3)

            async def test_a(self) -> None:
                self.task = asyncio.ensure_future(self.leave())
                await stuck()

            async def test_b(self) -> None:
                await asyncio.sleep(0)

        result = run_class(Case)
        self.assertEqual(2, result.testsRun)
        self.assertIn("SystemExit: 3", result.errors[0][1])
        self.assertEqual({"test_a"}, {case._testMethodName for case, _ in result.errors})  # type: ignore[attr-defined]


class FixturesTest(Base):
    """An async test has all features of a plain test."""

    def test_it_is_an_integration_test(self) -> None:
        """It has the interfaces, the fixtures, and unittest's async methods."""
        self.assertTrue(issubclass(AsyncIntegrationTestCase, IntegrationTestCase))
        for name in ("asyncSetUp", "asyncTearDown", "addAsyncCleanup", "enterAsyncContext"):
            self.assertTrue(hasattr(AsyncIntegrationTestCase, name), name)

    def test_the_runner_may_explore_beside_it(self) -> None:
        """A plain test of the class may use async_test_runner, with a loop of its own."""

        class Case(AsyncIntegrationTestCase):
            def test(self) -> None:
                self.assertIsNone(self.async_test_runner.explore(self.fine, runs=3))

            async def fine(self) -> None:
                await asyncio.sleep(0)

        self.assert_passed(run_method(Case))

    def test_a_cleanup_of_a_test_that_never_ran_needs_no_loop(self) -> None:
        """A plain cleanup runs; a coroutine cleanup fails, and is closed."""
        seen: list[str] = []

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                await asyncio.sleep(0)

        case = Case("test")
        case.addCleanup(seen.append, "plain")
        case.doCleanups()
        self.assertEqual(["plain"], seen)
        case.addAsyncCleanup(asyncio.sleep, 0)
        self.assertFalse(case.doCleanups())  # unittest does not report the error here


if __name__ == "__main__":
    unittest.main()
