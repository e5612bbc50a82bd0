"""The three standard formats and the timeline event, and their conversion to and from JSON.

The formats are plain dicts with exactly the keys listed here.  Additional data
belongs into ``context_data`` or ``metadata``, never into further keys.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any, Final, Literal, NotRequired, TypedDict, cast

from itf.exception_notes import get_notes
from itf.exceptions import FormatError
from itf.safe_repr import REDACTED, is_secret_key, items_with_secrecy, safe_repr, safe_str

__all__ = [
    "SCHEMA_VERSION",
    "ConfigChangeEvent",
    "ErrorContext",
    "ExceptionEntry",
    "ResourceRecord",
    "ResourceState",
    "TimelineEvent",
    "copy_containers",
    "describe_exception",
    "event_from_json",
    "event_to_json",
    "to_jsonable",
]

__unittest = True

SCHEMA_VERSION: Final = 1
"""Version of the format that `event_to_json` writes and `event_from_json` reads."""

ResourceState = Literal["active", "released", "leaked"]


class ExceptionEntry(TypedDict):
    """One exception in the tree of causes, contexts and group members of an error.

    The error itself has ``id`` 0, and None as ``parent_id`` and ``relation``.
    """

    id: int
    parent_id: int | None
    relation: Literal["cause", "context", "member"] | None
    type: str
    module: str
    message: str
    notes: list[str]


class ErrorContext(TypedDict):
    """Error that propagates from one module to another.

    itf writes these keys to ``context_data``; users can add their own:

    - ``traceback``, ``call_stack``: lists of str
    - ``exceptions``: list of `ExceptionEntry`
    - ``thread``: name; ``process``: id; ``task``: name or None
    """

    source_module: str
    target_module: str
    operation: str
    original_error: BaseException
    error_type: str
    error_message: str
    timestamp: float
    context_data: dict[str, Any]


class ConfigChangeEvent(TypedDict):
    """Change of a configuration value at run time, with the modules that it affects."""

    config_path: str
    old_value: Any
    new_value: Any
    affected_modules: list[str]
    timestamp: float


class ResourceRecord(TypedDict):
    """Resource with its owner and its state."""

    resource_id: str
    resource_type: str
    owner_module: str
    created_at: float
    state: ResourceState
    metadata: dict[str, Any]
    released_at: NotRequired[float]


class TimelineEvent(TypedDict):
    """One event of a test: time, process, thread, task, and data.

    ``process`` is the process id.  ``thread`` and ``task`` are names; ``task``
    is None outside asyncio.  ``timestamp`` is `time.time`, ``monotonic_ns`` is
    `time.monotonic_ns`.  For the kinds ``error``, ``config`` and ``resource``,
    ``data`` is one of the three formats; for all others, any dict.
    """

    schema: int
    sequence: int
    kind: str
    test: str
    timestamp: float
    monotonic_ns: int
    process: int
    thread: str
    task: str | None
    data: Mapping[str, Any]


# Bits of the largest int written as a number.  Python refuses to convert an int of
# more than 4,300 decimal digits (some 14,000 bits) to text.
_MAX_BITS: Final = 4096

# Levels of nested containers.  Real records have fewer, and the recursion limit is far
# away.  Below this level, a copy shares the value and JSON gets its repr.
_MAX_DEPTH: Final = 50

# Containers that one event writes to JSON; a real record has hundreds.  Without a limit,
# shared containers multiply: ten levels of lists with ten references each are 10 GB.
_MAX_CONTAINERS: Final = 100_000


def copy_containers(value: Any) -> Any:
    """Copy nested dicts, lists, tuples and sets, and share all other values.

    A record must not change when the caller later changes the value.
    `copy.deepcopy` fails on the locks, sockets and exceptions in records.
    """
    return _copy(value, 0, {})


def _copy(value: Any, depth: int, known: dict[int, tuple[Any, Any]]) -> Any:
    """Copy a value.

    Args:
        value: The value.
        depth: Number of containers around the value.
        known: Copies made before, by id of the original, so that cycles and
            shared containers are copied once.  The originals in it stay alive,
            because another object could otherwise get the same id.
    """
    kind = type(value)
    if kind is set:
        return set(value)
    if kind not in (dict, list, tuple, OrderedDict, defaultdict) or depth >= _MAX_DEPTH:
        return value
    if id(value) in known:
        return known[id(value)][1]
    # list() is atomic: a loop over the original fails if another thread changes it.
    if kind is list:
        items: list[Any] = []
        known[id(value)] = value, items
        items.extend([_copy(item, depth + 1, known) for item in list(value)])
        return items
    if kind is tuple:
        copied = tuple([_copy(item, depth + 1, known) for item in value])
        known[id(value)] = value, copied
        return copied
    made: dict[Any, Any] = defaultdict(value.default_factory) if kind is defaultdict else kind()
    known[id(value)] = value, made
    for key, item in list(value.items()):
        made[key] = _copy(item, depth + 1, known)
    return made


def describe_exception(error: BaseException) -> dict[str, Any]:
    """Return an exception as a dict for JSON: type, module, message and notes."""
    return {
        "type": type(error).__qualname__,
        "module": type(error).__module__,
        "message": safe_str(error),
        "notes": get_notes(error),
    }


def to_jsonable(value: Any) -> Any:
    """Convert a value to one that JSON can represent.

    Exceptions become dicts (see `describe_exception`), values of secret keys become
    `REDACTED`, and other values without a JSON type become their bounded ``repr``.
    """
    return _Conversion().plain(value)


class _Conversion:
    """State of one conversion to JSON values, with limits for cycles, depth and size."""

    def __init__(self) -> None:
        self._around: set[int] = set()  # ids of the containers around the current value
        self._left = _MAX_CONTAINERS

    def plain(self, value: Any) -> Any:
        # type() instead of isinstance(), which is True for a Mock(spec=dict) and dict.
        kind = type(value)
        if value is None or issubclass(kind, bool | str):
            return value
        if issubclass(kind, int) and value.bit_length() < _MAX_BITS:
            return value
        if issubclass(kind, float) and math.isfinite(value):  # JSON has no NaN and no infinity
            return value
        if issubclass(kind, BaseException):
            return describe_exception(value)
        if issubclass(kind, Mapping | list | tuple):
            return self._container(value)
        return safe_repr(value)

    def _container(self, value: Mapping[Any, Any] | list[Any] | tuple[Any, ...]) -> Any:
        if self._left <= 0:
            return "..."
        if id(value) in self._around or len(self._around) >= _MAX_DEPTH:
            return safe_repr(value)
        self._left -= 1
        self._around.add(id(value))
        try:
            return self._contents(value)
        except Exception:  # noqa: BLE001 - a user's mapping can raise anything
            return safe_repr(value)
        finally:
            self._around.discard(id(value))

    def _contents(self, value: Mapping[Any, Any] | list[Any] | tuple[Any, ...]) -> Any:
        if isinstance(value, list | tuple):
            # A named tuple becomes a list, but its field names can name secrets.
            fields = getattr(value, "_fields", ()) if isinstance(value, tuple) else ()
            secret = {place for place, field in enumerate(fields) if is_secret_key(field)}
            return [
                REDACTED if place in secret else self.plain(item)
                for place, item in enumerate(list(value))
            ]
        return {
            key if isinstance(key, str) else safe_repr(key): (
                REDACTED if hidden else self.plain(item)
            )
            for key, item, hidden in items_with_secrecy(value)
        }


def event_to_json(event: TimelineEvent) -> str:
    """Return an event as one line of JSON, without a line end.

    Example:
        >>> from itf.timeline import Timeline
        >>> line = event_to_json(Timeline().record("note", {"password": "hunter2"}))
        >>> event_from_json(line)["data"]
        {'password': '<redacted>'}
    """
    import json

    return json.dumps(to_jsonable(dict(event)), ensure_ascii=True, allow_nan=False)


def event_from_json(line: str) -> TimelineEvent:
    """Parse a line that `event_to_json` returned.

    Raises:
        FormatError: The line is not JSON, not an event, or has another schema version.
    """
    import json

    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"not a timeline event: {safe_repr(line)} is no JSON ({error})"
        ) from error
    if not isinstance(value, dict):
        raise FormatError(f"not a timeline event: got {safe_repr(value)}, not an object")
    if value.get("schema") != SCHEMA_VERSION:
        raise FormatError(
            f"cannot read a timeline event of schema {value.get('schema')!r}; "
            f"this itf reads schema {SCHEMA_VERSION}"
        )
    keys = TimelineEvent.__annotations__.keys()
    missing, extra = keys - value.keys(), value.keys() - keys
    if missing or extra:
        raise FormatError(
            f"not a timeline event: missing {sorted(missing)}, unknown {sorted(extra)}"
        )
    return cast(TimelineEvent, value)
