"""Cost of a test that is a coroutine, of virtual time and of a shuffled order.

    python -m tests.benchmarks.bench_async [TURNS]

Tests of itf and of unittest's `IsolatedAsyncioTestCase` run in turns in one process,
so that other work on the machine slows both. Figures are medians of the CPU time. An
unguarded test has ``leak_policy = "off"``. The exit status is 1 if an empty test is
not as much cheaper than an empty `IsolatedAsyncioTestCase` as `BOUNDS` says.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
import unittest
from collections.abc import Callable

from itf import AsyncIntegrationTestCase, IntegrationTestCase, async_test_runner

# With 201 turns, the ratios of two runs differ by a few hundredths.
TURNS = int(sys.argv[1]) if len(sys.argv) > 1 else 201

# Number of tests in each class.
CLASS = 20

SLEEPS = 1_000
TASKS = 10_000


class Empty(AsyncIntegrationTestCase):
    async def test(self) -> None:
        return


class Unguarded(Empty):
    leak_policy = "off"


class EmptyIsolated(unittest.IsolatedAsyncioTestCase):
    async def test(self) -> None:
        return


class WithSteps(AsyncIntegrationTestCase):
    async def asyncSetUp(self) -> None:
        self.addAsyncCleanup(asyncio.sleep, 0)

    async def asyncTearDown(self) -> None:
        await asyncio.sleep(0)

    async def test(self) -> None:
        await asyncio.gather(*[asyncio.sleep(0) for _ in range(10)])


class WithStepsUnguarded(WithSteps):
    leak_policy = "off"


class WithStepsIsolated(unittest.IsolatedAsyncioTestCase):
    asyncSetUp = WithSteps.asyncSetUp  # type: ignore[assignment]
    asyncTearDown = WithSteps.asyncTearDown  # type: ignore[assignment]
    test = WithSteps.test


class Plain(IntegrationTestCase):
    def test(self) -> None:
        return


# How many times as long an empty IsolatedAsyncioTestCase takes, at least.
BOUNDS = {Unguarded: 3.0, Empty: 2.0}


def cost(kind: type[unittest.TestCase]) -> int:
    """Return the nanoseconds of CPU time per test in a class, its set-up and end included."""
    suite = unittest.TestSuite([kind("test") for _ in range(CLASS)])
    result = unittest.TestResult()
    start = time.process_time_ns()
    suite.run(result)
    passed = time.process_time_ns() - start
    if not result.wasSuccessful() or result.testsRun != CLASS:
        raise RuntimeError(result.failures + result.errors)
    return passed // CLASS


def compare(title: str, *kinds: type[unittest.TestCase]) -> bool:
    """Measure classes in turns; print the medians and their ratios to the last class.

    Returns:
        Whether all ratios are within `BOUNDS`.
    """
    for kind in kinds:
        cost(kind)
    turns = [[cost(kind) for kind in kinds] for _ in range(TURNS)]
    medians = [statistics.median(column) / 1000 for column in zip(*turns, strict=True)]
    print(f"{title}:")
    within = True
    for kind, median in zip(kinds, medians, strict=True):
        ratio, bound = medians[-1] / median, BOUNDS.get(kind, 0.0)
        within = within and ratio >= bound
        note = f" (at least {bound:g})" if bound else ""
        print(f"  {kind.__name__:18} {median:8.1f} us a test, {ratio:5.2f} times cheaper{note}")
    return within


def seconds(function: Callable[[], object]) -> float:
    """Return the seconds that a function takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


async def many_sleeps() -> None:
    """Sleep for a thousand hours, one after the other."""
    for _ in range(SLEEPS):
        await asyncio.sleep(3600)


async def many_tasks() -> None:
    """Run many tasks for two rounds each."""
    await asyncio.gather(*[asyncio.sleep(0) for _ in range(TASKS)])


def main() -> int:
    print(f"Python {sys.version.partition(' ')[0]}")
    gc.collect()
    within = compare("an empty test", Unguarded, Empty, Plain, EmptyIsolated)
    compare(
        "set-up, tear-down, a cleanup and ten tasks",
        WithStepsUnguarded,
        WithSteps,
        WithStepsIsolated,
    )
    with async_test_runner(virtual_time=True) as runner:
        taken = seconds(lambda: runner.run(many_sleeps()))
        print(f"{SLEEPS} times sleep(3600) in virtual time: {taken * 1000:.1f} ms")
    with async_test_runner() as plain, async_test_runner(shuffle_seed=1) as shuffled:
        pairs = [
            (seconds(lambda: plain.run(many_tasks())), seconds(lambda: shuffled.run(many_tasks())))
            for _ in range(11)
        ]
        first, mixed = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{TASKS} tasks: in order {first * 1000:.1f} ms, shuffled {mixed * 1000:.1f} ms: "
            f"ratio {mixed / first:.2f}"
        )
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
