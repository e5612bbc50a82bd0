from __future__ import annotations

import itertools
import unittest

from itf.interleaving.pct_strategy import PctStrategy, Seeds


def changes(seed: int, length: int) -> list[int]:
    """Return the steps at which a run of some length is changed."""
    strategy = PctStrategy(seed)
    found = [strategy.next_change(0)]
    while found[-1] <= length:
        found.append(strategy.next_change(found[-1]))
    return found[:-1]


class ChoicesTest(unittest.TestCase):
    def test_a_seed_gives_the_same_choices(self) -> None:
        """Priorities and changes; another seed gives others."""
        for seed in range(64):
            self.assertEqual(changes(seed, 100), changes(seed, 100))
        self.assertGreater(len({tuple(changes(14 + 64 * n, 128)) for n in range(50)}), 40)

    def test_few_changes_spread_evenly(self) -> None:
        """Two runs in three have one to five, as often early as late; the others walk."""
        length = 2 ** (20 // 2)
        runs = [changes(20 + 64 * number, length) for number in range(400)]
        few = [run for run in runs if 1 <= len(run) <= 5]
        walks = [run for run in runs if len(run) > length / 6]
        self.assertEqual(400, len(few) + len(walks))
        self.assertTrue(100 < len(walks) < 170, len(walks))
        early = sum(step <= length / 2 for run in few for step in run)
        share = early / sum(map(len, few))
        self.assertTrue(0.4 < share < 0.6, share)

    def test_steps_rise_and_never_end(self) -> None:
        """The next change is always ahead, at most 10,000 steps."""
        for seed in (0, 1, 30, 63, 64 * 99 + 63):
            steps = [0, *changes(seed, 50_000)]
            for one, two in itertools.pairwise(steps):
                self.assertTrue(one < two <= one + 10_000)

    def test_lowest_is_below_all(self) -> None:
        """Below priorities given before, and below the lowest so far."""
        strategy = PctStrategy(1)
        given = [strategy.priority() for _ in range(10)]
        lowest = strategy.lowest()
        self.assertLess(lowest, min(given))
        self.assertLess(strategy.lowest(), lowest)


class SeedsTest(unittest.TestCase):
    def test_a_seed_says_how_long_its_run_is(self) -> None:
        """Within a half octave above the shortest of the latest runs; seeds rise."""
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

    def test_a_long_run_among_short_ones_counts_little(self) -> None:
        """A thread that waited in a circle made it long."""
        seeds = Seeds(0)
        for steps in (100, 100_000, 100_000):
            seeds.advance(steps)
        self.assertLess(2 ** (seeds.seed % 64 / 2), 200)


if __name__ == "__main__":
    unittest.main()
