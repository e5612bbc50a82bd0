from __future__ import annotations

import itertools
import unittest

from itf.interleaving.pct_strategy import PctStrategy, Seeds


def changes(seed: int, length: int) -> list[int]:
    """Return the steps of the priority changes of a run with this length."""
    strategy = PctStrategy(seed)
    found = [strategy.next_change(0)]
    while found[-1] <= length:
        found.append(strategy.next_change(found[-1]))
    return found[:-1]


class PctStrategyTest(unittest.TestCase):
    def test_a_seed_determines_the_changes(self) -> None:
        """The same seed gives the same changes; other seeds give other changes."""
        for seed in range(64):
            self.assertEqual(changes(seed, 100), changes(seed, 100))
        self.assertGreater(len({tuple(changes(14 + 64 * n, 128)) for n in range(50)}), 40)

    def test_few_changes_spread_evenly(self) -> None:
        """About two runs in three have few changes, spread evenly.

        The other runs are random walks.
        """
        length = 2 ** (20 // 2)
        runs = [changes(20 + 64 * number, length) for number in range(400)]
        few = [run for run in runs if 1 <= len(run) <= 5]
        walks = [run for run in runs if len(run) > length / 6]
        self.assertEqual(400, len(few) + len(walks))
        self.assertTrue(100 < len(walks) < 170, len(walks))
        early = sum(step <= length / 2 for run in few for step in run)
        share = early / sum(map(len, few))
        self.assertTrue(0.4 < share < 0.6, share)

    def test_changes_are_at_most_10000_steps_apart(self) -> None:
        """Each change is later than the last, by at most 10,000 steps."""
        for seed in (0, 1, 30, 63, 64 * 99 + 63):
            steps = [0, *changes(seed, 50_000)]
            for one, two in itertools.pairwise(steps):
                self.assertTrue(one < two <= one + 10_000)

    def test_lowest_is_below_all(self) -> None:
        """`lowest` returns less than all priorities that were returned before."""
        strategy = PctStrategy(1)
        given = [strategy.priority() for _ in range(10)]
        lowest = strategy.lowest()
        self.assertLess(lowest, min(given))
        self.assertLess(strategy.lowest(), lowest)


class SeedsTest(unittest.TestCase):
    def test_a_seed_encodes_the_expected_length(self) -> None:
        """The next seed encodes the steps of the last run, rounded up; seeds increase."""
        seeds = Seeds(7)
        self.assertEqual(7, seeds.seed)
        before = 7
        for steps in (1, 5, 100, 3_000, 10**6):
            seeds = Seeds(before)
            seeds.advance(steps)
            length = 2 ** (seeds.seed % 64 / 2)
            self.assertTrue(steps <= length <= steps * 1.5 + 1, (steps, length))
            self.assertTrue(before < seeds.seed <= before + 64)
            before = seeds.seed

    def test_the_shortest_run_counts(self) -> None:
        """The shortest of the latest runs determines the expected length."""
        seeds = Seeds(0)
        for steps in (100, 100_000, 100_000):
            seeds.advance(steps)
        self.assertLess(2 ** (seeds.seed % 64 / 2), 200)


if __name__ == "__main__":
    unittest.main()
