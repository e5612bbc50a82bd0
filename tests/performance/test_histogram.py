from __future__ import annotations

import math
import random
import statistics
import sys
import unittest

from itf.performance.histogram import Histogram, bucket_of, bucket_value


def histogram_of(numbers: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.add(numbers)
    return histogram


def nearest_rank(numbers: list[int], fraction: float) -> int:
    return sorted(numbers)[max(1, math.ceil(fraction * len(numbers))) - 1]


class HistogramTest(unittest.TestCase):
    def test_sums_are_exact(self) -> None:
        """Count, total, minimum, maximum and deviation are exact."""
        numbers = [int(random.Random(1).lognormvariate(12, 2)) for _ in range(20_000)]
        numbers += [10**13 + number for number in numbers[:100]]
        histogram = histogram_of(numbers)
        self.assertEqual(
            (len(numbers), sum(numbers), min(numbers), max(numbers)),
            (histogram.count, histogram.total, histogram.minimum, histogram.maximum),
        )
        self.assertAlmostEqual(1, histogram.deviation / statistics.stdev(numbers))

    def test_percentiles_of_any_spread(self) -> None:
        """Percentiles have an error below 0.5%; the first and the last are exact."""
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
        """Percentiles are exact while at most a thousand numbers differ."""
        numbers = [7, 11, 13] * 5000
        histogram = histogram_of(numbers)
        self.assertEqual(
            [7.0, 11.0, 13.0], [histogram.percentile(part) for part in (0.3, 0.5, 0.7)]
        )

    def test_nothing_and_one(self) -> None:
        """Without numbers all results are 0; with one number all are that number."""
        empty = Histogram()
        self.assertEqual((0, 0, 0, 0), (empty.count, empty.total, empty.minimum, empty.maximum))
        self.assertEqual((0, 0, 0), (empty.average, empty.deviation, empty.percentile(0.5)))
        one = histogram_of([5])
        self.assertEqual((5, 0, 5), (one.average, one.deviation, one.percentile(0.99)))

    def test_a_deviation_that_is_tiny_beside_the_numbers(self) -> None:
        """The deviation of nearly equal large numbers is exact."""
        self.assertEqual(0, histogram_of([10**15] * 9).deviation)
        numbers = [10**15 + number for number in range(3)]
        self.assertEqual(1, histogram_of(numbers).deviation)

    def test_merging_is_adding(self) -> None:
        """Merging two histograms gives the histogram of all numbers."""
        for first, second in (
            ([1, 2], [3]),
            (list(range(5000)), [7]),
            ([7], list(range(5000))),
            ([], list(range(3000))),
            (list(range(2000)), list(range(9000, 12_000))),
        ):
            merged = histogram_of(first)
            merged.merge(histogram_of(second))
            self.assertEqual(histogram_of(first + second).state(), merged.state())

    def test_state_and_back(self) -> None:
        """from_state restores what state has returned."""
        for numbers in ([], [3, 4], list(range(3000)), [-5, 10**18]):
            state = histogram_of(numbers).state()
            self.assertEqual(state, Histogram.from_state(state).state())

    def test_a_million_numbers_take_little_memory(self) -> None:
        """The number of buckets has a bound, whatever the count of numbers."""
        histogram = Histogram()
        generator = random.Random(3)
        for _ in range(50):
            histogram.add([int(generator.lognormvariate(9, 1)) for _ in range(1024)])
        state = histogram.state()
        self.assertLess(len(state.buckets), 2000)
        self.assertLess(sys.getsizeof(state.buckets), 100_000)

    def test_buckets(self) -> None:
        """Each number differs from the middle of its bucket by less than 0.5%."""
        for number in (1, 2, 3, 127, 1000, 123_456_789, 2**40 + 1, 2**63, -17):
            self.assertLess(abs(bucket_value(bucket_of(number)) / number - 1), 0.005)
        self.assertEqual(0, bucket_value(bucket_of(0)))


if __name__ == "__main__":
    unittest.main()
