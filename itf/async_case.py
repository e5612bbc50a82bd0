"""The TestCase for tests that are coroutines."""

# Apart from case.py because of asyncio, which a test without coroutines need
# not wait for.

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
import unittest
import warnings
import weakref
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, ClassVar, ParamSpec, TypeVar

from itf.case import IntegrationTestCase
from itf.event_loops.case_loop import CaseLoop
from itf.event_loops.task_deadlines import combine_errors
from itf.exceptions import FixtureError
from itf.fixtures.declaration import takes_no_fixtures
from itf.guard.guarding import outlives_test
from itf.guard.leaks import Leak
from itf.guard.terms import terms_of
from itf.wrapping import is_coroutine_function, passed_off_as

__all__ = ["AsyncIntegrationTestCase"]

__unittest = True

_P = ParamSpec("_P")
_T = TypeVar("_T")

# What of the steps around a test may be put on the instance while it runs, beside `setUp`.
_AROUND = frozenset(("tearDown", "asyncSetUp", "asyncTearDown"))


# The reason given to `outlives_test`.
_WHY_ALLOWED = "the event loop of a test in this thread"


class AsyncIntegrationTestCase(IntegrationTestCase):
    """`IntegrationTestCase` for coroutines, used as `unittest.IsolatedAsyncioTestCase` is.

    The test method, ``asyncSetUp``, ``asyncTearDown`` and cleanups may be
    coroutine functions.  All that belongs to one test, ``setUp`` and
    ``tearDown`` included, sees the same context variables and the same loop.
    Each test has a new loop, which is closed after the test.

    A task that is still there when the test ends is cancelled and awaited, and
    fails the test; so do an async generator left open, a coroutine that nobody
    awaited, and an error in a task that nobody awaited.

    Attributes:
        async_debug: Whether loops run in asyncio's debug mode, which is slow, and
            logs which callback blocked the loop. Without it, the log only has the
            duration for which the loop was blocked. PYTHONASYNCIODEBUG and
            ``-X dev`` switch the debug mode on as well.
        loop_factory: Called without arguments to make the loop of a test; None makes
            it as `asyncio.run` does.

    Example:
        >>> class SleepTest(AsyncIntegrationTestCase):
        ...     async def test_sleep(self, performance_monitor):
        ...         with performance_monitor.measure("nap"):
        ...             await asyncio.sleep(0)
        >>> import asyncio
        >>> SleepTest("test_sleep").debug()
    """

    async_debug: ClassVar[bool] = False
    loop_factory: ClassVar[Callable[[], asyncio.AbstractEventLoop] | None] = None

    _itf_loop: CaseLoop | None = None
    _itf_context: contextvars.Context

    async def asyncSetUp(self) -> None:
        """Prepare the test, after ``setUp``; for subclasses to override."""

    async def asyncTearDown(self) -> None:
        """Tidy up after the test, before ``tearDown``; for subclasses to override."""

    def addCleanup(
        self, function: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Call a function after the test, as `unittest.TestCase.addCleanup` does.

        What it returns is awaited, if it can be.
        """
        super().addCleanup(self._itf_call, function, *args, **kwargs)

    def addAsyncCleanup(
        self, function: Callable[_P, Awaitable[object]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Call a coroutine function after the test, and await it."""
        self.addCleanup(function, *args, **kwargs)

    async def enterAsyncContext(self, manager: AbstractAsyncContextManager[_T]) -> _T:
        """Enter an asynchronous context manager, and leave it after the test.

        Raises:
            TypeError: It is none.
        """
        # On the class, as `async with` looks them up.
        cls = type(manager)
        try:
            enter, leave = cls.__aenter__, cls.__aexit__
        except AttributeError:
            raise TypeError(
                f"'{cls.__module__}.{cls.__qualname__}' object does not support "
                "the asynchronous context manager protocol"
            ) from None
        value = await enter(manager)
        self.addAsyncCleanup(leave, manager, None, None, None)
        return value

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test, as `unittest.TestCase.run` does."""
        return self._itf_with_loop(super().run, result)

    def debug(self) -> None:
        """Run the test without a result, as `unittest.TestCase.debug` does."""
        self._itf_with_loop(super().debug)

    def _itf_with_loop(self, run: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function that runs the test, with an event loop for the test."""
        # Read from the class: read from the instance, a function would be a method.
        cls = type(self)
        # The loop's descriptors are opened before the detector's first look, and
        # closed after its last one. Tests in other threads must not report them.
        allow = outlives_test(_WHY_ALLOWED) if threading.active_count() > 1 else nullcontext()
        with allow:
            loop = CaseLoop(cls.loop_factory, debug=cls.async_debug)
        self.__dict__["_itf_loop"] = loop
        try:
            return run(*args, **kwargs)
        finally:
            del self.__dict__["_itf_loop"]
            self.__dict__.pop("_itf_context", None)  # it knows the test, which knows it
            loop.close()

    def _itf_begin(self) -> Any:
        running = super()._itf_begin()
        own = self.__dict__
        if "asyncSetUp" in own:
            own["setUp"] = _one_after_the_other(own["setUp"], own.pop("asyncSetUp"))
        if "asyncTearDown" in own:
            own["tearDown"] = _one_after_the_other(own.pop("asyncTearDown"), self.tearDown)
        if isinstance(self, unittest.IsolatedAsyncioTestCase):
            # Who derives from both has unittest call them, too; once is enough.
            own["asyncSetUp"] = own["asyncTearDown"] = _nothing
        if not _AROUND.isdisjoint(own):
            own["_itf_wrapped_steps"] |= own.keys() & _AROUND
        return running

    def _itf_end(self, running: Any) -> None:
        for name in _AROUND:
            self.__dict__.pop(name, None)  # what the instance had before comes back now
        super()._itf_end(running)

    def _itf_guarded(self, set_up: Callable[..., Any]) -> Callable[..., Any]:
        # Here, for by now it is known whose test it is, and nothing else has
        # happened.  The guard begins and ends in the same context.
        self.__dict__["_itf_context"] = context = contextvars.copy_context()
        begin = super()._itf_guarded(_do_nothing)

        def begin_and_set_up(*args: Any) -> None:
            context.run(begin)
            set_up(*args)

        return begin_and_set_up

    def _itf_follows(self) -> Any:
        # The new loop has other descriptors than the loop of the previous test.
        return None

    def _itf_wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        if is_coroutine_function(method):

            def wrapper(*args: Any) -> Any:
                return self._itf_await(self._itf_watched(method, args), method.__name__)

            return passed_off_as(method, wrapper)
        plain = super()._itf_wrapped(method)

        def plain_wrapper(*args: Any) -> Any:
            return self._itf_call(plain, *args)

        return passed_off_as(method, plain_wrapper)

    async def _itf_watched(self, method: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        try:
            if takes_no_fixtures(method):
                return await method(*args)
            return await method(*args, **self._itf_fixtures.arguments_for(method))
        except unittest.SkipTest:
            raise
        except BaseException as error:
            self._itf_see(error)
            raise

    def _itf_call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function in the context of the test, and await what it returns, if it can be."""
        loop = self._itf_loop
        if loop is None:
            # Of a test that never ran: nothing of it needs a loop but a coroutine.
            value = function(*args, **kwargs)
        else:
            value = self._itf_context.run(function, *args, **kwargs)
        if value is None or not inspect.isawaitable(value):
            return value
        return self._itf_await(value)

    def _itf_await(self, value: Awaitable[Any], name: str | None = None) -> Any:
        loop = self._itf_loop
        coroutine = value if inspect.iscoroutine(value) else _awaiting(value)
        if loop is None:
            coroutine.close()
            raise FixtureError(
                f"{type(self).__name__} has a loop only while it runs, by run() or debug()"
            )
        return loop.run(coroutine, self._itf_context, name)

    def _itf_finish(self) -> None:
        loop = self._itf_loop
        if loop is None:  # of a test that never ran
            super()._itf_finish()
            return
        if not loop.has_ended:
            # Before all other steps: a task may use what they take away.  And
            # outside of the context, which the tasks have to enter.
            try:
                self._itf_end_loop(loop)
            except BaseException:
                unittest.TestCase.addCleanup(self, self._itf_finish)
                raise
        self._itf_context.run(super()._itf_finish)

    def _itf_abandon(self) -> None:
        loop = self._itf_loop
        if loop is not None and not loop.has_ended:
            loop.end()
        self._itf_context.run(super()._itf_abandon)

    def _itf_end_loop(self, loop: CaseLoop) -> None:
        """End what the test left in its loop, and fail it for that."""
        problems, errors = loop.end(self._itf_may_leave)
        guard = self.__dict__.get("_itf_guard")
        if guard is not None:  # it need not tell of them once more
            guard.told.update(("task", weakref.ref(task)) for task in loop.uncancellable_tasks)
            guard.told.update(("thread", thread.native_id) for thread in loop.stuck_threads)
        for seconds in loop.blocked_seconds:
            self.timeline.record("async", {"action": "blocked", "seconds": seconds})
            logging.getLogger("asyncio").warning(
                "%s blocked its event loop for %.3f s; set async_debug = True to see by what",
                self.id(),
                seconds,
            )
        try:
            if errors:
                if problems:
                    # Each fails the test on its own; after this one, that one.
                    unittest.TestCase.addCleanup(self, self._itf_judge, problems)
                raise combine_errors(errors, f"{len(errors)} tasks failed")
            self._itf_judge(problems)
        finally:
            del errors

    def _itf_may_leave(self, name: str) -> bool:
        """Say whether a task or generator may be left behind, by `leak_ignore`."""
        leak = Leak("tasks", "task", name, ("task", name), lambda: name)
        return terms_of(type(self)).ignore.allows(leak)

    def _itf_judge(self, problems: list[str]) -> None:
        """Do with what was left behind as the policy says."""
        if not problems or self.leak_policy == "off":
            return
        text = "\n".join(problems)
        if self.leak_policy != "warn":
            raise self.failureException(text)
        warnings.warn(f"{self.id()}: {text}", ResourceWarning, stacklevel=2)


def _one_after_the_other(*steps: Callable[[], Any]) -> Callable[[], None]:
    def all_of_them() -> None:
        for step in steps:
            step()

    return all_of_them


def _do_nothing() -> None:
    """Stand for a step that is taken elsewhere."""


async def _nothing() -> None:
    """Stand for a step that is done already."""


async def _awaiting(value: Awaitable[Any]) -> Any:
    return await value
