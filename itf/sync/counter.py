"""A counter that is exact across processes and threads."""

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
    """Count from any number of processes and threads, exactly.

    Example:
        >>> hits = SharedCounter(MemberTable(), "hits")
        >>> hits.increment()
        1

    Args:
        roster: Who may use it.
        name: Its name, for messages.
        start: Where it begins, and where `reset` puts it.
        default_timeout: How long to wait for one who is stopped in the middle
            of counting, in seconds; None is for ever.

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
        # Held while the value is read and written, so that what increment
        # returns is the value that this very call made.
        self._lock = SharedLock(table, name, default_timeout=default_timeout, label=label)
        self._record = DoubleBufferedRecord(table, label, "q", self._start)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def value(self) -> int:
        """The present value."""
        return int(self._record.read()[0])

    def increment(self, amount: int = 1) -> int:
        """Add to the value, and return the one that this call has made.

        Raises:
            TypeError: ``amount`` is not an int.
            OverflowError: The value would not fit into 64 bits.
            WorkerTimeoutError: Somebody is stopped in the middle of counting.
        """
        amount = operator.index(amount)
        with self._lock:
            value = _checked(self._record.read()[0] + amount)
            self._record.write(value)
            return value

    def decrement(self, amount: int = 1) -> int:
        """Subtract from the value, and return the one that this call has made."""
        return self.increment(-operator.index(amount))

    def reset(self) -> int:
        """Put the value back to where it began, and return the one until then."""
        with self._lock:
            value = self.value
            self._record.write(self._start)
            return value


def _checked(value: int) -> int:
    if not -_LIMIT <= value < _LIMIT:
        raise OverflowError(f"a shared counter has 64 bits; {value} does not fit")
    return int(value)
