"""What a garbage check costs a clean test, against a plain collection of the same heap.

    python -m tests.benchmarks.bench_garbage

Both take turns within one run, on a heap of some 200,000 objects, so that what
slows the machine down slows both.  Figures are medians; below one millisecond
a test is what is promised.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

from itf.leaks.gc_check import GarbageCheck
from itf.leaks.growth.growth_check import assert_no_growth

OBJECTS = 200_000
TURNS = 101

# So many times for each plain collection, which takes so much longer.
CHECKS = 20


class Node:
    """An object with attributes, which is two for the collector, or one."""

    def __init__(self, before: Node | None) -> None:
        self.links = [before]


def cost(function: Callable[[], object]) -> int:
    """Return the nanoseconds that one call takes."""
    start = time.perf_counter_ns()
    function()
    return time.perf_counter_ns() - start


def clean() -> None:
    """Make and drop what a small test makes and drops, a circle too."""
    node = Node(None)
    node.links.append(node)
    [Node(node) for _ in range(50)]


def heap(count: int) -> list[object]:
    """Make a heap of at least so many objects that the collector looks at."""
    kept: list[object] = []
    node = None
    while len(gc.get_objects()) < count:
        for _ in range(1000):
            node = Node(node)
            kept.append(node)
    return kept


def measure_check() -> None:
    """Print what begin() and end() cost together, and a plain collection instead of them."""
    check = GarbageCheck()
    check.begin()
    check.end()  # the first of a class collects all that was there before
    pairs: list[int] = []
    plain: list[int] = []
    for _ in range(TURNS):
        for _ in range(CHECKS):
            check.begin()
            clean()
            pairs.append(cost(check.end))
            start = time.perf_counter_ns()
            check.begin()
            pairs[-1] += time.perf_counter_ns() - start
            check.end()
        check.close()
        plain.append(cost(gc.collect))
        check.begin()
        check.end()
    check.close()
    checked, collected = statistics.median(pairs), statistics.median(plain)
    print(
        f"begin + end {checked / 1000:8.1f} us a test (worst of {len(pairs)}: "
        f"{max(pairs) / 1000:.1f}), gc.collect() {collected / 1000:8.1f} us: "
        f"{collected / checked:.0f} times as much"
    )


def measure_class() -> None:
    """Print what a class costs beside its tests: a collection at its first, one at its end."""
    classes: list[int] = []
    plain: list[int] = []
    for _ in range(TURNS // 5):
        check = GarbageCheck()

        def run_class(check: GarbageCheck = check) -> None:
            check.begin()
            check.end()
            check.close()

        classes.append(cost(run_class))
        plain.append(cost(gc.collect))
    ratio = statistics.median(classes) / statistics.median(plain)
    print(
        f"a class     {statistics.median(classes) / 1000:8.1f} us, "
        f"gc.collect() {statistics.median(plain) / 1000:8.1f} us: ratio {ratio:.2f}"
    )


def measure_growth() -> None:
    """Print what assert_no_growth costs on a clean function, and as many plain collections."""
    rounds, warmup = 20, 5
    checked: list[int] = []
    plain: list[int] = []
    for _ in range(TURNS // 10):
        checked.append(cost(lambda: assert_no_growth(clean, rounds, warmup=warmup)))
        plain.append(cost(lambda: [(clean(), gc.collect()) for _ in range(warmup + rounds)]))
    ratio = statistics.median(checked) / statistics.median(plain)
    print(
        f"assert_no_growth, {rounds} rounds {statistics.median(checked) / 1e6:.0f} ms, "
        f"{warmup + rounds} times gc.collect() {statistics.median(plain) / 1e6:.0f} ms: "
        f"ratio {ratio:.2f}"
    )


def main() -> None:
    kept = heap(OBJECTS)
    print(f"{len(gc.get_objects()):,} objects")
    measure_check()
    measure_class()
    measure_growth()
    del kept


if __name__ == "__main__":
    main()
