"""Priorities and preemptions of a run, derived from a seed (PCT), and the series of seeds."""

from __future__ import annotations

import random
from collections import deque
from typing import Final

__all__ = ["PctStrategy", "Seeds"]

__unittest = True

# A seed modulo this number encodes the expected length of the run: 2 ** (remainder / 2)
# steps, so at most about 3e9.  A replay then needs the seed alone.
_LENGTH_CLASSES: Final = 64

# Numbers of priority changes of a run, drawn with equal probability.  Most faults need one
# change, fewer need two, hence the repeated 1.
_CHANGE_COUNTS: Final = (1, 1, 2, 3, 5)

# Share of the runs that are random walks.
_WALK_SHARE: Final = 1 / 3
# Mean number of steps between two priority changes of a random walk.
_WALK_MEAN_STEPS: Final = 3

# Most steps between two priority changes in any run.  A thread that polls in a loop for
# another thread must be preempted, or the run would not end.
_MAX_STEPS_BETWEEN_CHANGES: Final = 10_000

# Number of latest runs from which the length of the next run is estimated.
_RUNS_REMEMBERED: Final = 8


class PctStrategy:
    """Probabilistic concurrency testing (PCT): the random decisions of one run.

    Each thread gets a random priority, and the ready thread with the highest priority
    runs.  At a few random steps, the priority change points, the running thread gets
    the lowest priority.  A fault that needs d - 1 changes at the right steps of n,
    among t threads, is found with a probability of at least 1 / (t * n ** (d - 1)).
    A schedule with few changes is also easy to read.

    A run that is longer than its seed expects gets further changes, about one
    expected length apart.

    One run in three is a random walk instead, with a change every few steps.  A random
    walk needs fewer runs for faults that show in many orders, such as two locks that
    are acquired in opposite orders.  It hardly ever finds a fault that shows in one order
    of thousands.  `tests/benchmarks/bench_interleave.py` measures both.

    Source: Burckhardt et al., A Randomized Scheduler with Probabilistic Guarantees of
    Finding Bugs, ASPLOS 2010.

    Args:
        seed: Determines all decisions, and the expected length of the run.
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
        """Return a priority lower than all that were returned before."""
        self._lowest -= 1.0
        return self._lowest

    def next_change(self, step: int) -> int:
        """Return the step of the next priority change.

        Args:
            step: The step of the last change; 0 before the first.
        """
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
    """The seeds of a series of runs; each encodes the length of the latest runs.

    Args:
        first: The seed of the first run.
    """

    def __init__(self, first: int) -> None:
        self._seed = first
        self._lengths: deque[int] = deque(maxlen=_RUNS_REMEMBERED)

    @property
    def seed(self) -> int:
        """The seed of the next run."""
        return self._seed

    def advance(self, steps: int) -> None:
        """Change to the next seed, after a run with this number of steps."""
        self._lengths.append(max(steps, 1))
        # The shortest of the latest runs: polling loops make a run longer than its
        # interesting part.  bit_length(n * n) is about 2 * log2(n), the
        # remainder that encodes the length n.
        shortest = min(self._lengths)
        halves = min((shortest * shortest).bit_length(), _LENGTH_CLASSES - 1)
        self._seed += 1 + (halves - self._seed - 1) % _LENGTH_CLASSES
