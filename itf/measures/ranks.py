"""Whether one set of numbers is larger than another: a test that looks at their order alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

__all__ = ["mann_whitney", "median_interval"]

__unittest = True

# Up to so many pairs the distribution is counted, above it is a normal one.
_EXACT: Final = 900


def mann_whitney(ours: Iterable[tuple[float, int]], theirs: Iterable[tuple[float, int]]) -> float:
    """Return how likely chance alone makes our numbers so much larger than theirs.

    The one-sided U test of H. B. Mann and D. R. Whitney, "On a Test of Whether
    one of Two Random Variables is Stochastically Larger than the Other", Annals
    of Mathematical Statistics 18 (1947).  Few numbers without ties: exactly, by
    the recurrence given there.  Otherwise by the normal distribution, with the
    usual corrections for ties and continuity.

    Args:
        ours: Numbers, and how often each is there.
        theirs: As well.

    Returns:
        The p-value: near 0 if ours are larger, near 1 if they are smaller.

    Example:
        >>> round(mann_whitney([(5, 1), (6, 1), (7, 1)], [(1, 1), (2, 1), (3, 1)]), 3)
        0.05
    """
    places: dict[float, list[int]] = {}
    for side, numbers in enumerate((ours, theirs)):
        for value, count in numbers:
            places.setdefault(value, [0, 0])[side] += count
    own = sum(counts[0] for counts in places.values())
    other = sum(counts[1] for counts in places.values())
    if not own or not other:
        raise ValueError("mann_whitney needs numbers on both sides")
    # Twice U: how often one of ours is above one of theirs; a tie is a half.
    twice_u = ties = below = 0
    for _, (mine, yours) in sorted(places.items()):
        twice_u += mine * (2 * below + yours)
        below += yours
        both = mine + yours
        ties += both**3 - both
    if not ties and own * other <= _EXACT:
        return _exact(own, other, twice_u // 2)
    total = own + other
    variance = own * other / 12 * (total + 1 - ties / (total * (total - 1)))
    if not variance:
        return 1.0  # all are the same
    z = (twice_u / 2 - own * other / 2 - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2)) / 2


def _exact(own: int, other: int, u: int) -> float:
    """Return the share of all orders in which U is as large as this, or larger.

    With f(m, n, u) orders of m and n numbers that have this U, the largest
    number is one of the m, and above all n others, or one of the n:
    f(m, n, u) = f(m - 1, n, u - n) + f(m, n - 1, u).
    """
    # Row by row of m; column n holds the counts of all u.
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


def median_interval(numbers: list[float], doubt: float) -> tuple[float, float, float]:
    """Return the median, and between what it surely lies, whatever the distribution.

    So many numbers are above the true median as heads are thrown: the k-th from
    either end is beyond it as seldom as fewer than k heads are (the sign test's
    interval, see W. J. Conover, "Practical Nonparametric Statistics", 3.2).

    Args:
        numbers: Not empty.
        doubt: How often the interval may be wrong.

    Returns:
        The median, the lower end and the upper end.  Of too few numbers nothing
        is sure: then the ends are 0 and infinity.
    """
    ordered = sorted(numbers)
    count = len(ordered)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    chance, k = 0.5**count, 0
    heads = chance
    while heads <= doubt / 2:
        k += 1
        chance *= (count - k + 1) / k
        heads += chance
    if not k:
        return middle, 0.0, math.inf
    return middle, ordered[k - 1], ordered[count - k]
