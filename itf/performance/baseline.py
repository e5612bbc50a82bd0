"""Comparison of timings with a baseline, the timings of an earlier run in a file."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from itf.exception_notes import add_note
from itf.exceptions import FormatError, TimingError
from itf.performance.histogram import Histogram, bucket_of, bucket_value
from itf.performance.mann_whitney import mann_whitney
from itf.performance.operation_samples import TIME, OperationSamples, format_names
from itf.performance.table import from_json, seconds_text, to_json
from itf.validation import check_number

__all__ = ["Change", "check_against", "compare", "describe", "read_baseline", "write_baseline"]

__unittest = True

# Probability that an operation which is not slower is reported as slower.
_ERROR_RATE: Final = 0.01


class Change(NamedTuple):
    """The change of one operation since the baseline.

    Attributes:
        operation: The name of the operation.
        before: Median in the baseline, in seconds.
        now: Median of this run, in seconds.
        p: p-value of the test that the operation is slower than tolerated.
        counts: Number of samples of this run, and of the baseline.
    """

    operation: str
    before: float
    now: float
    p: float
    counts: tuple[int, int]

    @property
    def is_slower(self) -> bool:
        """Whether the operation is significantly slower than tolerated."""
        return self.p < _ERROR_RATE


def read_baseline(path: pathlib.Path) -> dict[str, OperationSamples] | None:
    """Return the samples in a file; None if the file does not exist.

    Raises:
        FormatError: The file is not a baseline.
        OSError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not a baseline: it is not UTF-8 text ({error.reason})"
        ) from error
    try:
        return from_json(text)
    except FormatError as error:
        raise FormatError(
            f"{path} is not a baseline: {error}; delete the file to have the next run write it"
        ) from error


def write_baseline(path: pathlib.Path, operations: Mapping[str, OperationSamples]) -> None:
    """Write samples to a file, atomically.

    Raises:
        OSError: Writing failed; an existing file is unchanged.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(to_json(operations) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        add_note(error, f"failed to write the baseline {path}; the file is unchanged")
        raise


def compare(
    baseline: Mapping[str, OperationSamples],
    operations: Mapping[str, OperationSamples],
    tolerance: float,
) -> list[Change]:
    """Compare the operations that both runs have.

    The times of the baseline are multiplied by 1 + tolerance, and then compared by their
    ranks, so that a few very long times have little influence.
    """
    changes = []
    for operation, samples in operations.items():
        if operation not in baseline:
            continue
        now = samples.histogram(TIME)
        before = baseline[operation].histogram(TIME)
        changes.append(
            Change(
                operation,
                before.percentile(0.5) / 1e9,
                now.percentile(0.5) / 1e9,
                mann_whitney(_scaled(now, 1.0), _scaled(before, 1 + tolerance)),
                (now.count, before.count),
            )
        )
    return changes


def _scaled(histogram: Histogram, factor: float) -> Iterator[tuple[float, int]]:
    # Both sides use the same buckets. Numbers in one bucket are a tie, because their
    # order is unknown.
    for value, count in histogram.values():
        yield bucket_value(bucket_of(value * factor)), count


def describe(change: Change, tolerance: float) -> str:
    """Return the text about an operation that became slower."""
    times = change.now / change.before if change.before else float("inf")
    return (
        f"{change.operation!r}: {seconds_text(change.now)} now, "
        f"{seconds_text(change.before)} in the baseline "
        f"(medians, {times:.3g} times as long, {1 + tolerance:g} allowed; "
        f"{change.counts[0]} samples against {change.counts[1]}, "
        f"p = {change.p:.2g})"
    )


def check_against(
    path: pathlib.Path, operations: Mapping[str, OperationSamples], tolerance: float
) -> list[Change]:
    """Compare operations with those in a file; if the file does not exist, write it.

    Args:
        path: The file.
        operations: The samples of this run.
        tolerance: Fraction by which an operation may be slower: 0.1 is 10%.

    Returns:
        The change of each operation; empty if the file was written.

    Raises:
        AssertionError: An operation became slower.
        TimingError: There are no samples, or no operation is in both runs.
    """
    tolerance = check_number("tolerance", tolerance, minimum=0)
    if not operations:
        raise TimingError(f"no operation was timed that could be compared with {path}")
    baseline = read_baseline(path)
    if baseline is None:
        write_baseline(path, operations)
        return []
    changes = compare(baseline, operations, tolerance)
    if not changes:
        raise TimingError(
            f"no operation that was timed ({format_names(operations)}) is in {path} "
            f"({format_names(baseline)}); delete the file to have the next run write it"
        )
    slower = [change for change in changes if change.is_slower]
    if slower:
        count = "1 operation" if len(slower) == 1 else f"{len(slower)} operations"
        raise AssertionError(
            "\n".join(
                [
                    f"{count} became slower than in {path}:",
                    *(f"  {describe(change, tolerance)}" for change in slower),
                    "if this is intended, delete the file to have the next run write it",
                ]
            )
        )
    return changes
