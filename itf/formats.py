"""The three standard formats and the timeline event, and their way to JSON and back.

The formats are plain dicts with exactly the keys named here.  What itf wants
to add goes into ``context_data`` or ``metadata``, never beside them.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NotRequired, TypedDict, cast

from itf.exceptions import FormatError

__all__ = [
    "REDACTED",
    "SCHEMA_VERSION",
    "ConfigChangeEvent",
    "ErrorContext",
    "ErrorContextData",
    "ExceptionEntry",
    "ResourceRecord",
    "ResourceState",
    "TimelineEvent",
    "copy_containers",
    "event_from_json",
    "event_to_json",
    "is_secret_key",
    "safe_repr",
    "safe_str",
    "to_jsonable",
]

__unittest = True

SCHEMA_VERSION: Final = 1
"""The version of the format that `event_to_json` writes and `event_from_json` reads."""

REDACTED: Final = "<redacted>"
"""What stands in place of a value whose key looks like a secret."""

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


# Compared with the key in lower case and without anything but letters and
# digits, so that "api_key", "X-Api-Key" and "apiKey" are one; as a substring,
# so that "PGPASSWORD" and "dbpassword" are found.  Redacting a harmless
# "tokenizer" costs a line of a report, showing one password costs more.
_SECRET_WORDS: Final = (
    "password",
    "passwd",
    "token",
    "secret",
    "credential",
    "apikey",
    "privatekey",
    "authorization",
)

# json refuses, as str() does, to write an int of thousands of digits.
_MAX_BITS: Final = 4096

# Deep enough for any real record.  What lies deeper is shared by a copy and
# shown by its repr in JSON, which keeps a cyclic value from recursing for ever.
_MAX_DEPTH: Final = 12

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 200
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = _repr.maxfrozenset = 10
_repr.maxlevel = 4


def safe_repr(value: object) -> str:
    """Return a bounded ``repr`` of any value; a broken ``__repr__`` is told, not raised."""
    if isinstance(value, bytes | bytearray) and len(value) > _repr.maxother:
        # repr() of the whole would take four times its size before it is cut.
        return f"{bytes(value[: _repr.maxother // 4])!r}... ({len(value)} bytes)"
    try:
        return _repr.repr(value)
    except Exception as error:  # noqa: BLE001 - whatever a user's __repr__ raises, the report goes on
        return f"<unrepresentable {type(value).__qualname__}: {type(error).__qualname__}>"


def safe_str(error: BaseException) -> str:
    """Return ``str(error)``; a broken ``__str__`` is told, not raised."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - whatever a user's __str__ raises, the error is kept
        return f"<exception str() failed: {type(failure).__qualname__}>"


def copy_containers(value: Any) -> Any:
    """Copy dicts, lists, tuples and sets all the way down, and share everything else.

    What a record holds must not change when its owner goes on working with
    the value; `copy.deepcopy` would fail on the locks, sockets and exceptions
    that records hold as well.
    """
    return _copy(value, 0)


def _copy(value: Any, depth: int) -> Any:
    if depth >= _MAX_DEPTH:
        return value
    # list(): another thread may be adding an item while we copy.
    kind = type(value)
    if kind is dict:
        return {key: _copy(item, depth + 1) for key, item in list(value.items())}
    if kind is list:
        return [_copy(item, depth + 1) for item in list(value)]
    if kind is tuple:
        return tuple(_copy(item, depth + 1) for item in value)
    if kind is set:
        return set(value)
    return value


def is_secret_key(key: object) -> bool:
    """Say whether the value under this key is to be hidden."""
    if not isinstance(key, str):
        return False
    plain = "".join(filter(str.isalnum, key)).lower()
    return any(word in plain for word in _SECRET_WORDS)


def describe_exception(error: BaseException) -> dict[str, Any]:
    """Return what JSON keeps of an exception: type, module, message and notes."""
    return {
        "type": type(error).__qualname__,
        "module": type(error).__module__,
        "message": safe_str(error),
        "notes": notes_of(error),
    }


def notes_of(error: BaseException) -> list[str]:
    """Return the notes (PEP 678) of an exception as text."""
    notes = getattr(error, "__notes__", None)
    if not isinstance(notes, Sequence) or isinstance(notes, str):
        return []
    return [note if isinstance(note, str) else safe_repr(note) for note in notes]


def to_jsonable(value: Any) -> Any:
    """Return what JSON can hold of a value.

    Exceptions become their description, values under a secret's key
    `REDACTED`, and what JSON cannot hold its bounded ``repr``.
    """
    return _to_jsonable(value, 0)


def _to_jsonable(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and value.bit_length() < _MAX_BITS:
        return value
    if isinstance(value, float) and math.isfinite(value):  # JSON has no NaN and no infinity
        return value
    if isinstance(value, dict | list | tuple | BaseException) and depth < _MAX_DEPTH:
        return _contents(value, depth + 1)
    return safe_repr(value)


def _contents(
    value: dict[Any, Any] | list[Any] | tuple[Any, ...] | BaseException, depth: int
) -> Any:
    if isinstance(value, BaseException):
        return describe_exception(value)
    if not isinstance(value, dict):
        return [_to_jsonable(item, depth) for item in list(value)]
    # The values of a configuration change stand under keys that do not tell
    # what they are; its path does.
    hidden = ("old_value", "new_value") if is_secret_key(value.get("config_path")) else ()
    return {
        key if isinstance(key, str) else safe_repr(key): (
            REDACTED if is_secret_key(key) or key in hidden else _to_jsonable(item, depth)
        )
        for key, item in list(value.items())
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
