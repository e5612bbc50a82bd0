"""The threads of a run: where each stands, what it waits for, what it holds."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Final, Protocol

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

# The real ones: those of the module are exchanged while functions run.
_allocate_lock: Final = threading.Lock
_real_start: Final = threading.Thread.start

# Where threading keeps whether a thread is a daemon.  Where it does not, a thread says
# that it is one, and those that it starts are daemons, too.
_DAEMONIC: Final = "_daemonic"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a thread stood when its turn ended.

    Attributes:
        code: The code object of the user's innermost frame.
        line: Its line.
        offset: The instruction before which it was interrupted; None if it
            was not interrupted but ended its turn by itself.
    """

    code: CodeType
    line: int
    offset: int | None

    @classmethod
    def of(cls, frame: FrameType, offset: int | None = None) -> Location:
        """Return where a frame is."""
        # An instruction that the compiler added has no line.
        return cls(frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno, offset)


@dataclass(frozen=True, slots=True)
class Turn:
    """One thread's turn: from where it went on to where it stopped.

    Attributes:
        managed: Whose turn it was.
        location: Where it stopped; None if it was done, or no code of the user was on its stack.
        reason: Why it stopped: ``interrupted``, ``done``, ``failed``, ``outside``, ``running``
            where the run ended without it, or what it waits for.
        step: How many steps of all threads there had been by then.
    """

    managed: ManagedThread
    location: Location | None
    reason: str
    step: int


class Resource(Protocol):
    """What a thread can wait for."""

    def describe(self) -> str:
        """Say what it is, for a reader."""

    def holder(self) -> ManagedThread | int | None:
        """Return who holds it: one of the threads, somebody else by thread id, or nobody."""

    def is_free(self) -> bool:
        """Say whether a thread that waits for it should look again."""


class Holdable(Resource, Protocol):
    """What a thread can hold."""

    def release_all(self) -> int:
        """Release it however often it was taken, and return how often that was."""


class Sleep:
    """A wait that only time ends."""

    def __init__(self, name: str) -> None:
        self._name = name

    def is_free(self) -> bool:
        """Say False."""
        return False

    def holder(self) -> None:
        """Return None: nobody holds it."""

    def describe(self) -> str:
        """Say what it is."""
        return self._name


# The holder of a lock that was taken past what stands in for it.
UNKNOWN_HOLDER: Final = 0

READY: Final = "ready"
RUNNING: Final = "running"
BLOCKED: Final = "blocked"
OUTSIDE: Final = "outside"
DONE: Final = "done"


class ManagedThread:
    """One thread of a run.

    Attributes:
        name: The thread's name.
        number: Its location among the threads of the run.
        is_root: Whether it runs one of the functions given to ``interleave``.
        resource: What it waits for; None if it does not.
        holds: The locks that it holds, in the order it took them.
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
        # Whether it is being unwound: then nothing interrupts it any more.
        self.unwinding = False
        # Whether it is inside threading's own start or join, where it waits for real.
        self.bypass = False
        # Locked while it is not its turn.
        self.turn_lock = _allocate_lock()
        self.turn_lock.acquire()

    # What another thread waits for that joins this one: a `Resource`.

    def describe(self) -> str:
        """Say what it is."""
        return f"the end of {self.name}"

    def holder(self) -> ManagedThread:
        """Return who holds its end back: itself."""
        return self

    def is_free(self) -> bool:
        """Say whether it is at its end."""
        return self.state is DONE


def wait_cycle(threads: Sequence[ManagedThread]) -> list[ManagedThread]:
    """Return threads that wait for each other, the first again at the end; empty if none do."""
    for first in threads:
        way: list[ManagedThread] = []
        managed: ManagedThread | None = first
        while managed is not None and managed not in way:
            way.append(managed)
            holder = managed.resource.holder() if managed.resource is not None else None
            managed = holder if isinstance(holder, ManagedThread) and holder in threads else None
        if managed is not None:
            return [*way[way.index(managed) :], managed]
    return []


def start_as_daemon(thread: threading.Thread, *, daemon: bool) -> None:
    """Start a thread that Python does not wait for at its exit, should it be left behind.

    Args:
        thread: The thread.
        daemon: What it is said to be, and those that it starts inherit.
    """
    # By the private name, for thread.daemon cannot be set any more once it is started.
    if not hasattr(thread, _DAEMONIC):
        thread.daemon = True
        _real_start(thread)
        return
    setattr(thread, _DAEMONIC, True)
    try:
        _real_start(thread)
    finally:
        setattr(thread, _DAEMONIC, daemon)
