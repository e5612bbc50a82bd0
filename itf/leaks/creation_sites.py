"""Where resources were created, and by which test; formatted only for a report."""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading
import weakref
from collections.abc import Hashable
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from itf.linux_proc import children

__all__ = [
    "Origin",
    "Origins",
    "StackKey",
    "current_detector",
    "frames_here",
    "origins",
    "stack_text",
]

__unittest = True

StackKey = tuple[Any, ...]
"""A stack as alternating code objects and instruction offsets, innermost first."""

# Frames kept of a stack.
_DEPTH: Final = 12

# Records kept at most; the oldest are dropped, as most of their resources are gone.
_MOST: Final = 100_000

current_detector: contextvars.ContextVar[Any] = contextvars.ContextVar(
    "itf_current_detector", default=None
)
"""The detector of the current test; asyncio tasks inherit the variable."""


class Origin(NamedTuple):
    """The record of one creation.

    Attributes:
        guard: Weak reference to the detector of the creating test, or None.
        sight: The creating stack; empty unless tracing is on.
        identity: Distinguishes resources that reuse the same number.
    """

    guard: weakref.ref[Any] | None
    sight: StackKey
    identity: Hashable


class Origins:
    """Records of creations, by kind and number of the resource.

    Thread safety: every method, from any thread; dict operations are atomic.
    """

    def __init__(self) -> None:
        self.tracing = False
        # The parts of an `Origin`, which is made when somebody asks: few ever do.
        self._known: dict[
            tuple[str, Hashable], tuple[weakref.ref[Any] | None, StackKey, Hashable]
        ] = {}
        self._forked: set[int] = set()
        # The children that there were before a fork, by the thread that forks.
        self._before_fork: dict[int, set[int]] = {}
        # Held while the children are listed and noted: several threads may fork at once.
        self._fork_lock = threading.Lock()
        self._guards: weakref.WeakKeyDictionary[threading.Thread, Any] = weakref.WeakKeyDictionary()

    def remember(
        self, kind: str, number: Hashable, identity: Hashable = None, skip: int = 1
    ) -> None:
        """Note that a thing was just made.

        Args:
            kind: What sort of thing.
            number: What it is known by.
            identity: What tells it from another one under the same number.
            skip: How many callers up the one is that made it.
        """
        sight = frames_here(skip + 1) if self.tracing else ()
        self.remember_as(kind, number, self.detector_here(), sight, identity)

    def remember_as(
        self,
        kind: str,
        number: Hashable,
        guard: Any,
        sight: StackKey,
        identity: Hashable = None,
    ) -> None:
        """Note that a thing was made for a test, in a stack that is known already."""
        known = self._known
        if len(known) >= _MOST:
            with contextlib.suppress(KeyError, RuntimeError, StopIteration):  # another thread did
                del known[next(iter(known))]
        known[kind, number] = (None if guard is None else guard.weak, sight, identity)

    def of(self, kind: str, number: Hashable, identity: Hashable = None) -> Origin | None:
        """Return what is remembered of a thing; None if nothing is, or it was another thing."""
        parts = self._known.get((kind, number))
        return Origin(*parts) if parts is not None and parts[2] == identity else None

    def text(self, kind: str, number: Hashable, verb: str, identity: Hashable = None) -> str:
        """Return text such as ``, started at ...``; empty if the creation is unknown."""
        origin = self.of(kind, number, identity)
        said = "" if origin is None else stack_text(origin.sight)
        return f", {verb} at {said}" if said else ""

    def forget(self, kind: str, number: Hashable) -> None:
        """Drop the record of a resource."""
        self._known.pop((kind, number), None)

    def clear(self) -> None:
        """Drop all records."""
        self._known.clear()

    # Whose thread is it

    def detector_here(self) -> Any:
        """Return the detector of the test that the current code belongs to, or None."""
        guard = current_detector.get()
        if guard is None:
            guard = self._guards.get(threading.current_thread())
        return guard

    def detector_of(self, thread: threading.Thread) -> Any:
        """Return the detector of the test that started a thread, or None."""
        return self._guards.get(thread)

    def adopt(self, thread: threading.Thread) -> None:
        """Record that a thread belongs to the test that starts it."""
        guard = self.detector_here()
        if guard is not None:
            self._guards[thread] = guard

    # Forks

    def begin_fork(self) -> None:
        """Record the children before a fork, which include adopted orphans."""
        self._before_fork[threading.get_ident()] = set(children())

    def note_fork(self) -> None:
        """Record the new child of a fork, and drop children that have ended."""
        before = self._before_fork.pop(threading.get_ident(), set())
        with self._fork_lock:
            now = set(children())
            self._forked = (self._forked & now) | (now - before)

    def is_forked(self, pid: int) -> bool:
        """Return whether a child was forked by this process."""
        return pid in self._forked

    def renew(self) -> None:
        """Drop the parent's children and replace the lock, in a forked child."""
        self._forked = set()
        self._before_fork = {}
        self._fork_lock = threading.Lock()


origins: Final = Origins()
"""The records of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=origins.begin_fork,
        after_in_parent=origins.note_fork,
        after_in_child=origins.renew,
    )


def frames_here(skip: int) -> StackKey:
    """Return the stack, without the innermost ``skip`` frames."""
    frame: FrameType | None = sys._getframe(skip)
    found: list[Any] = []
    while frame is not None and len(found) < 2 * _DEPTH:
        found.append(frame.f_code)
        found.append(frame.f_lasti)
        frame = frame.f_back
    return tuple(found)


# Folders of test runners: their frames below the user's code are not shown.
_MACHINERY: Final = (f"{os.sep}unittest{os.sep}", f"{os.sep}_pytest{os.sep}")


def stack_text(sight: StackKey) -> str:
    """Return a stack as text: ``file:line in function``, from the inside out, without itf."""
    places: list[str] = []
    for code, offset in zip(sight[::2], sight[1::2], strict=True):
        if any(part in code.co_filename for part in _MACHINERY):
            if places:
                break
            continue
        if not code.co_filename.startswith(_OWN_FOLDER):
            places.append(f"{code.co_filename}:{_line_of(code, offset)} in {code.co_qualname}")
    return ", called from ".join(places)


_OWN_FOLDER: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _line_of(code: CodeType, offset: int) -> int:
    for start, end, line in code.co_lines():
        if start <= offset < end and line is not None:
            return line
    return code.co_firstlineno
