"""One thing that a test left behind, and which of them a test may."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final

from itf.safe_repr import safe_repr

__all__ = ["DEFAULT_GRACE", "DIMENSIONS", "IgnoreList", "Leak", "Tell"]

__unittest = True

Tell = Callable[[], str]
"""Makes a text, when somebody wants to read it."""

# Seconds, in all, for what ends by itself soon after a test; most of it takes less than 0.01.
DEFAULT_GRACE: Final = 0.5

DIMENSIONS: Final = (
    "threads",
    "processes",
    "interpreters",
    "descriptors",
    "files",
    "tasks",
    "shared",
    "environment",
    "settings",
    "errors",
    "garbage",
)
"""What a guard looks at, in the order in which it tells."""


@dataclasses.dataclass(slots=True)
class Leak:
    """One thing that was left behind.

    Attributes:
        dimension: One of `DIMENSIONS`.
        noun: What it is, for the summary: ``thread``, ``socket``.
        name: What an entry of ``leak_ignore`` is held against.
        key: What tells it from every other thing in this process, for as long as it lasts.
        tell: Says it in a line, or in several.
        data: What the dimension needs to put it back.
        under: The key of the leak that keeps this one alive; None for a direct one.
        text: What ``tell`` said, once it was asked.
    """

    dimension: str
    noun: str
    name: str
    key: Hashable
    tell: Tell
    data: Any = None
    under: Hashable | None = None
    text: str = ""


class IgnoreList:
    """What may be left behind, by dimension, name or pattern; it knows which entries were of use.

    Args:
        entries: Each is a dimension (``descriptors``), a name or a pattern as
            in `fnmatch` (``pump-*``), or both (``threads:pump-*``).
        where: Where the entries stand, for the message.

    Raises:
        TypeError: An entry is no text.
        ValueError: An entry is empty, or names a dimension that there is not.

    Thread safety: every method, from any thread.
    """

    def __init__(self, entries: Iterable[str] = (), where: str = "leak_ignore") -> None:
        if isinstance(entries, str):
            raise TypeError(f"{where} is the text {entries!r}; make it a list: [{entries!r}]")
        self._patterns: dict[str, tuple[str, str]] = {}
        self._used: set[str] = set()
        for entry in entries:
            self._patterns[entry] = _parsed(entry, where)

    def allows(self, leak: Leak) -> bool:
        """Say whether a leak may be; the entries that say so count as used."""
        matching = {
            entry
            for entry, (dimension, pattern) in self._patterns.items()
            if dimension in ("", leak.dimension) and fnmatch.fnmatchcase(leak.name, pattern)
        }
        self._used |= matching
        return bool(matching)

    def unused(self) -> Sequence[str]:
        """Return the entries that nothing has matched so far."""
        return [entry for entry in self._patterns if entry not in self._used]


def _parsed(entry: str, where: str) -> tuple[str, str]:
    if not isinstance(entry, str):
        raise TypeError(f"{where} has {safe_repr(entry)}; its entries are names and patterns")
    if entry in DIMENSIONS:
        return entry, "*"
    dimension, colon, pattern = entry.partition(":")
    if colon and dimension in DIMENSIONS and pattern:
        return dimension, pattern
    if not entry.strip() or (colon and (dimension in DIMENSIONS or _is_near(dimension))):
        raise ValueError(
            f"{where} has {entry!r}; an entry is a name or a pattern, a dimension "
            f"({', '.join(DIMENSIONS)}), or dimension:pattern"
        )
    return "", entry


def _is_near(dimension: str) -> bool:
    """Say whether a word before a colon looks like a dimension that was misspelt."""
    return dimension.isidentifier() and f"{dimension}s" in DIMENSIONS
