"""Replacement for Condition of threading; `primitives` explains how replacements work."""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import Any

from itf.interleaving.current import current_managed_thread, current_run
from itf.interleaving.primitives import Lock, RLock, describe_creation, replacement_for

__all__ = ["Condition"]

__unittest = True


class _Waiter:
    """The resource of one thread that waits for a condition."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.notified = False

    def is_free(self) -> bool:
        return self.notified

    def holder(self) -> None:
        return None

    def describe(self) -> str:
        return self.condition.describe()


class Condition(threading.Condition):
    """Replacement for ``threading.Condition``, and a subclass of it."""

    def __init__(self, lock: Any = None) -> None:
        lock = RLock() if lock is None else replacement_for(lock)
        super().__init__(lock)
        self._itf_name = describe_creation("Condition")

    # Default for a real condition whose class was changed to this one, without __init__.
    _itf_name = "Condition"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a notification, like ``threading.Condition.wait``."""
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
                return waiter.notified
            return scheduler.block(managed, waiter, timeout)
        finally:
            if waiter in waiters:
                waiters.remove(waiter)
            lock.reacquire(count)

    def notify(self, n: int = 1) -> None:
        """Wake at most ``n`` waiting threads, like ``threading.Condition.notify``."""
        if not self._itf_lock().is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        waiters = self._itf_waiters()
        while n > 0 and waiters:
            waiter = waiters.popleft()
            waiter.notified = True
            n -= 1
            if current_run.scheduler is not None:
                current_run.scheduler.wake(waiter)
        if n > 0:
            super().notify(n)

    def notify_all(self) -> None:
        """Wake all waiting threads, like ``threading.Condition.notify_all``."""
        self.notify(sys.maxsize)

    def _itf_lock(self) -> Lock:
        # The `acquire` of a condition is the bound method of its lock.
        lock = getattr(self.acquire, "__self__", None)
        return lock if isinstance(lock, Lock) else _UserDefinedLock(self)

    def _itf_waiters(self) -> deque[_Waiter]:
        waiters: deque[_Waiter] = self.__dict__.setdefault("_itf_waiting", deque())
        return waiters

    def describe(self) -> str:
        """Return the class and the name of the condition."""
        return self._itf_name


class _UserDefinedLock(Lock):
    """The lock of a condition, if its class is user-defined; counted as acquired once."""

    def __init__(self, condition: threading.Condition) -> None:
        super().__init__(condition)

    def is_owned(self) -> bool:
        return True

    def release_all(self) -> int:
        self._real.release()
        return 1

    def reacquire(self, count: int) -> None:
        self._real.acquire()
