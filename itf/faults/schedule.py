"""Which calls a plan hits.

A schedule says it in two ways: by the number of a call, and by tickets, values of
iterators that each call takes one of (see `itf.faults.call_counter`).  Both say the
same, whichever thread or process makes a call: it depends on nothing but the
call's number.
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
"""More calls than anybody can make; a few of it still fit into a size."""


# So many hits are laid out at once: what it takes to lay out more is little for each.
_HITS_AHEAD: Final = 64

# So few calls are written out one by one, which takes less than as many runs.
_MAX_SINGLE_CALLS: Final = 1000

TicketParts: TypeAlias = list[Iterator[bool]]


class Schedule(Protocol):
    """Which calls are hit, counted from 1."""

    @property
    def first(self) -> int | None:
        """The first call that is hit, None if none is."""

    @property
    def is_endless(self) -> bool:
        """Whether it hits each call from its first hit on."""

    def parts(self, before: int) -> TicketParts:
        """Return the tickets of the calls after so many, a piece in parts that tell their length.

        What does not go on for ever ends with a hit; the next piece begins there.
        """

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

    def parts(self, before: int) -> TicketParts:
        """Return the tickets of all calls."""
        return [itertools.repeat(not hit, length) for hit, length in self._runs]

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

    def __init__(self, n: int) -> None:
        self.first: int | None = n
        self.is_endless = n == 1

    def parts(self, before: int) -> TicketParts:
        """Return the tickets up to one of the next hits."""
        passing = self.call_of(1) - 1
        if passing < _MAX_SINGLE_CALLS:
            return [
                iter(
                    (*itertools.repeat(True, passing), False) * (_MAX_SINGLE_CALLS // (passing + 1))
                )
            ]
        return [*map(itertools.repeat, (True, False) * _HITS_AHEAD, (passing, 1) * _HITS_AHEAD)]

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
    """Calls that a plans_with_seed generator of random numbers chooses.

    Thread safety: every method, from any thread.
    """

    def __init__(self, p: float, seed: int | str) -> None:
        self._p = p
        self._seed = seed
        self._rewind()

    def _rewind(self) -> None:
        # Which calls are hit, as far as they are drawn.
        self._draw = random.Random(self._seed).random
        self._found = array("Q")

    def __getstate__(self) -> tuple[float, int | str]:
        return self._p, self._seed

    def __setstate__(self, state: tuple[float, int | str]) -> None:
        self._p, self._seed = state
        self._rewind()

    @property
    def first(self) -> int | None:
        """The first call that is hit, None if none is."""
        first = self.call_of(1)
        return first if first < ENDLESS else None

    @property
    def is_endless(self) -> bool:
        """Whether it hits each call from its first hit on."""
        return self._p == 1

    def _draw_next(self) -> None:
        """Draw the next call that is hit, from how long it is until then: not call by call."""
        last = self._found[-1] if self._found else 0
        match self._p:
            case 0.0:
                gap = ENDLESS
            case 1.0:
                gap = 1
            case p:
                gap = 1 + int(min(math.log1p(-self._draw()) / math.log1p(-p), ENDLESS))
        self._found.append(min(last + gap, ENDLESS))

    def parts(self, before: int) -> TicketParts:
        """Return the tickets up to one of the next hits."""
        hit = self.hits(before) + 1
        parts: TicketParts = []
        for call in map(self.call_of, range(hit, hit + _HITS_AHEAD)):
            parts += itertools.repeat(True, call - before - 1), itertools.repeat(False, 1)
            if call == ENDLESS:
                break
            before = call
        return parts

    def is_hit(self, call: int) -> bool:
        """Say whether a call is hit."""
        return self.hits(call) > self.hits(call - 1)

    def hits(self, calls: int) -> int:
        """Return how many of so many calls are hit."""
        with fork_safe_lock(self):
            while not self._found or self._found[-1] <= calls:
                self._draw_next()
            return bisect.bisect_right(self._found, calls)

    def call_of(self, hit: int) -> int:
        """Return which call is the n-th that is hit."""
        with fork_safe_lock(self):
            while len(self._found) < hit:
                self._draw_next()
            return int(self._found[hit - 1])
