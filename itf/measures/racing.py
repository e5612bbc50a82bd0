"""Which of two functions is faster, and by how much at least."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, NoReturn

from itf.exceptions import TimingError
from itf.measures.ranks import median_interval
from itf.measures.report import seconds_text
from itf.texts import safe_repr

__all__ = [
    "Comparison",
    "Stopwatch",
    "check_function",
    "check_positive",
    "name_of",
    "no_collector",
    "race",
]

__unittest = True

# A measurement takes at least so long, in ns: some thousand times what the
# clock itself takes.
_LEAST: Final = 200_000
_MOST_CALLS: Final = 1 << 22

# After so many rounds we look whether we know; each look may be wrong once in
# a thousand times.
_LOOKS: Final = (12, 24, 48, 96, 192, 384, 768)
_DOUBT: Final = 0.001

# A ratio computed from a clock's whole numbers may miss by this much.
_ROUNDING: Final = 1e-9


class Comparison(NamedTuple):
    """How two functions compare.

    Attributes:
        ratio: How many times as long the second takes as the first: the median of all rounds.
        low: What the ratio is at least.
        high: What it is at most.
        noise: The same interval for the first against itself.
        rounds: How many rounds were run.
        seconds: What a call of each takes, the median.
    """

    ratio: float
    low: float
    high: float
    noise: tuple[float, float]
    rounds: int
    seconds: tuple[float, float]


class Stopwatch:
    """Measures a function, calling it as often as it takes to be measured well."""

    def __init__(self, function: Callable[[], object], name: str) -> None:
        self._function = function
        self._name = name
        self._calls = 0

    def measure(self) -> float:
        """Return how many ns a call takes.

        Raises:
            TimingError: The clock stands still however often it is called.
        """
        if not self._calls:
            self._calibrate()
        took = self._run(self._calls)
        if not took:
            self._refuse(self._calls)
        return took / self._calls

    def _calibrate(self) -> None:
        self._function()  # the first call does what later ones need not
        calls = 1
        while (took := self._run(calls)) < _LEAST and calls < _MOST_CALLS:
            calls *= 2
        if not took:
            self._refuse(calls)
        self._calls = calls

    def _refuse(self, calls: int) -> NoReturn:
        raise TimingError(f"cannot time {self._name}: {calls} calls take no time by the clock")

    def _run(self, calls: int) -> int:
        function = self._function
        start = time.perf_counter_ns()
        for _ in range(calls):
            function()
        return time.perf_counter_ns() - start


def race(
    first: Callable[[], object], second: Callable[[], object], by: float, timeout: float | None
) -> Comparison:
    """Run two functions in alternation until it is known whether the first is so much faster.

    Args:
        first: Called without arguments.
        second: As well.
        by: How many times as long the second is to take.
        timeout: Seconds after which it gives up; None is never.

    Raises:
        AssertionError: It is not, or that cannot be told.
    """
    names = name_of(check_function(first, "a")), name_of(check_function(second, "b"))
    least = check_positive(by, "by") * (1 - _ROUNDING)
    end = math.inf if timeout is None else time.monotonic() + check_positive(timeout, "timeout")
    # The first once more, as if it were another: what differs there is noise.
    watches = [
        Stopwatch(function, name)
        for function, name in ((first, names[0]), (second, names[1]), (first, names[0]))
    ]
    times: list[list[float]] = [[], [], []]
    with no_collector():
        for rounds in range(1, _LOOKS[-1] + 1):
            # Whoever comes first in a round is not always the same.
            for place in range(len(watches)):
                turn = (rounds + place) % len(watches)
                times[turn].append(watches[turn].measure())
            late = time.monotonic() > end
            if rounds not in _LOOKS and not late:
                continue
            found = _compare(times)
            # Known to be on one side, or to the end of what we are ready to do.
            if found.low >= least or found.high < least or late:
                break
    if found.low >= least:
        return found
    if found.high < least:
        how = "is not"
    else:
        how = f"cannot within {timeout:g} s be told to be" if late else "cannot be told to be"
    raise AssertionError(_describe(names, by, found, how))


def _compare(times: list[list[float]]) -> Comparison:
    first, second, again = times
    ratios = [b / a for a, b in zip(first, second, strict=True)]
    selves = [b / a for a, b in zip(first, again, strict=True)]
    ratio, low, high = median_interval(ratios, _DOUBT)
    _, *noise = median_interval(selves, _DOUBT)
    seconds = [median_interval(each, _DOUBT)[0] / 1e9 for each in (first, second)]
    return Comparison(ratio, low, high, (noise[0], noise[1]), len(first), (seconds[0], seconds[1]))


def _describe(names: tuple[str, str], by: float, found: Comparison, how: str) -> str:
    first, second = names
    return (
        f"{first} {how} {by:g} times as fast as {second}: "
        f"{second} takes {_times(found.ratio)} times as long "
        f"({_times(found.low)} to {_times(found.high)}, in {found.rounds} rounds in alternation)\n"
        f"  {first}: {seconds_text(found.seconds[0])} a call\n"
        f"  {second}: {seconds_text(found.seconds[1])} a call\n"
        f"  noise: {first} against itself is {_times(found.noise[0])} to {_times(found.noise[1])}"
    )


def _times(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 10 else f"{ratio:.4g}"  # noqa: PLR2004 - four digits


@contextmanager
def no_collector() -> Generator[None]:
    """Keep the garbage collector out, as `timeit` does; it is put back as it was."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def name_of(function: Any) -> str:
    """Return a function's name for messages."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).rpartition("<locals>.")[2]


def check_function(function: Any, what: str) -> Any:
    """Return a function.

    Raises:
        TypeError: It cannot be called.
    """
    if not callable(function):
        raise TypeError(f"{what} is a function to call, got {safe_repr(function)}")
    return function


def check_positive(number: Any, what: str) -> float:
    """Return a number above zero.

    Raises:
        TypeError: It is no number.
        ValueError: It is zero, below, infinite, or not a number at all.
    """
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{what} is a number, got {safe_repr(number)}")
    if not 0 < number < math.inf:
        raise ValueError(f"{what} must be above 0, got {number!r}")
    return number
