"""AsyncTestRun: a `TestRun` with an event loop and a context of its own."""

from __future__ import annotations

import contextvars
import functools
import inspect
import logging
import threading
import unittest
import warnings
import weakref
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from itf.event_loops.case_loop import CaseLoop
from itf.event_loops.task_deadlines import combine_errors
from itf.exceptions import FixtureError
from itf.leaks.api import outlives_test
from itf.leaks.leak import Leak
from itf.leaks.policy import policy_of
from itf.test_run import TestRun

__all__ = ["AsyncTestRun"]

__unittest = True

# The reason given to `outlives_test`.
_WHY_ALLOWED = "the event loop of a test in this thread"


class AsyncTestRun(TestRun):
    """The state of one run of one `AsyncIntegrationTestCase`.

    Args:
        case: The test.

    Attributes:
        loop: The event loop of the test; None before `begin`.
        context: The context variables that ``setUp``, the test method, ``tearDown``
            and cleanups all see and change; None before ``setUp``.

    Thread safety: as `TestRun`.
    """

    def __init__(self, case: Any) -> None:
        super().__init__(case)
        self.loop: CaseLoop | None = None
        self.context: contextvars.Context | None = None

    def begin(self) -> None:
        """Create the loop, then start the run."""
        cls = type(self.case)
        # Read from the class: from the instance, a plain function would be a bound method.
        factory, debug = cls.loop_factory, cls.async_debug
        # The loop's descriptors are opened before the detector's first snapshot, and closed after
        # its last. Detectors in other threads must not report them.
        allow = outlives_test(_WHY_ALLOWED) if threading.active_count() > 1 else nullcontext()
        with allow:
            self.loop = CaseLoop(factory, debug=debug)
        super().begin()
        attributes = vars(self.case)
        methods: dict[str, Callable[..., Any]] = {}
        # unittest.TestCase calls setUp and tearDown alone.
        if "asyncSetUp" in attributes:
            methods["setUp"] = _in_turn(attributes["setUp"], attributes["asyncSetUp"])
        if "asyncTearDown" in attributes:
            methods["tearDown"] = _in_turn(attributes["asyncTearDown"], self.case.tearDown)
        if isinstance(self.case, unittest.IsolatedAsyncioTestCase):
            # unittest would call them a second time for a class that derives from both.
            methods["asyncSetUp"] = methods["asyncTearDown"] = _do_nothing
        self.replace_methods(methods)

    def end(self) -> None:
        """End the run, then close the loop."""
        try:
            super().end()
        finally:
            if self.loop is not None:
                self.loop.close()

    def abandon(self) -> None:
        """Cancel what still runs in the loop, then do what `TestRun.abandon` does."""
        if self.loop is not None and not self.loop.has_ended:
            self.loop.end()
        self._in_context(super().abandon)

    def wrap(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a plain method that calls ``method`` and awaits the result if it is awaitable."""
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            def wrapper(*args: Any) -> Any:
                return self.run_until_complete(self._recorded(method, args), method.__name__)

            return wrapper

        plain = super().wrap(method)

        @functools.wraps(method)
        def plain_wrapper(*args: Any) -> Any:
            return self.call(plain, *args)

        return plain_wrapper

    async def _recorded(self, method: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        with self.recorded_failure():
            return await method(*args, **self.arguments_for(method))

    def begin_detection(self) -> None:
        """Take the first snapshot in the context of the test, where the last one is taken."""
        self.context = contextvars.copy_context()
        self.context.run(super().begin_detection)

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function in the context of the test; await the result if it is awaitable."""
        if self.loop is None:
            value = function(*args, **kwargs)
        else:
            value = self._in_context(function, *args, **kwargs)
        if value is None or not inspect.isawaitable(value):
            return value
        return self.run_until_complete(value)

    def run_until_complete(self, value: Awaitable[Any], name: str | None = None) -> Any:
        """Run an awaitable in the loop of the test.

        Args:
            value: The awaitable.
            name: The name of its task.

        Raises:
            FixtureError: The test is not running, so it has no loop.
        """
        coroutine = value if inspect.iscoroutine(value) else _awaiting(value)
        if self.loop is None:
            coroutine.close()
            raise FixtureError(
                f"{type(self.case).__name__} has a loop only while it runs, by run() or debug()"
            )
        return self.loop.run(coroutine, self.context or contextvars.copy_context(), name)

    def tear_down(self) -> None:
        """Cancel the pending tasks of the loop, then run the tear-down steps.

        The tasks come first, because they may use what the steps release.
        """
        loop = self.loop
        if loop is not None and not loop.has_ended:
            try:
                self._end_loop(loop)
            except BaseException:
                unittest.TestCase.addCleanup(self.case, self.tear_down)
                raise
        self._in_context(super().tear_down)

    def _in_context(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if self.context is None:
            return function(*args, **kwargs)
        return self.context.run(function, *args, **kwargs)

    def _end_loop(self, loop: CaseLoop) -> None:
        """Cancel what the test left pending in its loop, and fail the test for it."""
        problems, errors = loop.end(self._may_be_left)
        if self.detector is not None:  # reported here, so the detector need not report them
            self.detector.told.update(
                ("task", weakref.ref(task)) for task in loop.uncancellable_tasks
            )
            self.detector.told.update(("thread", thread.native_id) for thread in loop.stuck_threads)
        for seconds in loop.blocked_seconds:
            self.case.timeline.record("async", {"action": "blocked", "seconds": seconds})
            logging.getLogger("asyncio").warning(
                "%s blocked its event loop for %.3f s; set async_debug = True to see by what",
                self.case.id(),
                seconds,
            )
        try:
            if errors:
                if problems:
                    # Errors and problems each fail the test on their own: the problems are raised
                    # next.
                    unittest.TestCase.addCleanup(self.case, self._report, problems)
                raise combine_errors(errors, f"{len(errors)} tasks failed")
            self._report(problems)
        finally:
            # The tracebacks refer to this frame, which would be a reference cycle.
            del errors

    def _may_be_left(self, name: str) -> bool:
        """Return whether ``leak_ignore`` allows a pending task or generator with this name."""
        leak = Leak("tasks", "task", name, ("task", name), lambda: name)
        return policy_of(type(self.case)).ignore.allows(leak)

    def _report(self, problems: list[str]) -> None:
        """Fail, warn or do nothing, according to the test's ``leak_policy``."""
        if not problems or self.case.leak_policy == "off":
            return
        text = "\n".join(problems)
        if self.case.leak_policy != "warn":
            raise self.case.failureException(text)
        warnings.warn(f"{self.case.id()}: {text}", ResourceWarning, stacklevel=2)


def _in_turn(*steps: Callable[[], Any]) -> Callable[[], None]:
    def call_all() -> None:
        for step in steps:
            step()

    return call_all


async def _do_nothing() -> None:
    """Replace a method of the test that was called already."""


async def _awaiting(value: Awaitable[Any]) -> Any:
    return await value
