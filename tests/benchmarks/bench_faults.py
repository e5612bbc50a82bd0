"""What a fault plan costs a call: against the plain call, and against `unittest.mock`.

    python -m tests.benchmarks.bench_faults

All take turns within one run, a batch of calls at a time, so that what slows
the machine down slows all of them; and time is the thread's own, for a long
batch is interrupted by others more often than a short one.  Figures are
medians of the batches; the
ratio says how many times the plain call, or how many times less than the mock
beside it.
"""

from __future__ import annotations

import gc
import statistics
import time
import types
from collections.abc import Callable
from unittest import mock

from itf import FaultPlan, inject_faults

# Enough of each for a median that moves by a few hundredths from run to run.
TURNS = 401
BATCH = 300


def function(value: int) -> int:
    """Do as little as a function can."""
    return value


def refuse(value: int) -> int:
    """Raise, as a function that fails does."""
    raise ConnectionError(value)


def cost(call: Callable[[int], object]) -> float:
    """Return the nanoseconds that one call takes, of a batch."""
    start = time.thread_time_ns()
    for number in range(BATCH):
        call(number)
    return (time.thread_time_ns() - start) / BATCH


def cost_of_failure(call: Callable[[int], object]) -> float:
    """Return the nanoseconds that one call takes which raises."""
    start = time.thread_time_ns()
    for number in range(BATCH):
        try:
            call(number)
        except ConnectionError:
            continue
    return (time.thread_time_ns() - start) / BATCH


def injected(plan: FaultPlan) -> Callable[[int], object]:
    """Return the function with a plan in it, which stays there."""
    module = types.SimpleNamespace(function=function)
    injection = inject_faults(module, "function", plan)
    injection.start()
    kept.append(injection)
    call: Callable[[int], object] = module.function
    return call


kept: list[object] = []


def main() -> None:
    shared = FaultPlan.nth_call(10**12)
    shared.share()
    calls: dict[str, Callable[[int], object]] = {
        "a plain call": function,
        "nth_call(10**12), never hit": injected(FaultPlan.nth_call(10**12)),
        "first(1), over": injected(FaultPlan.first(1, returns=0)),
        "every(10**12)": injected(FaultPlan.every(10**12)),
        "probability(0.0)": injected(FaultPlan.probability(0.0, seed=1)),
        "shared with other processes": injected(shared),
        "every call hit, returns=1": injected(FaultPlan.always(returns=1)),
        "Mock(side_effect=function)": mock.Mock(side_effect=function),
        "Mock(return_value=1)": mock.Mock(return_value=1),
    }
    failures: dict[str, Callable[[int], object]] = {
        "a plain call that raises": refuse,
        "every call hit, raises": injected(FaultPlan.always(raises=ConnectionError)),
        "Mock(side_effect=ConnectionError)": mock.Mock(side_effect=ConnectionError),
    }
    costs: dict[str, list[float]] = {name: [] for name in (*calls, *failures)}
    mocks = [call for call in (*calls.values(), *failures.values()) if isinstance(call, mock.Mock)]
    gc.disable()  # a collection takes as long as there are objects, whoever made them
    try:
        for _ in range(TURNS):
            for name, call in calls.items():
                costs[name].append(cost(call))
            for name, call in failures.items():
                costs[name].append(cost_of_failure(call))
            for rival in mocks:
                rival.reset_mock()  # it keeps every call, and is slower the more it keeps
    finally:
        gc.enable()
    medians = {name: statistics.median(values) for name, values in costs.items()}
    for group, plain, rival_name in (
        (calls, "a plain call", "Mock(side_effect=function)"),
        (failures, "a plain call that raises", "Mock(side_effect=ConnectionError)"),
    ):
        for name in group:
            ns = medians[name]
            print(
                f"{name:36} {ns:8.0f} ns: {ns / medians[plain]:6.2f} times {plain}, "
                f"{medians[rival_name] / ns:6.1f} times less than the mock"
            )


if __name__ == "__main__":
    main()
