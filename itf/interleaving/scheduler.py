"""One thread at a time: whose turn it is, who waits for what, and who waits in vain."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Final

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

# The real ones: those of the module are taken over while functions run.
_allocate_lock: Final = threading.Lock
_monotonic: Final = time.monotonic
_get_ident: Final = threading.get_ident

# A thread that makes no step for so long is taken to be blocked in something
# that is not taken over, and others go on.  Long against the pauses of a loaded
# machine, for a thread that is only slow would then run beside another.
_STALL_TIMEOUT: Final = 0.3

# So long a thread may take to end when the run is over.
_END_TIMEOUT: Final = 1.0

# So long a wait in vain must last before it counts, where there are threads
# that are not ours, one of which might still end it.
_DEADLOCK_DELAY: Final = 1.0

# So many seconds past its deadline a wait ends, as a real one does: rounded, a
# clock would else show it too short.
_CLOCK_MARGIN: Final = 1e-6

# More than anybody reads of a schedule.
_MAX_TURNS: Final = 1_000


class TurnEndedError(BaseException):
    """Raised in a thread whose run is over, to unwind it; never seen by the user."""


class Scheduler:
    """The threads of one run, of which one runs at a time.

    A thread holds the turn until it is interrupted, waits, or is done; then the
    ready one with the highest priority has it.  What follows is the same each
    time, as long as the functions do the same.

    Args:
        choices: The choices of this run.
        location_of: Finds the user's innermost frame from a frame outwards.
        trace_call: Calls a function so that the thread comes to `step`.
        allowed: Real seconds that the run may take; None for no limit.
        clock_offset: Virtual seconds that earlier runs of the same call took.
    """

    def __init__(
        self,
        choices: PctStrategy,
        location_of: Callable[[FrameType], Location | None],
        trace_call: Callable[[Callable[[], object]], object],
        allowed: float | None,
        clock_offset: float = 0.0,
    ) -> None:
        self.threads: list[ManagedThread] = []
        self.turns: deque[Turn] = deque(maxlen=_MAX_TURNS)
        self.turn_trace: list[tuple[int, int]] = []
        self.steps = 0
        self.over = False
        self.failed: ManagedThread | None = None
        # Those who wait for ever, as they stood when it was seen.
        self.deadlocked: list[ManagedThread] = []
        self.timed_out = False
        self.not_ended: list[ManagedThread] = []
        # When the run began, and virtual seconds since: moved only when all wait.
        self.began = _monotonic() + clock_offset
        self.now = 0.0
        # Whether there are threads that are not ours, apart from the caller, which waits for us.
        self._has_unmanaged = threading.active_count() > 1
        self._idle_since: float | None = None
        self._choices = choices
        self._location_of = location_of
        self._trace_call = trace_call
        self._allowed = allowed
        self._next_change = choices.next_change(0)
        self._running: ManagedThread | None = None
        self._by_ident: dict[int, ManagedThread] = {}
        self._pid = os.getpid()
        self._caller = _get_ident()
        # Held while the states of threads are changed: one thread runs at a time,
        # but those that come back from outside, and foreign ones, do so at any time.
        self._mutex = _allocate_lock()
        # Released once, when the run is over.
        self._end_lock = _allocate_lock()
        self._end_lock.acquire()
        self._has_begun = False
        self._finished = False

    def add(self, name: str, *, is_root: bool = True) -> ManagedThread:
        """Add a thread that is yet to start; it gets its first turn when it is chosen."""
        managed = ManagedThread(
            name, len(self.threads) + 1, self._choices.priority(), is_root=is_root
        )
        self.threads.append(managed)
        return managed

    def current(self) -> ManagedThread | None:
        """Return the managed that this thread is; None for any other thread."""
        managed = self._by_ident.get(_get_ident())
        if managed is None or managed.bypass or self._pid != os.getpid():
            return None
        return managed

    def run_in_thread(self, managed: ManagedThread, function: Callable[[], object]) -> None:
        """Be a managed: wait for the first turn, call the function, and give the turn away.

        What the function raises fails the run.
        """
        ident = _get_ident()
        self._by_ident[ident] = managed
        try:
            managed.turn_lock.acquire()
            if not self.over:
                self._trace_call(function)
        except TurnEndedError:
            # It was unwound, as it should be.
            managed.unwinding = True
        except SystemExit:
            # It ends its thread and nothing else, as in any thread.
            managed.error = None
        except BaseException as error:
            managed.error = error
            if self._pid != os.getpid():
                raise  # in a forked child, where nobody asks for it
        finally:
            if managed.unwinding:
                # A lock that outlives the run must not stay locked for ever.
                for lock in [*managed.holds]:
                    lock.release_all()
            managed.bypass = True
            if self._pid == os.getpid():
                self._thread_done(managed)
            self._by_ident.pop(ident, None)

    def step(
        self, managed: ManagedThread, frame: FrameType | None = None, offset: int | None = None
    ) -> None:
        """Come to a point at which the managed may be interrupted.

        Args:
            managed: Who comes there; the caller.
            frame: The user's frame; None in a call of something that is taken over.
            offset: The instruction before which it would be interrupted.

        Raises:
            TurnEndedError: The run is over.
        """
        if managed.unwinding:
            return
        if self._running is not managed:
            self._rejoin(managed)
        self.steps += 1
        if self.steps >= self._next_change:
            managed.priority = self._choices.lowest()
            self._next_change = self._choices.next_change(self.steps)
            location = self.here() if frame is None else Location.of(frame, offset)
            self._preempt(managed, location, "interrupted")

    def yield_turn(self, managed: ManagedThread, *, lowest: bool = False) -> None:
        """Let whoever has a higher priority go on: something was set free.

        Args:
            managed: Who yields; the caller.
            lowest: Whether to let everybody else go on first.
        """
        if not managed.unwinding:
            if self._running is not managed:
                self._rejoin(managed)
            if lowest:
                managed.priority = self._choices.lowest()
            self._preempt(managed, None, "interrupted")

    def block(
        self, managed: ManagedThread, resource: Resource, timeout: float | None = None
    ) -> bool:
        """Wait until the resource may be free.

        Args:
            managed: Who waits; the caller.
            resource: What it waits for.
            timeout: Virtual seconds; None waits for ever.

        Returns:
            False if the time advance out.

        Raises:
            TurnEndedError: The run is over.
        """
        if managed.unwinding:
            raise TurnEndedError
        location = self.here()
        with self._mutex:
            if resource.is_free():
                return True  # a foreign thread was quicker
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
        """Let those who wait for a resource look again; from any thread."""
        with self._mutex:
            for managed in self.threads:
                if managed.state is BLOCKED and managed.resource is resource:
                    managed.state = READY
            self._start_if_idle()

    def managed_thread_of(self, thread: threading.Thread) -> ManagedThread | None:
        """Return the managed that a thread is; None for one that is not ours."""
        return next((managed for managed in self.threads if managed.thread is thread), None)

    def join(self, managed: ManagedThread, other: ManagedThread, timeout: float | None) -> bool:
        """Wait for the end of another managed; say whether it has come."""
        deadline = None if timeout is None else self.now + max(0.0, timeout)
        while not other.is_free():
            left = None if deadline is None else deadline - self.now
            if left is not None and left <= 0:
                return False
            self.block(managed, other, left)
        return True

    def here(self) -> Location | None:
        """Return where the caller's code is."""
        return self._location_of(sys._getframe(1))

    def run(self) -> None:
        """Let the threads run until all are done, one fails, or none can go on; then end them."""
        deadline = None if self._allowed is None else _monotonic() + self._allowed
        try:
            for managed in list(self.threads):
                if managed.thread is not None:
                    start_as_daemon(managed.thread, daemon=False)
            with self._mutex:
                self._has_begun = True
                self._start(self._choose())
            seen = -1
            while not self._wait_for_end(deadline):
                if deadline is not None and _monotonic() >= deadline:
                    self.timed_out = True
                    return
                seen = self._check_stall(seen)
        finally:
            self._close()

    def _wait_for_end(self, deadline: float | None) -> bool:
        """Wait a while for the end; say whether it has come."""
        pause = (
            _STALL_TIMEOUT
            if deadline is None
            else min(_STALL_TIMEOUT, max(0.0, deadline - _monotonic()))
        )
        return self._end_lock.acquire(timeout=pause)

    def _close(self) -> None:
        """Let nobody begin another turn."""
        with self._mutex:
            self._finished = True
            if self._running is not None:
                self._record(self._running, None, "running")

    def end_threads(self) -> None:
        """End all threads, one after the other, and wait for them."""
        with self._mutex:
            self.over = True
            self._running = None  # so that one that runs still sees it at its next step
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
        """Let each thread run on by itself: in a forked child there is only one."""
        for managed in self.threads:
            managed.unwinding = managed.bypass = True

    def _check_stall(self, seen: int) -> int:
        """See whether the one that runs is stuck outside; called by the waiting thread."""
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
                # A raw lock that somebody holds past us is given back without a word.
                if other.state is BLOCKED and other.resource and other.resource.is_free():
                    other.state = READY
            if self._running is None:
                self._start(self._choose(patient=False))
            return progress

    def _preempt(self, managed: ManagedThread, location: Location | None, reason: str) -> None:
        """Let the ready one with the highest priority go on, which may be the managed itself."""
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
        """Let another go on, for the managed cannot; the mutex is held."""
        self._record(managed, location, reason)
        self._running = None
        self._start(self._choose())

    def _rejoin(self, managed: ManagedThread) -> None:
        """Wait for a turn after having been outside."""
        self._check_over(managed)
        with self._mutex:
            managed.state = READY
            self._start_if_idle()
        managed.turn_lock.acquire()
        self._check_over(managed)

    def _thread_done(self, managed: ManagedThread) -> None:
        """Be done."""
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
        """Start somebody if nobody runs; the mutex is held."""
        # Threads that are yet to start set things free, too.
        if self._running is None and self._has_begun and not self._finished:
            self._start(self._choose())

    def _start(self, managed: ManagedThread | None) -> None:
        """Give a managed its turn; the mutex is held."""
        self._running = managed
        if managed is not None:
            self._idle_since = None
            managed.state = RUNNING
            managed.has_begun = True
            managed.turn_lock.release()

    def _choose(self, *, patient: bool = True) -> ManagedThread | None:
        """Return the managed to go on, if there is one; the mutex is held.

        Where there is none, time moves to the first deadline; where there is no
        deadline either, the run is over.

        Args:
            patient: Whether to wait for those outside, and for threads that are not
                ours, before time is moved.
        """
        if self._finished:
            return None
        alive = [managed for managed in self.threads if managed.state is not DONE]
        if not any(managed.is_root or not _is_daemon(managed) for managed in alive):
            self._finish()
            return None
        ready = [managed for managed in alive if managed.state is READY]
        if not ready and not (patient and self._may_end_early(alive)):
            ready = self._move_time(alive)
        if ready:
            return max(ready, key=lambda managed: (managed.priority, -managed.number))
        if any(managed.state is OUTSIDE for managed in alive) or self._unmanaged_may_wake(alive):
            return None
        if any(managed.is_root for managed in alive):
            self.deadlocked = alive
        self._finish()
        return None

    def _may_end_early(self, alive: list[ManagedThread]) -> bool:
        """Say whether the first wait to run out may be ended by somebody who is at work."""
        if any(managed.state is OUTSIDE for managed in alive):
            return True
        timed = [managed for managed in alive if managed.deadline is not None]
        first = min(timed, key=lambda managed: managed.deadline or 0.0, default=None)
        return self._has_unmanaged and first is not None and type(first.resource) is not Sleep

    def _move_time(self, alive: list[ManagedThread]) -> list[ManagedThread]:
        """Move time to the first deadline, and return whose it is."""
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
        """Say whether a thread that is not ours may end a wait of one that is."""
        if not self._has_unmanaged or wait_cycle(alive):
            return False
        holders = [managed.resource.holder() for managed in alive if managed.resource is not None]
        # The caller, which waits for the end of the run, will not help.
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
