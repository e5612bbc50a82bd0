"""Tests of itf._private: each private name exists on this Python, and has a fallback.

Each class has the name of the function it tests.  A failure on a new Python names what was
renamed there, and the fallback shows what itf still does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import functools
import inspect
import logging
import multiprocessing
import selectors
import sys
import threading
import types
import unittest
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest import mock

from itf import _private, interleave
from itf.event_loops.round_timer import install_round_timer
from itf.event_loops.virtual_loop import VirtualLoop, _wrapped_job
from itf.interleaving.managed_thread import start_as_daemon
from itf.signatures import signature_of
from itf.timeline import Timeline, current_task_name
from itf.tracebacks import thread_location
from tests.support import run_script

_DEADLINE = 30.0


class DocumentedNamesTest(unittest.TestCase):
    """Names with an underscore that CPython documents, which any module may use."""

    def test_frames_can_be_asked_for(self) -> None:
        """`sys._getframe` and `sys._current_frames` return the frames of the threads."""
        self.assertIs(sys._getframe(), inspect.currentframe())
        self.assertIn(threading.get_ident(), sys._current_frames())


class IsGilEnabledTest(unittest.TestCase):
    def test_private_name(self) -> None:
        """`sys._is_gil_enabled` exists since Python 3.13, and gives the answer."""
        self.assertEqual(sys.version_info >= (3, 13), hasattr(sys, "_is_gil_enabled"))
        for answer in (True, False):
            with mock.patch.object(sys, "_is_gil_enabled", lambda a=answer: a, create=True):
                self.assertEqual(answer, _private.is_gil_enabled())

    def test_fallback(self) -> None:
        """Without the name, the process has a GIL."""
        with mock.patch.object(_private, "sys", types.SimpleNamespace()):
            self.assertTrue(_private.is_gil_enabled())


class HasPartialmethodSignatureTest(unittest.TestCase):
    def test_private_name(self) -> None:
        """functools marks the functions of a partialmethod by an attribute; others have none."""

        def method(self: object, first: int, second: int) -> None: ...

        class Sample:
            partial = functools.partialmethod(method, second=1)

        marked = vars(Sample)["partial"].__get__(None, Sample)
        self.assertTrue(_private.has_partialmethod_signature(marked))
        self.assertFalse(_private.has_partialmethod_signature(method))
        self.assertEqual(inspect.signature(marked), signature_of(marked))

    def test_fallback(self) -> None:
        """A function with an attribute of another name counts as unmarked."""

        def function() -> None: ...

        function.renamed = functools.partialmethod(function)  # type: ignore[attr-defined]
        self.assertFalse(_private.has_partialmethod_signature(function))
        self.assertEqual([], list(getattr(signature_of(function), "parameters", "unknown")))


class IsThreadStartTest(unittest.TestCase):
    def location_of_waiting_thread(self) -> tuple[list[types.FrameType], str]:
        """Return the frames above a thread's target, and the thread's location as text."""
        frames: list[types.FrameType] = []
        entered, leave = threading.Event(), threading.Event()

        def wait() -> None:
            frame = sys._getframe().f_back
            while frame is not None:
                frames.append(frame)
                frame = frame.f_back
            entered.set()
            leave.wait(_DEADLINE)

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            self.assertTrue(entered.wait(_DEADLINE))
            return frames, thread_location(thread)
        finally:
            leave.set()
            thread.join(_DEADLINE)

    def test_private_name(self) -> None:
        """Only functions with these names start a thread; a location has none of them."""
        frames, location = self.location_of_waiting_thread()
        self.assertEqual(
            {"_bootstrap", "_bootstrap_inner", "run"}, {f.f_code.co_name for f in frames}
        )
        self.assertTrue(all(map(_private.is_thread_start, frames)))
        self.assertFalse(_private.is_thread_start(sys._getframe()))
        self.assertNotIn("_bootstrap", location)

    def test_fallback(self) -> None:
        """With other names, the location still begins with the line of the target."""
        with mock.patch.object(_private, "_THREAD_START_FUNCTIONS", ()):
            _, location = self.location_of_waiting_thread()
        self.assertIn("IsThreadStartTest.location_of_waiting_thread.<locals>.wait", location)
        self.assertIn("_bootstrap", location)


class SetDaemonAfterStartTest(unittest.TestCase):
    def started(self) -> threading.Thread:
        """Return a thread that was started as a daemon and set to be none."""
        thread = threading.Thread(target=int)
        start_as_daemon(thread, daemon=False)
        thread.join(_DEADLINE)
        self.assertFalse(thread.is_alive())
        return thread

    def test_private_name(self) -> None:
        """`Thread._daemonic` exists, and the public attribute `daemon` reads it."""
        self.assertTrue(hasattr(threading.Thread(), "_daemonic"))
        self.assertFalse(self.started().daemon)

    def test_fallback(self) -> None:
        """Without the name, the thread stays a daemon."""
        self.assertFalse(_private.set_daemon_after_start(mock.Mock(spec=["daemon"]), False))
        with mock.patch("itf.interleaving.managed_thread.set_daemon_after_start", lambda *_: False):
            self.assertTrue(self.started().daemon)


class LoggingHandlersTest(unittest.TestCase):
    def setUp(self) -> None:
        self.handler = logging.Handler()
        logger = logging.getLogger("tests.private")
        logger.addHandler(self.handler)
        self.addCleanup(logger.removeHandler, self.handler)

    def test_private_name(self) -> None:
        """`logging._handlerList` has all handlers, also one that no logger has."""
        self.assertTrue(hasattr(logging, "_handlerList"))
        alone = logging.Handler()
        found = _private.logging_handlers(logging)
        self.assertIn(self.handler, found)
        self.assertIn(alone, found)

    def test_fallback(self) -> None:
        """Without the list, the handlers of all loggers are found."""
        without = types.SimpleNamespace(root=logging.root)
        self.assertIn(self.handler, _private.logging_handlers(without))


class PoolShutdownLocksTest(unittest.TestCase):
    def interleave_pools(self) -> int:
        """Use pools in interleaved threads; return the number of runs."""

        def use() -> None:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(int).result()

        return interleave(use, use, runs=3, seed=1).runs

    def test_private_name(self) -> None:
        """`_global_shutdown_lock` of concurrent.futures.thread exists, and is a lock."""
        pools = concurrent.futures.thread
        ((names, name),) = _private.pool_shutdown_locks(pools)
        self.assertIs(vars(pools), names)
        self.assertIsInstance(names[name], type(threading.Lock()))
        self.assertEqual(3, self.interleave_pools())

    def test_fallback(self) -> None:
        """Without the name, there is no lock to replace, and pools can be interleaved."""
        self.assertEqual([], _private.pool_shutdown_locks(types.ModuleType("pools")))
        with mock.patch("itf.interleaving.patching.pool_shutdown_locks", lambda _: []):
            self.assertEqual(3, self.interleave_pools())


class RunningLoopTest(unittest.TestCase):
    def loops(self, asyncio_module: object) -> tuple[bool, object]:
        """Return whether the running loop is found in a coroutine, and what is found outside."""

        async def is_found() -> bool:
            return _private.running_loop(asyncio_module) is asyncio.get_running_loop()

        return asyncio.run(is_found()), _private.running_loop(asyncio_module)

    def test_private_name(self) -> None:
        """`asyncio._get_running_loop` exists, and gives the answer."""
        self.assertEqual((True, None), self.loops(asyncio))
        with mock.patch("asyncio._get_running_loop", return_value="answer"):
            self.assertEqual("answer", _private.running_loop(asyncio))

    def test_fallback(self) -> None:
        """Without the name, the public function gives the same answers."""
        without = types.SimpleNamespace(get_running_loop=asyncio.get_running_loop)
        self.assertEqual((True, None), self.loops(without))

    def test_events_have_their_task(self) -> None:
        """Recorded events have the name of their task, with the private name or without."""
        for missing in ("no such name", "_get_running_loop"):
            with self.subTest(missing=missing), mock.patch.dict(vars(asyncio)):
                vars(asyncio).pop(missing, None)
                timeline = Timeline()
                note = timeline.shorthand("short", lambda what: {"what": what})

                async def record(timeline: Timeline = timeline, note: Any = note) -> None:
                    note(1)
                    timeline.record("plain", {"name": current_task_name()})

                async def main(record: Any = record) -> None:
                    await asyncio.create_task(record(), name="named")

                asyncio.run(main())
                note(2)
                self.assertEqual(["named", "named", None], [event["task"] for event in timeline])
                self.assertEqual({"name": "named"}, timeline.events("plain")[0]["data"])

    def test_half_imported_asyncio(self) -> None:
        """While another thread imports asyncio, there is no task."""
        with mock.patch.dict(sys.modules, {"asyncio": types.ModuleType("half imported")}):
            self.assertIsNone(current_task_name())


class LoopSelectorTest(unittest.TestCase):
    """`loop_selector` and `replace_loop_selector`."""

    def test_private_name(self) -> None:
        """``_selector`` is the selector that asyncio's loop waits with."""
        selector = selectors.DefaultSelector()
        loop = asyncio.SelectorEventLoop(selector)
        self.addCleanup(loop.close)
        self.assertIs(selector, _private.loop_selector(loop))
        with selectors.DefaultSelector() as other:
            other.select = mock.Mock(wraps=other.select)  # type: ignore[method-assign]
            _private.replace_loop_selector(loop, other)
            loop.run_until_complete(asyncio.sleep(0))
            _private.replace_loop_selector(loop, selector)
        self.assertTrue(other.select.called)

    def test_fallback(self) -> None:
        """A loop without the name has no known selector, and gets no timer."""
        loop = mock.Mock(spec=asyncio.AbstractEventLoop)
        self.assertIsNone(_private.loop_selector(loop))
        self.assertIsNone(install_round_timer(loop))


class WrappedExecutorJobTest(unittest.TestCase):
    """`asyncio.wrap_future` calls `create_future`, by which a virtual loop finds a job."""

    def test_private_name(self) -> None:
        """The job is found: a timeout in virtual time does not expire while the job runs."""
        begun, end = threading.Event(), threading.Event()

        def job() -> str:
            begun.set()
            return "done" if end.wait(_DEADLINE) else "late"

        async def main() -> tuple[bool, str]:
            future = asyncio.wrap_future(pool.submit(job))
            while not begun.is_set():
                await asyncio.sleep(0)
            has_jobs = loop._itf_work.has_jobs()
            end.set()
            return has_jobs, await asyncio.wait_for(future, 3600.0)

        loop = VirtualLoop()
        self.addCleanup(loop.close)
        with ThreadPoolExecutor(1) as pool:
            self.assertEqual((True, "done"), loop.run_until_complete(main()))
        self.assertEqual("future", next(iter(inspect.signature(asyncio.wrap_future).parameters)))

    def test_another_caller_creates_no_job(self) -> None:
        """A frame that is not that of `wrap_future` has no job, whatever its variables."""
        future: Future[int] = Future()
        self.assertIsNone(_wrapped_job(sys._getframe()))
        self.assertIs(future, _private.wrapped_executor_job(sys._getframe()))

    def test_fallback(self) -> None:
        """If the variable has another name, no job is tracked, and nothing fails."""
        frame = mock.Mock(f_code=asyncio.wrap_future.__code__, f_locals={"renamed": Future()})
        self.assertIsNone(_wrapped_job(frame))


class AvoidedNamesTest(unittest.TestCase):
    """Public names that do what a private name would do with less work."""

    def test_a_message_is_formatted_as_unittest_does(self) -> None:
        """The result is that of `TestCase._formatMessage`, with `longMessage` and without."""
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


class SemlockTest(unittest.TestCase):
    """`semlock_at`, `copy_semlock` and `semlock_value`."""

    def setUp(self) -> None:
        self.lock = multiprocessing.get_context("spawn").Lock()
        self.copy = _private.copy_semlock(self.lock)

    def test_private_names(self) -> None:
        """multiprocessing has the names on this Python."""
        inner = vars(self.lock)["_semlock"]
        for name in ("_rebuild", "_get_value"):
            self.assertTrue(callable(getattr(type(inner), name)), name)

    def test_a_copy_is_of_the_same_semaphore(self) -> None:
        """What one SemLock has acquired, its copy cannot acquire."""
        self.assertTrue(self.lock.acquire(False))
        self.assertFalse(self.copy.acquire(False))
        self.lock.release()
        self.assertTrue(self.copy.acquire(False))
        self.copy.release()

    def test_the_value(self) -> None:
        """The value is 0 while the semaphore is acquired."""
        self.assertEqual(1, _private.semlock_value(self.copy))
        with self.lock:
            self.assertEqual(0, _private.semlock_value(self.copy))

    def test_fallback(self) -> None:
        """Without the names there is no SemLock, and its value is 0."""
        self.assertIsNone(_private.copy_semlock(object()))
        self.assertEqual(0, _private.semlock_value(object()))
        with mock.patch("_multiprocessing.SemLock", object()):
            self.assertIsNone(_private.semlock_at(0, 1))
            self.assertIsNone(_private.copy_semlock(self.lock))


if __name__ == "__main__":
    unittest.main()
