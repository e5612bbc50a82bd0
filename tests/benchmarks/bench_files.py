"""How fast large files are written, how much memory that takes, and how parsing them grows.

Usage, from the top of the tree: python -m tests.benchmarks.bench_files
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable

from itf import test_file_generator
from itf.fixtures.mock_tree import build_tree

_MIB = 1024 * 1024
_ROUNDS = 5


def _seconds(function: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def large_files() -> None:
    """Print speed and peak memory for two sizes: the memory is the same for both."""
    with test_file_generator() as files:
        for size in (8, 64):
            seconds = _seconds(lambda size=size: files.create_large_file("large", size))  # type: ignore[misc]
            tracemalloc.start()
            files.create_large_file("large", size)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            print(f"{size:3} MiB: {size / seconds:6.0f} MiB/s, peak {peak / _MIB:.2f} MiB")


def parsing() -> None:
    """Print how a tree's time grows with its source: twice the lines, about twice the time."""
    for language, unit in (
        ("python", b"def function(a):\n    return a\n"),
        ("c", b"long function(long a)\n{\n}\nint a b c d e f g;\n"),
    ):
        lines = unit.count(b"\n")
        half, whole = (
            _seconds(lambda n=n: build_tree(unit * (n // lines), language))  # type: ignore[misc]  # noqa: B023
            for n in (100_000, 200_000)
        )
        print(f"{language}: 200,000 lines in {whole:.3f} s, {whole / half:.2f} times 100,000")
        # One line, for which a pattern that backtracks would take for ever.
        half, whole = (
            _seconds(lambda n=n: build_tree(b"int " + b"a " * n, language))  # type: ignore[misc]  # noqa: B023
            for n in (100_000, 200_000)
        )
        print(f"{language}: a line of 400 kB in {whole:.3f} s, {whole / half:.2f} times half of it")


if __name__ == "__main__":
    large_files()
    parsing()
