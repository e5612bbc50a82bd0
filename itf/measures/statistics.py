"""What is said of an operation: its samples in numbers."""

from __future__ import annotations

from typing import Final, NotRequired, TypedDict

from itf.measures.histogram import Histogram
from itf.measures.samples import PEAK, RETAINED, SUSPENDED, TIME, OperationSamples

__all__ = ["STATISTICS", "MemoryStats", "OperationStats", "statistics_of"]

__unittest = True

_NS: Final = 1e9


class MemoryStats(TypedDict):
    """What one operation allocated, in bytes, by `tracemalloc`.

    ``peak`` is what was allocated at the height of a sample more than at its
    start, ``retained`` what was at its end.
    """

    count: int
    peak_average: float
    peak_max: int
    retained_average: float
    retained_min: int
    retained_max: int
    retained_total: int


class OperationStats(TypedDict):
    """The statistics of one operation, in seconds.

    ``count``, ``total``, ``average``, ``min`` and ``max`` are exact, the
    percentiles at most 0.4% off.  ``stddev`` is that of a sample (n - 1).
    ``throughput`` is how many ended in a second, from the start of the first
    to the end of the last; 0 if no time passed.

    ``suspended`` and ``running`` are there if tasks were timed by ``async
    with``: how much of ``total`` they stood still, and the rest of it.
    ``memory`` is there if memory was measured.
    """

    count: int
    total: float
    average: float
    min: float
    max: float
    stddev: float
    p50: float
    p90: float
    p99: float
    p999: float
    throughput: float
    suspended: NotRequired[float]
    running: NotRequired[float]
    memory: NotRequired[MemoryStats]


STATISTICS: Final = ("average", "min", "max", "stddev", "p50", "p90", "p99", "p999", "total")
"""What of an operation is in seconds, and may have a limit."""


def statistics_of(samples: OperationSamples) -> OperationStats:
    """Return what is said of an operation that has samples."""
    times = samples.of(TIME)
    elapsed = samples.elapsed
    stats: OperationStats = {
        "count": times.count,
        "total": times.total / _NS,
        "average": times.average / _NS,
        "min": times.least / _NS,
        "max": times.most / _NS,
        "stddev": times.deviation / _NS,
        "p50": times.percentile(0.5) / _NS,
        "p90": times.percentile(0.9) / _NS,
        "p99": times.percentile(0.99) / _NS,
        "p999": times.percentile(0.999) / _NS,
        "throughput": times.count * _NS / elapsed if elapsed else 0.0,
    }
    suspended = samples.series.get(SUSPENDED)
    if suspended is not None:
        stats["suspended"] = suspended.total / _NS
        stats["running"] = (times.total - suspended.total) / _NS
    peak, retained = samples.series.get(PEAK), samples.series.get(RETAINED)
    if peak is not None and retained is not None:
        stats["memory"] = _memory(peak, retained)
    return stats


def _memory(peak: Histogram, retained: Histogram) -> MemoryStats:
    return {
        "count": peak.count,
        "peak_average": peak.average,
        "peak_max": peak.most,
        "retained_average": retained.average,
        "retained_min": retained.least,
        "retained_max": retained.most,
        "retained_total": retained.total,
    }
