"""Comparison of the speed of two functions, run in alternation."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, NoReturn

from itf.exceptions import TimingError
from itf.performance.mann_whitney import median_interval
from itf.performance.table import seconds_text
from itf.safe_repr import safe_repr
from itf.validation import check_positive

__all__ = [
    "Comparison",
    "Stopwatch",
    "check_function",
    "compare_speed",
    "name_of",
    "no_collector",
]

__unittest = True

# Minimum nanoseconds of a measurement; about a thousand times the cost of reading the
# clock.
_MIN_DURATION: Final = 200_000
# Maximum number of calls in a measurement.
_MAX_CALLS: Final = 1 << 22

# Numbers of rounds after which the result is evaluated, and the probability that one
# evaluation is wrong.
_EVALUATIONS: Final = (12, 24, 48, 96, 192, 384, 768)
_ERROR_RATE: Final = 0.001

# Relative rounding error of a ratio of two integers of the clock.
_ROUNDING: Final = 1e-9


class Comparison(NamedTuple):
    """The result of a comparison of two functions.

    Attributes:
        ratio: Time of the second function divided by that of the first; median of all
            rounds.
        low: Lower end of the confidence interval of the ratio.
        high: Upper end of the interval.
        noise: The interval of the ratio of the first function to itself.
        rounds: Number of rounds.
        seconds: Median time of a call of each function.
    """

    ratio: float
    low: float
    high: float
    noise: tuple[float, float]
    rounds: int
    seconds: tuple[float, float]


class Stopwatch:
    """Measures the time of a function, in loops of a suitable number of calls.

    Args:
        function: Called without arguments.
        name: Its name in error messages.
    """

    def __init__(self, function: Callable[[], object], name: str) -> None:
        self._function = function
        self._name = name
        self._calls = 0

    def measure(self) -> float:
        """Return the nanoseconds of one call, averaged over a loop of calls.

        Raises:
            TimingError: The clock does not advance during the loop.
        """
        if not self._calls:
            self._calibrate()
        duration = self._run(self._calls)
        if not duration:
            self._raise_too_fast(self._calls)
        return duration / self._calls

    def _calibrate(self) -> None:
        self._function()  # not measured: caches are empty in the first call
        calls = 1
        while (duration := self._run(calls)) < _MIN_DURATION and calls < _MAX_CALLS:
            calls *= 2
        if not duration:
            self._raise_too_fast(calls)
        self._calls = calls

    def _raise_too_fast(self, calls: int) -> NoReturn:
        raise TimingError(
            f"failed to time {self._name}: the clock did not advance during {calls} calls"
        )

    def _run(self, calls: int) -> int:
        function = self._function
        start = time.perf_counter_ns()
        for _ in range(calls):
            function()
        return time.perf_counter_ns() - start


def compare_speed(
    first: Callable[[], object], second: Callable[[], object], by: float, timeout: float | None
) -> Comparison:
    """Run two functions in alternation until their ratio is known well enough.

    Args:
        first: The function that should be faster; called without arguments.
        second: The other function; called without arguments.
        by: Required ratio of the time of the second function to that of the first.
        timeout: Seconds after which the comparison stops; None is no limit.

    Raises:
        AssertionError: The ratio is smaller than ``by``, or too uncertain.
    """
    names = name_of(check_function(first, "a")), name_of(check_function(second, "b"))
    required = check_positive("by", by) * (1 - _ROUNDING)
    end = math.inf if timeout is None else time.monotonic() + check_positive("timeout", timeout)
    # The first function takes part twice. Its ratio to itself is the noise.
    watches = [
        Stopwatch(function, name)
        for function, name in ((first, names[0]), (second, names[1]), (first, names[0]))
    ]
    times: list[list[float]] = [[], [], []]
    with no_collector():
        for rounds in range(1, _EVALUATIONS[-1] + 1):
            # Each round starts with another function, so that the order has no effect.
            for position in range(len(watches)):
                index = (rounds + position) % len(watches)
                times[index].append(watches[index].measure())
            late = time.monotonic() > end
            if rounds not in _EVALUATIONS and not late:
                continue
            result = _evaluate(times)
            # Stop as soon as the whole interval is on one side of the required ratio.
            if result.low >= required or result.high < required or late:
                break
    if result.low >= required:
        return result
    if result.high < required:
        verdict = "is not"
    elif late:
        verdict = f"could not be shown within {timeout:g} s to be"
    else:
        verdict = "could not be shown to be"
    raise AssertionError(_failure_text(names, by, result, verdict))


def _evaluate(times: list[list[float]]) -> Comparison:
    first, second, again = times
    ratios = [b / a for a, b in zip(first, second, strict=True)]
    own_ratios = [b / a for a, b in zip(first, again, strict=True)]
    ratio, low, high = median_interval(ratios, _ERROR_RATE)
    _, *noise = median_interval(own_ratios, _ERROR_RATE)
    seconds = [median_interval(each, _ERROR_RATE)[0] / 1e9 for each in (first, second)]
    return Comparison(ratio, low, high, (noise[0], noise[1]), len(first), (seconds[0], seconds[1]))


def _failure_text(names: tuple[str, str], by: float, result: Comparison, verdict: str) -> str:
    first, second = names
    low, high = _ratio_text(result.low), _ratio_text(result.high)
    noise = " to ".join(map(_ratio_text, result.noise))
    return (
        f"{first} {verdict} {by:g} times as fast as {second}: "
        f"{second} takes {_ratio_text(result.ratio)} times as long "
        f"({low} to {high}, in {result.rounds} rounds in alternation)\n"
        f"  {first}: {seconds_text(result.seconds[0])} a call\n"
        f"  {second}: {seconds_text(result.seconds[1])} a call\n"
        f"  noise: the ratio of {first} to itself is {noise}"
    )


def _ratio_text(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 10 else f"{ratio:.4g}"  # noqa: PLR2004 - four significant digits


@contextmanager
def no_collector() -> Generator[None]:
    """Disable the garbage collector in a block, as `timeit` does."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def name_of(function: Any) -> str:
    """Return the name of a function for messages, without enclosing functions."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).rpartition("<locals>.")[2]


def check_function(function: Any, what: str) -> Any:
    """Return the function.

    Raises:
        TypeError: The object is not callable.
    """
    if not callable(function):
        raise TypeError(f"{what} must be a function, got {safe_repr(function)}")
    return function
