"""Samples as a table and as JSON; samples from JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from itf.exceptions import FormatError
from itf.performance.histogram import Histogram, HistogramState, bucket_value
from itf.performance.operation_samples import QUANTITIES, TIME, OperationSamples
from itf.performance.statistics import OperationStats, statistics_of
from itf.safe_repr import safe_repr

__all__ = ["bytes_text", "from_json", "seconds_text", "table", "to_json"]

__unittest = True

# Characters for bars of height 0 to 8.
_BARS: Final = " ▁▂▃▄▅▆▇█"
# Number of bars in a histogram.
_COLUMNS: Final = 24

# Version of the JSON format, and the value that identifies it.
_SCHEMA: Final = 1
_KIND: Final = "itf timings"
# Largest integer accepted from a file. It exceeds every sum of squares that itf writes,
# and can still be converted to a float.
_LARGEST: Final = 2**256
# Buckets are 16-bit numbers: at most 5 decimal digits.
_MAX_BUCKET: Final = 0xFFFF
_MAX_BUCKET_DIGITS: Final = 5


def seconds_text(seconds: float) -> str:
    """Return a duration with a suitable unit: ``1.23 ms``."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if abs(seconds) * factor >= 1:
            return f"{seconds * factor:.3g} {unit}" if abs(seconds) < 1e3 else f"{seconds:.0f} s"  # noqa: PLR2004
    return f"{seconds * 1e9:.3g} ns"


def bytes_text(count: float) -> str:
    """Return a number of bytes with a suitable unit: ``1.5 MiB``."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if abs(count) >= 1 << power:
            return f"{count / (1 << power):.1f} {unit}"
    return f"{count:.0f} B"


def _bars(histogram: Histogram) -> str:
    """Return a histogram as a row of bars, from the minimum to the maximum.

    The columns are equally wide on a logarithmic scale. The height of a bar is the
    number of samples in its column.
    """
    low, high = max(1.0, float(histogram.minimum)), max(1.0, float(histogram.maximum))
    width = math.log(high / low) / _COLUMNS
    columns = [0] * _COLUMNS
    for value, count in histogram.values():
        column = int(math.log(max(value, low) / low) / width) if width else 0
        columns[min(column, _COLUMNS - 1)] += count
    highest = max(columns) or 1
    # Rounded up, so that a single sample among thousands has a bar.
    return "".join(_BARS[math.ceil(count / highest * 8)] for count in columns)


def table(operations: Mapping[str, OperationSamples]) -> str:
    """Return a table with one line for each operation, with statistics and a histogram."""
    rows = [["operation", "count", "total", "average", "min", "p50", "p99", "max", "1/s", ""]]
    notes = []
    for operation, samples in operations.items():
        stats = statistics_of(samples)
        texts = [
            seconds_text(stats[key]) for key in ("total", "average", "min", "p50", "p99", "max")
        ]
        name = operation if operation.isprintable() else safe_repr(operation)
        count, rate = f"{stats['count']:,}", f"{stats['throughput']:,.0f}"
        rows.append([name, count, *texts, rate, f"|{_bars(samples.histogram(TIME))}|"])
        notes += _notes(name, stats)
    if len(rows) == 1:
        return "no timings"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], *notes])


def _notes(name: str, stats: OperationStats) -> list[str]:
    notes = []
    if "memory" in stats:
        memory = stats["memory"]
        notes.append(
            f"{name}: peak {bytes_text(memory['peak_max'])} at most, "
            f"{bytes_text(memory['retained_average'])} retained on average"
        )
    return notes


# JSON


def to_json(operations: Mapping[str, OperationSamples]) -> str:
    """Return the samples of all operations as JSON, for `from_json`."""
    import json

    data = {
        "kind": _KIND,
        "schema": _SCHEMA,
        "operations": {
            operation: {
                "elapsed_ns": samples.elapsed,
                **{
                    quantity: _to_dict(samples.histograms[quantity])
                    for quantity in QUANTITIES
                    if quantity in samples.histograms
                },
            }
            for operation, samples in operations.items()
        },
    }
    return json.dumps(data, indent=1)


def _to_dict(histogram: Histogram) -> dict[str, Any]:
    state = histogram.state()
    return {
        "count": sum(state.buckets.values()),
        "total": state.total,
        "squares": state.squares,
        "min": state.minimum,
        "max": state.maximum,
        "buckets": {str(bucket): state.buckets[bucket] for bucket in sorted(state.buckets)},
    }


def from_json(text: str) -> dict[str, OperationSamples]:
    """Return the samples of a text that `to_json` has written.

    Raises:
        FormatError: The text has another format, or its numbers contradict each other.
        TypeError: The argument is not a str.
    """
    import json

    if not isinstance(text, str):
        raise TypeError(f"from_json needs a str, got {safe_repr(text)}")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not the timings of itf: invalid JSON ({error})") from error
    if not isinstance(data, dict) or data.get("kind") != _KIND:
        _raise_format_error(f"the text is not an object with kind {_KIND!r}")
    if data.get("schema") != _SCHEMA:
        _raise_format_error(
            f"schema is {safe_repr(data.get('schema'))}; this version of itf reads {_SCHEMA}"
        )
    operations = data.get("operations")
    if not isinstance(operations, dict):
        _raise_format_error("operations is not an object")
    return {name: _read_operation(name, value) for name, value in operations.items()}


def _read_operation(name: str, data: Any) -> OperationSamples:
    where = f"operation {safe_repr(name)}"
    if not isinstance(data, dict) or TIME not in data:
        _raise_format_error(f"{where} has no {TIME!r}")
    samples = OperationSamples()
    samples.earlier_span = _read_int(data.get("elapsed_ns"), f"{where}: elapsed_ns", minimum=0)
    for quantity in QUANTITIES:
        if quantity in data:
            samples.histograms[quantity] = _read_histogram(f"{where}, {quantity}", data[quantity])
    return samples


def _read_histogram(where: str, data: Any) -> Histogram:
    if not isinstance(data, dict) or not isinstance(data.get("buckets"), dict):
        _raise_format_error(f"{where} has no buckets")
    buckets: dict[int, int] = {}
    for key, count in data["buckets"].items():
        if not (key.isascii() and key.isdigit() and len(key) <= _MAX_BUCKET_DIGITS):
            _raise_format_error(f"{where}: {safe_repr(key)} is not a bucket")
        if int(key) > _MAX_BUCKET or not math.isfinite(bucket_value(int(key))):
            _raise_format_error(f"{where}: {key} is not a bucket")
        buckets[int(key)] = _read_int(count, f"{where}: bucket {key}", minimum=1)
    count = _read_int(data.get("count"), f"{where}: count", minimum=1)
    if count != sum(buckets.values()):
        _raise_format_error(
            f"{where}: count is {count}, but the buckets hold {sum(buckets.values())}"
        )
    total, minimum, maximum = (
        _read_int(data.get(key), f"{where}: {key}") for key in ("total", "min", "max")
    )
    squares = _read_int(data.get("squares"), f"{where}: squares")
    # By the inequality of Cauchy and Schwarz, count * squares >= total ** 2.
    if not minimum * count <= total <= maximum * count or squares * count < total * total:
        _raise_format_error(f"{where}: total, squares, min and max contradict each other")
    return Histogram.from_state(HistogramState(total, squares, minimum, maximum, buckets))


def _read_int(value: Any, what: str, minimum: int | None = None) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or abs(value) > _LARGEST
        or (minimum is not None and value < minimum)
    ):
        _raise_format_error(f"{what} is {safe_repr(value)}")
    return int(value)


def _raise_format_error(problem: str) -> NoReturn:
    raise FormatError(f"not the timings of itf: {problem}")
