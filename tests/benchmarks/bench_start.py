"""What it costs to start a worker and wait for its end, by start method.

    python -m tests.benchmarks.bench_start

The worker is a local closure that captures a lock and a queue.  The start
methods take turns, so that what the machine does meanwhile hits all of them.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from typing import Any

from itf.workers.base import WorkerContext
from itf.workers.processes import new_process
from itf.workers.shutdown import close_context, processes_of, stop_processes

__all__ = ["measure"]

ROUNDS = 40


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median milliseconds of start and join, by start method."""
    context = multiprocessing.get_context("spawn")
    lock, queue = context.Lock(), context.SimpleQueue()

    def work(number: int) -> None:
        with lock:
            queue.put(number)

    methods = [m for m in ("fork", "forkserver") if m in multiprocessing.get_all_start_methods()]
    times: dict[str, list[float]] = {method: [] for method in methods}
    worker_context = WorkerContext()
    try:
        for number in range(-2, rounds):  # the first rounds start the server, and warm up
            for method in methods:
                worker: Any = new_process(
                    worker_context, work, (number,), name=f"{method}-{number}", start_method=method
                )
                began = time.perf_counter()
                worker.start()
                worker.join(60)
                if number >= 0:
                    times[method].append(1000 * (time.perf_counter() - began))
                if worker.exitcode != 0 or queue.get() != number:
                    raise SystemExit(f"{worker.name} failed: {worker.exception()}")
    finally:
        stop_processes(processes_of(worker_context))
        close_context(worker_context)
        queue.close()
    return {method: statistics.median(values) for method, values in times.items()}


def main() -> None:
    """Print the figures and their ratio."""
    medians = measure()
    for method, milliseconds in medians.items():
        print(f"{method:12} {milliseconds:6.2f} ms")
    if "forkserver" in medians and "fork" in medians:
        print(f"forkserver / fork: {medians['forkserver'] / medians['fork']:.2f} (at most 2)")


if __name__ == "__main__":
    main()
