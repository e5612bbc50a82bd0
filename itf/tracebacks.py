"""Stack frames and tracebacks of user code, without the frames of itf."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final

from itf._private import is_thread_start

__all__ = [
    "call_stack",
    "code_location",
    "exception_depths",
    "exception_tree",
    "module_of",
    "strip_own_frames",
    "thread_location",
    "traceback_frames",
    "user_frame",
]

__unittest = True

# Top-level modules whose frames `user_frame` skips.  For `with self.tracking(...)`
# a frame of contextlib is between the user's frame and itf's.
_SKIPPED_MODULES: Final = ("itf", "contextlib")

# Number of frames that identify a running thread in a message.
_FRAMES_SHOWN: Final = 6

# Longest call stack in a record.  In a deep recursion all further frames are alike.
_MAX_STACK: Final = 100


def module_of(frame: FrameType) -> str:
    """Return the name of the module whose code a frame runs."""
    return str(frame.f_globals.get("__name__", "<unknown>"))


def _is_own(frame: FrameType) -> bool:
    """Return whether a frame runs code of itf."""
    name = module_of(frame)
    return name == "itf" or name.startswith("itf.")


def user_frame() -> FrameType:
    """Return the innermost frame of this thread that runs user code."""
    frame = sys._getframe(1)
    while frame.f_back is not None and module_of(frame).partition(".")[0] in _SKIPPED_MODULES:
        frame = frame.f_back
    return frame


def code_location(frame: FrameType | None = None) -> str:
    """Return ``file:line in function`` of a frame, by default of `user_frame`."""
    frame = frame or user_frame()
    return _location_text(frame, frame.f_lineno)


def _location_text(frame: FrameType, line: int | None) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{line or code.co_firstlineno} in {code.co_qualname}"


def thread_location(thread: threading.Thread) -> str:
    """Return the user frames of a running thread as one line of text, innermost first."""
    frame = sys._current_frames().get(thread.ident or 0)
    frames = []
    while frame is not None:
        if not _is_own(frame):
            frames.append(frame)
        frame = frame.f_back
    # The outermost frames are those of threading, the same in each thread.
    while frames and is_thread_start(frames[-1]):
        frames.pop()
    places = [code_location(frame) for frame in frames[:_FRAMES_SHOWN]]
    if len(frames) > len(places):
        places.append("...")
    return f"at {', called from '.join(places)}" if places else "about to end"


def traceback_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """Return the user frames of an exception's traceback with line numbers, innermost first.

    For an exception that itf raises on request, such as an injected fault, the
    innermost user frame is the one that called itf.
    """
    frames = []
    entry = error.__traceback__
    while entry is not None:
        if not _is_own(entry.tb_frame):
            frames.append((entry.tb_frame, entry.tb_lineno))
        entry = entry.tb_next
    frames.reverse()
    return frames


def call_stack(error: BaseException) -> list[str]:
    """Return the user frames of the stack in which an exception was raised, innermost first.

    A traceback ends at the frame that caught the exception.  The callers of that
    frame are added here.  For an exception that was never raised, the result is
    the stack of the caller.
    """
    raised = traceback_frames(error)
    stack = [_location_text(frame, line) for frame, line in raised]
    outer = raised[-1][0].f_back if raised else user_frame()
    while outer is not None and len(stack) <= _MAX_STACK:
        if not _is_own(outer):
            stack.append(code_location(outer))
        outer = outer.f_back
    if len(stack) > _MAX_STACK:
        stack[_MAX_STACK:] = ["... further frames omitted"]
    return stack


def exception_tree(
    error: BaseException,
) -> Iterator[tuple[BaseException, int | None, str | None]]:
    """Yield an exception, its causes, contexts and group members, each once.

    Yields:
        The exception; the index of its parent in this iteration (None for the
        first); and its relation to the parent: ``cause``, ``context`` or ``member``.
    """
    seen: set[int] = set()
    queue: list[tuple[BaseException, int | None, str | None]] = [(error, None, None)]
    position = 0
    # A queue instead of recursion, because a chain of causes may be longer than
    # the recursion limit.  `seen`, because contexts can form a circle.
    for exception, parent, relation in queue:
        if id(exception) in seen:
            continue
        seen.add(id(exception))
        yield exception, parent, relation
        queue.extend((origin, position, relation) for origin, relation in _origins(exception))
        position += 1


def _origins(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """Yield the cause, context and group members of an exception, each with its relation."""
    if error.__cause__ is not None:
        yield error.__cause__, "cause"
    if error.__context__ is not None:
        yield error.__context__, "context"
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield member, "member"


def exception_depths(error: BaseException) -> dict[int, int]:
    """Return the depth of each exception of a tree by its id; the depth of the first is 0.

    The depth is the length of the longest path from the first exception.  So an
    exception is deeper than all exceptions that it caused, which gives their
    order in time.
    """
    # Topological order: depth-first search puts an exception into `ordered` after
    # all of its origins.  A stack instead of recursion, as in exception_tree.
    ordered: dict[int, BaseException] = {}
    seen = {id(error)}
    stack = [(error, _origins(error))]
    while stack:
        exception, origins = stack[-1]
        for origin, _ in origins:
            if id(origin) not in seen:
                seen.add(id(origin))
                stack.append((origin, _origins(origin)))
                break
        else:
            ordered[id(exception)] = exception
            stack.pop()
    index_of = {identity: index for index, identity in enumerate(ordered)}
    depths = {id(error): 0}
    for exception in reversed(ordered.values()):
        for origin, _ in _origins(exception):
            # An origin that comes later in the order closes a circle of contexts.
            if index_of[id(origin)] < index_of[id(exception)]:
                depth = depths[id(exception)] + 1
                depths[id(origin)] = max(depth, depths.get(id(origin), 0))
    return depths


def strip_own_frames(error: BaseException) -> None:
    """Remove the frames of itf from the tracebacks of an exception, its causes and contexts.

    The traceback then ends at the user's line that called itf.  A traceback that
    has only frames of itf stays unchanged.  If the environment variable
    ``ITF_FULL_TRACEBACK`` is set, all tracebacks stay unchanged.
    """
    if os.environ.get("ITF_FULL_TRACEBACK"):
        return
    for exception, _, _ in exception_tree(error):
        entries = []
        entry = exception.__traceback__
        while entry is not None:
            entries.append(entry)
            entry = entry.tb_next
        kept = [entry for entry in entries if not _is_own(entry.tb_frame)]
        if not kept or len(kept) == len(entries):
            continue
        _link(kept)
        # Not `exception.__traceback__ = ...`: a frozen dataclass refuses assignments.
        exception.with_traceback(kept[0])


def _link(entries: list[TracebackType]) -> None:
    for entry, following in zip(entries, [*entries[1:], None], strict=True):
        entry.tb_next = following
