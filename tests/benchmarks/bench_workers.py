"""What the shared primitives cost against multiprocessing's, which do not survive a kill.

Run ``python -m tests.benchmarks.bench_workers``.  Each figure is the median of
several runs, in alternation with multiprocessing's.  The last lines say which
ratios have a bound.
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

from itf.sync.counter import SharedCounter
from itf.sync.event import SharedEvent
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from itf.sync.queue import SharedQueue

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


# A use of a lock takes less than a microsecond.  Runs of a millisecond are seldom
# interrupted on a busy machine, and the median of many leaves out those that are.
LOCK_USES = 1000
LOCK_RUNS = 301


def speed(statement: str, lock: Any, count: int) -> float:
    """Return how often a second a statement runs."""
    return count / timeit.Timer(statement, globals={"lock": lock}).timeit(count)


def compare(
    title: str,
    unit: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    runs: int = RUNS,
) -> float:
    """Measure both in alternation, and print the medians and their ratio."""
    pairs = [(ours(), theirs()) for _ in range(runs)]
    own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{title:42} itf {own:12,.0f}  mp {other:12,.0f} {unit:6} ratio {own / other:5.2f}")
    return own / other


def compare_locks(table: MemberTable, statement: str) -> float:
    """Compare a statement that uses a lock."""
    ours, theirs = SharedLock(table, "bench"), multiprocessing.get_context("spawn").Lock()
    return compare(
        f"lock, `{statement}`", "1/s",
        lambda: speed(statement, ours, LOCK_USES),
        lambda: speed(statement, theirs, LOCK_USES),
        LOCK_RUNS,
    )  # fmt: skip


def main() -> None:
    """Print the ratios."""
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; medians of {RUNS}")
    table = MemberTable()
    block, listed = os.urandom(MEBIBYTE), [os.urandom(MEBIBYTE)]

    def ours(item: Any, count: int) -> Callable[[], float]:
        return lambda: rate(SharedQueue(table, "bench"), item, count)

    def theirs(item: Any, count: int) -> Callable[[], float]:
        return lambda: rate(context.Queue(), item, count)

    small = compare("queue, an int", "1/s", ours(7, SMALL), theirs(7, SMALL))
    record = ("Result from 3", {"worker": 3, "seconds": 0.25})
    compare("queue, a tuple with a dict", "1/s", ours(record, SMALL), theirs(record, SMALL))
    large = compare("queue, 1 MiB of bytes", "MiB/s", ours(block, LARGE), theirs(block, LARGE))
    compare("queue, a list with 1 MiB", "MiB/s", ours(listed, LARGE), theirs(listed, LARGE))

    with_block = compare_locks(table, "with lock: pass")
    by_calls = compare_locks(table, "lock.acquire(); lock.release()")
    counter, value = SharedCounter(table, "bench"), context.Value("q")
    increment = "with lock.get_lock(): lock.value += 1"
    compare(
        "counter, increment against Value", "1/s",
        lambda: speed("lock.increment()", counter, 20_000), lambda: speed(increment, value, 20_000),
    )  # fmt: skip
    event, their_event = SharedEvent(table, "bench"), context.Event()
    compare(
        "event, set() and clear()", "1/s",
        lambda: speed("lock.set(); lock.clear()", event, 20_000),
        lambda: speed("lock.set(); lock.clear()", their_event, 20_000),
    )  # fmt: skip
    table.close()
    print()
    print(f"small messages {small:.2f} (at least 0.7, aim 1.0), 1 MiB {large:.2f} (at least 1.5)")
    print(f"a lock's `with` takes {1 / with_block:.2f} times as long as theirs (at most 3),")
    print(f"its acquire() and release() {1 / by_calls:.2f} times (at most 10)")


if __name__ == "__main__":
    main()
