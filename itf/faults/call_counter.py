"""Count the calls of a plan within one process, and decide which are hit.

`TicketIterator`: each call takes the next value of an iterator written in C, true
for a call that passes and false for a hit.  Taking a value both counts and decides,
and no other thread can interrupt it.  `operator.length_hint` gives the number of
values left, and so the number taken.  The tickets of an endless schedule are built
piece by piece; after each piece, the iterator returns `EXHAUSTED`.

`CallCounter`: each call takes a number, and asks the schedule about that number.
It is used where several processes count together, where another plan follows, and
without a GIL, where two threads may take the same value of such an iterator.

Both ways hit the same calls: the number of a call alone decides.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Final, TypeAlias

from itf.faults.schedule import Schedule, TicketParts
from itf.fork_safety import fork_safe_lock

__all__ = ["EXHAUSTED", "CallCounter", "TicketIterator"]

__unittest = True

_Piece: TypeAlias = tuple[int, TicketParts]


class _Exhausted:
    """The type of `EXHAUSTED`."""

    def __bool__(self) -> bool:
        return False


EXHAUSTED: Final = _Exhausted()
"""The ticket of a call after the last ticket built so far; the call is not counted yet."""


class TicketIterator:
    """The tickets that calls take, and how many were taken.

    Attributes:
        take: Returns the next ticket: True, False or EXHAUSTED.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._piece, self.take = self._build_piece(0)

    def _build_piece(self, before: int) -> tuple[_Piece, Callable[[], object]]:
        parts = self._schedule.parts(before)
        end = before + sum(map(operator.length_hint, parts))
        return (end, parts), itertools.chain(*parts, itertools.repeat(EXHAUSTED)).__next__

    def extend(self) -> None:
        """Build the next piece of tickets if this piece is exhausted."""
        piece, taken = self._piece, self.taken
        if taken != piece[0]:
            return
        further, take = self._build_piece(taken)
        # A signal handler may have extended the tickets during `_build_piece`. It cannot
        # interrupt the next two lines: CPython runs handlers only at calls and backward jumps.
        if self._piece is piece:
            self._piece, self.take = further, take

    @property
    def taken(self) -> int:
        """How many calls were counted."""
        end, parts = self._piece
        return end - sum(map(operator.length_hint, parts))


class CallCounter:
    """A thread-safe counter that gives each call its number, from 1.

    Thread safety: every method, from any thread, with and without a GIL.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._is_closed = False

    def take(self) -> int:
        """Return the next number; 0 after `close`."""
        # The lock is reentrant, so a signal handler that counts too can run inside this block. It
        # cannot interrupt the next two lines: CPython runs handlers only at calls and backward
        # jumps.
        with fork_safe_lock(self):
            self._taken = number = self._taken + (not self._is_closed)
            return 0 if self._is_closed else number

    def close(self) -> int:
        """Stop counting, and return the last number."""
        with fork_safe_lock(self):
            self._is_closed = True
            return self._taken

    @property
    def taken(self) -> int:
        """How many calls were counted."""
        return self._taken
