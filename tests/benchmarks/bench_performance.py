"""What `measure` costs against the shortest context manager that one would write.

    python -m tests.benchmarks.bench_performance

The rival is a `contextlib.contextmanager` that appends what it has measured to
a list, and so grows by a list's entry and an int each time.  Both take turns
within one run; figures are medians, and so are the ratios of each turn.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager

from itf import performance_monitor, thread_safe_counter
from itf.fixtures.performance import PerformanceMonitor

TURNS = 15
SAMPLES = 80_000
THREADS = 8
MILLION = 1_000_000

Loop = Callable[[int], object]


def rival_loop(samples: list[int]) -> Loop:
    """Return the loop with the rival."""

    @contextmanager
    def measure(operation: str) -> Generator[None]:
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            samples.append(time.perf_counter_ns() - start)

    def loop(count: int) -> None:
        samples.clear()
        for _ in range(count):
            with measure("operation"):
                pass

    return loop


def own_loop(monitor: PerformanceMonitor) -> Loop:
    """Return the loop with ours."""

    def loop(count: int) -> None:
        for _ in range(count):
            with monitor.measure("operation"):
                pass

    return loop


def cost(loop: Loop, threads: int = 1) -> float:
    """Return the ns of a sample, with so many threads that take the samples between them."""
    barrier = threading.Barrier(threads + 1)

    def work() -> None:
        barrier.wait()
        loop(SAMPLES // threads)
        barrier.wait()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    start = time.perf_counter_ns()
    barrier.wait()
    took = time.perf_counter_ns() - start
    for worker in workers:
        worker.join()
    return took / SAMPLES


def grown(monitor: PerformanceMonitor) -> int:
    """Return by how many bytes a million samples make a monitor grow that has had some before."""
    loop = own_loop(monitor)
    loop(10_000)
    tracemalloc.start()
    loop(MILLION)
    monitor.get_stats("operation")
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size


def main() -> None:
    """Print the figures."""
    print(f"Python {sys.version.split()[0]}, medians of {TURNS} turns")
    with performance_monitor() as monitor:
        rival, own = rival_loop([]), own_loop(monitor)
        turns = [
            (cost(rival), cost(own), cost(own, THREADS), cost(rival, THREADS)) for _ in range(TURNS)
        ]
        count = monitor.get_stats("operation")["count"]
        if count != 2 * TURNS * SAMPLES:
            raise RuntimeError(f"{count} samples, not {2 * TURNS * SAMPLES}")
    columns = [statistics.median(column) for column in zip(*turns, strict=True)]
    for name, figure in zip(
        ("rival", "measure", f"measure, {THREADS} threads", f"rival, {THREADS} threads"),
        columns,
        strict=True,
    ):
        print(f"{name:28} {figure:8.0f} ns a sample")
    single = statistics.median(own / rival for rival, own, *_ in turns)
    many = statistics.median(threads / own for _, own, threads, _ in turns)
    print(f"{'measure / rival':28} {single:8.2f}   (at most 0.6)")
    print(f"{'8 threads / one':28} {many:8.2f}   (at most 1.2)")
    with performance_monitor() as monitor:
        print(f"{'a million samples more':28} {grown(monitor):8,} bytes")
    print_counters()


class PlainCounter:
    """The rival: what one writes with a `threading.Lock`."""

    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()

    def increment(self, amount: int = 1) -> int:
        """Add to the value, and return the new one."""
        with self.lock:
            self.value += amount
            return self.value


class ProcessCounter:
    """The rival of the shared one: `multiprocessing.Value`, which does not survive a kill."""

    def __init__(self) -> None:
        self.shared = multiprocessing.get_context("spawn").Value("q")

    def increment(self, amount: int = 1) -> int:
        """Add to the value, and return the new one."""
        with self.shared.get_lock():
            self.shared.value += amount
            return int(self.shared.value)


def counting(increment: Callable[[], int]) -> Loop:
    """Return a loop that counts."""

    def loop(count: int) -> None:
        for _ in range(count):
            increment()

    return loop


def print_counters() -> None:
    """Print what an increment costs against its rival, with one thread and with eight."""
    with thread_safe_counter() as counter, thread_safe_counter(shared=True) as shared:
        for name, ours, theirs in (
            ("counter / Lock", counter.increment, PlainCounter().increment),
            ("shared counter / Value", shared.increment, ProcessCounter().increment),
        ):
            for threads in (1, THREADS):
                pairs = [
                    (cost(counting(theirs), threads), cost(counting(ours), threads))
                    for _ in range(TURNS // 3)
                ]
                rival, own = (statistics.median(column) for column in zip(*pairs, strict=True))
                ratio = statistics.median(own / rival for rival, own in pairs)
                told = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
                print(f"{told:35} {own:6.0f} / {rival:.0f} ns, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
