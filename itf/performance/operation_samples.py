"""The samples of one operation: one histogram for each quantity that is measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from itf.performance.histogram import Histogram
from itf.safe_repr import safe_repr

__all__ = [
    "PEAK",
    "QUANTITIES",
    "RETAINED",
    "TIME",
    "OperationSamples",
    "check_operation",
    "format_names",
]

__unittest = True

TIME: Final = "time"
"""Duration of the operation, in nanoseconds."""

PEAK: Final = "peak"
"""Bytes allocated at the highest point of the operation, beyond those at its start."""

RETAINED: Final = "retained"
"""Bytes allocated at the end of the operation, beyond those at its start."""

QUANTITIES: Final = (TIME, PEAK, RETAINED)
"""All quantities. Files store the index in this tuple: append, do not reorder."""


class OperationSamples:
    """The samples of one operation, and the period in which they were taken.

    Attributes:
        histograms: The histogram of each quantity.
        first_start: Start of the first sample, by `time.perf_counter_ns`; None if unknown.
        last_end: End of the last sample.
        earlier_span: Nanoseconds of samples that were read from a file. Their clock had
            another origin, so that only the length of their period is known.
    """

    __slots__ = ("earlier_span", "first_start", "histograms", "last_end")

    def __init__(self) -> None:
        self.histograms: dict[str, Histogram] = {}
        self.first_start: int | None = None
        self.last_end = 0
        self.earlier_span = 0

    def histogram(self, quantity: str) -> Histogram:
        """Return the histogram of a quantity; create an empty one if there is none."""
        return self.histograms.setdefault(quantity, Histogram())

    def extend_period(self, first_start: int, last_end: int) -> None:
        """Include these two times in the period."""
        self.first_start = (
            first_start if self.first_start is None else min(self.first_start, first_start)
        )
        self.last_end = max(self.last_end, last_end)

    @property
    def elapsed(self) -> int:
        """Nanoseconds from the first start to the last end."""
        if self.first_start is None:
            return self.earlier_span
        return self.earlier_span + max(0, self.last_end - self.first_start)

    def merge(self, other: OperationSamples) -> None:
        """Add samples that were taken by the same clock."""
        for quantity, histogram in other.histograms.items():
            self.histogram(quantity).merge(histogram)
        if other.first_start is not None:
            self.extend_period(other.first_start, other.last_end)
        self.earlier_span += other.earlier_span


def check_operation(operation: object) -> str:
    """Return the name of an operation.

    Raises:
        TypeError: The name is not a str.
    """
    if not isinstance(operation, str):
        raise TypeError(f"the name of an operation must be a str, got {safe_repr(operation)}")
    return operation


def format_names(operations: Iterable[str]) -> str:
    """Return the names of operations as messages list them."""
    return ", ".join(map(repr, operations)) or "none"
