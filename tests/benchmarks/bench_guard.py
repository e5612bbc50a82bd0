"""Cost of leak detection, as ratios of medians that were measured in alternation in one run.

    python -m tests.benchmarks.bench_guard

- A clean test of IntegrationTestCase with detection, against one of a plain
  `unittest.TestCase`: at most 16 times.
- A `leak_guard` block against regrtest's `saved_test_environment`, which compares
  much the same: at most 1/40.
- `open()` while creations are traced, against `open()`: at most 3 times.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import statistics
import time
import unittest
from collections.abc import Callable

from itf import IntegrationTestCase, leak_guard

# Enough for a median that differs by a few hundredths from run to run.
TURNS = 3_001

# Tests in one suite, as in any test run.
TESTS = 20

# Bounds of the three ratios.
MOST_PER_TEST = 16
LEAST_AGAINST_REGRTEST = 40
MOST_PER_OPEN = 3

# Fewer, because regrtest's comparison takes milliseconds.
SLOW_TURNS = 101


class Plain(unittest.TestCase):
    """A plain test."""

    def test(self) -> None:
        """Do nothing."""


class Guarded(IntegrationTestCase):
    """A test of itf with leak detection."""

    def test(self) -> None:
        """Do nothing."""


class Unguarded(Guarded):
    """A test of itf without leak detection."""

    leak_policy = "off"


def alternated(turns: int, **functions: Callable[[], object]) -> dict[str, float]:
    """Return the median microseconds of each, all of them in turn."""
    times: dict[str, list[int]] = {name: [] for name in functions}
    for _ in range(turns):
        for name, function in functions.items():
            start = time.perf_counter_ns()
            function()
            times[name].append(time.perf_counter_ns() - start)
    return {name: statistics.median(taken) / 1_000 for name, taken in times.items()}


def bench_tests() -> None:
    """Run tests that do nothing, a class of twenty at a time, as a suite does."""
    result = unittest.TestResult()

    def suite(case: type[unittest.TestCase]) -> Callable[[], object]:
        return lambda: unittest.TestSuite([case("test") for _ in range(TESTS)]).run(result)

    figures = alternated(
        TURNS // TESTS, plain=suite(Plain), unguarded=suite(Unguarded), guarded=suite(Guarded)
    )
    plain, unguarded, guarded = (figures[key] / TESTS for key in ("plain", "unguarded", "guarded"))
    print(
        f"a clean test: {guarded / plain:.1f} times a plain one (at most {MOST_PER_TEST}); "
        f"{unguarded / plain:.1f} times without detection"
    )
    print(f"  plain {plain:.1f} µs, without detection {unguarded:.1f}, with {guarded:.1f}")


def bench_regrtest() -> None:
    """Compare an empty block, as the standard library's own test runner does."""
    with contextlib.suppress(ImportError):
        module = importlib.import_module("test.libregrtest.save_env")
        saved = module.saved_test_environment

        def look() -> None:
            with saved("nothing", False, True, pgo=False):
                """Nothing."""

        def guard() -> None:
            with leak_guard("nothing"):
                """Nothing."""

        figures = alternated(SLOW_TURNS, regrtest=look, guard=guard)
        ratio = figures["regrtest"] / figures["guard"]
        print(
            f"a block: {ratio:.0f} times cheaper than regrtest's "
            f"(at least {LEAST_AGAINST_REGRTEST}); {figures['guard']:.0f} µs"
        )


def bench_tracing() -> None:
    """Open and close a file, with tracing and without."""

    def opening() -> None:
        with open(os.devnull, "rb", 0):
            """Nothing."""

    plain: list[float] = []
    traced: list[float] = []
    # Tracing is switched on and off in turn; what that costs is not measured.
    for _ in range(21):
        plain.append(alternated(200, opening=opening)["opening"])
        with leak_guard(trace=True):
            traced.append(alternated(200, opening=opening)["opening"])
    ratio = statistics.median(b / a for a, b in zip(plain, traced, strict=True))
    print(f"open(): {ratio:.1f} times as long while traced (at most {MOST_PER_OPEN})")


if __name__ == "__main__":
    bench_tests()
    bench_regrtest()
    bench_tracing()
