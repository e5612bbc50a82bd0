"""Replacements for Lock and RLock of threading.

Each replacement wraps the real object.  A managed thread that has to wait passes its turn
on; any other thread calls the real object.  So a replacement works after the run, and
managed and unmanaged threads may share it.  The same holds for `Condition` and `SimpleQueue`.

The standard library builds events, semaphores, barriers and the other queues on these
classes, so they need no replacements.
"""

from __future__ import annotations

import threading
from types import FrameType, TracebackType
from typing import Any, Final

from itf.interleaving.current import current_managed_thread, current_run
from itf.interleaving.managed_thread import UNKNOWN_HOLDER, ManagedThread
from itf.tracebacks import code_location, module_of, user_frame

__all__ = [
    "BUILT_ON",
    "Lock",
    "RLock",
    "describe_creation",
    "replacement_for",
    "top_module",
    "wake_waiters",
]

__unittest = True

_RealLock: Final = threading.Lock
_RealRLock: Final = threading.RLock

# Top-level modules whose waits use the classes replaced here, and so must read virtual time.
BUILT_ON: Final = ("threading", "queue", "concurrent")


def describe_creation(kind: str) -> str:
    """Return text that identifies a new object: its class and the line that creates it.

    A lock that a class of the standard library creates is named after that class: the
    lock of a Queue is ``Queue made at …``.
    """
    frame = user_frame()
    while top_module(frame) in BUILT_ON and frame.f_back is not None:
        kind = type(frame.f_locals.get("self")).__name__
        frame = frame.f_back
    return f"{kind} made at {code_location(frame)}"


def top_module(frame: FrameType) -> str:
    """Return the name of the top-level module or package of a frame's code."""
    return module_of(frame).partition(".")[0]


class Lock:
    """Replacement for ``threading.Lock``.

    Args:
        real: The real lock; a new one by default.
        name: Name for reports; by default, the location of the creation.
    """

    _kind = "Lock"

    def __init__(self, real: Any = None, name: str | None = None) -> None:
        self._real = self._make() if real is None else real
        self._name = f"{self._kind} {name}" if name else describe_creation(self._kind)
        self._owner: ManagedThread | int | None = None
        # Number of acquisitions by the owner; more than 1 only for an RLock.
        self._count = 0

    @staticmethod
    def _make() -> Any:
        return _RealLock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire the lock, like ``threading.Lock.acquire``."""
        now = current_managed_thread()
        if now is None:
            acquired = self._real.acquire(blocking, timeout)
            if acquired:
                # Not current_thread(): a starting thread has no Thread object yet.
                self._set_owner(threading.get_ident())
            return bool(acquired)
        if timeout < 0 and timeout != -1:
            raise ValueError("timeout value must be a non-negative number")
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        scheduler, managed = now
        scheduler.step(managed)
        deadline = None if timeout == -1 else scheduler.now + timeout
        while not self._real.acquire(False):
            left = None if deadline is None else max(0.0, deadline - scheduler.now)
            if not blocking or left == 0 or not scheduler.block(managed, self, left):
                return False
        self._set_owner(managed)
        if self._count == 1:
            managed.holds[self] = scheduler.here()
        return True

    def _set_owner(self, owner: ManagedThread | int) -> None:
        self._owner = owner
        self._count += 1

    def release(self) -> None:
        """Release the lock, like ``threading.Lock.release``."""
        owner, count = self._owner, self._count
        now = current_managed_thread()
        if now is not None and now[1].unwinding and owner is not now[1]:
            return  # unwound inside Condition.wait, which has released the lock already
        if count <= 1:
            self._owner = None
        self._count = max(0, count - 1)
        try:
            self._real.release()
        except RuntimeError:
            self._owner, self._count = owner, count
            raise
        if count > 1:
            return
        if isinstance(owner, ManagedThread):
            owner.holds.pop(self, None)
        wake_waiters(self)

    def locked(self) -> bool:
        """Return whether a thread holds the lock."""
        now = current_managed_thread()
        if now is not None:
            now[0].step(now[1])
        return not self.is_free()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def is_free(self) -> bool:
        """Return whether `acquire` would succeed at once in a thread that does not own the lock."""
        if self._owner is not None:
            return False
        if not self._real.acquire(False):
            return False
        self._real.release()
        return True

    def holder(self) -> ManagedThread | int | None:
        """Return the owner: a managed thread, a thread ident, UNKNOWN_HOLDER, or None if free."""
        if self._owner is None and not self.is_free():
            return UNKNOWN_HOLDER
        return self._owner

    def describe(self) -> str:
        """Return the class and the name of the lock."""
        return self._name

    def add_name(self, name: str) -> None:
        """Add the user's name for the lock to its description, unless it has a name."""
        if self._name.startswith(f"{self._kind} made at"):
            self._name = f"{self._kind} {name}, {self._name.partition(' ')[2]}"

    def __repr__(self) -> str:
        return f"<itf {self.describe()}, {'free' if self.is_free() else 'locked'}>"

    # Called by Condition.

    def is_owned(self) -> bool:
        """Return whether any thread holds the lock: a plain lock has no owner."""
        return not self.is_free()

    def release_all(self) -> int:
        """Release the lock as often as it was acquired; return how often that was."""
        count = self._count
        for _ in range(count):
            self.release()
        return count

    def reacquire(self, count: int) -> None:
        """Acquire the lock this many times, the result of `release_all`."""
        for _ in range(count):
            self.acquire()

    def reset_after_fork(self) -> None:
        """Make the lock free in a forked child, in which the other threads do not exist."""
        self._real = self._make()
        self._owner, self._count = None, 0

    # The name under which threading and concurrent.futures call it.
    _at_fork_reinit = reset_after_fork


class RLock(Lock):
    """Replacement for ``threading.RLock``."""

    _kind = "RLock"

    @staticmethod
    def _make() -> Any:
        return _RealRLock()

    def is_owned(self) -> bool:
        """Return whether the current thread holds the lock."""
        now = current_managed_thread()
        return self._owner == (threading.get_ident() if now is None else now[1])

    # threading.Condition calls a reentrant lock by these names.
    _is_owned = is_owned
    _release_save = Lock.release_all
    _acquire_restore = Lock.reacquire


def replacement_for(lock: Any, name: str | None = None) -> Any:
    """Return a replacement for a real lock; any other object is returned as it is."""
    if isinstance(lock, type(_RealLock())):
        return Lock(lock, name)
    if isinstance(lock, type(_RealRLock())):
        return RLock(lock, name)
    return lock


def wake_waiters(resource: Any) -> None:
    """Wake the threads that wait for a resource, and yield to one of higher priority."""
    scheduler = current_run.scheduler
    if scheduler is None:
        return
    scheduler.wake(resource)
    now = current_managed_thread()
    if now is not None:
        scheduler.yield_turn(now[1])
