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
    Turn,
)
from itf.interleaving.pct_strategy import PctStrategy
from itf.interleaving.scheduling_policy import SchedulingPolicy

__all__ = ["Scheduler", "TurnEndedError"]

__unittest = True

# Bound at import: the modules' own names are patched while functions run.
_allocate_lock: Final = threading.Lock
_monotonic: Final = time.monotonic
_get_ident: Final = threading.get_ident

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
        clock_offset: Virtual seconds that earlier runs of the same call took.

    Attributes:
        threads: The threads of the run, in the order in which they were added.
        turns: The last turns.
        turn_trace: Number of the thread and of the step at the end of each turn; identifies
            the schedule.
        steps: Number of steps of all threads.
        over: Whether the threads unwind: each one at its next step.
        failed: The thread whose function raised an exception, if any.
        policy: Chooses the next thread.
        began: What time.monotonic() returned to user code at the start of the run.

    Thread safety: any thread may call `wake`.  The other methods are called by the
    `RunSupervisor`, or by a managed thread about itself.
    """

    def __init__(
        self,
        strategy: PctStrategy,
        location_of: Callable[[FrameType], Location | None],
        trace_call: Callable[[Callable[[], object]], object],
        clock_offset: float = 0.0,
    ) -> None:
        self.threads: list[ManagedThread] = []
        self.turns: deque[Turn] = deque(maxlen=_MAX_TURNS)
        self.turn_trace: list[tuple[int, int]] = []
        self.steps = 0
        self.over = False
        self.failed: ManagedThread | None = None
        self.policy = SchedulingPolicy()
        self.began = _monotonic() + clock_offset
        self._strategy = strategy
        self._location_of = location_of
        self._trace_call = trace_call
        self._next_change = strategy.next_change(0)
        self._running: ManagedThread | None = None
        self._by_ident: dict[int, ManagedThread] = {}
        self._pid = current_pid()
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

    @property
    def now(self) -> float:
        """Virtual seconds since the start of the run; they advance only while all threads wait."""
        return self.policy.now

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
            self._preempt(managed, location)

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
            self._preempt(managed)

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
            self._record(managed, location, resource.describe())
            self._start(self._choose())
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

    def here(self) -> Location | None:
        """Return the location of the innermost user frame of the current thread."""
        return self._location_of(sys._getframe(1))

    def begin(self) -> None:
        """Give the first turn; the threads have been started."""
        with self._mutex:
            self._has_begun = True
            self._start(self._choose())

    def wait_for_end(self, seconds: float) -> bool:
        """Wait for the end of the run; return whether the run ended within these real seconds."""
        return self._end_lock.acquire(timeout=seconds)

    def close(self) -> None:
        """Prevent further turns, and record the turn that is not over."""
        with self._mutex:
            self._finished = True
            if self._running is not None:
                self._record(self._running, None, "running")

    def unwind_threads(self) -> None:
        """Make each thread raise TurnEndedError at its next step, as soon as it has the turn."""
        with self._mutex:
            self.over = True
            # `step` checks `over` only in a thread that does not have the turn.
            self._running = None

    def end_stalled_turn(self, seen: int) -> int:
        """Pass the turn on if the running thread made no progress; return the progress.

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

    def _preempt(self, managed: ManagedThread, location: Location | None = None) -> None:
        """Give the turn to the ready thread of highest priority, maybe the same thread."""
        with self._mutex:
            managed.state = READY
            chosen = self._choose()
            if chosen is managed:
                managed.state = RUNNING
                return
            self._record(managed, location or self.here(), "interrupted")
            self._start(chosen)
        managed.turn_lock.acquire()
        self._check_over(managed)

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
        # Before `begin`, starting threads may already release locks and so call `wake`.
        if self._running is None and self._has_begun and not self._finished:
            self._start(self._choose())

    def _start(self, managed: ManagedThread | None) -> None:
        """Give a thread the turn; the caller holds the mutex."""
        self._running = managed
        if managed is not None:
            managed.state = RUNNING
            managed.has_begun = True
            managed.turn_lock.release()

    def _choose(self, *, patient: bool = True) -> ManagedThread | None:
        """Return the thread that gets the next turn, if any; the caller holds the mutex."""
        if self._finished:
            return None
        chosen = self.policy.choose(self.threads, patient=patient)
        if self.policy.is_over:
            self._finish()
        return chosen

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._end_lock.release()

    def _record(self, managed: ManagedThread, location: Location | None, reason: str) -> None:
        self.turns.append(Turn(managed, location, reason, self.steps))
        self.turn_trace.append((managed.number, self.steps))
