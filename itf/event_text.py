"""One line of text for an event of the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from itf.fork_safety import current_pid
from itf.formats import ConfigChangeEvent, ErrorContext, TimelineEvent
from itf.safe_repr import REDACTED, is_secret_key, items_with_secrecy, safe_repr, safe_str

__all__ = ["event_line", "one_line"]

__unittest = True

# Characters in a line: about two lines of a terminal.
_LINE_LENGTH: Final = 240


def event_line(event: TimelineEvent, started_ns: int) -> str:
    """Return time, process, thread, task, kind and data of an event.

    Args:
        event: The event.
        started_ns: Monotonic time of the start of the timeline, from which the time counts.
    """
    seconds = (event["monotonic_ns"] - started_ns) / 1e9
    source = event["thread"]
    if event["process"] != current_pid():
        source = f"process {event['process']}, {source}"
    if event["task"] is not None:
        source = f"{source}, task {event['task']}"
    try:
        summary = _summary(event)
    except Exception:  # noqa: BLE001 - a user's event of a standard kind can have any values
        summary = one_line(safe_repr(event["data"]))
    return f"{seconds:+.6f} s  [{source}]  {event['kind']}: {summary}"


def one_line(text: str) -> str:
    """Return text without line breaks, cut at the length of a line."""
    line = " ".join(text.split())
    return line if len(line) <= _LINE_LENGTH else line[: _LINE_LENGTH - 1] + "…"


def _summary(event: TimelineEvent) -> str:
    """Return an event's data as one line of text."""
    data = event["data"]
    match event["kind"]:
        case "error" if _has(data, ErrorContext):
            return one_line(
                f"{data['error_type']}: {data['error_message']} "
                f"({data['source_module']} -> {data['target_module']}, in {data['operation']})"
            )
        case "config" if _has(data, ConfigChangeEvent):
            secret = is_secret_key(data["config_path"])
            old, new = (
                REDACTED if secret else safe_repr(data[key]) for key in ("old_value", "new_value")
            )
            modules = ", ".join(data["affected_modules"]) or "no module"
            return one_line(f"{data['config_path']}: {old} -> {new} (affects {modules})")
        case "resource" if {"resource_id", "resource_type", "owner_module", "state"} <= data.keys():
            return one_line(
                f"{data['resource_id']!r} ({data['resource_type']}, owned by "
                f"{data['owner_module']}) is {data['state']}"
            )
        case "fixture" if {"fixture", "action"} <= data.keys():
            return f"{data['fixture']} {data['action']}"
    parts = (
        f"{key}={REDACTED if hidden else _value_text(value)}"
        for key, value, hidden in items_with_secrecy(data)
    )
    return one_line(", ".join(parts))


def _has(data: Mapping[str, Any], record: type) -> bool:
    """Return whether an event's data has all keys of a format; users can record any dict."""
    return record.__annotations__.keys() <= data.keys()


def _value_text(value: object) -> str:
    return safe_str(value) if isinstance(value, BaseException) else safe_repr(value)
