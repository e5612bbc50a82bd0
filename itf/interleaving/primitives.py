"""What stands in for threading's locks and conditions and queue's simple queue.

Each works on the real one: in a thread of the run it waits by giving the turn
away, in any other thread it does what the real one does.  So an object that
outlives the run goes on as an ordinary one, and one that threads outside of
the run use as well is the same for them.

Events, semaphores, barriers and the other queues are built on these by the
standard library itself.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections import deque
from types import FrameType, TracebackType
from typing import Any, Final

from itf.interleaving.current import current_managed_thread, current_run
from itf.interleaving.managed_thread import UNKNOWN_HOLDER, ManagedThread
from itf.tracebacks import code_location, module_of, user_frame

__all__ = ["BUILT_ON", "Condition", "Lock", "RLock", "SimpleQueue", "replacement_for", "top_module"]

__unittest = True

_RealLock: Final = threading.Lock
_RealRLock: Final = threading.RLock
_RealSimpleQueue: Final = queue.SimpleQueue


# The modules whose waits are built on what is taken over here, and told the virtual time.
BUILT_ON: Final = ("threading", "queue", "concurrent")


def _describe_creation(kind: str) -> str:
    """Say of what kind the object is that is being made, and where the user makes it.

    The lock inside of a queue is told as the queue.
    """
    frame = user_frame()
    while top_module(frame) in BUILT_ON and frame.f_back is not None:
        kind = type(frame.f_locals.get("self")).__name__
        frame = frame.f_back
    return f"{kind} made at {code_location(frame)}"


def top_module(frame: FrameType) -> str:
    """Return the name of the module or package that a frame's code is in."""
    return module_of(frame).partition(".")[0]


class Lock:
    """Stands in for ``threading.Lock``.

    Args:
        real: The lock to work on; a new one by default.
        name: What it is called in a report; by default, where it was made.
    """

    _kind = "Lock"

    def __init__(self, real: Any = None, name: str | None = None) -> None:
        self._real = self._make() if real is None else real
        self._name = f"{self._kind} {name}" if name else _describe_creation(self._kind)
        self._owner: ManagedThread | int | None = None
        # How often its owner has taken it: more than once only for an RLock.
        self._count = 0

    @staticmethod
    def _make() -> Any:
        return _RealLock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, as ``threading.Lock.acquire`` does."""
        now = current_managed_thread()
        if now is None:
            taken = self._real.acquire(blocking, timeout)
            if taken:
                # Not by its Thread, which it may not have yet while it starts.
                self._set_owner(threading.get_ident())
            return bool(taken)
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
        """Give the lock back, as ``threading.Lock.release`` does."""
        owner, count = self._owner, self._count
        now = current_managed_thread()
        if now is not None and now[1].unwinding and owner is not now[1]:
            return  # it is ended in the wait of a condition, which gave the lock away
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
        _wake_waiters(self)

    def locked(self) -> bool:
        """Say whether somebody holds it."""
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
        """Say whether it could be taken."""
        if self._owner is not None:
            return False
        if not self._real.acquire(False):
            return False
        self._real.release()
        return True

    def holder(self) -> ManagedThread | int | None:
        """Return who holds it."""
        if self._owner is None and not self.is_free():
            return UNKNOWN_HOLDER
        return self._owner

    def describe(self) -> str:
        """Say which lock it is."""
        return self._name

    def call(self, name: str) -> None:
        """Add what the user calls it to what it is, once."""
        if self._name.startswith(f"{self._kind} made at"):
            self._name = f"{self._kind} {name}, {self._name.partition(' ')[2]}"

    def __repr__(self) -> str:
        return f"<itf {self.describe()}, {'free' if self.is_free() else 'locked'}>"

    # What a condition needs.

    def is_owned(self) -> bool:
        """Say whether the caller may hold it; of a plain lock, whether anybody does."""
        return not self.is_free()

    def release_all(self) -> int:
        """Release it however often it was taken, and return how often that was."""
        count = self._count
        for _ in range(count):
            self.release()
        return count

    def reacquire(self, count: int) -> None:
        """Take it as often as it was given up."""
        for _ in range(count):
            self.acquire()

    def reset_after_fork(self) -> None:
        """Be free, in a forked child in which nobody else is left."""
        self._real = self._make()
        self._owner, self._count = None, 0

    # By this name threading and concurrent.futures ask for it.
    _at_fork_reinit = reset_after_fork


class RLock(Lock):
    """Stands in for ``threading.RLock``."""

    _kind = "RLock"

    @staticmethod
    def _make() -> Any:
        return _RealRLock()

    def is_owned(self) -> bool:
        """Say whether the caller holds it."""
        now = current_managed_thread()
        return self._owner == (threading.get_ident() if now is None else now[1])

    # By these names threading.Condition asks a lock that may be taken more than once.
    _is_owned = is_owned
    _release_save = Lock.release_all
    _acquire_restore = Lock.reacquire


class _Waiter:
    """One thread's wait for a condition."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.called = False

    def is_free(self) -> bool:
        return self.called

    def holder(self) -> None:
        return None

    def describe(self) -> str:
        return self.condition.describe()


class Condition(threading.Condition):
    """Stands in for ``threading.Condition``; also an instance of it."""

    def __init__(self, lock: Any = None) -> None:
        lock = RLock() if lock is None else replacement_for(lock)
        super().__init__(lock)
        self._itf_name = _describe_creation("Condition")

    # For one that was not ours when it was made.
    _itf_name = "Condition"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be notified, as ``threading.Condition.wait`` does."""
        now = current_managed_thread()
        if now is None:
            return super().wait(timeout)
        scheduler, managed = now
        lock = self._itf_lock()
        if not lock.is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        waiter = _Waiter(self)
        waiters = self._itf_waiters()
        waiters.append(waiter)
        count = lock.release_all()
        try:
            if timeout is not None and timeout <= 0:
                scheduler.step(managed)
                return waiter.called
            return scheduler.block(managed, waiter, timeout)
        finally:
            if waiter in waiters:
                waiters.remove(waiter)
            lock.reacquire(count)

    def notify(self, n: int = 1) -> None:
        """Wake some who wait, as ``threading.Condition.notify`` does."""
        if not self._itf_lock().is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        waiters = self._itf_waiters()
        while n > 0 and waiters:
            waiter = waiters.popleft()
            waiter.called = True
            n -= 1
            if current_run.scheduler is not None:
                current_run.scheduler.wake(waiter)
        if n > 0:
            super().notify(n)

    def notify_all(self) -> None:
        """Wake all who wait, as ``threading.Condition.notify_all`` does."""
        self.notify(sys.maxsize)

    def _itf_lock(self) -> Lock:
        # A condition offers the methods of its lock as its own.
        lock = getattr(self.acquire, "__self__", None)
        return lock if isinstance(lock, Lock) else _UserDefinedLock(self)

    def _itf_waiters(self) -> deque[_Waiter]:
        waiters: deque[_Waiter] = self.__dict__.setdefault("_itf_waiting", deque())
        return waiters

    def describe(self) -> str:
        """Say which condition it is."""
        return self._itf_name


class _UserDefinedLock(Lock):
    """The lock of a condition that the user wrote a class for: taken once, as it seems."""

    def __init__(self, condition: threading.Condition) -> None:
        super().__init__(condition)

    def is_owned(self) -> bool:
        return True

    def release_all(self) -> int:
        self._real.release()
        return 1

    def reacquire(self, count: int) -> None:
        self._real.acquire()


class SimpleQueue:
    """Stands in for ``queue.SimpleQueue``.

    Args:
        real: The queue to work on; a new one by default.
        name: What it is called in a report; by default, where it was made.
    """

    def __init__(self, real: Any = None, name: str | None = None) -> None:
        self._real: Any = _RealSimpleQueue() if real is None else real
        self._name = f"SimpleQueue {name}" if name else _describe_creation("SimpleQueue")

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item; never waits."""
        now = current_managed_thread()
        if now is not None:
            now[0].step(now[1])
        self._real.put(item)
        _wake_waiters(self)

    def put_nowait(self, item: Any) -> None:
        """Add an item; never waits."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take an item, as ``queue.SimpleQueue.get`` does."""
        now = current_managed_thread()
        if now is None:
            return self._real.get(block, timeout)
        if block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        scheduler, managed = now
        scheduler.step(managed)
        deadline = None if timeout is None else scheduler.now + timeout
        while self._real.empty():
            left = None if deadline is None else max(0.0, deadline - scheduler.now)
            if not block or left == 0 or not scheduler.block(managed, self, left):
                break
        return self._real.get_nowait()

    def get_nowait(self) -> Any:
        """Take an item that is there."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Say whether it is empty now."""
        return bool(self._real.empty())

    def qsize(self) -> int:
        """Say how many items are in it now."""
        return int(self._real.qsize())

    def is_free(self) -> bool:
        """Say whether there is something to take."""
        return not self._real.empty()

    def holder(self) -> None:
        """Return None: nobody holds a queue."""

    def describe(self) -> str:
        """Say which queue it is."""
        return self._name


def replacement_for(lock: Any, name: str | None = None) -> Any:
    """Return what stands in for a real lock; anything else as it is."""
    if isinstance(lock, type(_RealLock())):
        return Lock(lock, name)
    if isinstance(lock, type(_RealRLock())):
        return RLock(lock, name)
    return lock


def _wake_waiters(resource: Any) -> None:
    """Tell those who wait; the one with the highest priority may go on at once."""
    scheduler = current_run.scheduler
    if scheduler is None:
        return
    scheduler.wake(resource)
    now = current_managed_thread()
    if now is not None:
        scheduler.yield_turn(now[1])
