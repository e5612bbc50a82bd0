"""Names of the standard library that are not public, or may be missing: there, or replaced.

Each test fails on a Python where a name is gone, and shows what becomes of itf
without it.  The names that one module alone uses are tested beside that module.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import types
import unittest
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from itf.event_loops.virtual_loop import VirtualLoop, _wrapped_job
from itf.timeline import Timeline, _running_loop, current_task_name
from itf.tracebacks import _THREAD_START_FUNCTIONS, thread_location
from tests.support import run_script

_DEADLINE = 30.0


class FramesTest(unittest.TestCase):
    def test_frames_can_be_asked_for(self) -> None:
        """`sys._getframe` and `sys._current_frames` are documented, for CPython alone."""
        self.assertIs(sys._getframe(), inspect.currentframe())
        self.assertIn(threading.get_ident(), sys._current_frames())

    def test_how_a_thread_starts(self) -> None:
        """By functions of threading that are left out of where a thread is.

        If they have other names, they are shown, and no more is lost.
        """
        seen: list[str] = []
        entered, leave = threading.Event(), threading.Event()

        def wait() -> None:
            frame = sys._getframe(1)
            while frame is not None:
                seen.append(frame.f_code.co_name)
                frame = frame.f_back  # type: ignore[assignment]
            entered.set()
            leave.wait(_DEADLINE)

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            self.assertTrue(entered.wait(_DEADLINE))
            self.assertLessEqual(set(seen), set(_THREAD_START_FUNCTIONS))
            self.assertNotIn("_bootstrap", thread_location(thread))
            with mock.patch("itf.tracebacks._THREAD_START_FUNCTIONS", ()):
                self.assertIn(" in FramesTest.test_how_a_thread_starts.", thread_location(thread))
        finally:
            leave.set()
            thread.join(_DEADLINE)


class RunningLoopTest(unittest.TestCase):
    """`asyncio._get_running_loop`, or else `asyncio.get_running_loop`."""

    def test_the_name_is_there(self) -> None:
        """And it is the one that is asked."""
        self.assertIs(asyncio._get_running_loop, _running_loop(asyncio))

    def test_the_same_answers_without_it(self) -> None:
        """The loop in a coroutine, None elsewhere."""
        without = types.SimpleNamespace(get_running_loop=asyncio.get_running_loop)
        running = _running_loop(without)

        async def ask() -> object:
            return running() if running is not None else None

        self.assertIsNone(running and running())
        self.assertIsInstance(asyncio.run(ask()), asyncio.AbstractEventLoop)
        self.assertIsNone(_running_loop(types.SimpleNamespace()))

    def test_events_have_their_task(self) -> None:
        """Recorded quickly or not, with the name or without it."""
        for quick in (asyncio._get_running_loop, None):
            timeline = Timeline()
            note = timeline.shorthand("quick", lambda what: {"what": what})

            names: list[str | None] = []

            async def record(
                timeline: Timeline = timeline,
                note: object = note,
                names: list[str | None] = names,
            ) -> None:
                note(1)  # type: ignore[operator]
                timeline.record("plain", {})
                names.append(current_task_name())

            async def main() -> None:
                await asyncio.create_task(record(), name="named")

            found = quick or _running_loop(
                types.SimpleNamespace(get_running_loop=asyncio.get_running_loop)
            )
            with self.subTest(quick=quick), mock.patch("itf.timeline._running_loop") as asked:
                asked.return_value = found
                asyncio.run(main())
                note(2)
                self.assertEqual(["named", "named", None], [e["task"] for e in timeline])
                self.assertEqual(["named"], names)


class JobTest(unittest.TestCase):
    """`asyncio.wrap_future` calls `create_future`, by which a virtual loop sees a job."""

    def test_a_job_is_waited_for_in_real_time(self) -> None:
        """A timeout in virtual time does not run out meanwhile."""
        begun, end = threading.Event(), threading.Event()

        def job() -> str:
            begun.set()
            return "done" if end.wait(_DEADLINE) else "late"

        async def main() -> tuple[bool, str]:
            future = asyncio.wrap_future(pool.submit(job))
            while not begun.is_set():
                await asyncio.sleep(0)
            real = loop._itf_work.has_jobs()
            end.set()
            return real, await asyncio.wait_for(future, 3600.0)

        loop = VirtualLoop()
        self.addCleanup(loop.close)
        with ThreadPoolExecutor(1) as pool:
            real, answer = loop.run_until_complete(main())
        self.assertEqual((True, "done"), (real, answer))
        self.assertEqual("future", next(iter(inspect.signature(asyncio.wrap_future).parameters)))

    def test_another_caller_creates_no_job(self) -> None:
        """A frame that is not that of `wrap_future` has no job."""
        self.assertIsNone(_wrapped_job(sys._getframe()))

    def test_without_the_local_variable(self) -> None:
        """If the variable has another name, no job is tracked, and nothing fails."""
        frame = mock.Mock(f_code=asyncio.wrap_future.__code__, f_locals={"renamed": object()})
        self.assertIsNone(_wrapped_job(frame))


class MessageTest(unittest.TestCase):
    def test_a_message_is_put_together_as_unittest_does(self) -> None:
        """With `longMessage` and without; `TestCase._formatMessage` is not needed for it."""
        script = """
import unittest
from itf import IntegrationTestCase
class Case(IntegrationTestCase):
    def runTest(self): pass
for long in (True, False):
    for msg in (None, "mine"):
        case = Case()
        case.longMessage = long
        try:
            case.assertErrorPropagated(ValueError(), "a", msg=msg)
        except AssertionError as error:
            standard = "ValueError did not propagate through a; it went (nothing was captured)"
            print(str(error) == case._formatMessage(msg, standard))
"""
        result = run_script(script)
        self.assertEqual(("True\n" * 4, ""), (result.stdout, result.stderr))


if __name__ == "__main__":
    unittest.main()
