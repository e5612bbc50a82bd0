from __future__ import annotations

import itertools
import math
import random
import unittest

from itf.performance.mann_whitney import mann_whitney, median_interval


def each_once(numbers: list[float]) -> list[tuple[float, int]]:
    return [(number, 1) for number in numbers]


def by_counting(ours: list[float], theirs: list[float]) -> float:
    """Return the p-value by enumeration of all ways to divide the numbers."""

    def statistic(mine: tuple[float, ...], yours: list[float]) -> float:
        return sum((a > b) + (a == b) / 2 for a in mine for b in yours)

    everything = ours + theirs
    seen = statistic(tuple(ours), theirs)
    ways = list(itertools.combinations(range(len(everything)), len(ours)))
    as_large = 0
    for chosen in ways:
        mine = tuple(everything[place] for place in chosen)
        yours = [number for place, number in enumerate(everything) if place not in chosen]
        as_large += statistic(mine, yours) >= seen
    return as_large / len(ways)


class MannWhitneyTest(unittest.TestCase):
    def test_few_numbers_are_counted_out(self) -> None:
        """The p-value of few numbers is the fraction of orders that are as extreme."""
        generator = random.Random(1)
        for own, other in ((1, 1), (3, 4), (5, 3), (2, 7), (6, 6)):
            numbers = [float(number) for number in generator.sample(range(1000), own + other)]
            ours, theirs = numbers[:own], numbers[own:]
            with self.subTest(ours=ours, theirs=theirs):
                expected = by_counting(ours, theirs)
                found = mann_whitney(each_once(ours), each_once(theirs))
                self.assertAlmostEqual(expected, found)

    def test_the_tail_of_five_and_five(self) -> None:
        """Of 252 orders 4 have a U of 23 or more: 1 has 25, 1 has 24, 2 have 23."""
        ours, theirs = each_once([3.5, 6, 7, 8, 9]), each_once([1, 2, 3, 5, 4])
        self.assertAlmostEqual(4 / 252, mann_whitney(ours, theirs))

    def test_many_numbers_and_ties_come_near_to_counting(self) -> None:
        """The normal distribution is close to the exact p-value."""
        ours, theirs = [1.0, 2, 2, 3, 5, 5, 6], [1.0, 2, 3, 3, 4, 4, 5]
        expected = by_counting(ours, theirs)
        self.assertAlmostEqual(
            expected, mann_whitney(each_once(ours), each_once(theirs)), delta=0.03
        )

    def test_counts_are_as_many_numbers(self) -> None:
        """A value with count 3 is the same as three equal values."""
        listed = mann_whitney(each_once([1.0, 1, 1, 2]), each_once([1.0, 2, 2]))
        self.assertAlmostEqual(listed, mann_whitney([(1, 3), (2, 1)], [(1, 1), (2, 2)]))

    def test_both_directions(self) -> None:
        """The p-value is near 0 for larger, near 1 for smaller, and near 0.5 for equal sides."""
        low = [(float(n), 10) for n in range(100)]
        high = [(float(n + 30), 10) for n in range(100)]
        self.assertLess(mann_whitney(high, low), 1e-9)
        self.assertGreater(mann_whitney(low, high), 1 - 1e-9)
        self.assertAlmostEqual(0.5, mann_whitney(low, low), delta=0.01)

    def test_all_the_same(self) -> None:
        """If all numbers are equal, the p-value is 1."""
        self.assertEqual(1.0, mann_whitney([(4, 50)], [(4, 60)]))

    def test_an_empty_side(self) -> None:
        """A side without numbers is an error."""
        with self.assertRaisesRegex(ValueError, "needs numbers on both sides"):
            mann_whitney([], [(1, 1)])


class MedianIntervalTest(unittest.TestCase):
    def test_its_ends_are_as_far_as_the_sign_test_says(self) -> None:
        """With ten numbers the ends have rank 2 at 97.9% (table of Conover)."""
        numbers = [float(n) for n in range(1, 11)]
        self.assertEqual((5.5, 2.0, 9.0), median_interval(numbers, 0.05))
        self.assertEqual((5.5, 1.0, 10.0), median_interval(numbers, 0.01))

    def test_of_too_few_nothing_is_sure(self) -> None:
        """With too few numbers the interval is unbounded."""
        self.assertEqual((2.0, 0.0, math.inf), median_interval([1, 2, 3], 0.01))

    def test_how_often_it_is_wrong(self) -> None:
        """The interval is wrong no more often than the error rate, for any distribution."""
        generator = random.Random(4)
        wrong = 0
        for _ in range(2000):
            numbers = [generator.expovariate(1) for _ in range(24)]
            _, low, high = median_interval(numbers, 0.05)
            wrong += not low <= math.log(2) <= high
        self.assertLessEqual(wrong / 2000, 0.05)


if __name__ == "__main__":
    unittest.main()
