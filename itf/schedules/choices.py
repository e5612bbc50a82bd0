"""Whose turn it is, by a seed: few changes, placed without a guess of how long a run is."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["Choices"]

__unittest = True

# The first change may come as early as this, so that the few steps at the very
# start, where each order is like another, do not take all the changes.
_FIRST: Final = 4

# However long a run is, a thread that turns in a circle, waiting for another,
# is interrupted after so many steps.
_LONGEST: Final = 10_000


class Choices:
    """The random choices of one run.

    It is the scheduler of Burckhardt et al. (*A Randomized Scheduler with
    Probabilistic Guarantees of Finding Bugs*, ASPLOS 2010): each thread has a
    random priority, the ready one with the highest runs, and at a few random
    steps the one that runs falls below all others.  Most faults need one or two
    such changes, and a run with few of them is one that a person can read.

    There the number of changes and the length of a run are given, and the
    changes are spread evenly.  Here neither is known, and a run must be
    repeated from its seed alone.  So the distance to the next change grows with
    the steps taken: between 100 and 200 of them a change is as likely as
    between 1,000 and 2,000, and a run of n steps has about log n changes.

    Args:
        seed: What all choices follow from.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        # How many changes there are to a factor of e in length; a fault of
        # depth one wants few, one of depth four more.
        self._density = self._random.choice((0.5, 1.0, 2.0))
        self._lowest = 0.0

    def priority(self) -> float:
        """Return the priority of a new thread."""
        return self._random.random()

    def lowest(self) -> float:
        """Return a priority below all that were given so far."""
        self._lowest -= 1.0
        return self._lowest

    def next_change(self, step: int) -> int:
        """Return the step of the next change, given the step of the last (0 at first)."""
        base = max(step, _FIRST)
        grown = base * (self._random.expovariate(1.0) / self._density)
        return step + 1 + min(int(grown), _LONGEST)
