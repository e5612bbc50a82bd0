"""Many numbers in little memory: exact sums, and percentiles with an error of 0.4%."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from operator import mul
from typing import Final, NamedTuple

__all__ = ["Histogram", "HistogramState", "bucket_of", "bucket_value"]

__unittest = True

# The bucket of a number is the upper half of its representation as a 32-bit float: the
# sign, the exponent and the first 7 bits of the fraction. So there are 128 buckets
# between a number and its double, each less than 0.8% wide. `array` and `memoryview`
# compute the buckets of a thousand numbers without a loop in Python.
_UPPER_HALVES: Final = slice(1 if sys.byteorder == "little" else 0, None, 2)

# Number of different values up to which each value is counted exactly. A short operation
# takes few different times, because the clock has a resolution: counting these is faster
# than computing buckets. A long operation has few samples.
_MAX_EXACT: Final = 1024


def _buckets(numbers: list[int]) -> list[int]:
    return memoryview(array("f", numbers)).cast("B").cast("H")[_UPPER_HALVES].tolist()


def bucket_of(number: float) -> int:
    """Return the bucket of a number."""
    return int(struct.unpack("=I", struct.pack("=f", number))[0]) >> 16


def bucket_value(bucket: int) -> float:
    """Return the middle of a bucket; at most 0.4% off any number in it."""
    if bucket in (0, 0x8000):
        return 0.0
    edge, middle = struct.unpack("=ff", struct.pack("=II", bucket << 16, (bucket << 16) | 0x8000))
    return float(middle) if math.isfinite(middle) else float(edge)


class HistogramState(NamedTuple):
    """The content of a histogram as plain numbers, for storage.

    Attributes:
        total: The sum of the numbers.
        squares: The sum of their squares.
        minimum: The smallest number; 0 if there are none.
        maximum: The largest number; 0 if there are none.
        buckets: The count of each bucket (see `bucket_of`).
    """

    total: int
    squares: int
    minimum: int
    maximum: int
    buckets: dict[int, int]


class Histogram:
    """Integers: exact count, sum, minimum and maximum, and an approximate distribution.

    Up to 1024 different numbers are stored exactly; more are counted in buckets.

    Thread safety: none; the caller holds a lock.
    """

    __slots__ = ("_buckets", "_count", "_exact", "_maximum", "_minimum", "_squares", "_total")

    def __init__(self) -> None:
        # Numbers that are not in buckets yet. The other attributes do not include them.
        self._exact: Counter[int] = Counter()
        self._buckets: Counter[int] = Counter()
        self._count = self._total = self._squares = self._minimum = self._maximum = 0

    def add(self, numbers: list[int]) -> None:
        """Add numbers."""
        self._exact.update(numbers)
        if len(self._exact) > _MAX_EXACT:
            self._move_to_buckets()

    def merge(self, other: Histogram) -> None:
        """Add the numbers of another histogram."""
        if other._count:
            self._minimum = min(self._minimum, other._minimum) if self._count else other._minimum
            self._maximum = max(self._maximum, other._maximum) if self._count else other._maximum
            self._count += other._count
            self._total += other._total
            self._squares += other._squares
            self._buckets.update(other._buckets)
        self._exact.update(other._exact)
        if len(self._exact) > _MAX_EXACT:
            self._move_to_buckets()

    def _move_to_buckets(self) -> None:
        if not self._exact:
            return
        numbers, counts = list(self._exact), list(self._exact.values())
        minimum, maximum = min(numbers), max(numbers)
        self._minimum = min(self._minimum, minimum) if self._count else minimum
        self._maximum = max(self._maximum, maximum) if self._count else maximum
        self._count += sum(counts)
        self._total += sum(map(mul, numbers, counts))
        self._squares += sum(map(mul, map(mul, numbers, numbers), counts))
        for bucket, count in zip(_buckets(numbers), counts, strict=True):
            self._buckets[bucket] += count
        self._exact.clear()

    def state(self) -> HistogramState:
        """Return the content for storage, with all numbers in buckets."""
        copy = Histogram()
        copy.merge(self)
        copy._move_to_buckets()
        return HistogramState(
            copy._total, copy._squares, copy._minimum, copy._maximum, dict(copy._buckets)
        )

    @classmethod
    def from_state(cls, state: HistogramState) -> Histogram:
        """Return the histogram with a content that `state` has returned."""
        histogram = cls()
        histogram._total, histogram._squares = state.total, state.squares
        histogram._minimum, histogram._maximum = state.minimum, state.maximum
        histogram._count = sum(state.buckets.values())
        histogram._buckets = Counter(state.buckets)
        return histogram

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return self._count + sum(self._exact.values())

    @property
    def total(self) -> int:
        """The sum of the numbers."""
        total: int = self._total + sum(map(mul, self._exact, self._exact.values()))
        return total

    @property
    def minimum(self) -> int:
        """The smallest number; 0 if there are none."""
        in_buckets = [self._minimum] if self._count else []
        return min([*self._exact, *in_buckets], default=0)

    @property
    def maximum(self) -> int:
        """The largest number; 0 if there are none."""
        in_buckets = [self._maximum] if self._count else []
        return max([*self._exact, *in_buckets], default=0)

    @property
    def average(self) -> float:
        """The mean; 0 if there are no numbers."""
        count = self.count
        return self.total / count if count else 0.0

    @property
    def deviation(self) -> float:
        """The sample standard deviation (n - 1); 0 if there are fewer than two numbers."""
        total, squares, *_, buckets = self.state()
        count = sum(buckets.values())
        if count < 2:  # noqa: PLR2004 - n - 1
            return 0.0
        # Computed with integers: with floats, the difference of two nearly equal numbers
        # would lose most of its digits.
        return math.sqrt((count * squares - total * total) / (count * (count - 1)))

    def percentile(self, fraction: float) -> float:
        """Return the percentile for a fraction from 0 to 1, by nearest rank.

        The minimum and the maximum are exact, and so are all percentiles of up to 1024
        different numbers. Other percentiles have an error of at most 0.4%.
        """
        count = self.count
        rank = max(1, math.ceil(fraction * count))
        if rank <= 1 or rank >= count:
            return float(self.minimum if rank <= 1 else self.maximum)
        seen = 0
        for value, times in self.values():
            seen += times
            if seen >= rank:
                return value
        return float(self.maximum)

    def values(self) -> Iterator[tuple[float, int]]:
        """Yield each known value with its count, in ascending order.

        The value of a bucket is its middle.
        """
        low, high = float(self._minimum), float(self._maximum)
        pairs = [
            (min(max(bucket_value(bucket), low), high), count)
            for bucket, count in self._buckets.items()
        ]
        pairs += [(float(number), count) for number, count in self._exact.items()]
        yield from sorted(pairs)
