from __future__ import annotations

import math
import random
import statistics
import sys
import unittest

from itf.measures.histogram import Histogram, bucket_of, bucket_value


def histogram_of(numbers: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.add(numbers)
    return histogram


def nearest_rank(numbers: list[int], fraction: float) -> int:
    return sorted(numbers)[max(1, math.ceil(fraction * len(numbers))) - 1]


class HistogramTest(unittest.TestCase):
    def test_sums_are_exact(self) -> None:
        """Count, total, least, most and deviation are those of the numbers themselves."""
        numbers = [int(random.Random(1).lognormvariate(12, 2)) for _ in range(20_000)]
        numbers += [10**13 + number for number in numbers[:100]]
        histogram = histogram_of(numbers)
        self.assertEqual(
            (len(numbers), sum(numbers), min(numbers), max(numbers)),
            (histogram.count, histogram.total, histogram.least, histogram.most),
        )
        self.assertAlmostEqual(1, histogram.deviation / statistics.stdev(numbers))

    def test_percentiles_of_any_spread(self) -> None:
        """They are at most half a percent off, the first and the last not at all."""
        generator = random.Random(2)
        spreads = {
            "lognormal": [int(generator.lognormvariate(10, 3)) for _ in range(30_000)],
            "even": list(range(1, 50_000)),
            "two far apart": [generator.randint(100, 3000) for _ in range(5000)]
            + [generator.randint(10**9, 2 * 10**9) for _ in range(5000)],
            "zeros, too": [0] * 3000 + list(range(3000, 9000)),
        }
        for name, numbers in spreads.items():
            generator.shuffle(numbers)
            histogram = histogram_of(numbers)
            for fraction in (0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0):
                with self.subTest(name, fraction=fraction):
                    exact = nearest_rank(numbers, fraction)
                    found = histogram.percentile(fraction)
                    self.assertLessEqual(abs(found - exact), 0.005 * exact)
            self.assertEqual(min(numbers), histogram.percentile(0))
            self.assertEqual(max(numbers), histogram.percentile(1))

    def test_few_different_numbers_are_exact(self) -> None:
        """However many there are, as long as no more than a thousand differ."""
        numbers = [7, 11, 13] * 5000
        histogram = histogram_of(numbers)
        self.assertEqual(
            [7.0, 11.0, 13.0], [histogram.percentile(part) for part in (0.3, 0.5, 0.7)]
        )

    def test_nothing_and_one(self) -> None:
        """Without numbers all is 0; one number is all there is to say."""
        empty = Histogram()
        self.assertEqual((0, 0, 0, 0), (empty.count, empty.total, empty.least, empty.most))
        self.assertEqual((0, 0, 0), (empty.average, empty.deviation, empty.percentile(0.5)))
        one = histogram_of([5])
        self.assertEqual((5, 0, 5), (one.average, one.deviation, one.percentile(0.99)))

    def test_a_deviation_that_is_tiny_beside_the_numbers(self) -> None:
        """No digit is lost where all are nearly the same."""
        self.assertEqual(0, histogram_of([10**15] * 9).deviation)
        numbers = [10**15 + number for number in range(3)]
        self.assertEqual(1, histogram_of(numbers).deviation)

    def test_merging_is_adding(self) -> None:
        """Two histograms merged are one of all numbers, whatever was in buckets already."""
        for first, second in (
            ([1, 2], [3]),
            (list(range(5000)), [7]),
            ([7], list(range(5000))),
            ([], list(range(3000))),
            (list(range(2000)), list(range(9000, 12_000))),
        ):
            merged = histogram_of(first)
            merged.merge(histogram_of(second))
            self.assertEqual(histogram_of(first + second).settled(), merged.settled())

    def test_settled_and_back(self) -> None:
        """A histogram comes back from what it says of itself."""
        for numbers in ([], [3, 4], list(range(3000)), [-5, 10**18]):
            settled = histogram_of(numbers).settled()
            self.assertEqual(settled, Histogram.of(settled).settled())

    def test_a_million_numbers_take_little_memory(self) -> None:
        """There are so many buckets at most, and each number adds to one."""
        histogram = Histogram()
        generator = random.Random(3)
        for _ in range(50):
            histogram.add([int(generator.lognormvariate(9, 1)) for _ in range(1024)])
        settled = histogram.settled()
        self.assertLess(len(settled.buckets), 2000)
        self.assertLess(sys.getsizeof(settled.buckets), 100_000)

    def test_buckets(self) -> None:
        """The middle of its bucket is less than half a percent off any number."""
        for number in (1, 2, 3, 127, 1000, 123_456_789, 2**40 + 1, 2**63, -17):
            self.assertLess(abs(bucket_value(bucket_of(number)) / number - 1), 0.005)
        self.assertEqual(0, bucket_value(bucket_of(0)))


if __name__ == "__main__":
    unittest.main()
