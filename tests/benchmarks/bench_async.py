"""What a test costs that is a coroutine, and what virtual time and shuffling do.

    python -m tests.benchmarks.bench_async

A class of tests of itf and one of unittest's `IsolatedAsyncioTestCase` take turns
within one run, so that what slows the machine down slows both.  Figures are medians
of the time that the processor was at work, for the machine may have other work as
well.  What is unguarded has ``leak_policy = "off"``.
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

# Enough turns for a ratio that moves by a few hundredths from run to run.
TURNS = 201

# As many tests as a class may have.
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


def cost(kind: type[unittest.TestCase]) -> int:
    """Return the nanoseconds that a test takes in a class of some, its own end included."""
    suite = unittest.TestSuite([kind("test") for _ in range(CLASS)])
    result = unittest.TestResult()
    start = time.process_time_ns()
    suite.run(result)
    passed = time.process_time_ns() - start
    if not result.wasSuccessful() or result.testsRun != CLASS:
        raise RuntimeError(result.failures + result.errors)
    return passed // CLASS


def compare(title: str, *kinds: type[unittest.TestCase]) -> None:
    """Measure tests in turns, and print their medians and how much cheaper than the last one."""
    for kind in kinds:
        cost(kind)
    turns = [[cost(kind) for kind in kinds] for _ in range(TURNS)]
    medians = [statistics.median(column) / 1000 for column in zip(*turns, strict=True)]
    print(f"{title}:")
    for kind, median in zip(kinds, medians, strict=True):
        print(f"  {kind.__name__:18} {median:8.1f} us a test, {medians[-1] / median:5.2f} times")


def seconds(function: Callable[[], object]) -> float:
    """Return how long a function takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


async def sleep_on() -> None:
    """Sleep a thousand hours, one by one."""
    for _ in range(SLEEPS):
        await asyncio.sleep(3600)


async def hand_on() -> None:
    """Let many tasks take turns."""
    await asyncio.gather(*[asyncio.sleep(0) for _ in range(TASKS)])


def main() -> None:
    print(f"Python {sys.version.partition(' ')[0]}")
    gc.collect()
    compare("an empty test", Unguarded, Empty, Plain, EmptyIsolated)
    compare(
        "set-up, tear-down, a cleanup and ten tasks",
        WithStepsUnguarded,
        WithSteps,
        WithStepsIsolated,
    )
    with async_test_runner(virtual_time=True) as runner:
        taken = seconds(lambda: runner.run(sleep_on()))
        print(f"{SLEEPS} times sleep(3600) in virtual time: {taken * 1000:.1f} ms")
    with async_test_runner() as plain, async_test_runner(shuffle_seed=1) as shuffled:
        pairs = [
            (seconds(lambda: plain.run(hand_on())), seconds(lambda: shuffled.run(hand_on())))
            for _ in range(11)
        ]
        first, mixed = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{TASKS} tasks: in order {first * 1000:.1f} ms, shuffled {mixed * 1000:.1f} ms: "
            f"ratio {mixed / first:.2f}"
        )


if __name__ == "__main__":
    main()
