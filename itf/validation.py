"""Validation of arguments: numbers, timeouts and choices, with one wording of the errors.

Each function takes the argument's name and value, returns the checked value,
and raises an error that shows both.  The name may carry the function that was
called: ``check_integer("interleave: runs", runs, minimum=1)``.
"""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Iterable
from typing import Final

from itf.safe_repr import safe_repr

__all__ = [
    "LONGEST_WAIT",
    "check_choice",
    "check_integer",
    "check_number",
    "check_positive",
    "check_seconds",
    "check_timeout",
]

__unittest = True

LONGEST_WAIT: Final = min(threading.TIMEOUT_MAX, 1e9)
"""Longest timeout in seconds (about 30 years, 50 days on Windows).

Locks raise OverflowError for a longer timeout than `threading.TIMEOUT_MAX`.
"""


def check_integer(name: str, value: object, minimum: int | None = None) -> int:
    """Return an integer, or any object with ``__index__``, as an int.

    Raises:
        TypeError: The value is not an integer.  A bool is refused as well: it is
            nearly always an argument in the wrong place.
        ValueError: The value is less than the minimum.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, got {safe_repr(value)}")
    number = operator.index(value)
    if minimum is not None and number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {safe_repr(value)}")
    return number


def check_number(name: str, value: object, minimum: float | None = None) -> float:
    """Return a finite int or float.

    Raises:
        TypeError: The value is not an int or float, or it is a bool.
        ValueError: The value is NaN, infinite, or less than the minimum.
    """
    number = _int_or_float(name, value, "a number")
    # Not math.isfinite(number) first: it raises OverflowError for an int beyond 1e308.
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number!r}")
    if minimum is not None and number < minimum:
        raise ValueError(f"{name} must be at least {minimum:g}, got {safe_repr(number)}")
    return number


def check_positive(name: str, value: object) -> float:
    """Return a finite int or float above zero.

    Raises:
        TypeError: The value is not an int or float, or it is a bool.
        ValueError: The value is NaN, infinite, zero or negative.
    """
    number = check_number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, got {safe_repr(number)}")
    return number


def check_seconds(name: str, value: object) -> float:
    """Return a duration in seconds, shortened to `LONGEST_WAIT`; infinity is allowed.

    Raises:
        TypeError: The value is not an int or float, or it is a bool.
        ValueError: The value is NaN or negative.
    """
    return _seconds(name, value, "a number of seconds")


def check_timeout(name: str, value: object) -> float | None:
    """Return a timeout in seconds as `check_seconds` does, or None for no limit.

    Raises:
        TypeError: The value is not an int, float or None, or it is a bool.
        ValueError: The value is NaN or negative.
    """
    return None if value is None else _seconds(name, value, "a number of seconds or None")


def _seconds(name: str, value: object, expected: str) -> float:
    seconds = _int_or_float(name, value, expected)
    if not seconds >= 0:  # `not >=` instead of `<`, because NaN compares as false
        raise ValueError(f"{name} must be at least 0 seconds, got {safe_repr(seconds)}")
    # min() before float(), because float() of an int beyond 1e308 raises OverflowError.
    return float(min(seconds, LONGEST_WAIT))


def _int_or_float(name: str, value: object, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be {expected}, got {safe_repr(value)}")
    return value


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return a str that is one of the choices.

    Raises:
        ValueError: The value is none of the choices.  The message lists them,
            and suggests the one with the most similar spelling.
    """
    available = list(choices)
    if isinstance(value, str) and value in available:
        return value
    suggestion = ""
    if isinstance(value, str):
        from difflib import get_close_matches  # imported for the error alone, to keep imports cheap

        similar = get_close_matches(value.lower(), available, 1)
        suggestion = f" (did you mean {similar[0]!r}?)" if similar else ""
    raise ValueError(
        f"unknown {name} {safe_repr(value)}{suggestion}; choose one of {', '.join(available)}"
    )
