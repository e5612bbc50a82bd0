"""State of one thread of a run: what it waits for, what it holds, where it is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Final, Protocol

from itf._private import set_daemon_after_start

__all__ = [
    "BLOCKED",
    "DONE",
    "OUTSIDE",
    "READY",
    "RUNNING",
    "UNKNOWN_HOLDER",
    "Holdable",
    "Location",
    "ManagedThread",
    "Resource",
    "Sleep",
    "Turn",
    "start_as_daemon",
    "wait_cycle",
]

__unittest = True

# Bound at import: the names in threading are patched while functions run.
_allocate_lock: Final = threading.Lock
_real_start: Final = threading.Thread.start


@dataclass(frozen=True, slots=True)
class Location:
    """Position of a thread in user code at the end of a turn.

    Attributes:
        code: The code object of the innermost user frame.
        line: The line in the file of that code.
        offset: Offset of the instruction before which the thread was preempted; None
            if the thread blocked or yielded in a call.
    """

    code: CodeType
    line: int
    offset: int | None

    @classmethod
    def of(cls, frame: FrameType, offset: int | None = None) -> Location:
        """Return the location of a frame."""
        # f_lineno is None at an instruction that the compiler added.
        return cls(frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno, offset)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: what one thread executed without another thread running.

    Attributes:
        managed: The thread that had the turn.
        location: Where the turn ended; None if the thread ended, or if its stack had no
            user frame.
        reason: Why the turn ended: ``interrupted``, ``done``, ``failed``, ``outside``,
            ``running`` if the run ended during the turn, or text of what the thread
            waits for.
        step: Number of steps of all threads at the end of the turn.
    """

    managed: ManagedThread
    location: Location | None
    reason: str
    step: int


class Resource(Protocol):
    """An object that a thread can wait for."""

    def describe(self) -> str:
        """Return text that identifies the resource in a report."""

    def holder(self) -> ManagedThread | int | None:
        """Return the holder: a managed thread, the ident of another thread, or None."""

    def is_free(self) -> bool:
        """Return whether a waiting thread should try again to get the resource."""


class Holdable(Resource, Protocol):
    """A resource that a thread can hold: a lock."""

    def release_all(self) -> int:
        """Release the lock as often as it was acquired; return how often that was."""


class Sleep:
    """The resource of a sleeping thread: only the timeout ends its wait."""

    def __init__(self, name: str) -> None:
        self._name = name

    def is_free(self) -> bool:
        """Return False."""
        return False

    def holder(self) -> None:
        """Return None: a sleep has no holder."""

    def describe(self) -> str:
        """Return the call, such as ``time.sleep(5)``."""
        return self._name


# `Resource.holder` of a lock that is locked, but not through its replacement: code that has
# the real lock acquired it.  No thread has the ident 0.
UNKNOWN_HOLDER: Final = 0

# States of a thread.
READY: Final = "ready"  # waits for its turn
RUNNING: Final = "running"  # has the turn
BLOCKED: Final = "blocked"  # waits for a resource
OUTSIDE: Final = "outside"  # stalled in a call that is not patched; lost its turn
DONE: Final = "done"  # ended


class ManagedThread:
    """One thread that the scheduler runs; itself a `Resource`, which `Thread.join` waits for.

    Attributes:
        name: The thread's name.
        number: Number of the thread in its run, from 1.
        priority: The ready thread with the highest priority gets the turn.
        is_root: Whether the thread runs one of the functions given to `interleave`.
        state: One of the five states above.
        resource: What the thread waits for; None while it does not wait.
        location: Where the thread began its wait.
        holds: The locks that the thread holds, in order, and where it acquired each.
        deadline: Virtual time at which the wait ends; None if there is no timeout.
        timed_out: Whether the deadline ended the last wait.
        has_begun: Whether the thread had a turn yet.
        error: The exception that ended the thread, if any.
        thread: The thread itself.
    """

    def __init__(self, name: str, number: int, priority: float, *, is_root: bool = True) -> None:
        self.name = name
        self.number = number
        self.priority = priority
        self.is_root = is_root
        self.state = READY
        self.resource: Resource | None = None
        self.location: Location | None = None
        self.holds: dict[Holdable, Location | None] = {}
        self.deadline: float | None = None
        self.timed_out = False
        self.has_begun = False
        self.error: BaseException | None = None
        self.thread: threading.Thread | None = None
        # Whether the thread unwinds after the end of the run; it is not preempted then.
        self.unwinding = False
        # Whether patched functions call the real ones in this thread: while it starts another
        # thread, and after its function has ended.
        self.bypass = False
        # Locked while another thread has the turn; the scheduler releases it to give the turn.
        self.turn_lock = _allocate_lock()
        self.turn_lock.acquire()

    def describe(self) -> str:
        """Return text for a report: another thread joins this one."""
        return f"the end of {self.name}"

    def holder(self) -> ManagedThread:
        """Return the thread itself: no other thread can bring about its end."""
        return self

    def is_free(self) -> bool:
        """Return whether the thread has ended."""
        return self.state is DONE


def wait_cycle(threads: Sequence[ManagedThread]) -> list[ManagedThread]:
    """Return threads that wait for each other in a cycle; empty if there is no cycle.

    The first thread is in the list again at its end.
    """
    for first in threads:
        path: list[ManagedThread] = []
        managed: ManagedThread | None = first
        while managed is not None and managed not in path:
            path.append(managed)
            holder = managed.resource.holder() if managed.resource is not None else None
            managed = holder if isinstance(holder, ManagedThread) and holder in threads else None
        if managed is not None:
            return [*path[path.index(managed) :], managed]
    return []


def start_as_daemon(thread: threading.Thread, *, daemon: bool) -> None:
    """Start a thread as a daemon, so that Python does not wait for it at its exit.

    A managed thread may not end with its run, if it is blocked in C code.

    Args:
        thread: The thread.
        daemon: The value of `thread.daemon` after the start; threads that it starts
            inherit this value.  If the value cannot be set, it is True.
    """
    if thread.ident is None:  # else the thread has started, and a second start raises
        thread.daemon = True
    try:
        _real_start(thread)
    finally:
        set_daemon_after_start(thread, daemon)
