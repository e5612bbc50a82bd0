"""Many numbers in little memory: exact sums, and percentiles to half a percent."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["Histogram", "bucket_of", "bucket_value"]

__unittest = True

# A bucket is the upper half of a number as a float of 32 bits: sign, exponent,
# and the first 7 bits of its fraction.  So there are 128 buckets between a
# number and its double, each less than 0.8% wide; and array and memoryview
# find them for a thousand numbers at once.
_UPPER_HALVES: Final = slice(1 if sys.byteorder == "little" else 0, None, 2)

# How many numbers go into the sums at a time: `math.hypot` takes them as arguments.
_CHUNK: Final = 4096


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


class Histogram:
    """Whole numbers: how many, their sum, the least and the largest, exactly, and their spread.

    Attributes:
        count: How many.
        total: Their sum.
        squares: The sum of their squares.
        least: The smallest; 0 if there is none.
        most: The largest; 0 if there is none.
        buckets: How many are in each bucket (see `bucket_of`).

    Thread safety: none; who changes it has a lock.
    """

    __slots__ = ("buckets", "count", "least", "most", "squares", "total")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all numbers."""
        self.count = self.total = self.least = self.most = 0
        self.squares = 0.0
        self.buckets: Counter[int] = Counter()

    def add(self, numbers: list[int]) -> None:
        """Add numbers, none or many."""
        for start in range(0, len(numbers), _CHUNK):
            chunk = numbers[start : start + _CHUNK]
            least, most = min(chunk), max(chunk)
            self.least = min(self.least, least) if self.count else least
            self.most = max(self.most, most) if self.count else most
            self.count += len(chunk)
            self.total += sum(chunk)
            self.squares += math.hypot(*chunk) ** 2
            self.buckets.update(_buckets(chunk))

    def merge(self, other: Histogram) -> None:
        """Add the numbers of another histogram."""
        if not other.count:
            return
        self.least = min(self.least, other.least) if self.count else other.least
        self.most = max(self.most, other.most) if self.count else other.most
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.buckets.update(other.buckets)

    def copy(self) -> Histogram:
        """Return one with the same numbers."""
        copy = Histogram()
        copy.merge(self)
        return copy

    @property
    def average(self) -> float:
        """The mean; 0 if there are no numbers."""
        return self.total / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation of a sample; 0 if there are fewer than two numbers."""
        if self.count < 2 or self.least == self.most:  # noqa: PLR2004 - n - 1
            return 0.0
        spread = self.squares - self.total * (self.total / self.count)
        return math.sqrt(max(0.0, spread) / (self.count - 1))

    def percentile(self, fraction: float) -> float:
        """Return the number below which this fraction of all lies, by nearest rank.

        The smallest and the largest are exact, any other is at most 0.4% off.
        """
        rank = max(1, math.ceil(fraction * self.count))
        if rank <= 1 or rank >= self.count:
            return float(self.least if rank <= 1 else self.most)
        seen = 0
        for value, count in self.values():
            seen += count
            if seen >= rank:
                return value
        return float(self.most)

    def values(self) -> Iterator[tuple[float, int]]:
        """Yield the numbers as far as they are told apart, in order, and how many of each."""
        pairs = sorted((bucket_value(bucket), count) for bucket, count in self.buckets.items())
        for value, count in pairs:
            yield min(max(value, float(self.least)), float(self.most)), count

    @classmethod
    def of(
        cls,
        *,
        total: int,
        squares: float,
        least: int,
        most: int,
        buckets: Mapping[int, int],
    ) -> Histogram:
        """Return a histogram from what one consists of."""
        made = cls()
        made.count = sum(buckets.values())
        made.total, made.squares, made.least, made.most = total, squares, least, most
        made.buckets = Counter(buckets)
        return made
