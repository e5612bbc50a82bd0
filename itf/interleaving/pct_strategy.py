"""Whose turn it is, by a seed that says how long the run is, too."""

from __future__ import annotations

import random
from collections import deque
from typing import Final

__all__ = ["PctStrategy", "Seeds"]

__unittest = True

# A seed's remainder by this number says for how long a run it is meant, in
# half octaves: the square root of two to its power, some 3e9 steps at most.
_LENGTH_CLASSES: Final = 64

# How many changes a run has: most faults need one, the next most two.
_CHANGE_COUNTS: Final = (1, 1, 2, 3, 5)

# How many of the runs are random walks, and how many steps there are from one
# of their changes to the next, on average.
_WALK_SHARE: Final = 1 / 3
_WALK_MEAN_STEPS: Final = 3

# However long a run is, a thread that turns in a circle, waiting for another,
# is interrupted after so many steps.
_MAX_STEPS_BETWEEN_CHANGES: Final = 10_000

# So many of the latest runs say how long the next will be.
_RUNS_SEEN: Final = 8


class PctStrategy:
    """The random choices of one run.

    It is the scheduler of Burckhardt et al. (*A Randomized Scheduler with
    Probabilistic Guarantees of Finding Bugs*, ASPLOS 2010): each thread has a
    random priority, the ready one with the highest runs, and at a few steps,
    spread evenly over the run, the one that runs falls below all others.  A
    fault that needs d - 1 changes at the right steps of n, among t threads, is
    found with a probability of at least 1 / (t * n ** (d - 1)).  A run with few
    changes is also one that a person can read.

    A run that is longer than the seed says has further changes, as far apart as
    it should have been long.

    One run in three is a random walk instead, with a change every few steps.  That
    finds in fewer runs what shows in many orders, such as two locks taken
    crosswise, and hardly ever what shows in one order of thousands;
    `tests/benchmarks/bench_interleave.py` measures both.

    Args:
        seed: What all choices follow from.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._length = 2.0 ** (seed % _LENGTH_CLASSES / 2)
        count = self._random.choice(_CHANGE_COUNTS)
        changes = (int(self._random.random() * self._length) + 1 for _ in range(count))
        self._changes = deque(sorted(changes))
        self._is_walk = self._random.random() < _WALK_SHARE
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
        if self._is_walk:
            return step + 1 + int(self._random.expovariate(1 / _WALK_MEAN_STEPS))
        longest = step + _MAX_STEPS_BETWEEN_CHANGES
        while self._changes:
            change = self._changes[0]
            if change > longest:
                return longest
            self._changes.popleft()
            if change > step:
                return change
        return min(step + 1 + int(self._length * (0.5 + self._random.random())), longest)


class Seeds:
    """The seeds of a series of runs, each meant for the length that the latest runs had.

    Args:
        first: The seed of the first run.
    """

    def __init__(self, first: int) -> None:
        self._seed = first
        self._lengths: deque[int] = deque(maxlen=_RUNS_SEEN)

    @property
    def seed(self) -> int:
        """The seed of the next run."""
        return self._seed

    def advance(self, steps: int) -> None:
        """Go on to the next seed, after a run of so many steps."""
        self._lengths.append(max(steps, 1))
        # The shortest, for a run in which a thread waits in a circle is longer
        # for nothing.  The bits of its square count its half octaves.
        shortest = min(self._lengths)
        halves = min((shortest * shortest).bit_length(), _LENGTH_CLASSES - 1)
        self._seed += 1 + (halves - self._seed - 1) % _LENGTH_CLASSES
