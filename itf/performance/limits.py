"""Check of the statistics of an operation against limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from itf.performance.statistics import STATISTICS, OperationStats
from itf.performance.table import seconds_text
from itf.safe_repr import safe_repr
from itf.validation import check_positive

__all__ = ["check_limits"]

__unittest = True

# Number of samples below which a percentile equals the maximum.
_SAMPLES_NEEDED = {"p90": 10, "p99": 100, "p999": 1000}


def check_limits(
    operation: str, limits: Mapping[str, float], stats_of: Callable[[], OperationStats]
) -> None:
    """Check that each statistic is at most its limit.

    Args:
        operation: The name of the operation.
        limits: The limits in seconds, by the name of the statistic.
        stats_of: Returns the statistics. Called only if the limits are valid.

    Raises:
        AssertionError: A statistic exceeds its limit.
        TypeError: A name is unknown, or there are no limits.
    """
    unknown = [name for name in limits if name not in STATISTICS]
    if unknown or not limits:
        raise TypeError(
            f"assert_faster_than takes limits by name, such as p99=0.05: "
            f"{', '.join(STATISTICS)}; got {', '.join(map(safe_repr, unknown)) or 'none'}"
        )
    for name, limit in limits.items():
        check_positive(name, limit)
    stats = stats_of()
    values: dict[str, float] = {name: stats[name] for name in limits}  # type: ignore[literal-required]
    over = [name for name, limit in limits.items() if values[name] > limit]
    if not over:
        return
    lines = [
        f"  {name} is {seconds_text(values[name])}, at most {seconds_text(limits[name])} allowed"
        + _note_few_samples(name, stats["count"])
        for name in over
    ]
    raise AssertionError(
        "\n".join(
            [
                f"{operation!r} is too slow:",
                *lines,
                f"  count {stats['count']}, min {seconds_text(stats['min'])}, "
                f"p50 {seconds_text(stats['p50'])}, max {seconds_text(stats['max'])}",
            ]
        )
    )


def _note_few_samples(name: str, count: int) -> str:
    return (
        f" (with {count} samples, this is the max)" if count < _SAMPLES_NEEDED.get(name, 0) else ""
    )
