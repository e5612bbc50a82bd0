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

from itf.schedules.active import active
from itf.schedules.choices import Choices
from itf.schedules.tasks import (
    BLOCKED,
    DONE,
    OUTSIDE,
    READY,
    RUNNING,
    Pause,
    Place,
    Resource,
    Task,
    Turn,
    circle_of,
    start_as_daemon,
)

__all__ = ["Scheduler", "TurnEndedError"]

__unittest = True

# The real ones: those of the module are taken over while functions run.
_allocate_lock: Final = threading.Lock
_monotonic: Final = time.monotonic
_get_ident: Final = threading.get_ident

# A thread that makes no step for so long is taken to be blocked in something
# that is not taken over, and others go on.  Long against the pauses of a loaded
# machine, for a thread that is only slow would then run beside another.
_STALL: Final = 0.3

# So long a thread may take to end when the run is over.
_GRACE: Final = 1.0

# So long a wait in vain must last before it counts, where there are threads
# that are not ours, one of which might still end it.
_PATIENCE: Final = 1.0

# So many seconds past its deadline a wait ends, as a real one does: rounded, a
# clock would else show it too short.
_LATE: Final = 1e-6

# More than anybody reads of a schedule.
_TURNS_KEPT: Final = 1_000


class TurnEndedError(BaseException):
    """Raised in a thread whose run is over, to unwind it; never seen by the user."""


class Scheduler:
    """The threads of one run, of which one runs at a time.

    A thread holds the turn until it is interrupted, waits, or is done; then the
    ready one with the highest priority has it.  What follows is the same each
    time, as long as the functions do the same.

    Args:
        choices: The choices of this run.
        place_of: Finds the user's innermost frame from a frame outwards.
        during: Calls a function so that the thread comes to `step`.
        allowed: Seconds that the run may take; None for ever.
    """

    def __init__(
        self,
        choices: Choices,
        place_of: Callable[[FrameType], Place | None],
        during: Callable[[Callable[[], object]], object],
        allowed: float | None,
    ) -> None:
        self.tasks: list[Task] = []
        self.turns: deque[Turn] = deque(maxlen=_TURNS_KEPT)
        self.trail: list[tuple[int, int]] = []
        self.steps = 0
        self.over = False
        self.failed: Task | None = None
        # Those who wait for ever, as they stood when it was seen.
        self.deadlocked: list[Task] = []
        self.timed_out = False
        self.left_behind: list[Task] = []
        # When the run began, and virtual seconds since: moved only when all wait.
        self.began = _monotonic() + active.ahead
        self.now = 0.0
        # Whether there are threads that are not ours, apart from the caller, which waits for us.
        self._has_foreigners = threading.active_count() > 1
        self._idle_since: float | None = None
        self._choices = choices
        self._place_of = place_of
        self._during = during
        self._allowed = allowed
        self._next_change = choices.next_change(0)
        self._running: Task | None = None
        self._by_ident: dict[int, Task] = {}
        self._pid = os.getpid()
        self._caller = _get_ident()
        # Held while the states of tasks are changed: one thread runs at a time,
        # but those that come back from outside, and foreign ones, do so at any time.
        self._mutex = _allocate_lock()
        # Released once, when the run is over.
        self._bell = _allocate_lock()
        self._bell.acquire()
        self._has_begun = False
        self._finished = False

    def add(self, name: str, *, is_root: bool = True) -> Task:
        """Add a thread that is yet to start; it gets its first turn when it is chosen."""
        task = Task(name, len(self.tasks) + 1, self._choices.priority(), is_root=is_root)
        self.tasks.append(task)
        return task

    def current(self) -> Task | None:
        """Return the task that this thread is; None for any other thread."""
        task = self._by_ident.get(_get_ident())
        if task is None or task.real or self._pid != os.getpid():
            return None
        return task

    def live_in(self, task: Task, function: Callable[[], object]) -> None:
        """Be a task: wait for the first turn, call the function, and give the turn away.

        What the function raises fails the run.
        """
        ident = _get_ident()
        self._by_ident[ident] = task
        try:
            task.gate.acquire()
            if not self.over:
                self._during(function)
        except TurnEndedError:
            # It was unwound, as it should be.
            task.unwinding = True
        except SystemExit:
            # It ends its thread and nothing else, as in any thread.
            task.error = None
        except BaseException as error:
            task.error = error
            if self._pid != os.getpid():
                raise  # in a forked child, where nobody asks for it
        finally:
            if task.unwinding:
                # A lock that outlives the run must not stay locked for ever.
                for lock in [*task.holds]:
                    lock.give_up()
            task.real = True
            if self._pid == os.getpid():
                self._leave(task)
            self._by_ident.pop(ident, None)

    def step(self, task: Task, frame: FrameType | None = None, offset: int | None = None) -> None:
        """Come to a point at which the task may be interrupted.

        Args:
            task: Who comes there; the caller.
            frame: The user's frame; None in a call of something that is taken over.
            offset: The instruction before which it would be interrupted.

        Raises:
            TurnEndedError: The run is over.
        """
        if task.unwinding:
            return
        if self._running is not task:
            self._come_back(task)
        self.steps += 1
        if self.steps >= self._next_change:
            task.priority = self._choices.lowest()
            self._next_change = self._choices.next_change(self.steps)
            place = self.here() if frame is None else Place.of(frame, offset)
            self._give_way(task, place, "interrupted")

    def yield_turn(self, task: Task, *, lowest: bool = False) -> None:
        """Let whoever has a higher priority go on: something was set free.

        Args:
            task: Who yields; the caller.
            lowest: Whether to let everybody else go on first.
        """
        if not task.unwinding:
            if self._running is not task:
                self._come_back(task)
            if lowest:
                task.priority = self._choices.lowest()
            self._give_way(task, None, "interrupted")

    def block(self, task: Task, resource: Resource, timeout: float | None = None) -> bool:
        """Wait until the resource may be free.

        Args:
            task: Who waits; the caller.
            resource: What it waits for.
            timeout: Virtual seconds; None waits for ever.

        Returns:
            False if the time ran out.

        Raises:
            TurnEndedError: The run is over.
        """
        if task.unwinding:
            raise TurnEndedError
        place = self.here()
        with self._mutex:
            if resource.is_free():
                return True  # a foreign thread was quicker
            task.state = BLOCKED
            task.resource, task.place = resource, place
            task.deadline = None if timeout is None else self.now + timeout
            task.timed_out = False
            self._hand_on(task, place, resource.describe())
        task.gate.acquire()
        self._check_over(task)
        task.resource = task.deadline = None
        return not task.timed_out

    def wake(self, resource: Resource) -> None:
        """Let those who wait for a resource look again; from any thread."""
        with self._mutex:
            for task in self.tasks:
                if task.state is BLOCKED and task.resource is resource:
                    task.state = READY
            self._if_idle()

    def task_of(self, thread: threading.Thread) -> Task | None:
        """Return the task that a thread is; None for one that is not ours."""
        return next((task for task in self.tasks if task.thread is thread), None)

    def join(self, task: Task, other: Task, timeout: float | None) -> bool:
        """Wait for the end of another task; say whether it has come."""
        deadline = None if timeout is None else self.now + max(0.0, timeout)
        while not other.is_free():
            left = None if deadline is None else deadline - self.now
            if left is not None and left <= 0:
                return False
            self.block(task, other, left)
        return True

    def here(self) -> Place | None:
        """Return where the caller's code is."""
        return self._place_of(sys._getframe(1))

    def run(self) -> None:
        """Let the tasks run until all are done, one fails, or none can go on; then end them."""
        deadline = None if self._allowed is None else _monotonic() + self._allowed
        try:
            for task in list(self.tasks):
                if task.thread is not None:
                    start_as_daemon(task.thread, daemon=False)
            with self._mutex:
                self._has_begun = True
                self._start(self._choose())
            seen = -1
            while not self._ring(deadline):
                if deadline is not None and _monotonic() >= deadline:
                    self.timed_out = True
                    return
                seen = self._look(seen)
        finally:
            self._close()

    def _ring(self, deadline: float | None) -> bool:
        """Wait a while for the end; say whether it has come."""
        pause = _STALL if deadline is None else min(_STALL, max(0.0, deadline - _monotonic()))
        return self._bell.acquire(timeout=pause)

    def _close(self) -> None:
        """Let nobody begin another turn."""
        with self._mutex:
            self._finished = True
            if self._running is not None:
                self._record(self._running, None, "running")

    def wind_up(self) -> None:
        """End all threads, one after the other, and wait for them."""
        with self._mutex:
            self.over = True
            self._running = None  # so that one that runs still sees it at its next step
        for task in list(self.tasks):
            thread = task.thread
            if thread is None or thread.ident is None:
                continue
            if task.gate.locked():
                task.gate.release()
            thread.join(_GRACE)
            if thread.is_alive():
                self.left_behind.append(task)

    def disband(self) -> None:
        """Let each thread run on by itself: in a forked child there is only one."""
        for task in self.tasks:
            task.unwinding = task.real = True

    def _look(self, seen: int) -> int:
        """See whether the one that runs is stuck outside; called by the waiting thread."""
        with self._mutex:
            progress = self.steps + len(self.trail)
            if self._finished or progress != seen:
                return progress
            task = self._running
            if task is not None:
                task.state = OUTSIDE
                self._record(task, None, "outside")
                self._running = None
            for other in self.tasks:
                # A raw lock that somebody holds past us is given back without a word.
                if other.state is BLOCKED and other.resource and other.resource.is_free():
                    other.state = READY
            if self._running is None:
                self._start(self._choose(patient=False))
            return progress

    def _give_way(self, task: Task, place: Place | None, reason: str) -> None:
        """Let the ready one with the highest priority go on, which may be the task itself."""
        with self._mutex:
            task.state = READY
            chosen = self._choose()
            if chosen is task:
                task.state = RUNNING
                return
            self._record(task, place or self.here(), reason)
            self._start(chosen)
        task.gate.acquire()
        self._check_over(task)

    def _hand_on(self, task: Task, place: Place | None, reason: str) -> None:
        """Let another go on, for the task cannot; the mutex is held."""
        self._record(task, place, reason)
        self._running = None
        self._start(self._choose())

    def _come_back(self, task: Task) -> None:
        """Wait for a turn after having been outside."""
        self._check_over(task)
        with self._mutex:
            task.state = READY
            self._if_idle()
        task.gate.acquire()
        self._check_over(task)

    def _leave(self, task: Task) -> None:
        """Be done."""
        with self._mutex:
            task.state = DONE
            if self.over:
                return
            for other in self.tasks:
                if other.state is BLOCKED and other.resource is task:
                    other.state = READY
            self._record(task, None, "done" if task.error is None else "failed")
            if task.error is not None:
                self.failed = task
                self._running = None
                self._finish()
            elif self._running is task:
                self._running = None
                self._start(self._choose())
            else:
                self._if_idle()

    def _check_over(self, task: Task) -> None:
        if self.over:
            task.unwinding = True
            raise TurnEndedError

    def _if_idle(self) -> None:
        """Start somebody if nobody runs; the mutex is held."""
        # Threads that are yet to start set things free, too.
        if self._running is None and self._has_begun and not self._finished:
            self._start(self._choose())

    def _start(self, task: Task | None) -> None:
        """Give a task its turn; the mutex is held."""
        self._running = task
        if task is not None:
            self._idle_since = None
            task.state = RUNNING
            task.has_begun = True
            task.gate.release()

    def _choose(self, *, patient: bool = True) -> Task | None:
        """Return the task to go on, if there is one; the mutex is held.

        Where there is none, time moves to the first deadline; where there is no
        deadline either, the run is over.

        Args:
            patient: Whether to wait for those outside, and for threads that are not
                ours, before time is moved.
        """
        if self._finished:
            return None
        alive = [task for task in self.tasks if task.state is not DONE]
        if not any(task.is_root or not _is_daemon(task) for task in alive):
            self._finish()
            return None
        ready = [task for task in alive if task.state is READY]
        if not ready and not (patient and self._may_be_ended(alive)):
            ready = self._move_time(alive)
        if ready:
            return max(ready, key=lambda task: (task.priority, -task.number))
        if any(task.state is OUTSIDE for task in alive) or self._others_may_help(alive):
            return None
        if any(task.is_root for task in alive):
            self.deadlocked = alive
        self._finish()
        return None

    def _may_be_ended(self, alive: list[Task]) -> bool:
        """Say whether the first wait to run out may be ended by somebody who is at work."""
        if any(task.state is OUTSIDE for task in alive):
            return True
        timed = [task for task in alive if task.deadline is not None]
        first = min(timed, key=lambda task: task.deadline or 0.0, default=None)
        return self._has_foreigners and first is not None and type(first.resource) is not Pause

    def _move_time(self, alive: list[Task]) -> list[Task]:
        """Move time to the first deadline, and return whose it is."""
        waiting = [t for t in alive if t.state is BLOCKED and t.deadline is not None]
        if not waiting:
            return []
        moment = max(self.now, min(t.deadline for t in waiting if t.deadline is not None))
        late = [t for t in waiting if t.deadline is not None and t.deadline <= moment]
        self.now = moment + _LATE
        for task in late:
            task.state = READY
            task.timed_out = True
        return late

    def _others_may_help(self, alive: list[Task]) -> bool:
        """Say whether a thread that is not ours may end a wait of one that is."""
        if not self._has_foreigners or circle_of(alive):
            return False
        holders = [task.resource.holder() for task in alive if task.resource is not None]
        # The caller, which waits for the end of the run, will not help.
        if any(isinstance(holder, int) and holder != self._caller for holder in holders):
            return True
        if self._idle_since is None:
            self._idle_since = _monotonic()
        return _monotonic() < self._idle_since + _PATIENCE

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._bell.release()

    def _record(self, task: Task, place: Place | None, reason: str) -> None:
        self.turns.append(Turn(task, place, reason, self.steps))
        self.trail.append((task.number, self.steps))


def _is_daemon(task: Task) -> bool:
    return task.thread is not None and task.thread.daemon
