"""An event loop with a virtual clock, which jumps to the next timer."""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Context
from types import FrameType
from typing import Any, Final, TypeVarTuple

from itf._private import wrapped_executor_job
from itf.event_loops.deadlines import Deadline, Deadlines
from itf.event_loops.external_work import ExternalWork
from itf.event_loops.task_stacks import format_stacks, user_tasks
from itf.event_loops.wrapped_selector import WrappedSelector
from itf.exceptions import AsyncDeadlockError

__all__ = ["VirtualLoop"]

__unittest = True

_Ts = TypeVarTuple("_Ts")

# Seconds between two checks whether a thread has ended; the end of a thread wakes no
# loop. Short beside the work of a thread, and long enough to use little of the CPU.
_THREAD_POLL: Final = 0.01

# Seconds (48 days). asyncio runs a timer if it is due within one nanosecond. Above
# this time, the distance of neighbouring floats is close to a nanosecond or larger.
_NANOSECOND_LIMIT: Final = 2.0**22

_WRAP_FUTURE: Final = asyncio.wrap_future.__code__


class _TimerTime(float):
    """The time of a timer. Of two timers with the same time, the one set first is less.

    asyncio does not order timers with the same time. With a real clock that is rare;
    a virtual clock does not move while callbacks run, so that many timers have one time.
    """

    __slots__ = ("number",)

    number: int

    def __lt__(self, other: float) -> bool:
        if _float_less(self, other):
            return True
        return (
            type(other) is _TimerTime
            and self.number < other.number
            and not _float_less(other, self)
        )


_float_less: Final = float.__lt__


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for timers: its clock jumps to the next timer.

    The clock runs at the speed of the real one while work outside the loop may still
    call the loop: a registered descriptor, a subprocess, an executor job, or a thread
    that was started by the loop's callbacks. If all tasks are blocked and nothing can
    wake any of them, the loop raises an `AsyncDeadlockError`.

    Attributes:
        deadlock_handlers: Functions that are called with an `AsyncDeadlockError`. Only
            the last one is called. Without a handler, `run_forever` raises the error.

    Thread safety: as for every loop, only `call_soon_threadsafe` from other threads.
    """

    # Attributes have a prefix, because the base class may have any other name.

    def __init__(self) -> None:
        self.deadlock_handlers: list[Callable[[AsyncDeadlockError], object]] = []
        self._itf_now = 0.0
        self._itf_deadlines = Deadlines()
        self._itf_timer_count = 0
        self._itf_signals: set[int] = set()
        self._itf_work = ExternalWork()
        self._itf_selector = _VirtualTimeSelector(self)
        super().__init__(self._itf_selector)
        self._itf_selector.note_loop_descriptors()

    def time(self) -> float:
        """Return the virtual time: seconds since the loop was created."""
        return self._itf_now

    def run_forever(self) -> None:
        """Run until `stop` is called, as asyncio does.

        Raises:
            AsyncDeadlockError: All tasks are blocked, and there is no handler.
        """
        self._itf_work.note_loop_thread()
        super().run_forever()

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a callback, as asyncio does; at infinity, never call it."""
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        self._itf_timer_count += 1
        timer_time = _TimerTime(when)
        timer_time.number = self._itf_timer_count
        return super().call_at(timer_time, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback from any thread.

        The clock does not jump while that thread lives: it may call again.
        """
        self._itf_work.note_call(args)
        return super().call_soon_threadsafe(callback, *args, context=context)

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Handle a signal, as asyncio does. Until it is removed, nothing is a deadlock."""
        super().add_signal_handler(sig, callback, *args)
        self._itf_signals.add(sig)

    def remove_signal_handler(self, sig: int) -> bool:
        """Stop handling a signal, as asyncio does."""
        self._itf_signals.discard(sig)
        return super().remove_signal_handler(sig)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a function in an executor, as asyncio does. The clock waits for its end."""
        with self._itf_work.submitting():
            return super().run_in_executor(executor, func, *args)

    def create_future(self) -> asyncio.Future[Any]:
        """Create a future, as asyncio does; if it stands for an executor job, track the job."""
        future = super().create_future()
        job = _wrapped_job(sys._getframe(1))
        if job is not None:
            self._itf_work.add_job(job)
            future.add_done_callback(lambda _: self._itf_on_future_done(job))
        return future

    def _itf_on_future_done(self, job: Future[Any]) -> None:
        # The job is removed when the loop's own future is done, not when the job is.
        # Between the two, the loop is about to be woken, and the clock must not jump.
        if job.done():
            self._itf_work.remove_job(job)
            return
        # The future was cancelled. The executor cannot stop a running function.
        job.add_done_callback(self._itf_on_job_done)

    def _itf_on_job_done(self, job: Future[Any]) -> None:
        self._itf_work.remove_job(job)
        try:
            super().call_soon_threadsafe(_do_nothing)  # wake the loop; it may wait for the job
        except RuntimeError:
            return  # the loop is closed

    def set_deadline(
        self, real: float, virtual: float | None, callback: Callable[[], object]
    ) -> Deadline:
        """Call a function as soon as one of the two clocks has advanced far enough.

        A deadline is not a timer: blocked tasks are in a deadlock in spite of it.

        Args:
            real: Seconds of the real clock.
            virtual: Seconds of the loop's clock; None if only the real clock counts.
            callback: The function; the loop calls it without arguments.
        """
        end = None if virtual is None else self._itf_now + virtual
        return self._itf_deadlines.add(time.monotonic() + real, end, callback)

    def describe_external_work(self) -> list[str]:
        """Return a text for everything that keeps the clock from jumping now."""
        return [*self._itf_work.describe(), *self._itf_selector.user_descriptors()]

    # The selector calls the following methods between two rounds of callbacks.

    def _itf_call_deadlines(self) -> bool:
        """Schedule the callbacks of expired deadlines; return whether there were any."""
        expired = self._itf_deadlines.pop_expired(self._itf_now)
        for deadline in expired:
            self.call_soon(deadline.callback)
        return bool(expired)

    def _itf_set_time(self, now: float) -> None:
        self._itf_now = now
        self._itf_step_if_coarse()

    def _itf_step_if_coarse(self) -> None:
        """Advance a large time to the next float.

        asyncio's tolerance of a nanosecond is lost in the rounding of large times.
        Without the step, a timer that is due now would never count as due.
        """
        if self._itf_now > _NANOSECOND_LIMIT:
            self._itf_now = math.nextafter(self._itf_now, math.inf)

    def _itf_jump(self, seconds: float) -> None:
        """Advance the clock to the next timer, or to the next deadline if that is earlier."""
        first_deadline = self._itf_deadlines.first_virtual_time()
        self._itf_set_time(min(self._itf_now + seconds, first_deadline))
        self._itf_call_deadlines()

    def _itf_report_deadlock(self) -> None:
        tasks = user_tasks(self)
        error = AsyncDeadlockError(_deadlock_text(tasks), [task.get_name() for task in tasks])
        if not self.deadlock_handlers:
            raise error
        self.deadlock_handlers[-1](error)


def _wrapped_job(caller: FrameType) -> Future[Any] | None:
    """Return the executor job for which `asyncio.wrap_future` creates a future.

    If a job cannot be found, the clock may jump while the job runs.

    Args:
        caller: The frame that calls `VirtualLoop.create_future`.
    """
    return wrapped_executor_job(caller) if caller.f_code is _WRAP_FUTURE else None


def _deadlock_text(tasks: list[asyncio.Task[Any]]) -> str:
    count = "the only task is" if len(tasks) == 1 else f"all {len(tasks)} tasks are"
    return (
        f"{count} blocked, and no timer, descriptor, executor, thread or subprocess is left "
        f"that could wake one:\n{format_stacks(tasks)}"
    )


def _do_nothing() -> None:
    """Do nothing; scheduling this function wakes the loop."""


class _VirtualTimeSelector(WrappedSelector):
    """Advances the virtual clock of a loop instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the ready descriptors; if there are none, wait or advance the clock.

        Args:
            timeout: Virtual seconds until the next timer; 0 if callbacks are ready;
                None if there is neither.
        """
        loop = self._loop
        if loop._itf_call_deadlines() or (timeout is not None and timeout <= 0):
            loop._itf_step_if_coarse()
            return self.inner.select(0)
        # External work is checked before the descriptors. Work that ends in between
        # has called the loop before, and the loop's own descriptor is ready.
        has_threads = loop._itf_work.has_threads()
        has_work = has_threads or loop._itf_work.has_jobs() or self.has_user_descriptors()
        events = self.inner.select(0)
        if events:
            return events
        if has_work or (timeout is None and loop._itf_signals):
            return self._wait(timeout, has_threads=has_threads)
        if timeout is None:
            loop._itf_report_deadlock()
        else:
            loop._itf_jump(timeout)
        return events

    def _wait(
        self, timeout: float | None, *, has_threads: bool
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time, and advance the clock by as much."""
        loop = self._loop
        limit = loop._itf_deadlines.real_seconds_left(loop._itf_now)
        if timeout is not None:
            limit = min(limit, timeout)
        if has_threads:
            limit = min(limit, _THREAD_POLL)
        start = time.monotonic()
        events = self.inner.select(None if limit == math.inf else limit)
        passed = time.monotonic() - start
        if timeout is not None:
            passed = min(passed, timeout)
        loop._itf_set_time(loop._itf_now + passed)
        if not has_threads:
            loop._itf_work.ignore_new_threads()
        return events
