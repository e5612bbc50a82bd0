"""Replacement for SimpleQueue of queue; `primitives` explains how replacements work."""

from __future__ import annotations

import queue
from typing import Any, Final

from itf.interleaving.current import current_managed_thread
from itf.interleaving.primitives import describe_creation, wake_waiters

__all__ = ["SimpleQueue"]

__unittest = True

# Bound at import: the name in queue is patched while functions run.
_RealSimpleQueue: Final = queue.SimpleQueue


class SimpleQueue:
    """Replacement for ``queue.SimpleQueue``.

    Args:
        real: The real queue; a new one by default.
        name: Name for reports; by default, the location of the creation.
    """

    def __init__(self, real: Any = None, name: str | None = None) -> None:
        self._real: Any = _RealSimpleQueue() if real is None else real
        self._name = f"SimpleQueue {name}" if name else describe_creation("SimpleQueue")

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item; the queue has no limit, so this never waits."""
        now = current_managed_thread()
        if now is not None:
            now[0].step(now[1])
        self._real.put(item)
        wake_waiters(self)

    def put_nowait(self, item: Any) -> None:
        """Add an item; the queue has no limit, so this never waits."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Remove and return an item, like ``queue.SimpleQueue.get``."""
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
        """Remove and return an item; raise ``queue.Empty`` if there is none."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Return whether the queue is empty now."""
        return bool(self._real.empty())

    def qsize(self) -> int:
        """Return the current number of items."""
        return int(self._real.qsize())

    def is_free(self) -> bool:
        """Return whether the queue has an item, so that `get` need not wait."""
        return not self._real.empty()

    def holder(self) -> None:
        """Return None: a queue has no holder."""

    def describe(self) -> str:
        """Return the class and the name of the queue."""
        return self._name
