"""Rank statistics: the Mann-Whitney test, and a confidence interval of the median."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

__all__ = ["mann_whitney", "median_interval"]

__unittest = True

# Number of pairs up to which the distribution of U is counted exactly. Above it, the
# normal distribution is close enough and needs no time.
_MAX_EXACT_PAIRS: Final = 900


def mann_whitney(ours: Iterable[tuple[float, int]], theirs: Iterable[tuple[float, int]]) -> float:
    """Return the p-value of the one-sided Mann-Whitney U test that our numbers are larger.

    Few numbers without ties are tested exactly, by the recurrence of the source. Otherwise
    U is taken to have a normal distribution, with corrections for ties and continuity.

    Source: H. B. Mann and D. R. Whitney, "On a Test of Whether one of Two Random
    Variables is Stochastically Larger than the Other", Annals of Mathematical
    Statistics 18 (1947).

    Args:
        ours: Pairs of a number and its count.
        theirs: The numbers to compare with, in the same form.

    Returns:
        Near 0 if our numbers are larger, near 1 if they are smaller.

    Raises:
        ValueError: One side has no numbers.

    Example:
        >>> round(mann_whitney([(5, 1), (6, 1), (7, 1)], [(1, 1), (2, 1), (3, 1)]), 3)
        0.05
    """
    counts_by_value: dict[float, list[int]] = {}
    for side, numbers in enumerate((ours, theirs)):
        for value, count in numbers:
            counts_by_value.setdefault(value, [0, 0])[side] += count
    own = sum(counts[0] for counts in counts_by_value.values())
    other = sum(counts[1] for counts in counts_by_value.values())
    if not own or not other:
        raise ValueError("mann_whitney needs numbers on both sides")
    # U is the number of pairs in which ours is larger; a tie counts one half. Twice U is
    # an integer.
    twice_u = ties = below = 0
    for _, (mine, yours) in sorted(counts_by_value.items()):
        twice_u += mine * (2 * below + yours)
        below += yours
        both = mine + yours
        ties += both**3 - both
    if not ties and own * other <= _MAX_EXACT_PAIRS:
        return _exact(own, other, twice_u // 2)
    total = own + other
    variance = own * other / 12 * (total + 1 - ties / (total * (total - 1)))
    if not variance:
        return 1.0  # all numbers are equal
    z = (twice_u / 2 - own * other / 2 - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2)) / 2


def _exact(own: int, other: int, u: int) -> float:
    """Return the fraction of all orders of the numbers in which U is at least this large.

    Let f(m, n, u) be the number of orders of m and n numbers with this U. The largest
    number is either one of the m, and then larger than all n, or one of the n. So
    f(m, n, u) = f(m - 1, n, u - n) + f(m, n - 1, u).
    """
    # row[n][u] is f(m, n, u) for the current m.
    row = [[1] for _ in range(other + 1)]
    for mine in range(1, own + 1):
        following = [[1]]
        for yours in range(1, other + 1):
            counts = following[-1] + [0] * (mine * yours + 1 - len(following[-1]))
            for value, count in enumerate(row[yours]):
                counts[value + yours] += count
            following.append(counts)
        row = following
    counts = row[other]
    return sum(counts[u:]) / sum(counts)


def median_interval(numbers: list[float], error_rate: float) -> tuple[float, float, float]:
    """Return the median and its confidence interval, for any distribution.

    The interval of the sign test: each number exceeds the true median with probability
    1/2, so that the number of those that do has a binomial distribution.

    Source: W. J. Conover, "Practical Nonparametric Statistics", section 3.2.

    Args:
        numbers: At least one number.
        error_rate: Probability that the interval does not contain the true median.

    Returns:
        The median, the lower end and the upper end. With too few numbers for this
        error rate, the ends are 0 and infinity.
    """
    ordered = sorted(numbers)
    count = len(ordered)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    # The largest k for which fewer than k of the numbers exceed the true median with a
    # probability of at most error_rate / 2.
    probability, k = 0.5**count, 0
    cumulated = probability
    while cumulated <= error_rate / 2:
        k += 1
        probability *= (count - k + 1) / k
        cumulated += probability
    if not k:
        return middle, 0.0, math.inf
    return middle, ordered[k - 1], ordered[count - k]
