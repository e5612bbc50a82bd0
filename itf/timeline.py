"""Timeline: ordered, bounded log of the events of one test."""

from __future__ import annotations

import contextvars
import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from itf._private import running_loop
from itf.event_text import event_line, one_line
from itf.fork_safety import current_pid
from itf.formats import (
    SCHEMA_VERSION,
    TimelineEvent,
    copy_containers,
)
from itf.validation import check_integer

__all__ = ["BoundedLog", "Timeline", "TimelineOwner", "current_owner", "current_task_name"]

__unittest = True

_T = TypeVar("_T")

# Number of events that a timeline keeps: some 10 MB at most, and enough for a long test.
DEFAULT_CAPACITY: Final = 10_000

# Number of lines that `Timeline.pin` keeps: one screen.
_MAX_PINNED: Final = 20


class BoundedLog(Generic[_T]):
    """Log that keeps the newest entries in order, and counts the dropped ones.

    The log has no lock, deliberately.  If another thread held the lock during a
    fork, the lock would never be released in the child.  Also, a ``__del__`` that
    the garbage collector runs during an append may append to the same log.
    `deque.append` and ``next(itertools.count())`` are atomic without a lock.

    Attributes:
        next_number: Function that returns the next sequence number, for `append`.
        put: Function that adds a pair of number and entry, like `append`.

    Thread safety: all methods, from any thread.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        # `dropped` is computed from the entries, so an empty log would not know it.
        capacity = check_integer("capacity", capacity, 1)
        self._entries: deque[tuple[int, _T]] = deque(maxlen=capacity)
        self.next_number = itertools.count(1).__next__
        self.put = self._entries.append

    def append(self, number: int, entry: _T) -> None:
        """Add an entry with a number from `next_number`."""
        self.put((number, entry))

    def entries(self) -> list[_T]:
        """Return the kept entries, oldest first."""
        return [entry for _, entry in self.numbered()]

    def numbered(self) -> list[tuple[int, _T]]:
        """Return the kept entries with their numbers, oldest first."""
        # Sorted, because two threads can append in another order than their numbers.
        return sorted(self._entries.copy(), key=lambda pair: pair[0])

    @property
    def dropped(self) -> int:
        """Number of the oldest entries that were dropped."""
        kept = self._entries.copy()
        return max((number for number, _ in kept), default=0) - len(kept)


# Event in compact form: monotonic time, thread, task, process, kind, function that
# creates the data, and its argument.  A tuple, because it is the fastest to create.
_Shorthand: TypeAlias = tuple[
    int, threading.Thread, str | None, int, str, Callable[[Any], Mapping[str, Any]], Any
]


# Bound at import, so that a fault injected into these functions, or a plan that counts
# their calls, does not affect itf itself.
_now, _time_of_day, _current_thread = time.monotonic_ns, time.time, threading.current_thread


class Timeline:
    """Ordered events of one test.

    Args:
        test: Id of the test, written into every event.
        capacity: Number of events to keep; older ones are dropped and counted.

    Example:
        >>> timeline = Timeline("my test")
        >>> event = timeline.record("note", {"text": "half way"})
        >>> [event["kind"] for event in timeline.events()]
        ['note']

    Thread safety: all methods, from any thread.
    """

    def __init__(self, test: str = "", *, capacity: int = DEFAULT_CAPACITY) -> None:
        self.test = test
        self.started_ns = time.monotonic_ns()
        # Added to a monotonic time, this gives the time since the epoch.
        self._epoch_ns = time.time_ns() - self.started_ns
        self._log: BoundedLog[TimelineEvent | _Shorthand] = BoundedLog(capacity)
        self._pinned: dict[str, None] = {}

    def record(self, kind: str, data: Mapping[str, Any] | None = None) -> TimelineEvent:
        """Append an event, and return a copy of the event.

        Args:
            kind: Kind of the event: ``error``, ``config``, ``resource``,
                ``fixture``, ``worker``, ``fault``, ``timing``, ``file``, ``async``,
                or a name of your own.
            data: Data of the event; containers are copied.
        """
        number = self._log.next_number()
        event: TimelineEvent = {
            "schema": SCHEMA_VERSION,
            "sequence": number,
            "kind": kind,
            "test": self.test,
            "timestamp": _time_of_day(),
            "monotonic_ns": _now(),
            "process": current_pid(),
            "thread": _current_thread().name,
            "task": current_task_name(),
            "data": copy_containers(dict(data or {})),
        }
        self._log.append(number, event)
        return cast(TimelineEvent, copy_containers(event))

    def shorthand(
        self, kind: str, describe: Callable[[Any], Mapping[str, Any]]
    ) -> Callable[[Any], None]:
        """Return a function that records events of one kind ten times faster than `record`.

        The function stores its argument, which becomes an event only when the
        timeline is read.  The argument must not change until then.

        Args:
            kind: Kind of the events, as for `record`.
            describe: Function that creates an event's data from the argument.
        """
        put, number = self._log.put, self._log.next_number

        def note(argument: Any) -> None:
            thread, task, process = _current_thread(), current_task_name(), current_pid()
            put((number(), (_now(), thread, task, process, kind, describe, argument)))

        return note

    def events(self, kind: str | None = None) -> list[TimelineEvent]:
        """Return copies of the events in order: all events, or those of one kind."""
        return [
            copy_containers(event)
            for event in self._written()
            if kind is None or event["kind"] == kind
        ]

    def pin(self, text: str) -> None:
        """Keep a line, such as a seed, that `describe` shows above the events.

        A pinned line is never dropped.

        Args:
            text: Information that is needed to repeat the run.  The same text
                is kept once.
        """
        if len(self._pinned) < _MAX_PINNED:
            self._pinned[one_line(text)] = None

    @property
    def pinned(self) -> list[str]:
        """Pinned lines, in order."""
        return list(self._pinned)

    def __iter__(self) -> Iterator[TimelineEvent]:
        return iter(self.events())

    def __len__(self) -> int:
        return len(self._log.entries())

    def __bool__(self) -> bool:
        # Without this method, __len__ would make an empty timeline false, and
        # `timeline or Timeline()` would replace it.
        return True

    @property
    def dropped(self) -> int:
        """Number of the oldest events that were dropped."""
        return self._log.dropped

    def describe(self, last: int = 20) -> str:
        """Return the last events as text, one line each: time, thread, kind and data.

        Args:
            last: Number of events, counted from the end.
        """
        entries = self._log.numbered()
        shown = [self._event(*entry) for entry in entries[-last:]] if last > 0 else []
        total = len(entries) + self.dropped
        name = f" of {self.test}" if self.test else ""
        lines = [f"timeline{name} (last {len(shown)} of {total} events):"]
        lines += [f"  {text}" for text in self._pinned]
        lines += [f"  {event_line(event, self.started_ns)}" for event in shown]
        return "\n".join(lines)

    def _written(self) -> list[TimelineEvent]:
        return [self._event(*entry) for entry in self._log.numbered()]

    def _event(self, number: int, entry: TimelineEvent | _Shorthand) -> TimelineEvent:
        """Return an entry as an event, converting the compact form of `shorthand`."""
        if isinstance(entry, dict):
            return entry
        now, thread, task, process, kind, describe, argument = entry
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
            "data": copy_containers(dict(describe(argument))),
        }


def current_task_name() -> str | None:
    """Return the name of the current asyncio task; None outside asyncio."""
    # If asyncio is not imported, no task exists.  Importing it here would be slow.
    asyncio = sys.modules.get("asyncio")
    try:
        if asyncio is None or running_loop(asyncio) is None:
            return None
        task = asyncio.current_task()
    except (RuntimeError, AttributeError):
        return None  # the loop has just stopped, or another thread still imports asyncio
    return None if task is None else str(task.get_name())


class TimelineOwner:
    """Base of all objects with a timeline.

    The class has no ``__init__``, so that mixins work without calling ``super()``.
    """

    @property
    def timeline(self) -> Timeline:
        """Events of the test that this object is used in.

        Inside a test of `IntegrationTestCase`, this is the test's timeline;
        outside, the object has its own timeline.
        """
        own = self.__dict__.get("_itf_timeline")
        if own is None:
            owner = current_owner.get()
            own = Timeline() if owner is None or owner is self else owner.timeline
            # setdefault is atomic: two threads that get here at once get the same timeline.
            own = self.__dict__.setdefault("_itf_timeline", own)
        return cast(Timeline, own)

    @timeline.setter
    def timeline(self, timeline: Timeline) -> None:
        self.__dict__["_itf_timeline"] = timeline


current_owner: contextvars.ContextVar[TimelineOwner | None] = contextvars.ContextVar(
    "itf_current_owner", default=None
)
"""TestCase that runs in this context; new fixtures and interfaces use its timeline."""
