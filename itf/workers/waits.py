"""What all waits have in common: deadlines, their arguments, and what is said at their end."""

from __future__ import annotations

import operator
import time
from typing import Final

from itf.exceptions import WorkerTimeoutError
from itf.texts import safe_repr
from itf.workers.roster import Roster

__all__ = ["DEFAULT_TIMEOUT", "Deadline", "check_name", "check_number", "check_timeout"]

__unittest = True

DEFAULT_TIMEOUT: Final = 60.0
"""How long, in seconds, a wait may take that nobody has said anything else of."""


class Deadline:
    """When a wait ends: after the timeout that the caller gave, otherwise after the default one.

    Attributes:
        explicit: Whether the caller gave it; then its end is told by the
            interface's own means, and not by a `WorkerTimeoutError`.
    """

    __slots__ = ("_end", "_limit", "explicit")

    def __init__(self, timeout: float | None, default: float | None) -> None:
        self.explicit = timeout is not None
        self._limit = default if timeout is None else max(0.0, timeout)
        self._end = None if self._limit is None else time.monotonic() + self._limit

    def left(self) -> float | None:
        """Return how many seconds are left, None for without end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        """Say whether it is over."""
        return self._end is not None and time.monotonic() >= self._end

    def error(self, roster: Roster, problem: str) -> WorkerTimeoutError:
        """Return the error that tells that the default deadline has passed, and who is where."""
        # Only now: who never times out need not load it.
        from itf.workers.deadlock import describe

        line = f"{problem} within {self._limit or 0:g} s"
        return WorkerTimeoutError(describe(roster, line))


def check_timeout(timeout: float | None, what: str = "default_timeout") -> float | None:
    """Return a timeout in seconds.

    Raises:
        TypeError: It is not a number, or None.
        ValueError: It is not a number that time can be measured in.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"{what} is a number of seconds, or None, got {safe_repr(timeout)}")
    if not timeout >= 0:  # NaN as well
        raise ValueError(f"{what} must not be negative, got {timeout!r}")
    # More than this, no system call can wait; so can nobody.
    return min(float(timeout), 1e9)


def check_number(value: object, what: str, minimum: int = 0) -> int:
    """Return a whole number.

    Raises:
        TypeError: It is none.
        ValueError: It is below the minimum.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} is a whole number, got {safe_repr(value)}")
    number = operator.index(value)
    if number < minimum:
        raise ValueError(f"{what} must be a whole number from {minimum} on, got {number}")
    return number


def check_name(name: object, what: str) -> str:
    """Return the name of an object.

    Raises:
        TypeError: It is not a str.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a {what} is a str, got {safe_repr(name)}")
    return name
