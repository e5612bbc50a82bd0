"""What a guard costs: each figure beside its rival, in alternation, in one run.

    python -m tests.benchmarks.bench_guard

- A clean test of IntegrationTestCase, guard on, against one of a plain
  `unittest.TestCase`: at most 60 µs more.
- A look around a test against regrtest's `saved_test_environment`, which looks
  for much the same.
- `open()` with tracing on against `open()`: at most 4 µs more.

Figures are medians in microseconds.  They move with the machine; a system call
is what they mostly consist of.
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

# Enough turns for a median that moves by a few hundredths from run to run.
TURNS = 3_001

# Tests of one class follow one another, as in any suite; it is then that one
# test's look after is the next one's look before.
TESTS = 20

# Regrtest's look takes milliseconds.
SLOW_TURNS = 101


class Plain(unittest.TestCase):
    """The rival."""

    def test(self) -> None:
        """Do nothing."""


class Guarded(IntegrationTestCase):
    """With all that a test of itf has, and the guard."""

    def test(self) -> None:
        """Do nothing."""


class Unguarded(Guarded):
    """The same without a guard."""

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
        f"a clean test: plain {plain:.1f}, itf without a guard {unguarded:.1f}, "
        f"guarded {guarded:.1f}"
    )
    print(f"  guarded - plain: {guarded - plain:.1f} µs (at most 60)")
    print(f"  of it the guard: {guarded - unguarded:.1f} µs")
    alone = alternated(TURNS, guarded=lambda: Guarded("test").run(result))["guarded"]
    print(f"  a test that is run by itself, without a suite: {alone:.1f}")


def bench_regrtest() -> None:
    """Look around nothing, as the standard library's own test runner does."""
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
            f"a block: regrtest {figures['regrtest']:.0f}, leak_guard {figures['guard']:.0f}: "
            f"{ratio:.0f} times"
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
    more = statistics.median(b - a for a, b in zip(plain, traced, strict=True))
    print(
        f"open(): {statistics.median(plain):.1f}, traced {statistics.median(traced):.1f}: "
        f"{more:.1f} µs more (at most 4)"
    )


if __name__ == "__main__":
    bench_tests()
    bench_regrtest()
    bench_tracing()
