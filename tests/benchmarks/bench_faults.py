"""What a fault plan costs a call: against the plain call, and against `unittest.mock`.

    python -m tests.benchmarks.bench_faults

All take turns within one run, a batch of calls at a time, so that what slows
the machine down slows all of them; and time is the thread's own, for a long
batch is interrupted by others more often than a short one.  Figures are
medians of the batches; the ratio says how many times a plain call of the same
kind, or how many times less than the mock beside it.  A coroutine function is
called and awaited, a generator function called and gone through, a context
manager entered and left.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

from itf import FaultPlan, inject_faults

# Enough of each for a median that moves by a few hundredths from run to run.
TURNS = 401
BATCH = 300


def function(value: int) -> int:
    """Do as little as a function can."""
    return value


def any_arguments(*args: int, **names: int) -> object:
    """Take whatever comes."""
    return args


def refuse(value: int) -> int:
    """Raise, as a function that fails does."""
    raise ConnectionError(value)


async def coroutine(value: int) -> int:
    """Do as little as a coroutine can."""
    return value


def generator(value: int) -> Iterator[int]:
    """Yield once."""
    yield value


async def async_generator(value: int) -> AsyncIterator[int]:
    """Yield once."""
    yield value


def calls(call: Callable[[int], object]) -> int:
    """Return the nanoseconds that a batch of calls takes."""
    start = time.thread_time_ns()
    for number in range(BATCH):
        call(number)
    return time.thread_time_ns() - start


def failures(call: Callable[[int], object]) -> int:
    """Return the nanoseconds that a batch of calls takes which raise."""
    start = time.thread_time_ns()
    for number in range(BATCH):
        try:
            call(number)
        except ConnectionError:
            continue
    return time.thread_time_ns() - start


def iterations(call: Callable[[int], Any]) -> int:
    """Return the nanoseconds that a batch of generators takes."""
    start = time.thread_time_ns()
    for number in range(BATCH):
        for _ in call(number):
            pass
    return time.thread_time_ns() - start


def entries(call: Callable[[int], Any]) -> int:
    """Return the nanoseconds that a batch of context managers takes."""
    start = time.thread_time_ns()
    for number in range(BATCH):
        with call(number):
            pass
    return time.thread_time_ns() - start


def awaited(batch: Callable[[Callable[[int], Any]], Any]) -> Callable[[Callable[[int], Any]], int]:
    """Make a batch that is a coroutine one that is called; none of these needs a loop."""

    def run(call: Callable[[int], Any]) -> int:
        start = time.thread_time_ns()
        try:
            batch(call).send(None)
        except StopIteration:
            return time.thread_time_ns() - start
        raise AssertionError("it has waited for something")

    return run


@awaited
async def awaits(call: Callable[[int], Any]) -> None:
    """Await a batch of coroutines."""
    for number in range(BATCH):
        await call(number)


@awaited
async def async_iterations(call: Callable[[int], Any]) -> None:
    """Go through a batch of asynchronous generators."""
    for number in range(BATCH):
        async for _ in call(number):
            pass


@awaited
async def async_entries(call: Callable[[int], Any]) -> None:
    """Enter and leave a batch of asynchronous context managers."""
    for number in range(BATCH):
        async with call(number):
            pass


class Group(NamedTuple):
    """Calls of one kind, the plain one first."""

    batch: Callable[[Callable[[int], Any]], int]
    calls: dict[str, Callable[[int], Any]]


def injected(called: Callable[..., Any], plan: FaultPlan) -> Callable[[int], Any]:
    """Return a function with a plan in it, which stays there."""
    module = types.SimpleNamespace(function=called)
    injection = inject_faults(module, "function", plan)
    injection.start()
    kept.append(injection)
    call: Callable[[int], Any] = module.function
    return call


kept: list[object] = []


def kind(
    name: str, batch: Callable[[Callable[[int], Any]], int], called: Callable[..., Any]
) -> Group:
    """Return a plain call of a kind, and one with a plan that does not hit."""
    never = FaultPlan.nth_call(10**12)
    return Group(batch, {f"a plain {name}": called, f"{name}, never hit": injected(called, never)})


def groups() -> list[Group]:
    """Return all that is measured."""
    shared = FaultPlan.nth_call(10**12)
    shared.share()
    plans = {
        "nth_call(10**12), never hit": FaultPlan.nth_call(10**12),
        "first(1), over": FaultPlan.first(1, returns=0),
        "every(10**12)": FaultPlan.every(10**12),
        "probability(0.0)": FaultPlan.probability(0.0, seed=1),
        "every(1000)": FaultPlan.every(1000, returns=0),
        "probability(0.001)": FaultPlan.probability(0.001, seed=1, returns=0),
        "shared with other processes": shared,
        "every call hit, returns=1": FaultPlan.always(returns=1),
    }
    return [
        Group(
            calls,
            {
                "a plain call": function,
                **{name: injected(function, plan) for name, plan in plans.items()},
                "Mock(side_effect=function)": mock.Mock(side_effect=function),
                "Mock(return_value=1)": mock.Mock(return_value=1),
            },
        ),
        Group(
            failures,
            {
                "a plain call that raises": refuse,
                "every call hit, raises": injected(
                    function, FaultPlan.always(raises=ConnectionError)
                ),
                "Mock(side_effect=ConnectionError)": mock.Mock(side_effect=ConnectionError),
            },
        ),
        kind("call with *args, **names", calls, any_arguments),
        kind("call of abs, in C", calls, abs),
        kind("call of round, in C", calls, round),
        kind("coroutine", awaits, coroutine),
        kind("generator", iterations, generator),
        kind("context manager", entries, contextlib.contextmanager(generator)),
        kind("async generator", async_iterations, async_generator),
        kind(
            "async context manager",
            async_entries,
            contextlib.asynccontextmanager(async_generator),
        ),
    ]


def main() -> None:
    measured = groups()
    costs = [{name: list[float]() for name in group.calls} for group in measured]
    mocks = [
        call for group in measured for call in group.calls.values() if isinstance(call, mock.Mock)
    ]
    gc.disable()  # a collection takes as long as there are objects, whoever made them
    try:
        for _ in range(TURNS):
            for group, taken in zip(measured, costs, strict=True):
                for name, call in group.calls.items():
                    taken[name].append(group.batch(call) / BATCH)
            for rival in mocks:
                rival.reset_mock()  # it keeps every call, and is slower the more it keeps
    finally:
        gc.enable()
    for taken in costs:
        medians = {name: statistics.median(values) for name, values in taken.items()}
        plain, mocked = (next(iter(medians)), max(medians, key=lambda name: "Mock(" in name))
        for name, ns in medians.items():
            rival = f", {medians[mocked] / ns:6.1f} times less than the mock"
            print(
                f"{name:36} {ns:8.0f} ns: {ns / medians[plain]:6.2f} times {plain}"
                f"{rival if 'Mock(' in mocked else ''}"
            )


if __name__ == "__main__":
    main()
