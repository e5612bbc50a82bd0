"""An event loop that one test hands on to the next, and that tells what is left in it."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final, TypeVarTuple

from itf.loops.executor import TrackedExecutor
from itf.loops.selecting import WrappedSelector

__all__ = ["ReusableLoop"]

__unittest = True

_Ts = TypeVarTuple("_Ts")

# After so many rounds, callbacks that schedule one another are taken to go on
# for ever.
_ROUNDS: Final = 100


class ReusableLoop(asyncio.SelectorEventLoop):
    """A loop for test after test.

    Without debug mode it still knows when it was blocked, at the cost of a look
    at the clock a round.

    Attributes:
        executor: Where functions run if no executor is named; None if none did.
        foreign_executor: Whether somebody has set another one.
        is_altered: Whether something was done to it that cannot be undone.
        blocked: For how many seconds, each time that a round took longer than
            ``slow_callback_duration``.
    """

    def __init__(self) -> None:
        self.executor: TrackedExecutor | None = None
        self.foreign_executor = self.is_altered = False
        self.blocked: list[float] = []
        self._itf_selector = _WatchedSelector(self)
        super().__init__(self._itf_selector)
        self._itf_selector.count_own()
        self._itf_attributes = 0
        self._itf_attributes = len(vars(self))

    def run_forever(self) -> None:
        """Run until `stop` is called, as asyncio does."""
        selector = self._itf_selector
        selector.had_work = selector.is_clean = False
        selector.woke = time.monotonic()
        try:
            super().run_forever()
        finally:
            selector.rounds = 0
            selector.task = None
            selector.look_at_clock()

    def run_task(self, task: asyncio.Task[Any]) -> None:
        """Run until a task is done, and then what is ready, as `drain` does."""
        self._itf_selector.task = task
        self._itf_selector.rounds = _ROUNDS
        self.run_forever()

    def set_default_executor(self, executor: ThreadPoolExecutor) -> None:  # type: ignore[override]
        """Set the executor that is used where none is named, as asyncio does."""
        super().set_default_executor(executor)
        self.foreign_executor = self.is_altered = True

    async def shutdown_default_executor(self, *timeout: Any, **options: Any) -> None:
        """End the executor, as asyncio does; the loop takes no other after it."""
        self.is_altered = True
        await super().shutdown_default_executor(*timeout, **options)

    async def shutdown_asyncgens(self) -> None:
        """Close all async generators, as asyncio does; the loop begins none after it."""
        self.is_altered = True
        await super().shutdown_asyncgens()

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Handle a signal, as asyncio does."""
        super().add_signal_handler(sig, callback, *args)
        self.is_altered = True

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a function in an executor, as asyncio does."""
        if executor is None and self.executor is None and not self.foreign_executor:
            self.executor = TrackedExecutor("asyncio")
            super().set_default_executor(self.executor)
        return super().run_in_executor(executor, func, *args)

    def drain(self) -> bool:
        """Run what is ready until nothing is, and wait for nothing; say whether anything was."""
        self._itf_selector.rounds = _ROUNDS
        self.run_forever()
        return self._itf_selector.had_work

    @property
    def is_clean(self) -> bool:
        """Whether `drain` or `run_task` has left the loop as new.

        No timer, no watched descriptor, no callback that schedules the next one
        for ever, no executor but our own, nothing shut down or handled, no
        method patched.
        """
        is_as_made = not self.is_altered and len(vars(self)) == self._itf_attributes
        return self._itf_selector.is_clean and is_as_made


class _WatchedSelector(WrappedSelector):
    """Looks at the clock around each round, and at what there is to wait for."""

    def __init__(self, loop: ReusableLoop) -> None:
        super().__init__()
        self._loop = loop
        self.woke = 0.0
        # While the loop is drained: how many rounds it may still take, and the
        # task that has to be done before it begins.
        self.rounds = 0
        self.task: asyncio.Task[Any] | None = None
        self.had_work = False
        self.is_clean = True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as every selector does, but not while the loop is drained."""
        if self.rounds and (self.task is None or self.task.done()):
            return self._look(timeout)
        self.look_at_clock()
        events = self.inner.select(timeout)
        self.woke = time.monotonic()
        return events

    def look_at_clock(self) -> None:
        """Note if this round took too long."""
        passed = time.monotonic() - self.woke
        # In debug mode, asyncio itself tells it, and of which callback.
        if passed > self._loop.slow_callback_duration and not self._loop.get_debug():
            self._loop.blocked.append(passed)

    def _look(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        self.look_at_clock()
        events = self.inner.select(0)
        self.woke = time.monotonic()
        self.rounds -= 1
        # What asyncio would wait for tells what is left: 0 is a callback that is
        # ready, a number is a timer, None is nothing.
        if self.rounds and (events or timeout == 0):
            self.had_work = True
            return events
        self.rounds = self.rounds or 1  # the look is over; not so the draining
        self.is_clean = timeout is None and not events and not self.watches()
        self._loop.stop()
        return events
