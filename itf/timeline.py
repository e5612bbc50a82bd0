"""The timeline: one ordered, bounded log of what happened while a test ran."""

from __future__ import annotations

import contextvars
import itertools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from itf.formats import (
    SCHEMA_VERSION,
    ConfigChangeEvent,
    ErrorContext,
    TimelineEvent,
    copy_containers,
)
from itf.safe_repr import REDACTED, is_secret_key, items_with_secrecy, safe_repr, safe_str

__all__ = ["BoundedLog", "Timeline", "TimelineOwner", "current_owner", "current_task_name"]

__unittest = True

_T = TypeVar("_T")

# Enough for what a person would read after a failure, and some 10 MB at most.
DEFAULT_CAPACITY: Final = 10_000


# A screenful; who pins more has mistaken it for the log.
_MAX_PINNED: Final = 20


class BoundedLog(Generic[_T]):
    """The newest entries in order, and how many were dropped.

    There is no lock in it, on purpose.  A lock could be held by another thread
    when a worker process is forked, and would then be held for ever in the
    child; and a ``__del__`` that the garbage collector runs inside an append
    may append in its turn.  `deque.append` and `next` on a count are atomic.

    Attributes:
        next_number: Takes the next number in the order, for `append`.
        put: Adds a number and its entry, as a pair; what `append` does.

    Thread safety: every method, from any thread.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            # What is dropped is told from what is kept.
            raise ValueError(f"capacity must be at least 1, got {safe_repr(capacity)}")
        self._entries: deque[tuple[int, _T]] = deque(maxlen=capacity)
        self.next_number = itertools.count(1).__next__
        self.put = self._entries.append

    def append(self, number: int, entry: _T) -> None:
        """Add an entry under a number from `next_number`."""
        self.put((number, entry))

    def entries(self) -> list[_T]:
        """Return the entries that are kept, oldest first."""
        return [entry for _, entry in self.numbered()]

    def numbered(self) -> list[tuple[int, _T]]:
        """Return the entries that are kept with their numbers, oldest first."""
        # Two threads may append in another order than they took their numbers.
        return sorted(self._entries.copy(), key=lambda pair: pair[0])

    @property
    def dropped(self) -> int:
        """How many of the oldest entries had to go."""
        kept = self._entries.copy()
        return max((number for number, _ in kept), default=0) - len(kept)


# An event before it is written out: when, thread, task, process, kind, and what
# makes its data of what.  A tuple, for nothing is made more quickly.
_Shorthand: TypeAlias = tuple[
    int, threading.Thread, str | None, int, str, Callable[[Any], Mapping[str, Any]], Any
]


class _Here(threading.local):
    """The thread that runs here; asked for once, for it takes as long as all the rest."""

    def __init__(self) -> None:
        self.thread = threading.current_thread()


_here = _Here()
_process = os.getpid()

# By names of our own: a test that has these fail, or counts their calls, means its own.
_now, _time_of_day = time.monotonic_ns, time.time


def _note_fork() -> None:
    global _process  # noqa: PLW0603 - there is one process
    _process = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class Timeline:
    """The ordered events of one test.

    Args:
        test: The id of the test, written into every event.
        capacity: How many events are kept; older ones are dropped and counted.

    Example:
        >>> timeline = Timeline("my test")
        >>> event = timeline.record("note", {"text": "half way"})
        >>> [event["kind"] for event in timeline.events()]
        ['note']

    Thread safety: every method, from any thread.
    """

    def __init__(self, test: str = "", *, capacity: int = DEFAULT_CAPACITY) -> None:
        self.test = test
        self.started_ns = time.monotonic_ns()
        # What a monotonic time has to be added to, to be a time of day.
        self._epoch_ns = time.time_ns() - self.started_ns
        self._log: BoundedLog[TimelineEvent | _Shorthand] = BoundedLog(capacity)
        self._pinned: dict[str, None] = {}

    def record(self, kind: str, data: Mapping[str, Any] | None = None) -> TimelineEvent:
        """Append an event and return it, as a copy.

        Args:
            kind: What sort of thing happened: ``error``, ``config``, ``resource``,
                ``fixture``, ``worker``, ``fault``, ``timing``, ``file``, ``async``,
                or a name of your own.
            data: What there is to say about it; containers are copied.
        """
        number = self._log.next_number()
        event: TimelineEvent = {
            "schema": SCHEMA_VERSION,
            "sequence": number,
            "kind": kind,
            "test": self.test,
            "timestamp": _time_of_day(),
            "monotonic_ns": _now(),
            "process": _process,
            "thread": _here.thread.name,
            "task": current_task_name(),
            "data": copy_containers(dict(data or {})),
        }
        self._log.append(number, event)
        return cast(TimelineEvent, copy_containers(event))

    def shorthand(
        self, kind: str, describe: Callable[[Any], Mapping[str, Any]]
    ) -> Callable[[Any], None]:
        """Return a quick way to record events of one kind: a tenth of what `record` takes.

        What it is called with is kept as it is, and becomes an event when
        somebody reads the timeline: nothing of it may change until then.

        Args:
            kind: As for `record`.
            describe: Makes the event's data of what was kept.
        """
        put, number, now, here = self._log.put, self._log.next_number, _now, _here
        modules, running = sys.modules, None

        def note(what: Any) -> None:
            nonlocal running
            if running is None and "asyncio" in modules:
                running = _running_loop(modules["asyncio"])
            # Most have no loop here, which is asked for at once: it costs less.
            task = None if running is None or running() is None else current_task_name()
            put((number(), (now(), here.thread, task, _process, kind, describe, what)))

        return note

    def events(self, kind: str | None = None) -> list[TimelineEvent]:
        """Return the events in order, or those of one kind; the dicts are copies."""
        return [
            copy_containers(event)
            for event in self._written()
            if kind is None or event["kind"] == kind
        ]

    def pin(self, text: str) -> None:
        """Keep a line that `describe` shows whatever happens later, such as a seed.

        Args:
            text: What is needed to make the same run again; once is enough.
        """
        if len(self._pinned) < _MAX_PINNED:
            self._pinned[_one_line(text)] = None

    @property
    def pinned(self) -> list[str]:
        """The lines that were pinned, in order."""
        return list(self._pinned)

    def __iter__(self) -> Iterator[TimelineEvent]:
        return iter(self.events())

    def __len__(self) -> int:
        return len(self._log.entries())

    def __bool__(self) -> bool:
        # An empty timeline is still a timeline: `timeline or Timeline()` must
        # not swap it for another.
        return True

    @property
    def dropped(self) -> int:
        """How many of the oldest events had to go."""
        return self._log.dropped

    def describe(self, last: int = 20) -> str:
        """Return the last events as text, one line each: when, who, what.

        Args:
            last: How many events, counted from the end.
        """
        entries = self._log.numbered()
        shown = [self._event(*entry) for entry in entries[-last:]] if last > 0 else []
        total = len(entries) + self.dropped
        name = f" of {self.test}" if self.test else ""
        lines = [f"timeline{name} (last {len(shown)} of {total} events):"]
        lines += [f"  {text}" for text in self._pinned]
        lines += [f"  {self._line(event)}" for event in shown]
        return "\n".join(lines)

    def _written(self) -> list[TimelineEvent]:
        return [self._event(*entry) for entry in self._log.numbered()]

    def _event(self, number: int, entry: TimelineEvent | _Shorthand) -> TimelineEvent:
        """Return an entry as an event, written out if it was in shorthand."""
        if isinstance(entry, dict):
            return entry
        now, thread, task, process, kind, describe, what = entry
        return {
            "schema": SCHEMA_VERSION,
            "sequence": number,
            "kind": kind,
            "test": self.test,
            "timestamp": (self._epoch_ns + now) / 1e9,
            "monotonic_ns": now,
            "process": process,
            "thread": thread.name,
            "task": task,
            "data": copy_containers(dict(describe(what))),
        }

    def _line(self, event: TimelineEvent) -> str:
        seconds = (event["monotonic_ns"] - self.started_ns) / 1e9
        who = event["thread"]
        if event["process"] != _process:
            who = f"process {event['process']}, {who}"
        if event["task"] is not None:
            who = f"{who}, task {event['task']}"
        try:
            what = _summary(event)
        except Exception:  # noqa: BLE001 - a user's own event of a standard kind may hold anything
            what = _one_line(safe_repr(event["data"]))
        return f"{seconds:+.6f} s  [{who}]  {event['kind']}: {what}"


def _summary(event: TimelineEvent) -> str:
    """Say in one line what an event's data says."""
    data = event["data"]
    match event["kind"]:
        case "error" if _has(data, ErrorContext):
            return _one_line(
                f"{data['error_type']}: {data['error_message']} "
                f"({data['source_module']} -> {data['target_module']}, in {data['operation']})"
            )
        case "config" if _has(data, ConfigChangeEvent):
            secret = is_secret_key(data["config_path"])
            old, new = (
                REDACTED if secret else safe_repr(data[key]) for key in ("old_value", "new_value")
            )
            modules = ", ".join(data["affected_modules"]) or "no module"
            return _one_line(f"{data['config_path']}: {old} -> {new} (affects {modules})")
        case "resource" if {"resource_id", "resource_type", "owner_module", "state"} <= data.keys():
            return _one_line(
                f"{data['resource_id']!r} ({data['resource_type']}, owned by "
                f"{data['owner_module']}) is {data['state']}"
            )
        case "fixture" if {"fixture", "action"} <= data.keys():
            return f"{data['fixture']} {data['action']}"
    parts = (
        f"{key}={REDACTED if hidden else _value_text(value)}"
        for key, value, hidden in items_with_secrecy(data)
    )
    return _one_line(", ".join(parts))


def _has(data: Mapping[str, Any], record: type) -> bool:
    """Say whether a user's own event of a standard kind has the standard's keys."""
    return record.__annotations__.keys() <= data.keys()


def _value_text(value: object) -> str:
    return safe_str(value) if isinstance(value, BaseException) else safe_repr(value)


# What fits on a terminal's line or two.
_LINE_LENGTH: Final = 240


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE_LENGTH else line[: _LINE_LENGTH - 1] + "…"


def _running_loop(asyncio: Any) -> Callable[[], object] | None:
    """Return a function that returns this thread's running loop, None where there is none.

    Its private one, or else a slower one.  None is returned while asyncio is only
    half imported, in another thread.
    """
    quick: Callable[[], object] | None = getattr(asyncio, "_get_running_loop", None)
    if quick is not None or not hasattr(asyncio, "get_running_loop"):
        return quick

    def ask() -> object:
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            return None

    return ask


def current_task_name() -> str | None:
    """Return the name of the asyncio task that runs here, None outside asyncio."""
    # Where nobody has imported asyncio there is no task, and itf must not be
    # the one who imports it.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        # A tenth of what current_task takes to say by an error that there is none.
        running = _running_loop(asyncio)
        if running is None or running() is None:
            return None
        task = asyncio.current_task()
    except (RuntimeError, AttributeError):
        # No running loop; or asyncio is only half imported, in another thread.
        return None
    return None if task is None else str(task.get_name())


class TimelineOwner:
    """Whatever has a timeline; without an ``__init__``, so that any mixin may derive from it."""

    @property
    def timeline(self) -> Timeline:
        """The events of the test that this object serves.

        Inside a test of `IntegrationTestCase` this is the test's own timeline,
        elsewhere one of this object alone.
        """
        own = self.__dict__.get("_itf_timeline")
        if own is None:
            owner = current_owner.get()
            own = Timeline() if owner is None or owner is self else owner.timeline
            # setdefault is atomic: of two threads that come first, both get one.
            own = self.__dict__.setdefault("_itf_timeline", own)
        return cast(Timeline, own)

    @timeline.setter
    def timeline(self, timeline: Timeline) -> None:
        self.__dict__["_itf_timeline"] = timeline


current_owner: contextvars.ContextVar[TimelineOwner | None] = contextvars.ContextVar(
    "itf_current_owner", default=None
)
"""Who runs here: the TestCase whose timeline new fixtures and interfaces join."""
