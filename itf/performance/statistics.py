"""Statistics of an operation, computed from its samples."""

from __future__ import annotations

from typing import Final, NotRequired, TypedDict

from itf.performance.histogram import Histogram
from itf.performance.operation_samples import PEAK, RETAINED, TIME, OperationSamples

__all__ = ["STATISTICS", "MemoryStats", "OperationStats", "statistics_of"]

__unittest = True

# Nanoseconds per second.
_NS: Final = 1e9


class MemoryStats(TypedDict):
    """Memory that one operation allocated, in bytes, by `tracemalloc`.

    ``peak``: the maximum during a sample, minus the bytes allocated at its start.
    ``retained``: the bytes allocated at its end, minus those at its start.
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

    ``count``, ``total``, ``average``, ``min`` and ``max`` are exact; the percentiles
    have an error of at most 0.4%. ``stddev`` is the sample standard deviation (n - 1).
    ``throughput`` is the number of samples per second, from the start of the first to
    the end of the last one; 0 if no time passed.

    The time of an ``async with`` block includes the time in which its task was suspended.

    ``memory`` exists only if memory was measured.
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
    memory: NotRequired[MemoryStats]


STATISTICS: Final = ("average", "min", "max", "stddev", "p50", "p90", "p99", "p999", "total")
"""The statistics in seconds, for which `assert_faster_than` takes a limit."""


def statistics_of(samples: OperationSamples) -> OperationStats:
    """Return the statistics of an operation. It must have at least one sample."""
    times = samples.histogram(TIME)
    elapsed = samples.elapsed
    stats: OperationStats = {
        "count": times.count,
        "total": times.total / _NS,
        "average": times.average / _NS,
        "min": times.minimum / _NS,
        "max": times.maximum / _NS,
        "stddev": times.deviation / _NS,
        "p50": times.percentile(0.5) / _NS,
        "p90": times.percentile(0.9) / _NS,
        "p99": times.percentile(0.99) / _NS,
        "p999": times.percentile(0.999) / _NS,
        "throughput": times.count * _NS / elapsed if elapsed else 0.0,
    }
    peak, retained = samples.histograms.get(PEAK), samples.histograms.get(RETAINED)
    if peak is not None and retained is not None:
        stats["memory"] = _memory(peak, retained)
    return stats


def _memory(peak: Histogram, retained: Histogram) -> MemoryStats:
    return {
        "count": peak.count,
        "peak_average": peak.average,
        "peak_max": peak.maximum,
        "retained_average": retained.average,
        "retained_min": retained.minimum,
        "retained_max": retained.maximum,
        "retained_total": retained.total,
    }
