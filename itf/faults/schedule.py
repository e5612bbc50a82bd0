"""Which calls a plan hits.

A schedule is used in two ways.  As long as one process counts, each call takes
the next value of an iterator that is written in C, true for a call that passes
and false for one that is hit: that is one step which no other thread can come
into, and it counts and decides at once.  How many values were taken is what
`operator.length_hint` says is missing.  Where several processes count
together, or another plan follows, a call has a number, and asks by that.

Both ways say the same, whichever thread or process makes a call: it depends on
nothing but the call's number.
"""

from __future__ import annotations

import bisect
import itertools
import operator
import random
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from itf.forks import lock_of

__all__ = ["ENDLESS", "Every", "Random", "Runs", "Schedule", "Tickets"]

__unittest = True

ENDLESS: Final = sys.maxsize // 4
"""More calls than anybody can make; a few of it still fit into a size."""


class Tickets:
    """The values that calls take, and how many were taken.

    Attributes:
        take: Takes the next one.
    """

    def __init__(self, values: Iterator[object], *meters: Any) -> None:
        self.take = values.__next__
        self._meters = meters
        self._whole = self._left()

    def _left(self) -> int:
        return sum(map(operator.length_hint, self._meters))

    @property
    def taken(self) -> int:
        """How many calls there were."""
        return self._whole - self._left()


class Schedule(Protocol):
    """Which calls are hit, counted from 1."""

    @property
    def first(self) -> int | None:
        """The first call that is hit, None if none is."""

    @property
    def is_endless(self) -> bool:
        """Whether it hits each call from its first hit on."""

    def tickets(self) -> Tickets:
        """Return new tickets: true for a call that passes, false for one that is hit."""

    def is_hit(self, call: int) -> bool:
        """Say whether a call is hit."""

    def hits(self, calls: int) -> int:
        """Return how many of so many calls are hit."""

    def call_of(self, hit: int) -> int:
        """Return which call is the n-th that is hit."""


class Runs:
    """Runs of calls that are hit, and of calls that are not.

    Args:
        runs: Whether the calls of a run are hit, and how many they are; the
            last one goes on for ever.
    """

    def __init__(self, runs: Sequence[tuple[bool, int]]) -> None:
        self._runs = [run for run in runs if run[1]]
        self._ends = list(itertools.accumulate(length for _, length in self._runs))
        self._hits = list(itertools.accumulate(length * hit for hit, length in self._runs))

    @classmethod
    def of_calls(cls, calls: Sequence[int]) -> Runs:
        """Return the schedule that hits these calls, which are in order."""
        runs = []
        before = 0
        for call in calls:
            runs += [(False, call - before - 1), (True, 1)]
            before = call
        return cls([*runs, (False, ENDLESS)])

    @property
    def first(self) -> int | None:
        """The first call that is hit, None if none is."""
        return self.call_of(1) if self._hits[-1] else None

    @property
    def is_endless(self) -> bool:
        """Whether it hits each call from its first hit on."""
        return self._runs[-1][0] and self._hits[-1] == self._runs[-1][1]

    def tickets(self) -> Tickets:
        """Return new tickets."""
        parts = [itertools.repeat(not hit, length) for hit, length in self._runs]
        return Tickets(itertools.chain(*parts), *parts)

    def is_hit(self, call: int) -> bool:
        """Say whether a call is hit."""
        return self._runs[bisect.bisect_left(self._ends, call)][0]

    def hits(self, calls: int) -> int:
        """Return how many of so many calls are hit."""
        run = bisect.bisect_left(self._ends, calls)
        hit = self._runs[run][0]
        return self._hits[run] - (self._ends[run] - calls if hit else 0)

    def call_of(self, hit: int) -> int:
        """Return which call is the n-th that is hit."""
        run = bisect.bisect_left(self._hits, hit)
        return self._ends[run] - (self._hits[run] - hit)


class Every:
    """Every n-th call."""

    is_endless = False

    def __init__(self, n: int) -> None:
        self.first: int | None = n

    def tickets(self) -> Tickets:
        """Return new tickets."""
        numbers = iter(range(1, ENDLESS))
        return Tickets(map(operator.mod, numbers, itertools.repeat(self.call_of(1))), numbers)

    def is_hit(self, call: int) -> bool:
        """Say whether a call is hit."""
        return not call % self.call_of(1)

    def hits(self, calls: int) -> int:
        """Return how many of so many calls are hit."""
        return calls // self.call_of(1)

    def call_of(self, hit: int) -> int:
        """Return which call is the n-th that is hit."""
        return hit * (self.first or 1)


class Random:
    """Calls that a seeded generator of random numbers chooses.

    Thread safety: every method, from any thread.
    """

    is_endless = False

    def __init__(self, p: float, seed: int | str) -> None:
        self._p = p
        self._seed = seed
        self._rewind()

    def _rewind(self) -> None:
        # What was gone through so far: all hits up to call _at.
        self._draw = random.Random(self._seed).random
        self._at = 0
        self._found = array("Q")

    def __getstate__(self) -> tuple[float, int | str]:
        return self._p, self._seed

    def __setstate__(self, state: tuple[float, int | str]) -> None:
        self._p, self._seed = state
        self._rewind()

    @property
    def first(self) -> int | None:
        """The first call that is hit as far as is known, None if none is."""
        return self._found[0] if self._found else None

    def tickets(self) -> Tickets:
        """Return new tickets."""
        draw = random.Random(self._seed).random
        chances = itertools.repeat(self._p, ENDLESS)
        # No number drawn is None: it goes on for ever.
        return Tickets(map(operator.le, chances, iter(draw, None)), chances)

    def _go_to(self, call: int) -> None:
        while self._at < call:
            self._at += 1
            if self._draw() < self._p:
                self._found.append(self._at)

    def is_hit(self, call: int) -> bool:
        """Say whether a call is hit."""
        return self.hits(call) > self.hits(call - 1)

    def hits(self, calls: int) -> int:
        """Return how many of so many calls are hit."""
        with lock_of(self):
            self._go_to(calls)
            return bisect.bisect_right(self._found, calls)

    def call_of(self, hit: int) -> int:
        """Return which call is the n-th that is hit."""
        with lock_of(self):
            # Far beyond what was drawn there is one, for a hit has been taken.
            while len(self._found) < hit:
                self._go_to(self._at + 1)
            return int(self._found[hit - 1])
