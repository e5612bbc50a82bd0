"""Complexity of a function: how its time grows with the size of its input."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from operator import mul
from typing import Any, Final, NamedTuple, NoReturn

from itf.exceptions import TimingError
from itf.performance.comparison import (
    Stopwatch,
    check_function,
    name_of,
    no_collector,
)
from itf.performance.table import seconds_text
from itf.safe_repr import safe_repr
from itf.validation import check_choice, check_integer, check_positive

__all__ = ["CLASSES", "Fit", "Growth", "fit", "measure_growth"]

__unittest = True


def _exponential(size: float, largest: float) -> float:
    # Divided by 2**largest, which could not be represented as a float.
    return float(2.0 ** max(size - largest, -1000.0))


CLASSES: Final[dict[str, Callable[[float, float], float]]] = {
    "1": lambda size, largest: 0.0,
    "log n": lambda size, largest: math.log(size),
    "n": lambda size, largest: size,
    "n log n": lambda size, largest: size * math.log(size),
    "n^2": lambda size, largest: size**2,
    "n^3": lambda size, largest: size**3,
    "2^n": _exponential,
}
"""Complexity classes in the order of their growth: functions of a size and the largest size."""

# Minimum number of sizes, and of the ratio of the largest to the smallest one. With less,
# the classes cannot be distinguished.
_MIN_SIZES: Final = 4
_MIN_RANGE: Final = 4

# One of this number of points may be left out of a fit as an outlier.
_POINTS_PER_OUTLIER: Final = 6

# How much larger the relative error of a simpler class may be than that of the best class.
# Repeated measurements of one function differ by about as much.
_TOLERANCE: Final = 0.02


class Fit(NamedTuple):
    """The fit of one complexity class to measured times: fixed + factor * class(size).

    Attributes:
        name: The class, a key of `CLASSES`.
        error: Root mean square of the relative errors.
        fixed: Seconds that do not depend on the size.
        factor: Seconds per unit of the class's function.
    """

    name: str
    error: float
    fixed: float
    factor: float

    def time(self, size: float, largest: float) -> float:
        """Return the predicted seconds for a size."""
        return self.fixed + self.factor * CLASSES[self.name](size, largest)


class Growth(NamedTuple):
    """The measured complexity of a function.

    Attributes:
        name: The class, a key of `CLASSES`.
        sizes: The sizes of the input, in ascending order.
        seconds: The time of a call for each size; minimum of all rounds.
        fits: The fit of each class.
    """

    name: str
    sizes: list[int]
    seconds: list[float]
    fits: dict[str, Fit]


def measure_growth(
    function: Callable[[Any], object],
    sizes: Iterable[int],
    at_most: str,
    *,
    setup: Callable[[int], Any] | None,
    rounds: int,
    timeout: float | None,
) -> Growth:
    """Time a function with each size and return its complexity.

    The arguments are those of `PerformanceMonitor.assert_scales`.

    Raises:
        AssertionError: The time grows faster than ``at_most``.
    """
    check_function(function, "function")
    if setup is not None:
        check_function(setup, "setup")
    rounds = check_integer("rounds", rounds, 1)
    limit = _check_class(at_most)
    checked = _check_sizes(sizes)
    seconds = math.inf if timeout is None else check_positive("timeout", timeout)
    times = _measure(function, checked, setup, rounds, seconds)
    best = [min(each) / 1e9 for each in times]
    noise = statistics.median(statistics.median(each) / min(each) - 1 for each in times)
    name, fits = fit(checked, best, noise)
    growth = Growth(name, checked, best, fits)
    order = list(CLASSES)
    if order.index(name) > order.index(limit):
        _raise_failure(name_of(function), growth, limit)
    return growth


def _measure(
    function: Callable[[Any], object],
    sizes: Sequence[int],
    setup: Callable[[int], Any] | None,
    rounds: int,
    timeout: float,
) -> list[list[float]]:
    """Return the nanoseconds of a call, one list for each size with an item for each round."""
    end = time.monotonic() + timeout
    name = name_of(function)
    watches = [Stopwatch(lambda size=size: function(size), name) for size in sizes]  # type: ignore[misc]
    times: list[list[float]] = [[] for _ in sizes]
    with no_collector():
        for number in range(rounds):
            indexes = range(len(sizes))
            # Ascending and descending in turn: if the machine is slow for a while, this
            # affects small and large sizes.
            for index in indexes if number % 2 == 0 else reversed(indexes):
                if time.monotonic() > end and not times[index]:
                    raise TimingError(
                        f"failed to find the complexity of {name}: it was not called with "
                        f"size {sizes[index]} within {timeout:g} s; use smaller sizes"
                    )
                if setup is None:
                    times[index].append(watches[index].measure())
                else:
                    times[index].append(_measure_once(function, setup(sizes[index]), name))
            if time.monotonic() > end:
                break
    return times


def _measure_once(function: Callable[[Any], object], value: Any, name: str) -> float:
    # One call only: the function may change the object that setup has made.
    start = time.perf_counter_ns()
    function(value)
    duration = time.perf_counter_ns() - start
    if not duration:
        raise TimingError(f"failed to time {name}: the clock did not advance during a call")
    return duration


def fit(sizes: Sequence[int], times: Sequence[float], noise: float) -> tuple[str, dict[str, Fit]]:
    """Return the simplest class that fits the times, and the fit of each class.

    The model is a constant plus a multiple of the class's function, both at least 0,
    fitted by least squares of the relative errors. For each class, the worst point of
    every six is left out.

    Source: Google's benchmark library and the Python package big_O fit the same model.

    Args:
        sizes: The sizes.
        times: The seconds for each size.
        noise: Relative error of the measured times.
    """
    kept = len(sizes) - len(sizes) // _POINTS_PER_OUTLIER
    fits = {name: _fit_trimmed(name, sizes, times, kept) for name in CLASSES}
    bound = min(each.error for each in fits.values()) + max(_TOLERANCE, noise)
    return next(name for name, each in fits.items() if each.error <= bound), fits


def _fit_trimmed(name: str, sizes: Sequence[int], times: Sequence[float], kept: int) -> Fit:
    points = list(zip(sizes, times, strict=True))
    largest = max(sizes)
    if len(points) - kept <= 1:
        choices: Iterable[Sequence[tuple[int, float]]] = combinations(points, kept)
        return min((_fit(name, choice, largest) for choice in choices), key=lambda it: it.error)
    # There are too many subsets to try: remove the worst point, and fit again.
    found = _fit(name, points, largest)
    while len(points) > kept:
        worst = max(points, key=lambda it: abs(found.time(it[0], largest) / it[1] - 1))
        points.remove(worst)
        found = _fit(name, points, largest)
    return found


def _fit(name: str, points: Sequence[tuple[int, float]], largest: float) -> Fit:
    grows = CLASSES[name]
    # Divided by the measured time, each equation is fixed * u + factor * v = 1.
    u = [1 / seconds for _, seconds in points]
    v = [grows(size, largest) / seconds for size, seconds in points]
    uu, uv, vv = (sum(map(mul, p, q)) for p, q in ((u, u), (u, v), (v, v)))
    us, vs = sum(u), sum(v)
    determinant = uu * vv - uv * uv
    fixed, factor = us / uu, 0.0
    if vv and determinant > 0:
        fixed, factor = (us * vv - vs * uv) / determinant, (vs * uu - us * uv) / determinant
        if fixed < 0:
            fixed, factor = 0.0, vs / vv
        elif factor < 0:
            fixed, factor = us / uu, 0.0
    errors = [fixed * a + factor * b - 1 for a, b in zip(u, v, strict=True)]
    return Fit(name, math.sqrt(sum(e * e for e in errors) / len(errors)), fixed, factor)


def _check_class(name: Any) -> str:
    if isinstance(name, str):
        name = name.replace("**", "^").replace("²", "^2").replace("³", "^3")
        name = " ".join(name.removeprefix("O(").removesuffix(")").split())
    return check_choice("at_most", name, CLASSES)


def _check_sizes(sizes: Any) -> list[int]:
    try:
        listed = list(sizes)
    except TypeError:
        raise TypeError(f"sizes must be integers, got {safe_repr(sizes)}") from None
    checked = sorted({check_integer("a size", size) for size in listed})
    if len(checked) < _MIN_SIZES or checked[0] < 1 or checked[-1] < _MIN_RANGE * checked[0]:
        raise ValueError(
            f"sizes must be at least {_MIN_SIZES} different numbers above 0, the largest at "
            f"least {_MIN_RANGE} times the smallest, got {safe_repr(listed)}"
        )
    return checked


def _raise_failure(function: str, growth: Growth, limit: str) -> NoReturn:
    allowed, found = growth.fits[limit], growth.fits[growth.name]
    largest = growth.sizes[-1]
    lines = [
        f"{function} grows like {growth.name}, faster than {limit}:",
        f"  {'n':>12}  {'measured':>10}  {growth.name:>10}  {limit:>10}",
    ]
    for size, seconds in zip(growth.sizes, growth.seconds, strict=True):
        expected = [seconds_text(each.time(size, largest)) for each in (found, allowed)]
        lines.append(
            f"  {size:>12}  {seconds_text(seconds):>10}  {expected[0]:>10}  {expected[1]:>10}"
        )
    lines.append(
        f"  average error {found.error:.1%} as {growth.name}, {allowed.error:.1%} as {limit}; "
        "profile the function with the largest size"
    )
    raise AssertionError("\n".join(lines))
