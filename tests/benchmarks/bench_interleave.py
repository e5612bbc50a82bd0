"""Number of runs that `interleave` needs to find a fault, and the time of a run.

    python -m tests.benchmarks.bench_interleave

Three strategies are compared on the same faults:

- `interleave` as it is: random priorities with few changes, and a random walk in one
  run of three;
- a random walk in each run: a priority change at 3 in 10 steps;
- plain threads that start at a barrier, with ``sys.setswitchinterval(1e-6)``.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

from itf import InterleavingError, interleave
from itf.interleaving import interleaving
from itf.interleaving.pct_strategy import PctStrategy

__all__ = ["main"]

SEARCHES = 20
MOST_RUNS = 5_000

# Number of runs of each fault with plain threads, in each of the searches.
PLAIN_RUNS = 100

# Seconds after which a run with plain threads counts as a deadlock.
PLAIN_TIMEOUT = 0.5


class RandomWalk(PctStrategy):
    """A strategy with a priority change at 3 in 10 steps."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._walk = random.Random(seed)

    def next_change(self, step: int) -> int:
        step += 1
        while self._walk.random() > 0.3:
            step += 1
        return step


class Fault(NamedTuple):
    """A program with a concurrency fault."""

    functions: tuple[Callable[[], object], ...]
    setup: Callable[[], object]
    check: Callable[[], bool]


def lost_update() -> Fault:
    """Return two increments of one attribute."""
    state: Any = type("State", (), {"value": 0})()

    def add() -> None:
        state.value += 1

    return Fault((add, add), lambda: setattr(state, "value", 0), lambda: state.value == 2)


def crossed_locks() -> Fault:
    """Return two functions that acquire two locks in opposite orders, after some work."""
    first, second = threading.Lock(), threading.Lock()
    done: list[int] = []

    def forwards() -> None:
        for number in range(10):
            done.append(number)
        with first, second:
            done.append(0)

    def backwards() -> None:
        for number in range(10):
            done.append(number)
        with second, first:
            done.append(0)

    return Fault((forwards, backwards), done.clear, lambda: True)


def short_window() -> Fault:
    """Return a thread that sets a flag for one instruction, after long work, and a reader."""
    state = {"up": False, "seen": False}

    def raise_flag() -> None:
        for _ in range(60):
            state["up"] = False
        state["up"] = True
        state["up"] = False

    def read() -> None:
        state["seen"] = state["up"]

    return Fault(
        (raise_flag, read), lambda: state.update(up=False, seen=False), lambda: not state["seen"]
    )


def runs_until_found(fault: Fault, seed: int, strategy: type[PctStrategy]) -> tuple[int, float]:
    """Return the number of runs until the fault was found, and the seconds of one run."""
    start = time.perf_counter()
    runs = MOST_RUNS
    with mock.patch.object(interleaving, "PctStrategy", strategy):
        try:
            interleave(*fault.functions, setup=fault.setup, check=fault.check, runs=runs, seed=seed)
        except InterleavingError as error:
            runs = error.run
    return runs, (time.perf_counter() - start) / runs


def plain_threads_find(fault: Fault) -> int:
    """Return in how many of the plain runs the fault showed; a deadlock ends the count."""
    found = 0
    for _ in range(PLAIN_RUNS):
        fault.setup()
        barrier = threading.Barrier(len(fault.functions))

        def run(function: Callable[[], object], barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            function()

        threads = [
            threading.Thread(target=run, args=(function,), daemon=True)
            for function in fault.functions
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PLAIN_TIMEOUT)
        if any(thread.is_alive() for thread in threads):
            return found + 1  # the threads hold the locks, so no further run is possible
        found += not fault.check()
    return found


def main() -> None:
    """Print the figures."""
    seeds = random.Random(1)
    before = sys.getswitchinterval()
    for make in (lost_update, crossed_locks, short_window):
        ours, walks, plain, costs = [], [], 0, []
        for _ in range(SEARCHES):
            seed = seeds.randrange(10**9)
            found, cost = runs_until_found(make(), seed, PctStrategy)
            ours.append(found)
            costs.append(cost)
            walks.append(runs_until_found(make(), seed, RandomWalk)[0])
            sys.setswitchinterval(1e-6)
            try:
                plain += plain_threads_find(make())
            finally:
                sys.setswitchinterval(before)
        print(
            f"{make.__name__:14} interleave: median {statistics.median(ours):6.1f} schedules, "
            f"at most {max(ours):4} ({statistics.median(costs) * 1000:.2f} ms each); "
            f"random walk: median {statistics.median(walks):6.1f}, at most {max(walks):4}; "
            f"plain threads: {plain} of {SEARCHES * PLAIN_RUNS}"
        )


if __name__ == "__main__":
    main()
