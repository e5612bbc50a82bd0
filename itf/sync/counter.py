"""A counter between processes and threads that loses no increment."""

from __future__ import annotations

import operator
from typing import Final

from itf.sync.deadline import DEFAULT_TIMEOUT, check_name
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from itf.sync.record import DoubleBufferedRecord

__all__ = ["SharedCounter"]

__unittest = True

_LIMIT: Final = 2**63


class SharedCounter:
    """A counter for processes and threads that loses no increment.

    Example:
        >>> hits = SharedCounter(MemberTable(), "hits")
        >>> hits.increment()
        1

    Args:
        table: The processes that may use it.
        name: Its name, for messages.
        start: Its first value, and its value after `reset`.
        default_timeout: Seconds to wait for a process that is stopped while it
            changes the counter; None waits forever.

    Thread safety: every method, from any thread.
    """

    def __init__(
        self,
        table: MemberTable,
        name: str,
        start: int = 0,
        *,
        default_timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        self.name = check_name(name, "counter")
        self._start = _checked(operator.index(start))
        self._table = table
        label = f"counter {name!r}"
        # Protects the value while `increment` reads and writes it, so that each call
        # returns the value that it has set itself.
        self._lock = SharedLock(table, name, default_timeout=default_timeout, label=label)
        self._record = DoubleBufferedRecord(table, label, "q", self._start)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def value(self) -> int:
        """The current value."""
        return int(self._record.read()[0])

    def increment(self, amount: int = 1) -> int:
        """Add to the value, and return the new value.

        Raises:
            TypeError: ``amount`` is not an int.
            OverflowError: The new value does not fit into 64 bits.
            WorkerTimeoutError: Another process is stopped while it changes the counter.
        """
        amount = operator.index(amount)
        with self._lock:
            value = _checked(self._record.read()[0] + amount)
            self._record.write(value)
            return value

    def decrement(self, amount: int = 1) -> int:
        """Subtract from the value, and return the new value."""
        return self.increment(-operator.index(amount))

    def reset(self) -> int:
        """Set the value to the first one, and return the value before."""
        with self._lock:
            value = self.value
            self._record.write(self._start)
            return value


def _checked(value: int) -> int:
    if not -_LIMIT <= value < _LIMIT:
        raise OverflowError(f"a shared counter has 64 bits; {value} does not fit")
    return int(value)
