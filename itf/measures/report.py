"""The timings of a monitor as a table, and as JSON there and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from itf.exceptions import FormatError
from itf.measures.histogram import Histogram, Settled, bucket_value
from itf.measures.samples import PEAK, RETAINED, SUSPENDED, TIME, OperationSamples
from itf.measures.statistics import OperationStats, statistics_of
from itf.texts import safe_repr

__all__ = ["bytes_text", "from_json", "seconds_text", "table", "to_json"]

__unittest = True

_BARS: Final = " ▁▂▃▄▅▆▇█"
_COLUMNS: Final = 24

_SCHEMA: Final = 1
_KIND: Final = "itf timings"
# More than the squares of any times add up to, and less than a float holds.
_MOST: Final = 2**256
# Of the number of a bucket, which has 16 bits.
_BUCKET_DIGITS: Final = 5

_SERIES: Final = (TIME, SUSPENDED, PEAK, RETAINED)


def seconds_text(seconds: float) -> str:
    """Return a duration in the unit that suits it: ``1.23 ms``."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if abs(seconds) * factor >= 1:
            return f"{seconds * factor:.3g} {unit}" if abs(seconds) < 1e3 else f"{seconds:.0f} s"  # noqa: PLR2004
    return f"{seconds * 1e9:.3g} ns"


def bytes_text(count: float) -> str:
    """Return a number of bytes in the unit that suits it: ``1.5 MiB``."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if abs(count) >= 1 << power:
            return f"{count / (1 << power):.1f} {unit}"
    return f"{count:.0f} B"


def _bars(histogram: Histogram) -> str:
    """Return a histogram in characters: the least at the left, the most at the right.

    The columns grow in width by a constant factor, and the height of a bar
    is how many samples are in it.
    """
    low, high = max(1.0, float(histogram.least)), max(1.0, float(histogram.most))
    width = math.log(high / low) / _COLUMNS
    columns = [0] * _COLUMNS
    for value, count in histogram.values():
        place = int(math.log(max(value, low) / low) / width) if width else 0
        columns[min(place, _COLUMNS - 1)] += count
    highest = max(columns) or 1
    # A single sample among thousands is seen as well.
    return "".join(_BARS[math.ceil(count / highest * 8)] for count in columns)


def table(operations: Mapping[str, OperationSamples]) -> str:
    """Return the operations as a table, one a line, each with a histogram from min to max."""
    rows = [["operation", "count", "total", "average", "min", "p50", "p99", "max", "1/s", ""]]
    notes = []
    for operation, samples in operations.items():
        stats = statistics_of(samples)
        texts = [
            seconds_text(stats[key]) for key in ("total", "average", "min", "p50", "p99", "max")
        ]
        name = operation if operation.isprintable() else safe_repr(operation)
        count, rate = f"{stats['count']:,}", f"{stats['throughput']:,.0f}"
        rows.append([name, count, *texts, rate, f"|{_bars(samples.of(TIME))}|"])
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
    if "suspended" in stats:
        running, suspended = seconds_text(stats["running"]), seconds_text(stats["suspended"])
        notes.append(f"{name}: {running} running, {suspended} suspended")
    if "memory" in stats:
        memory = stats["memory"]
        notes.append(
            f"{name}: peak {bytes_text(memory['peak_max'])} at most, "
            f"{bytes_text(memory['retained_average'])} retained on average"
        )
    return notes


# JSON


def to_json(operations: Mapping[str, OperationSamples]) -> str:
    """Return the samples of all operations as JSON."""
    import json

    data = {
        "kind": _KIND,
        "schema": _SCHEMA,
        "operations": {
            operation: {
                "elapsed_ns": samples.elapsed,
                **{
                    name: _to_dict(samples.series[name])
                    for name in _SERIES
                    if name in samples.series
                },
            }
            for operation, samples in operations.items()
        },
    }
    return json.dumps(data, indent=1)


def _to_dict(histogram: Histogram) -> dict[str, Any]:
    total, squares, least, most, buckets = histogram.settled()
    return {
        "count": sum(buckets.values()),
        "total": total,
        "squares": squares,
        "min": least,
        "max": most,
        "buckets": {str(bucket): buckets[bucket] for bucket in sorted(buckets)},
    }


def from_json(text: str) -> dict[str, OperationSamples]:
    """Return the samples that `to_json` wrote.

    Raises:
        FormatError: The text is something else.
        TypeError: It is not a text.
    """
    import json

    if not isinstance(text, str):
        raise TypeError(f"from_json takes a str, got {safe_repr(text)}")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"these are no timings of itf: not JSON ({error})") from error
    if not isinstance(data, dict) or data.get("kind") != _KIND:
        _refuse(f"no object with kind {_KIND!r}")
    if data.get("schema") != _SCHEMA:
        _refuse(f"schema is {safe_repr(data.get('schema'))}, this itf reads {_SCHEMA}")
    operations = data.get("operations")
    if not isinstance(operations, dict):
        _refuse("operations is no object")
    return {name: _read_operation(name, value) for name, value in operations.items()}


def _read_operation(name: str, data: Any) -> OperationSamples:
    where = f"operation {safe_repr(name)}"
    if not isinstance(data, dict) or TIME not in data:
        _refuse(f"{where} has no {TIME!r}")
    samples = OperationSamples()
    samples.span = _whole(data.get("elapsed_ns"), f"{where}: elapsed_ns", least=0)
    for series in _SERIES:
        if series in data:
            samples.series[series] = _read_histogram(f"{where}, {series}", data[series])
    return samples


def _read_histogram(where: str, data: Any) -> Histogram:
    if not isinstance(data, dict) or not isinstance(data.get("buckets"), dict):
        _refuse(f"{where} has no buckets")
    buckets: dict[int, int] = {}
    for key, count in data["buckets"].items():
        if not (key.isascii() and key.isdigit() and len(key) <= _BUCKET_DIGITS):
            _refuse(f"{where}: {safe_repr(key)} is no bucket")
        if not math.isfinite(bucket_value(int(key) & 0xFFFF)) or int(key) > 0xFFFF:  # noqa: PLR2004 - 16 bits
            _refuse(f"{where}: {key} is no bucket")
        buckets[int(key)] = _whole(count, f"{where}: bucket {key}", least=1)
    count = _whole(data.get("count"), f"{where}: count", least=1)
    if count != sum(buckets.values()):
        _refuse(f"{where}: count is {count}, but the buckets hold {sum(buckets.values())}")
    total, least, most = (
        _whole(data.get(key), f"{where}: {key}") for key in ("total", "min", "max")
    )
    squares = _whole(data.get("squares"), f"{where}: squares")
    # The squares of numbers cannot be less than those of their mean.
    if not least * count <= total <= most * count or squares * count < total * total:
        _refuse(f"{where}: total, squares, min and max contradict one another")
    return Histogram.of(Settled(total, squares, least, most, buckets))


def _whole(value: Any, what: str, least: int | None = None) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or abs(value) > _MOST
        or (least is not None and value < least)
    ):
        _refuse(f"{what} is {safe_repr(value)}")
    return int(value)


def _refuse(problem: str) -> NoReturn:
    raise FormatError(f"these are no timings of itf: {problem}")
