"""The scheduler of one run: exactly one thread runs at a time; deadlocks are detected."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Final

from itf.fork_safety import current_pid
from itf.interleaving.managed_thread import (
    BLOCKED,
    DONE,
    OUTSIDE,
    READY,
    RUNNING,
    Location,
    ManagedThread,
    Resource,
    Sleep,
    Turn,
    start_as_daemon,
    wait_cycle,
)
from itf.interleaving.pct_strategy import PctStrategy

__all__ = ["Scheduler", "TurnEndedError"]

__unittest = True

# Bound at import: the modules' own names are patched while functions run.
_allocate_lock: Final = threading.Lock
_monotonic: Final = time.monotonic
_get_ident: Final = threading.get_ident

# Real seconds without a step after which the running thread counts as blocked outside,
# in a call that is not patched, and another thread gets the turn.  Longer than a pause
# of a loaded machine: a thread that is only slow would run in parallel with the next.
_STALL_TIMEOUT: Final = 0.3

# Real seconds to wait for each thread to end after the run.
_END_TIMEOUT: Final = 1.0

# Real seconds without progress before a deadlock is reported, if unmanaged threads
# are alive: until then one of them may still release what a thread waits for.
_DEADLOCK_DELAY: Final = 1.0

# Virtual seconds by which a timed wait ends late.  Without them, rounding could make a
# clock that is read after the wait show a time before the deadline.
_CLOCK_MARGIN: Final = 1e-6

# Most turns that are kept for the report; nobody reads a longer schedule.
_MAX_TURNS: Final = 1_000


class TurnEndedError(BaseException):
    """Raised in a thread after the end of its run, to unwind its stack; users never get it."""


class Scheduler:
    """The threads of one run, of which one has the turn.

    A thread keeps the turn until it is preempted, blocks or ends.  Then the ready
    thread with the highest priority gets the turn.  The order of turns is the same for
    the same strategy, as long as the functions are deterministic.

    Args:
        strategy: Priorities and preemptions of this run.
        location_of: Returns the innermost user frame's location, from a frame outwards.
        trace_call: Calls a function so that `step` is called at its switch points.
        allowed: Real seconds that the run may take; None for no limit.
        clock_offset: Virtual seconds that earlier runs of the same call took.

    Thread safety: any thread may call `wake`.  The other methods are called by the thread
    that calls `run`, or by a managed thread about itself.
    """

    def __init__(
        self,
        strategy: PctStrategy,
        location_of: Callable[[FrameType], Location | None],
        trace_call: Callable[[Callable[[], object]], object],
        allowed: float | None,
        clock_offset: float = 0.0,
    ) -> None:
        self.threads: list[ManagedThread] = []
        self.turns: deque[Turn] = deque(maxlen=_MAX_TURNS)
        # Number of the thread and of the step at the end of each turn: the schedule's identity.
        self.turn_trace: list[tuple[int, int]] = []
        self.steps = 0
        # Set by `end_threads`: each thread unwinds at its next step.
        self.over = False
        self.failed: ManagedThread | None = None
        # The threads that were alive when the deadlock was detected.
        self.deadlocked: list[ManagedThread] = []
        self.timed_out = False
        self.not_ended: list[ManagedThread] = []
        # What time.monotonic() returned to user code at the start of the run.
        self.began = _monotonic() + clock_offset
        # Virtual seconds since then; they advance only while all threads wait.
        self.now = 0.0
        # Whether there are threads besides the caller, which only waits for the run.
        self._has_unmanaged = threading.active_count() > 1
        self._idle_since: float | None = None
        self._strategy = strategy
        self._location_of = location_of
        self._trace_call = trace_call
        self._allowed = allowed
        self._next_change = strategy.next_change(0)
        self._running: ManagedThread | None = None
        self._by_ident: dict[int, ManagedThread] = {}
        self._pid = current_pid()
        self._caller = _get_ident()
        # Protects the states of all threads and `_running`.  Only one managed thread
        # runs at a time, but threads that return from outside and unmanaged threads
        # that call `wake` run in parallel with it.
        self._mutex = _allocate_lock()
        # Released once, when the run ends.
        self._end_lock = _allocate_lock()
        self._end_lock.acquire()
        self._has_begun = False
        # Set when no thread may get another turn.
        self._finished = False

    def add(self, name: str, *, is_root: bool = True) -> ManagedThread:
        """Register a thread before its start; it waits for its first turn."""
        managed = ManagedThread(
            name, len(self.threads) + 1, self._strategy.priority(), is_root=is_root
        )
        self.threads.append(managed)
        return managed

    def current(self) -> ManagedThread | None:
        """Return the current thread's `ManagedThread`; None for an unmanaged thread."""
        managed = self._by_ident.get(_get_ident())
        if managed is None or managed.bypass or self._pid != current_pid():
            return None
        return managed

    def run_in_thread(self, managed: ManagedThread, function: Callable[[], object]) -> None:
        """Wait for the first turn, call the function, and pass the turn on at its end.

        This is the target of every managed thread.  An exception of the function fails
        the run.
        """
        ident = _get_ident()
        self._by_ident[ident] = managed
        try:
            managed.turn_lock.acquire()
            if not self.over:
                self._trace_call(function)
        except TurnEndedError:
            managed.unwinding = True
        except SystemExit:
            # SystemExit ends its thread silently, as in any thread.
            managed.error = None
        except BaseException as error:
            managed.error = error
            if self._pid != current_pid():
                raise  # in a forked child no scheduler reports it
        finally:
            if managed.unwinding:
                # A lock may outlive the run; the next run needs it free.
                for lock in [*managed.holds]:
                    lock.release_all()
            managed.bypass = True
            if self._pid == current_pid():
                self._thread_done(managed)
            self._by_ident.pop(ident, None)

    def step(
        self, managed: ManagedThread, frame: FrameType | None = None, offset: int | None = None
    ) -> None:
        """Count a step of the current thread; preempt it if the strategy says so.

        Args:
            managed: The current thread.
            frame: The user's frame; None in a call of a patched function.
            offset: Offset of the instruction that the thread is about to execute.

        Raises:
            TurnEndedError: The run is over.
        """
        if managed.unwinding:
            return
        if self._running is not managed:
            self._rejoin(managed)
        self.steps += 1
        if self.steps >= self._next_change:
            managed.priority = self._strategy.lowest()
            self._next_change = self._strategy.next_change(self.steps)
            location = self.here() if frame is None else Location.of(frame, offset)
            self._preempt(managed, location, "interrupted")

    def yield_turn(self, managed: ManagedThread, *, lowest: bool = False) -> None:
        """Pass the turn to a ready thread of higher priority, if there is one.

        Called after a release, which may have made such a thread ready.

        Args:
            managed: The current thread.
            lowest: Whether the current thread first gets the lowest priority of all.
        """
        if not managed.unwinding:
            if self._running is not managed:
                self._rejoin(managed)
            if lowest:
                managed.priority = self._strategy.lowest()
            self._preempt(managed, None, "interrupted")

    def block(
        self, managed: ManagedThread, resource: Resource, timeout: float | None = None
    ) -> bool:
        """Wait until the resource may be free; the caller then tries again.

        Args:
            managed: The current thread.
            resource: What the thread waits for.
            timeout: Virtual seconds; None waits without limit.

        Returns:
            False if the timeout expired.

        Raises:
            TurnEndedError: The run is over.
        """
        if managed.unwinding:
            raise TurnEndedError
        location = self.here()
        with self._mutex:
            if resource.is_free():
                return True  # an unmanaged thread released it in the meantime
            managed.state = BLOCKED
            managed.resource, managed.location = resource, location
            managed.deadline = None if timeout is None else self.now + timeout
            managed.timed_out = False
            self._pass_turn_on(managed, location, resource.describe())
        managed.turn_lock.acquire()
        self._check_over(managed)
        managed.resource = managed.deadline = None
        return not managed.timed_out

    def wake(self, resource: Resource) -> None:
        """Make all threads ready that wait for a resource.

        Thread safety: any thread may call it, also an unmanaged one.
        """
        with self._mutex:
            for managed in self.threads:
                if managed.state is BLOCKED and managed.resource is resource:
                    managed.state = READY
            self._start_if_idle()

    def managed_thread_of(self, thread: threading.Thread) -> ManagedThread | None:
        """Return the `ManagedThread` of a thread; None for an unmanaged thread."""
        return next((managed for managed in self.threads if managed.thread is thread), None)

    def join(self, managed: ManagedThread, other: ManagedThread, timeout: float | None) -> bool:
        """Wait for the end of another managed thread; return whether it ended in time."""
        deadline = None if timeout is None else self.now + max(0.0, timeout)
        while not other.is_free():
            left = None if deadline is None else deadline - self.now
            if left is not None and left <= 0:
                return False
            self.block(managed, other, left)
        return True

    def here(self) -> Location | None:
        """Return the location of the innermost user frame of the current thread."""
        return self._location_of(sys._getframe(1))

    def run(self) -> None:
        """Run the threads until all are done, one fails, none can continue, or time is up.

        The threads are not ended yet, so that their stacks can be reported; `end_threads`
        ends them.
        """
        deadline = None if self._allowed is None else _monotonic() + self._allowed
        try:
            for managed in list(self.threads):
                if managed.thread is not None:
                    start_as_daemon(managed.thread, daemon=False)
            with self._mutex:
                self._has_begun = True
                self._start(self._choose())
            progress = -1
            while not self._wait_for_end(deadline):
                if deadline is not None and _monotonic() >= deadline:
                    self.timed_out = True
                    return
                progress = self._check_stall(progress)
        finally:
            self._close()

    def _wait_for_end(self, deadline: float | None) -> bool:
        """Wait for the end of the run, at most `_STALL_TIMEOUT`; return whether it ended."""
        pause = (
            _STALL_TIMEOUT
            if deadline is None
            else min(_STALL_TIMEOUT, max(0.0, deadline - _monotonic()))
        )
        return self._end_lock.acquire(timeout=pause)

    def _close(self) -> None:
        """Prevent further turns, and record the turn that is not over."""
        with self._mutex:
            self._finished = True
            if self._running is not None:
                self._record(self._running, None, "running")

    def end_threads(self) -> None:
        """Unwind all threads, one after the other, and join them.

        Threads that are still alive after `_END_TIMEOUT` are in `not_ended`.
        """
        with self._mutex:
            self.over = True
            # `step` checks `over` only in a thread that does not have the turn.
            self._running = None
        for managed in list(self.threads):
            thread = managed.thread
            if thread is None or thread.ident is None:
                continue
            if managed.turn_lock.locked():
                managed.turn_lock.release()
            thread.join(_END_TIMEOUT)
            if thread.is_alive():
                self.not_ended.append(managed)

    def detach_all(self) -> None:
        """Release all threads from the scheduler: a forked child has only the forking one."""
        for managed in self.threads:
            managed.unwinding = managed.bypass = True

    def _check_stall(self, seen: int) -> int:
        """Pass the turn on if the running thread made no progress; return the progress.

        The thread that called `run` calls this every `_STALL_TIMEOUT`.

        Args:
            seen: What the last call returned.
        """
        with self._mutex:
            progress = self.steps + len(self.turn_trace)
            if self._finished or progress != seen:
                return progress
            managed = self._running
            if managed is not None:
                managed.state = OUTSIDE
                self._record(managed, None, "outside")
                self._running = None
            for other in self.threads:
                # The release of an unpatched lock calls no `wake`.
                if other.state is BLOCKED and other.resource and other.resource.is_free():
                    other.state = READY
            if self._running is None:
                self._start(self._choose(patient=False))
            return progress

    def _preempt(self, managed: ManagedThread, location: Location | None, reason: str) -> None:
        """Give the turn to the ready thread of highest priority, maybe the same thread."""
        with self._mutex:
            managed.state = READY
            chosen = self._choose()
            if chosen is managed:
                managed.state = RUNNING
                return
            self._record(managed, location or self.here(), reason)
            self._start(chosen)
        managed.turn_lock.acquire()
        self._check_over(managed)

    def _pass_turn_on(self, managed: ManagedThread, location: Location | None, reason: str) -> None:
        """End the turn of a thread that cannot continue; the caller holds the mutex."""
        self._record(managed, location, reason)
        self._running = None
        self._start(self._choose())

    def _rejoin(self, managed: ManagedThread) -> None:
        """Wait for a turn, in a thread that returned from a call outside of the scheduler."""
        self._check_over(managed)
        with self._mutex:
            managed.state = READY
            self._start_if_idle()
        managed.turn_lock.acquire()
        self._check_over(managed)

    def _thread_done(self, managed: ManagedThread) -> None:
        """Record the end of a thread, wake its joiners, and pass the turn on."""
        with self._mutex:
            managed.state = DONE
            if self.over:
                return
            for other in self.threads:
                if other.state is BLOCKED and other.resource is managed:
                    other.state = READY
            self._record(managed, None, "done" if managed.error is None else "failed")
            if managed.error is not None:
                self.failed = managed
                self._running = None
                self._finish()
            elif self._running is managed:
                self._running = None
                self._start(self._choose())
            else:
                self._start_if_idle()

    def _check_over(self, managed: ManagedThread) -> None:
        if self.over:
            managed.unwinding = True
            raise TurnEndedError

    def _start_if_idle(self) -> None:
        """Give a thread the turn if no thread has it; the caller holds the mutex."""
        # Before `run`, starting threads may already release locks and so call `wake`.
        if self._running is None and self._has_begun and not self._finished:
            self._start(self._choose())

    def _start(self, managed: ManagedThread | None) -> None:
        """Give a thread the turn; the caller holds the mutex."""
        self._running = managed
        if managed is not None:
            self._idle_since = None
            managed.state = RUNNING
            managed.has_begun = True
            managed.turn_lock.release()

    def _choose(self, *, patient: bool = True) -> ManagedThread | None:
        """Return the thread that gets the next turn, if any; the caller holds the mutex.

        If no thread is ready, virtual time advances to the first deadline.  If there is
        no deadline either, the run ends, with a deadlock.

        Args:
            patient: Whether to wait in real time for threads outside, and for unmanaged
                threads, before virtual time advances.
        """
        if self._finished:
            return None
        alive = [managed for managed in self.threads if managed.state is not DONE]
        if not any(managed.is_root or not _is_daemon(managed) for managed in alive):
            self._finish()
            return None
        ready = [managed for managed in alive if managed.state is READY]
        if not ready and not (patient and self._may_end_early(alive)):
            ready = self._advance_time(alive)
        if ready:
            return max(ready, key=lambda managed: (managed.priority, -managed.number))
        if any(managed.state is OUTSIDE for managed in alive) or self._unmanaged_may_wake(alive):
            return None
        if any(managed.is_root for managed in alive):
            self.deadlocked = alive
        self._finish()
        return None

    def _may_end_early(self, alive: list[ManagedThread]) -> bool:
        """Return whether the wait with the first deadline may end before that deadline.

        A thread outside, or an unmanaged thread, may still release what it waits for.
        """
        if any(managed.state is OUTSIDE for managed in alive):
            return True
        timed = [managed for managed in alive if managed.deadline is not None]
        first = min(timed, key=lambda managed: managed.deadline or 0.0, default=None)
        return self._has_unmanaged and first is not None and type(first.resource) is not Sleep

    def _advance_time(self, alive: list[ManagedThread]) -> list[ManagedThread]:
        """Advance virtual time to the first deadline; return the threads that it makes ready."""
        waiting = [t for t in alive if t.state is BLOCKED and t.deadline is not None]
        if not waiting:
            return []
        moment = max(self.now, min(t.deadline for t in waiting if t.deadline is not None))
        late = [t for t in waiting if t.deadline is not None and t.deadline <= moment]
        self.now = moment + _CLOCK_MARGIN
        for managed in late:
            managed.state = READY
            managed.timed_out = True
        return late

    def _unmanaged_may_wake(self, alive: list[ManagedThread]) -> bool:
        """Return whether an unmanaged thread may still release what a managed one waits for."""
        if not self._has_unmanaged or wait_cycle(alive):
            return False
        holders = [managed.resource.holder() for managed in alive if managed.resource is not None]
        # The caller's thread waits for the end of the run, and so releases nothing.
        if any(isinstance(holder, int) and holder != self._caller for holder in holders):
            return True
        if self._idle_since is None:
            self._idle_since = _monotonic()
        return _monotonic() < self._idle_since + _DEADLOCK_DELAY

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._end_lock.release()

    def _record(self, managed: ManagedThread, location: Location | None, reason: str) -> None:
        self.turns.append(Turn(managed, location, reason, self.steps))
        self.turn_trace.append((managed.number, self.steps))


def _is_daemon(managed: ManagedThread) -> bool:
    return managed.thread is not None and managed.thread.daemon
