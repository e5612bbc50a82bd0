"""The timings of another day, in a file: whether those of today are slower."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from itf.exceptions import FormatError, TimingError
from itf.measures.histogram import Histogram, bucket_of, bucket_value
from itf.measures.ranks import mann_whitney
from itf.measures.report import from_json, seconds_text, to_json
from itf.measures.samples import TIME, OperationSamples, known
from itf.notes import add_note
from itf.texts import safe_repr

__all__ = ["Change", "check_against", "compare", "describe", "read_baseline", "write_baseline"]

__unittest = True

# How often an operation that is not slower may be taken for slower.
_DOUBT: Final = 0.01


class Change(NamedTuple):
    """An operation, then and now.

    Attributes:
        operation: Its name.
        before: Its median in the baseline, in seconds.
        now: Its median now.
        p: How likely chance alone makes it look slower than is tolerated.
        counts: How many samples there are now, and were then.
    """

    operation: str
    before: float
    now: float
    p: float
    counts: tuple[int, int]

    @property
    def is_slower(self) -> bool:
        """Whether it is slower than is tolerated, and not by chance."""
        return self.p < _DOUBT


def read_baseline(path: pathlib.Path) -> dict[str, OperationSamples] | None:
    """Return the samples in a file; None if there is no such file.

    Raises:
        FormatError: The file holds something else.
        OSError: It cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is no baseline: it is no text ({error.reason})") from error
    try:
        return from_json(text)
    except FormatError as error:
        raise FormatError(
            f"{path} is no baseline: {error}; delete it, and the next run writes a new one"
        ) from error


def write_baseline(path: pathlib.Path, operations: Mapping[str, OperationSamples]) -> None:
    """Write samples to a file, all of them or, if that fails, nothing.

    Raises:
        OSError: It cannot be written; what was there before is still there.
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
        add_note(error, f"while the baseline {path} was being written; nothing of it was")
        raise


def compare(
    baseline: Mapping[str, OperationSamples],
    operations: Mapping[str, OperationSamples],
    tolerance: float,
) -> list[Change]:
    """Compare the operations that are in both.

    Each time now is compared with each time then, made longer by the tolerance;
    only their order counts, so that a few very long ones do not decide.
    """
    changes = []
    for operation, samples in operations.items():
        if operation not in baseline:
            continue
        now, then = samples.of(TIME), baseline[operation].of(TIME)
        changes.append(
            Change(
                operation,
                then.percentile(0.5) / 1e9,
                now.percentile(0.5) / 1e9,
                mann_whitney(_told_apart(now, 1.0), _told_apart(then, 1 + tolerance)),
                (now.count, then.count),
            )
        )
    return changes


def _told_apart(histogram: Histogram, factor: float) -> Iterator[tuple[float, int]]:
    # In the same buckets, so that what cannot be told apart is a tie.
    for value, count in histogram.values():
        yield bucket_value(bucket_of(value * factor)), count


def describe(change: Change, tolerance: float) -> str:
    """Return what is said of an operation that became slower."""
    times = change.now / change.before if change.before else float("inf")
    return (
        f"{change.operation!r}: {seconds_text(change.now)} now, {seconds_text(change.before)} then "
        f"(medians, {times:.3g} times as long, {1 + tolerance:g} allowed; "
        f"{change.counts[0]} samples against {change.counts[1]}, "
        f"chance explains it with p = {change.p:.2g})"
    )


def check_against(
    path: pathlib.Path, operations: Mapping[str, OperationSamples], tolerance: float
) -> list[Change]:
    """Compare operations with those in a file; if there is none, write it.

    Raises:
        AssertionError: One of them became slower.
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float):
        raise TypeError(f"tolerance is a number, got {safe_repr(tolerance)}")
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance is a part of the time from 0 on, got {tolerance!r}")
    if not operations:
        raise TimingError(f"nothing was timed that could be compared with {path}")
    baseline = read_baseline(path)
    if baseline is None:
        write_baseline(path, operations)
        return []
    changes = compare(baseline, operations, tolerance)
    if not changes:
        raise TimingError(
            f"nothing that was timed ({known(operations)}) is in {path} ({known(baseline)}); "
            "delete it, and the next run writes a new one"
        )
    slower = [change for change in changes if change.is_slower]
    if slower:
        count = "1 operation" if len(slower) == 1 else f"{len(slower)} operations"
        raise AssertionError(
            "\n".join(
                [
                    f"{count} became slower than in {path}:",
                    *(f"  {describe(change, tolerance)}" for change in slower),
                    "if that is meant, delete the file, and the next run writes it anew",
                ]
            )
        )
    return changes
