"""Deadlines of waits, the error when one expires, and the check of names."""

from __future__ import annotations

import time
from typing import Final

from itf.exceptions import WorkerTimeoutError
from itf.safe_repr import safe_repr
from itf.sync.deadlock import describe
from itf.sync.members import MemberTable

__all__ = ["DEFAULT_TIMEOUT", "Deadline", "check_name"]

__unittest = True

DEFAULT_TIMEOUT: Final = 60.0
"""Default timeout of every wait, in seconds."""


class Deadline:
    """The end of a wait: after the caller's timeout if there is one, else after the default.

    Args:
        timeout: The caller's timeout in seconds, or None; below 0 counts as 0.
        default: The default timeout in seconds; None waits forever.

    Attributes:
        explicit: Whether the caller gave a timeout.  If so, the caller's method
            reports that the timeout has passed in the way that `multiprocessing`
            does, for example by returning False.  If not, it raises a
            `WorkerTimeoutError`.
    """

    __slots__ = ("_end", "_limit", "explicit")

    def __init__(self, timeout: float | None, default: float | None) -> None:
        self.explicit = timeout is not None
        self._limit = default if timeout is None else max(0.0, timeout)
        self._end = None if self._limit is None else time.monotonic() + self._limit

    def left(self) -> float | None:
        """Return how many seconds are left; None means forever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        """Return whether the deadline has passed."""
        return self._end is not None and time.monotonic() >= self._end

    def error(self, table: MemberTable, problem: str) -> WorkerTimeoutError:
        """Return the error for a default timeout that has passed.

        Args:
            table: The processes to describe in the error's message.
            problem: What did not happen in time; the beginning of the message.
        """
        line = f"{problem} within {self._limit or 0:g} s"
        return WorkerTimeoutError(describe(table, line))


def check_name(name: object, what: str) -> str:
    """Return the name of a shared object, after a check.

    Args:
        name: The name, as the user has given it.
        what: The kind of object, for the error.

    Raises:
        TypeError: It is not a str.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a {what} is a str, got {safe_repr(name)}")
    return name
