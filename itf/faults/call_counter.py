"""How a plan counts calls and decides event_data them, in one process.

A schedule is used in two ways.  As long as one process counts, each call takes
the next value of an iterator that is written in C, true for a call that passes
and false for one that is hit: that is one step which no other thread can come
into, and it counts and decides at once.  How many values were taken is what
`operator.length_hint` says is missing.  A schedule that has no end is laid out
a piece at a time; after it come tickets that ask for more.  Where several
processes count together, where another plan follows, and where there is no GIL
(without it two threads may take the same value of such an iterator), a call has
a number, and asks by that.

Both ways say the same, whichever thread or process makes a call: it depends on
nothing but the call's number.
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
    """The ticket of a call that came after all that were laid out; it is not counted."""

    def __bool__(self) -> bool:
        return False


EXHAUSTED: Final = _Exhausted()
"""The ticket of a call that came after all that were laid out; it is not counted."""


class TicketIterator:
    """The values that calls take, and how many were taken.

    Attributes:
        take: Takes the next one: True, False or EXHAUSTED.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._piece, self.take = self._build_piece(0)

    def _build_piece(self, before: int) -> tuple[_Piece, Callable[[], object]]:
        parts = self._schedule.parts(before)
        end = before + sum(map(operator.length_hint, parts))
        return (end, parts), itertools.chain(*parts, itertools.repeat(EXHAUSTED)).__next__

    def extend(self) -> None:
        """Lay out the next piece if this one is used up."""
        piece, taken = self._piece, self.taken
        if taken != piece[0]:
            return
        further, take = self._build_piece(taken)
        # A signal handler may have come here meanwhile, but not from here on:
        # Python looks for one at calls and jumps back alone.
        if self._piece is piece:
            self._piece, self.take = further, take

    @property
    def taken(self) -> int:
        """How many calls there were."""
        end, parts = self._piece
        return end - sum(map(operator.length_hint, parts))


class CallCounter:
    """The numbers of calls in place of tickets, from 1 on.

    Thread safety: every method, from any thread, with and without a GIL.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._is_closed = False

    def take(self) -> int:
        """Return the next number; 0 after `close`."""
        # A signal handler that takes a number, too, has the lock already. It
        # runs before or after the next two lines: Python looks for signals at
        # calls and at jumps back alone.
        with fork_safe_lock(self):
            self._taken = number = self._taken + (not self._is_closed)
            return 0 if self._is_closed else number

    def close(self) -> int:
        """Give out no more numbers, and return how many were taken."""
        with fork_safe_lock(self):
            self._is_closed = True
            return self._taken

    @property
    def taken(self) -> int:
        """How many calls there were."""
        return self._taken
