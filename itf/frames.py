"""Whose frame is it: the user's code told from itf's own, in stacks and tracebacks."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final

__all__ = [
    "call_stack",
    "exception_depths",
    "exception_tree",
    "module_of",
    "site",
    "strip_own_frames",
    "traceback_frames",
    "user_frame",
    "where_is",
]

__unittest = True

# contextlib stands between `with self.tracking(...)` and the generator in itf
# that serves it.
_PASSED_OVER: Final = ("itf", "contextlib")

# Of a thread that does not end: enough to know it by.
_FRAMES_SHOWN: Final = 6

# By what functions threading starts a thread.
_STARTERS: Final = ("_bootstrap", "_bootstrap_inner", "run")

# A recursion of a thousand frames says nothing that its first hundred do not.
_MAX_STACK: Final = 100


def module_of(frame: FrameType) -> str:
    """Return the name of the module that a frame runs in."""
    return str(frame.f_globals.get("__name__", "<unknown>"))


def _is_own(frame: FrameType) -> bool:
    """Say whether a frame belongs to itf."""
    name = module_of(frame)
    return name == "itf" or name.startswith("itf.")


def user_frame() -> FrameType:
    """Return the innermost frame of this thread that is not itf's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and module_of(frame).partition(".")[0] in _PASSED_OVER:
        frame = frame.f_back
    return frame


def site(frame: FrameType | None = None) -> str:
    """Return ``file:line in function`` of a frame, by default of the user's innermost one."""
    frame = frame or user_frame()
    return _site(frame, frame.f_lineno)


def _site(frame: FrameType, line: int | None) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{line or code.co_firstlineno} in {code.co_qualname}"


def where_is(thread: threading.Thread) -> str:
    """Say where a thread is now, from the inside out, without itf's frames."""
    frame = sys._current_frames().get(thread.ident or 0)
    frames = []
    while frame is not None:
        if not _is_own(frame):
            frames.append(frame)
        frame = frame.f_back
    # At the outer end there is only how threading starts a thread.
    while frames and _is_start_of_thread(frames[-1]):
        frames.pop()
    places = [site(frame) for frame in frames[:_FRAMES_SHOWN]]
    if len(frames) > len(places):
        places.append("...")
    return f"at {', called from '.join(places)}" if places else "about to end"


def _is_start_of_thread(frame: FrameType) -> bool:
    # The target itself may be a function of threading, such as Event.wait.
    return module_of(frame) == "threading" and frame.f_code.co_name in _STARTERS


def traceback_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """Return the user's frames that an error passed, innermost first, each with its line.

    An error that itf raised at the user's wish (a mock parser's, say) comes
    from where the user called itf.
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
    """Return the stack in which an error was raised, innermost first.

    It is the error's traceback from the inside out, and then on outwards from
    the frame that caught it; for an error that was never raised, the stack of
    the caller.  itf's own frames are left out.
    """
    raised = traceback_frames(error)
    stack = [_site(frame, line) for frame, line in raised]
    outer = raised[-1][0].f_back if raised else user_frame()
    while outer is not None and len(stack) <= _MAX_STACK:
        if not _is_own(outer):
            stack.append(site(outer))
        outer = outer.f_back
    if len(stack) > _MAX_STACK:
        stack[_MAX_STACK:] = ["... more frames, left out"]
    return stack


def exception_tree(
    error: BaseException,
) -> Iterator[tuple[BaseException, int | None, str | None]]:
    """Walk an error, its causes, contexts and group members, each once.

    Yields:
        The exception, the position of its parent in this walk (None for the
        error itself), and its relation to it: ``cause``, ``context``, ``member``.
    """
    seen: set[int] = set()
    waiting: list[tuple[BaseException, int | None, str | None]] = [(error, None, None)]
    position = 0
    # A queue, not a recursion: a chain of causes may be thousands long, and a
    # context may point back at what it came from.
    for exception, parent, relation in waiting:
        if id(exception) in seen:
            continue
        seen.add(id(exception))
        yield exception, parent, relation
        waiting.extend((origin, position, relation) for origin, relation in _origins(exception))
        position += 1


def _origins(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """Walk what an error directly came from, each with its relation to it."""
    if error.__cause__ is not None:
        yield error.__cause__, "cause"
    if error.__context__ is not None:
        yield error.__context__, "context"
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield member, "member"


def exception_depths(error: BaseException) -> dict[int, int]:
    """Say how far back each exception of a tree lies, by id; the error itself is at 0.

    Where several ways lead to an exception, the longest counts: it was there
    before all that came from it.
    """
    # Depth first, so that in `after` an exception stands behind all that it
    # came from.  Not a recursion, for the same reason as in exception_tree.
    after: dict[int, BaseException] = {}
    seen = {id(error)}
    ways = [(error, _origins(error))]
    while ways:
        exception, origins = ways[-1]
        for origin, _ in origins:
            if id(origin) not in seen:
                seen.add(id(origin))
                ways.append((origin, _origins(origin)))
                break
        else:
            after[id(exception)] = exception
            ways.pop()
    place = {number: index for index, number in enumerate(after)}
    depths = {id(error): 0}
    for exception in reversed(after.values()):
        for origin, _ in _origins(exception):
            if place[id(origin)] < place[id(exception)]:  # else it closes a circle
                depth = depths[id(exception)] + 1
                depths[id(origin)] = max(depth, depths.get(id(origin), 0))
    return depths


def strip_own_frames(error: BaseException) -> None:
    """Cut itf's frames from the tracebacks of an error and of all it came from.

    The user reads the line that called itf, not itf's inside.  A traceback
    that has no other frames stays whole, and so do all of them where the
    environment has ``ITF_FULL_TRACEBACK``.
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
        # Not by assignment, which an exception class may refuse (a frozen dataclass does).
        exception.with_traceback(kept[0])


def _link(entries: list[TracebackType]) -> None:
    for entry, following in zip(entries, [*entries[1:], None], strict=True):
        entry.tb_next = following
