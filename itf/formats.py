"""The three standard formats and the timeline event, and their way to JSON and back.

The formats are plain dicts with exactly the keys named here.  What itf wants
to add goes into ``context_data`` or ``metadata``, never beside them.
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
    "ErrorContextData",
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
"""The version of the format that `event_to_json` writes and `event_from_json` reads."""

ResourceState = Literal["active", "released", "leaked"]


class ExceptionEntry(TypedDict):
    """One exception of a tree of causes, contexts and group members.

    ``id`` counts from 0, which is the captured error itself; ``parent_id`` and
    ``relation`` are None there.
    """

    id: int
    parent_id: int | None
    relation: Literal["cause", "context", "member"] | None
    type: str
    module: str
    message: str
    notes: list[str]


class ErrorContextData(TypedDict, total=False):
    """What ``context_data`` of an `ErrorContext` has; users add keys of their own."""

    traceback: list[str]
    call_stack: list[str]
    exceptions: list[ExceptionEntry]
    thread: str
    process: int
    task: str | None


class ErrorContext(TypedDict):
    """An error on its way from one module to another."""

    source_module: str
    target_module: str
    operation: str
    original_error: BaseException
    error_type: str
    error_message: str
    timestamp: float
    context_data: dict[str, Any]


class ConfigChangeEvent(TypedDict):
    """A change of configuration at run time, and whom it affects."""

    config_path: str
    old_value: Any
    new_value: Any
    affected_modules: list[str]
    timestamp: float


class ResourceRecord(TypedDict):
    """A resource, who owns it, and whether it was released."""

    resource_id: str
    resource_type: str
    owner_module: str
    created_at: float
    state: ResourceState
    metadata: dict[str, Any]
    released_at: NotRequired[float]


class TimelineEvent(TypedDict):
    """One thing that happened: when, in which test, and in whom.

    ``process`` is the process id, ``thread`` and ``task`` are names (``task``
    is None outside asyncio), ``timestamp`` is `time.time`, ``monotonic_ns`` is
    `time.monotonic_ns`.  ``data`` is one of the three formats for the kinds
    ``error``, ``config`` and ``resource``, and a plain dict for all others.
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


# json refuses, as str() does, to write an int of thousands of digits.
_MAX_BITS: Final = 4096

# Deep enough for any real record, and far from the depth at which Python gives
# up.  What lies deeper is shared by a copy, and shown by its repr in JSON.
_MAX_DEPTH: Final = 50

# Containers within containers that one event writes to JSON.  Ten lists of ten
# times the same list, ten levels deep, are 10 GB; a real record has hundreds.
_MAX_CONTAINERS: Final = 100_000


def copy_containers(value: Any) -> Any:
    """Copy dicts, lists, tuples and sets all the way down, and share everything else.

    What a record holds must not change when its owner goes on working with
    the value; `copy.deepcopy` would fail on the locks, sockets and exceptions
    that records hold as well.
    """
    return _copy(value, 0, {})


def _copy(value: Any, depth: int, known: dict[int, tuple[Any, Any]]) -> Any:
    """Copy a value; ``known`` has what was copied before, by id, with the original kept alive.

    So a tree whose nodes point back at their parents is copied once, not once
    for every way through it.
    """
    kind = type(value)
    if kind is set:
        return set(value)
    if kind not in (dict, list, tuple, OrderedDict, defaultdict) or depth >= _MAX_DEPTH:
        return value
    if id(value) in known:
        return known[id(value)][1]
    # list(): another thread may be adding an item while we copy.
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
    """Return what JSON keeps of an exception: type, module, message and notes."""
    return {
        "type": type(error).__qualname__,
        "module": type(error).__module__,
        "message": safe_str(error),
        "notes": get_notes(error),
    }


def to_jsonable(value: Any) -> Any:
    """Return what JSON can hold of a value.

    Exceptions become their description, values under a secret's key
    `REDACTED`, and what JSON cannot hold its bounded ``repr``.
    """
    return _Conversion().plain(value)


class _Conversion:
    """One value on its way to JSON; it comes to an end in any case."""

    def __init__(self) -> None:
        self._around: set[int] = set()  # the ids of the containers that we are inside of
        self._left = _MAX_CONTAINERS

    def plain(self, value: Any) -> Any:
        # The type, not isinstance: a Mock(spec=dict) says that it is a dict.
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
        except Exception:  # noqa: BLE001 - a user's mapping may raise whatever it likes
            return safe_repr(value)
        finally:
            self._around.discard(id(value))

    def _contents(self, value: Mapping[Any, Any] | list[Any] | tuple[Any, ...]) -> Any:
        if isinstance(value, list | tuple):
            # A named tuple becomes a list, and yet its fields have names.
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
    """Return the event as one line of JSON, without the line's end.

    Example:
        >>> from itf.timeline import Timeline
        >>> line = event_to_json(Timeline().record("note", {"password": "hunter2"}))
        >>> event_from_json(line)["data"]
        {'password': '<redacted>'}
    """
    import json

    return json.dumps(to_jsonable(dict(event)), ensure_ascii=True, allow_nan=False)


def event_from_json(line: str) -> TimelineEvent:
    """Read back what `event_to_json` wrote.

    Raises:
        FormatError: The line is not JSON, not an event, or of a newer schema.
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
