"""An event loop whose clock jumps to the next timer when nothing else is left to do."""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Context
from typing import Any, Final, TypeVarTuple

from itf.exceptions import AsyncDeadlockError
from itf.loops.real_work import RealWork
from itf.loops.selecting import WrappedSelector
from itf.loops.stacks import stacks, users_tasks

__all__ = ["Deadline", "VirtualLoop"]

__unittest = True

_Ts = TypeVarTuple("_Ts")

# How long, in seconds, a look takes at threads whose end nobody tells: short
# beside whatever they do, long enough to cost nothing.
_THREAD_LOOK: Final = 0.01

# Past this time, in seconds (48 days), two neighbouring floats are so far apart
# that asyncio's tolerance of a nanosecond for a timer that is due is lost
# between them.
_FINE_UNTIL: Final = 2.0**22

_WRAP_FUTURE: Final = asyncio.wrap_future.__code__


class Deadline:
    """A moment that a `VirtualLoop` does not pass; see `VirtualLoop.set_deadline`."""

    def __init__(
        self,
        loop: VirtualLoop,
        real: float,
        virtual: float | None,
        callback: Callable[[], object],
    ) -> None:
        self._loop = loop
        self.real = real
        self.virtual = virtual
        self.callback = callback

    def cancel(self) -> None:
        """Let the moment pass."""
        if self in self._loop.deadlines:
            self._loop.deadlines.remove(self)


class _Moment(float):
    """When a timer is due; of two that are due at once, the one that was set first is earlier.

    While code runs the clock stands still, and asyncio keeps no order between
    timers of the same moment.
    """

    __slots__ = ("number",)

    number: int

    def __lt__(self, other: float) -> bool:
        if _is_less(self, other):
            return True
        return type(other) is _Moment and self.number < other.number and not _is_less(other, self)


_is_less: Final = float.__lt__


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that does not wait for timers: where only they are left, its clock jumps.

    While anything real is under way that may still call the loop (a descriptor
    that is watched, a subprocess, a job of an executor, a thread that was
    started in it), its clock goes on at the pace of the real one.  Where all
    tasks are blocked, and nothing can wake any of them, it raises an
    `AsyncDeadlockError`.

    Thread safety: that of every loop: `call_soon_threadsafe`, from any thread.
    """

    def __init__(self) -> None:
        self.deadlines: list[Deadline] = []
        # Who is told of a deadlock, the last one first; if none is there,
        # run_forever raises it.
        self.on_deadlock: list[Callable[[AsyncDeadlockError], object]] = []
        self._itf_now = 0.0
        self._itf_timers_set = 0
        self._itf_signals: set[int] = set()
        self._itf_work = RealWork()
        self._itf_selector = _JumpingSelector(self)
        super().__init__(self._itf_selector)
        self._itf_selector.count_own()

    def time(self) -> float:
        """Return the virtual time: seconds since the loop was made."""
        return self._itf_now

    def run_forever(self) -> None:
        """Run until `stop` is called, as asyncio does.

        Raises:
            AsyncDeadlockError: All tasks are blocked, and nobody else was to be told.
        """
        self._itf_work.loop_runs_here()
        super().run_forever()

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a callback, as asyncio does; what is due in infinity is never due."""
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        self._itf_timers_set += 1
        moment = _Moment(when)
        moment.number = self._itf_timers_set
        return super().call_at(moment, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback from any thread, which the loop will wait for from now on."""
        self._itf_work.thread_calls(args)
        return super().call_soon_threadsafe(callback, *args, context=context)

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Handle a signal, as asyncio does; as it may come, there is no deadlock meanwhile."""
        super().add_signal_handler(sig, callback, *args)
        self._itf_signals.add(sig)

    def remove_signal_handler(self, sig: int) -> bool:
        """Handle a signal no longer, as asyncio does."""
        self._itf_signals.discard(sig)
        return super().remove_signal_handler(sig)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a function in an executor, as asyncio does, and wait for it in real time."""
        with self._itf_work.handing_on():
            return super().run_in_executor(executor, func, *args)

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future, as asyncio does; one that stands for a job is waited for in real time."""
        future = super().create_future()
        caller = sys._getframe(1)
        # By it come the jobs of all executors, and it has no hook.
        if caller.f_code is _WRAP_FUTURE:
            job = caller.f_locals["future"]
            self._itf_work.job_began(job)
            future.add_done_callback(lambda _: self._itf_future_done(job))
        return future

    def _itf_future_done(self, job: Future[Any]) -> None:
        # By the loop's own future, not by the job's: between the end of a job
        # and the moment at which the loop hears of it, it is still outstanding.
        if job.done():
            self._itf_work.job_ended(job)
            return
        # The future was cancelled, and the function runs on.
        job.add_done_callback(self._itf_job_done)

    def _itf_job_done(self, job: Future[Any]) -> None:
        self._itf_work.job_ended(job)
        try:
            super().call_soon_threadsafe(_nothing)  # the loop may be asleep for it
        except RuntimeError:
            return  # the loop is closed

    def set_deadline(
        self, real: float, virtual: float | None, callback: Callable[[], object]
    ) -> Deadline:
        """Call a function once that much time has passed, on either clock.

        It is no timer: tasks that are blocked are in a deadlock all the same.

        Args:
            real: Seconds of the real clock.
            virtual: Seconds of the loop's clock; None is for ever.
            callback: What to call, in the loop.
        """
        moment = None if virtual is None else self._itf_now + virtual
        deadline = Deadline(self, time.monotonic() + real, moment, callback)
        self.deadlines.append(deadline)
        return deadline

    def real_work(self) -> list[str]:
        """Name what the clock does not jump over now."""
        return [*self._itf_work.describe(), *self._itf_selector.watched()]

    # What the selector does, between one round of callbacks and the next.

    def _itf_meet_deadlines(self) -> bool:
        """Call what is due, and say whether anything was."""
        due = [
            deadline
            for deadline in self.deadlines
            if (deadline.virtual is not None and deadline.virtual <= self._itf_now)
            or deadline.real <= time.monotonic()
        ]
        for deadline in due:
            deadline.cancel()
            self.call_soon(deadline.callback)
        return bool(due)

    def _itf_until_deadline(self) -> float:
        """Return how many real seconds may be waited for at most."""
        now = time.monotonic()
        moments = [deadline.real - now for deadline in self.deadlines]
        moments += [
            deadline.virtual - self._itf_now
            for deadline in self.deadlines
            if deadline.virtual is not None
        ]
        return max(0.0, min(moments, default=math.inf))

    def _itf_move_to(self, moment: float) -> None:
        """Move the clock."""
        self._itf_now = moment
        self._itf_keep_fine()

    def _itf_keep_fine(self) -> None:
        # Else a timer that is due now would count as not yet due, for ever.
        if self._itf_now > _FINE_UNTIL:
            self._itf_now = math.nextafter(self._itf_now, math.inf)

    def _itf_jump(self, seconds: float) -> None:
        moments = [deadline.virtual for deadline in self.deadlines if deadline.virtual is not None]
        self._itf_move_to(min([self._itf_now + seconds, *moments]))
        self._itf_meet_deadlines()

    def _itf_deadlocked(self) -> None:
        tasks = users_tasks(self)
        error = AsyncDeadlockError(_deadlock_text(tasks), [task.get_name() for task in tasks])
        if not self.on_deadlock:
            raise error
        self.on_deadlock[-1](error)


def _deadlock_text(tasks: list[asyncio.Task[Any]]) -> str:
    count = "the only task is" if len(tasks) == 1 else f"all {len(tasks)} tasks are"
    return (
        f"{count} blocked, and no timer, descriptor, executor, thread or subprocess is left "
        f"that could go on:\n{stacks(tasks)}"
    )


def _nothing() -> None:
    """Wake the loop."""


class _JumpingSelector(WrappedSelector):
    """Waits as its loop says."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, let time pass, one way or the other."""
        loop = self._loop
        met = bool(loop.deadlines) and loop._itf_meet_deadlines()
        if met or (timeout is not None and timeout <= 0):
            loop._itf_keep_fine()
            return self.inner.select(0)
        # First this, then the descriptors: what ends in between has called the
        # loop by then, which shows there.
        threads = loop._itf_work.has_threads()
        real = threads or loop._itf_work.has_jobs() or self.watches()
        events = self.inner.select(0)
        if events:
            return events
        if real or (timeout is None and loop._itf_signals):
            return self._wait(timeout, threads=threads)
        if timeout is None:
            loop._itf_deadlocked()
        else:
            loop._itf_jump(timeout)
        return events

    def _wait(
        self, timeout: float | None, *, threads: bool
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time, and move the clock at its pace."""
        loop = self._loop
        limit = min(math.inf if timeout is None else timeout, loop._itf_until_deadline())
        if threads:
            limit = min(limit, _THREAD_LOOK)
        began = time.monotonic()
        events = self.inner.select(None if limit == math.inf else limit)
        passed = time.monotonic() - began
        if timeout is not None:
            passed = min(passed, timeout)
        loop._itf_move_to(loop._itf_now + passed)
        if not threads:
            loop._itf_work.look_away()
        return events
