"""Which calls a plan hits.

A schedule answers in two ways: by the number of a call, and by tickets, values of
iterators of which each call takes one (see `itf.faults.call_counter`).  Both ways
agree.  The number of a call alone decides, not the thread or process that makes it.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeAlias

from itf.fork_safety import fork_safe_lock

__all__ = ["ENDLESS", "Every", "Random", "Runs", "Schedule", "TicketParts"]

__unittest = True

ENDLESS: Final = sys.maxsize // 4
"""A number of calls that no program reaches; a small multiple still fits a C ssize_t."""


# Hits for which tickets are built at once. With 64, the cost of building a piece is small
# for each hit.
_HITS_AHEAD: Final = 64

# Calls. Up to this distance between hits, a tuple with one value for each call is faster
# than chained `repeat` iterators.
_MAX_SINGLE_CALLS: Final = 1000

TicketParts: TypeAlias = list[Iterator[bool]]


class Schedule(Protocol):
    """Which calls are hit, counted from 1."""

    @property
    def first(self) -> int | None:
        """The number of the first call that is hit; None if no call is."""

    @property
    def is_endless(self) -> bool:
        """Whether every call from the first hit on is hit."""

    def parts(self, before: int) -> TicketParts:
        """Return the tickets of the calls that follow the first ``before`` calls.

        The tickets are a list of iterators with a length hint.  A finite piece ends with
        a hit; the next piece begins after that.
        """

    def is_hit(self, call: int) -> bool:
        """Return whether a call is hit."""

    def hits(self, calls: int) -> int:
        """Return how many of the first ``calls`` calls are hit."""

    def call_of(self, hit: int) -> int:
        """Return the number of the call that is the n-th hit."""


class Runs:
    """Alternating runs of calls that are hit and calls that pass.

    Args:
        runs: For each run, whether its calls are hit, and its length; the last
            length is ENDLESS.
    """

    def __init__(self, runs: Sequence[tuple[bool, int]]) -> None:
        self._runs = [run for run in runs if run[1]]
        self._ends = list(itertools.accumulate(length for _, length in self._runs))
        self._hits = list(itertools.accumulate(length * hit for hit, length in self._runs))

    @classmethod
    def of_calls(cls, calls: Sequence[int]) -> Runs:
        """Return the schedule that hits these calls, given in ascending order."""
        runs = []
        before = 0
        for call in calls:
            runs += [(False, call - before - 1), (True, 1)]
            before = call
        return cls([*runs, (False, ENDLESS)])

    @property
    def first(self) -> int | None:
        """The number of the first call that is hit; None if no call is."""
        return self.call_of(1) if self._hits[-1] else None

    @property
    def is_endless(self) -> bool:
        """Whether every call from the first hit on is hit."""
        return self._runs[-1][0] and self._hits[-1] == self._runs[-1][1]

    def parts(self, before: int) -> TicketParts:
        """Return the tickets of all calls."""
        return [itertools.repeat(not hit, length) for hit, length in self._runs]

    def is_hit(self, call: int) -> bool:
        """Return whether a call is hit."""
        return self._runs[bisect.bisect_left(self._ends, call)][0]

    def hits(self, calls: int) -> int:
        """Return how many of the first ``calls`` calls are hit."""
        run = bisect.bisect_left(self._ends, calls)
        hit = self._runs[run][0]
        return self._hits[run] - (self._ends[run] - calls if hit else 0)

    def call_of(self, hit: int) -> int:
        """Return the number of the call that is the n-th hit."""
        run = bisect.bisect_left(self._hits, hit)
        return self._ends[run] - (self._hits[run] - hit)


class Every:
    """Every n-th call."""

    def __init__(self, n: int) -> None:
        self.first: int | None = n
        self.is_endless = n == 1

    def parts(self, before: int) -> TicketParts:
        """Return the tickets of the calls up to a later hit, which has the last ticket."""
        passing = self.call_of(1) - 1
        if passing < _MAX_SINGLE_CALLS:
            return [
                iter(
                    (*itertools.repeat(True, passing), False) * (_MAX_SINGLE_CALLS // (passing + 1))
                )
            ]
        return [*map(itertools.repeat, (True, False) * _HITS_AHEAD, (passing, 1) * _HITS_AHEAD)]

    def is_hit(self, call: int) -> bool:
        """Return whether a call is hit."""
        return not call % self.call_of(1)

    def hits(self, calls: int) -> int:
        """Return how many of the first ``calls`` calls are hit."""
        return calls // self.call_of(1)

    def call_of(self, hit: int) -> int:
        """Return the number of the call that is the n-th hit."""
        return hit * (self.first or 1)


class Random:
    """Calls that a seeded random number generator selects.

    Thread safety: every method, from any thread.
    """

    def __init__(self, p: float, seed: int | str) -> None:
        self._p = p
        self._seed = seed
        self._rewind()

    def _rewind(self) -> None:
        # The numbers of the hits drawn so far.
        self._draw = random.Random(self._seed).random
        self._drawn_hits = array("Q")

    def __getstate__(self) -> tuple[float, int | str]:
        return self._p, self._seed

    def __setstate__(self, state: tuple[float, int | str]) -> None:
        self._p, self._seed = state
        self._rewind()

    @property
    def first(self) -> int | None:
        """The number of the first call that is hit; None if no call is."""
        first = self.call_of(1)
        return first if first < ENDLESS else None

    @property
    def is_endless(self) -> bool:
        """Whether every call from the first hit on is hit."""
        return self._p == 1

    def _draw_next(self) -> None:
        """Draw the next call that is hit.

        Draws the distance to the next hit from the geometric distribution, instead of
        drawing once for each call.
        """
        last = self._drawn_hits[-1] if self._drawn_hits else 0
        match self._p:
            case 0.0:
                gap = ENDLESS
            case 1.0:
                gap = 1
            case p:
                gap = 1 + int(min(math.log1p(-self._draw()) / math.log1p(-p), ENDLESS))
        self._drawn_hits.append(min(last + gap, ENDLESS))

    def parts(self, before: int) -> TicketParts:
        """Return the tickets of the calls up to a later hit, which has the last ticket."""
        hit = self.hits(before) + 1
        parts: TicketParts = []
        for call in map(self.call_of, range(hit, hit + _HITS_AHEAD)):
            parts += itertools.repeat(True, call - before - 1), itertools.repeat(False, 1)
            if call == ENDLESS:
                break
            before = call
        return parts

    def is_hit(self, call: int) -> bool:
        """Return whether a call is hit."""
        return self.hits(call) > self.hits(call - 1)

    def hits(self, calls: int) -> int:
        """Return how many of the first ``calls`` calls are hit."""
        with fork_safe_lock(self):
            while not self._drawn_hits or self._drawn_hits[-1] <= calls:
                self._draw_next()
            return bisect.bisect_right(self._drawn_hits, calls)

    def call_of(self, hit: int) -> int:
        """Return the number of the call that is the n-th hit."""
        with fork_safe_lock(self):
            while len(self._drawn_hits) < hit:
                self._draw_next()
            return int(self._drawn_hits[hit - 1])
