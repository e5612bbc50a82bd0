"""What the shared primitives cost against multiprocessing's, which do not survive a kill.

Run ``python -m tests.benchmarks.bench_workers``.  Each figure is the median of
several runs, taken in turns with multiprocessing's.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf.workers import lock_handle
from itf.workers.lock import SharedLock
from itf.workers.roster import Roster
from itf.workers.shared_counter import SharedCounter
from itf.workers.shared_event import SharedEvent
from itf.workers.shared_queue import SharedQueue

RUNS = 7
SMALL = 40_000
LARGE = 200
MEBIBYTE = 1 << 20

context = multiprocessing.get_context("fork")


def put_all(queue: Any, item: Any, count: int) -> None:
    """Put an item many times."""
    for _ in range(count):
        queue.put(item)


def rate(queue: Any, item: Any, count: int) -> float:
    """Return how many items a second come through a queue from another process."""
    start = time.perf_counter()
    worker = context.Process(target=put_all, args=(queue, item, count))
    worker.start()
    for _ in range(count):
        queue.get(timeout=60)
    seconds = time.perf_counter() - start
    worker.join()
    return count / seconds


def speed(statement: str, lock: Any, count: int = 100_000) -> float:
    """Return how often a second a statement runs."""
    return count / timeit.Timer(statement, globals={"lock": lock}).timeit(count)


def compare(title: str, unit: str, ours: Callable[[], float], theirs: Callable[[], float]) -> float:
    """Measure both in turns, and print the medians and their ratio."""
    pairs = [(ours(), theirs()) for _ in range(RUNS)]
    own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{title:42} itf {own:12,.0f}  mp {other:12,.0f} {unit:6} ratio {own / other:5.2f}")
    return own / other


def main() -> None:
    """Print the ratios."""
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; medians of {RUNS}")
    roster = Roster()
    block, listed = os.urandom(MEBIBYTE), [os.urandom(MEBIBYTE)]

    def ours(item: Any, count: int) -> Callable[[], float]:
        return lambda: rate(SharedQueue(roster, "bench"), item, count)

    def theirs(item: Any, count: int) -> Callable[[], float]:
        return lambda: rate(context.Queue(), item, count)

    small = compare("queue, an int", "1/s", ours(7, SMALL), theirs(7, SMALL))
    record = ("Result from 3", {"worker": 3, "seconds": 0.25})
    compare("queue, a tuple with a dict", "1/s", ours(record, SMALL), theirs(record, SMALL))
    large = compare("queue, 1 MiB of bytes", "MiB/s", ours(block, LARGE), theirs(block, LARGE))
    compare("queue, a list with 1 MiB", "MiB/s", ours(listed, LARGE), theirs(listed, LARGE))

    lock, other = SharedLock(roster, "bench"), multiprocessing.get_context("spawn").Lock()
    with_block = compare(
        "lock, `with lock: pass`", "1/s",
        lambda: speed("with lock: pass", lock), lambda: speed("with lock: pass", other),
    )  # fmt: skip
    calls = "lock.acquire(); lock.release()"
    by_calls = compare(
        "lock, acquire() and release()", "1/s",
        lambda: speed(calls, lock), lambda: speed(calls, other),
    )  # fmt: skip

    lock = SharedLock(roster, "bench")
    with mock.patch.object(lock_handle, "_FIRST_REST", 1):
        # As if others used it in between, so that it never favours this thread.
        compare(
            "lock, acquire() and release(), not alone", "1/s",
            lambda: speed(calls, lock), lambda: speed(calls, other),
        )  # fmt: skip

    counter, value = SharedCounter(roster, "bench"), context.Value("q")
    increment = "with lock.get_lock(): lock.value += 1"
    compare(
        "counter, increment against Value", "1/s",
        lambda: speed("lock.increment()", counter, 20_000), lambda: speed(increment, value, 20_000),
    )  # fmt: skip
    event, their_event = SharedEvent(roster, "bench"), context.Event()
    compare(
        "event, set() and clear()", "1/s",
        lambda: speed("lock.set(); lock.clear()", event, 20_000),
        lambda: speed("lock.set(); lock.clear()", their_event, 20_000),
    )  # fmt: skip
    roster.close()
    print()
    print(f"small messages {small:.2f} (>= 0.7, aim 1.0), 1 MiB {large:.2f} (>= 1.5), ", end="")
    print(f"lock {1 / with_block:.2f} times by `with`, {1 / by_calls:.2f} by calls (<= 4)")


if __name__ == "__main__":
    main()
