"""How the time of a function grows with the size of what it is given."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from operator import mul
from typing import Any, Final, NamedTuple, NoReturn

from itf.exceptions import TimingError
from itf.measures.racing import (
    Stopwatch,
    check_function,
    check_positive,
    name_of,
    no_collector,
)
from itf.measures.report import seconds_text
from itf.texts import safe_repr

__all__ = ["CLASSES", "Fit", "Growth", "fit", "measure_growth"]

__unittest = True


def _exponential(size: float, largest: float) -> float:
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
"""The classes of growth, from the slowest on, each as a function of the size and the largest."""

# Fewer sizes, or closer ones, do not tell one class from another.
_LEAST_SIZES: Final = 4
_LEAST_RANGE: Final = 4

# One size of so many may be off for a reason of its own.
_OUTLIERS: Final = 6

# How much worse a simpler class may fit, relative to the times: measured
# times are never better than that.
_TOLERANCE: Final = 0.02


class Fit(NamedTuple):
    """How well times grow as a class says.

    Attributes:
        name: The class.
        error: How far the times are off, relative to themselves (root mean square).
        fixed: The part of the time that does not grow.
        factor: That of the part that does.
    """

    name: str
    error: float
    fixed: float
    factor: float

    def time(self, size: float, largest: float) -> float:
        """Return what the class says for a size."""
        return self.fixed + self.factor * CLASSES[self.name](size, largest)


class Growth(NamedTuple):
    """How a function grows.

    Attributes:
        name: The class, a key of `CLASSES`.
        sizes: The sizes it was called with.
        seconds: What a call took for each of them, the least of all rounds.
        fits: How well each class fits, by name.
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
    """Time a function with each size, and say how it grows.

    Raises:
        AssertionError: It grows faster than ``at_most``.
    """
    check_function(function, "function")
    if setup is not None:
        check_function(setup, "setup")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"rounds is a whole number from 1 on, got {safe_repr(rounds)}")
    limit = _check_class(at_most)
    checked = _check_sizes(sizes)
    seconds = math.inf if timeout is None else check_positive(timeout, "timeout")
    times = _measure(function, checked, setup, rounds, seconds)
    best = [min(each) / 1e9 for each in times]
    noise = statistics.median(statistics.median(each) / min(each) - 1 for each in times)
    name, fits = fit(checked, best, noise)
    growth = Growth(name, checked, best, fits)
    order = list(CLASSES)
    if order.index(name) > order.index(limit):
        _fail(name_of(function), growth, limit)
    return growth


def _measure(
    function: Callable[[Any], object],
    sizes: Sequence[int],
    setup: Callable[[int], Any] | None,
    rounds: int,
    timeout: float,
) -> list[list[float]]:
    """Return the ns of a call for each size and round; the sizes take turns."""
    end = time.monotonic() + timeout
    name = name_of(function)
    watches = [Stopwatch(lambda size=size: function(size), name) for size in sizes]  # type: ignore[misc]
    times: list[list[float]] = [[] for _ in sizes]
    with no_collector():
        for number in range(rounds):
            places = range(len(sizes))
            # Up and down: what slows the machine for a while meets large and small.
            for place in places if number % 2 == 0 else reversed(places):
                if time.monotonic() > end and not times[place]:
                    raise TimingError(
                        f"cannot tell how {name} grows: it was not called with size "
                        f"{sizes[place]} within {timeout:g} s; take smaller sizes"
                    )
                if setup is None:
                    times[place].append(watches[place].measure())
                else:
                    times[place].append(_once(function, setup(sizes[place]), name))
            if time.monotonic() > end:
                break
    return times


def _once(function: Callable[[Any], object], value: Any, name: str) -> float:
    # What was set up may be used up by the call: so only one.
    start = time.perf_counter_ns()
    function(value)
    took = time.perf_counter_ns() - start
    if not took:
        raise TimingError(f"cannot time {name}: a call takes no time by the clock")
    return took


def fit(sizes: Sequence[int], times: Sequence[float], noise: float) -> tuple[str, dict[str, Fit]]:
    """Return the simplest class that explains the times, and how well each of them does.

    Each class is a constant plus a multiple of its function, neither of them
    negative, by least squares of the relative errors, as Google's benchmark
    library and the Python package big_O fit theirs.  One of six points may be
    left out, that which a class fits worst.

    Args:
        sizes: The sizes.
        times: How long each took.
        noise: How far measured times are off, relative to themselves.
    """
    kept = len(sizes) - len(sizes) // _OUTLIERS
    fits = {name: _fit_trimmed(name, sizes, times, kept) for name in CLASSES}
    bound = min(each.error for each in fits.values()) + max(_TOLERANCE, noise)
    return next(name for name, each in fits.items() if each.error <= bound), fits


def _fit_trimmed(name: str, sizes: Sequence[int], times: Sequence[float], kept: int) -> Fit:
    points = list(zip(sizes, times, strict=True))
    largest = max(sizes)
    if len(points) - kept <= 1:
        choices: Iterable[Sequence[tuple[int, float]]] = combinations(points, kept)
        return min((_fit(name, choice, largest) for choice in choices), key=lambda it: it.error)
    # Too many choices: leave out, step by step, the one that fits worst.
    found = _fit(name, points, largest)
    while len(points) > kept:
        worst = max(points, key=lambda it: abs(found.time(it[0], largest) / it[1] - 1))
        points.remove(worst)
        found = _fit(name, points, largest)
    return found


def _fit(name: str, points: Sequence[tuple[int, float]], largest: float) -> Fit:
    grows = CLASSES[name]
    # Each row divided by its time: fixed * u + factor * v is to be 1.
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
        plain = name.replace("**", "^").replace("²", "^2").replace("³", "^3")
        plain = " ".join(plain.removeprefix("O(").removesuffix(")").split())
        if plain in CLASSES:
            return plain
    raise ValueError(f"at_most is one of {', '.join(map(repr, CLASSES))}, got {safe_repr(name)}")


def _check_sizes(sizes: Any) -> list[int]:
    try:
        listed = list(sizes)
    except TypeError:
        raise TypeError(f"sizes are whole numbers, got {safe_repr(sizes)}") from None
    for size in listed:
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"a size is a whole number, got {safe_repr(size)}")
    checked = sorted(set(listed))
    if len(checked) < _LEAST_SIZES or checked[0] < 1 or checked[-1] < _LEAST_RANGE * checked[0]:
        raise ValueError(
            f"sizes: at least {_LEAST_SIZES} different ones above 0, the largest at least "
            f"{_LEAST_RANGE} times the smallest, got {safe_repr(listed)}"
        )
    return checked


def _fail(function: str, growth: Growth, limit: str) -> NoReturn:
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
        f"  off by {found.error:.1%} as {growth.name}, by {allowed.error:.1%} as {limit}, "
        "on average; try a profiler with the largest size"
    )
    raise AssertionError("\n".join(lines))
