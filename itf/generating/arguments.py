"""What callers pass, checked: an error says what was got, and what there is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from itf.texts import safe_repr

__all__ = ["as_bytes", "check_choice", "check_count", "check_size"]

__unittest = True

_MIB: Final = 1024 * 1024


def check_choice(label: str, value: object, choices: Iterable[str]) -> str:
    """Return a value that is one of the choices.

    Raises:
        ValueError: It is none; the message lists them, and guesses the one that was meant.
    """
    names = list(choices)
    if isinstance(value, str) and value in names:
        return value
    guess = ""
    if isinstance(value, str):
        from difflib import get_close_matches

        near = get_close_matches(value.lower(), names, 1)
        guess = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"unknown {label} {safe_repr(value)}{guess}; there are {', '.join(names)}")


def check_count(label: str, value: object, least: int | None = 0) -> int:
    """Return a value that is a whole number from the least on.

    Raises:
        TypeError: It is no int.
        ValueError: It is less.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{label} must be an int, got {safe_repr(value)}")
    if least is not None and value < least:
        raise ValueError(f"{label} must be at least {least}, got {safe_repr(value)}")
    return value


def check_size(value: object) -> int:
    """Return a size in MiB as bytes, a part of one as a whole one.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"size_mb must be a number from 0 on, got {safe_repr(value)}")
    if not value >= 0:
        raise ValueError(f"size_mb must be a number from 0 on, got {safe_repr(value)}")
    if value == math.inf:
        raise ValueError("size_mb must be finite, got inf")
    return math.ceil(value * _MIB)


def as_bytes(label: str, value: object, advice: str = "give bytes") -> bytes:
    """Return text as UTF-8, its line ends as they are, and bytes as they are.

    Args:
        label: What the value is, for the message.
        value: The text or the bytes.
        advice: What to do about text that has no UTF-8.

    Raises:
        TypeError: It is neither.
        ValueError: It is text that UTF-8 has no bytes for.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str):
        raise TypeError(f"{label} must be str or bytes, got {safe_repr(value)}")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{label} has a surrogate, {value[error.start]!r}, at {error.start}, "
            f"for which UTF-8 has no bytes; {advice}"
        ) from None
