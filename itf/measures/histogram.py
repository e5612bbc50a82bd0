"""Many numbers in little memory: exact sums, and percentiles to half a percent."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from operator import mul
from typing import Final, NamedTuple

__all__ = ["Histogram", "Settled", "bucket_of", "bucket_value"]

__unittest = True

# A bucket is the upper half of a number as a float of 32 bits: sign, exponent,
# and the first 7 bits of its fraction.  So there are 128 buckets between a
# number and its double, each less than 0.8% wide; and array and memoryview
# find them for a thousand numbers at once.
_UPPER_HALVES: Final = slice(1 if sys.byteorder == "little" else 0, None, 2)

# So many different numbers are kept as they are.  The times of a short operation
# are few, a clock's ticks: to count them is the cheapest that can be done with
# a sample.  Those of a long one are all different, but nobody takes many.
_DIFFERENT: Final = 1024


def _buckets(numbers: list[int]) -> list[int]:
    return memoryview(array("f", numbers)).cast("B").cast("H")[_UPPER_HALVES].tolist()


def bucket_of(number: float) -> int:
    """Return the bucket of a number."""
    return int(struct.unpack("=I", struct.pack("=f", number))[0]) >> 16


def bucket_value(bucket: int) -> float:
    """Return the number in the middle of a bucket, which is at most 0.4% off any other in it."""
    if bucket in (0, 0x8000):
        return 0.0
    edge, middle = struct.unpack("=ff", struct.pack("=II", bucket << 16, (bucket << 16) | 0x8000))
    return float(middle) if math.isfinite(middle) else float(edge)


class Settled(NamedTuple):
    """What there is to say of a histogram, in plain numbers.

    Attributes:
        total: The sum of its numbers.
        squares: The sum of their squares.
        least: The smallest; 0 if there is none.
        most: The largest; 0 if there is none.
        buckets: How many are in each bucket (see `bucket_of`).
    """

    total: int
    squares: int
    least: int
    most: int
    buckets: dict[int, int]


class Histogram:
    """Whole numbers: how many, their sum, the least and the largest, exactly, and their spread.

    Up to a thousand different numbers are known exactly; of more, how many
    are in each bucket.

    Thread safety: none; who changes it has a lock.
    """

    __slots__ = ("_buckets", "_count", "_exact", "_least", "_most", "_squares", "_total")

    def __init__(self) -> None:
        self._exact: Counter[int] = Counter()
        # Of those that are in buckets.
        self._buckets: Counter[int] = Counter()
        self._count = self._total = self._squares = self._least = self._most = 0

    def add(self, numbers: list[int]) -> None:
        """Add numbers, none or many."""
        self._exact.update(numbers)
        if len(self._exact) > _DIFFERENT:
            self._settle()

    def merge(self, other: Histogram) -> None:
        """Add the numbers of another histogram."""
        if other._count:
            self._least = min(self._least, other._least) if self._count else other._least
            self._most = max(self._most, other._most) if self._count else other._most
            self._count += other._count
            self._total += other._total
            self._squares += other._squares
            self._buckets.update(other._buckets)
        self._exact.update(other._exact)
        if len(self._exact) > _DIFFERENT:
            self._settle()

    def _settle(self) -> None:
        """Put into buckets what is known exactly."""
        if not self._exact:
            return
        numbers, counts = list(self._exact), list(self._exact.values())
        least, most = min(numbers), max(numbers)
        self._least = min(self._least, least) if self._count else least
        self._most = max(self._most, most) if self._count else most
        self._count += sum(counts)
        self._total += sum(map(mul, numbers, counts))
        self._squares += sum(map(mul, map(mul, numbers, numbers), counts))
        for bucket, count in zip(_buckets(numbers), counts, strict=True):
            self._buckets[bucket] += count
        self._exact.clear()

    def settled(self) -> Settled:
        """Return all there is to say of it, with all numbers in buckets."""
        copy = Histogram()
        copy.merge(self)
        copy._settle()
        return Settled(copy._total, copy._squares, copy._least, copy._most, dict(copy._buckets))

    @classmethod
    def of(cls, settled: Settled) -> Histogram:
        """Return a histogram from what `settled` says of one."""
        made = cls()
        made._total, made._squares, made._least, made._most, buckets = settled
        made._count = sum(buckets.values())
        made._buckets = Counter(buckets)
        return made

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return self._count + sum(self._exact.values())

    @property
    def total(self) -> int:
        """Their sum."""
        total: int = self._total + sum(map(mul, self._exact, self._exact.values()))
        return total

    @property
    def least(self) -> int:
        """The smallest; 0 if there is none."""
        known = [self._least] if self._count else []
        return min([*self._exact, *known], default=0)

    @property
    def most(self) -> int:
        """The largest; 0 if there is none."""
        known = [self._most] if self._count else []
        return max([*self._exact, *known], default=0)

    @property
    def average(self) -> float:
        """The mean; 0 if there are no numbers."""
        count = self.count
        return self.total / count if count else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation of a sample; 0 if there are fewer than two numbers."""
        total, squares, *_, buckets = self.settled()
        count = sum(buckets.values())
        if count < 2:  # noqa: PLR2004 - n - 1
            return 0.0
        # Whole numbers, of which no digit is lost where both are nearly the same.
        return math.sqrt((count * squares - total * total) / (count * (count - 1)))

    def percentile(self, fraction: float) -> float:
        """Return the number below which this fraction of all lies, by nearest rank.

        The smallest and the largest are exact, and so are all others of few
        numbers; else one is at most 0.4% off.
        """
        count = self.count
        rank = max(1, math.ceil(fraction * count))
        if rank <= 1 or rank >= count:
            return float(self.least if rank <= 1 else self.most)
        seen = 0
        for value, times in self.values():
            seen += times
            if seen >= rank:
                return value
        return float(self.most)

    def values(self) -> Iterator[tuple[float, int]]:
        """Yield the numbers as far as they are told apart, in order, and how many of each."""
        low, high = float(self._least), float(self._most)
        pairs = [
            (min(max(bucket_value(bucket), low), high), count)
            for bucket, count in self._buckets.items()
        ]
        pairs += [(float(number), count) for number, count in self._exact.items()]
        yield from sorted(pairs)
