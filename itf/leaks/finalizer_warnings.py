"""Python's way of saying that something was dropped unclosed, or never awaited."""

from __future__ import annotations

import os
import re
import sys
import traceback
import tracemalloc
import types
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from itf.leaks.probes.warning_filters import all_filters, filters_here
from itf.safe_repr import safe_repr, safe_str
from itf.tracebacks import module_of

if TYPE_CHECKING:
    from sys import UnraisableHookArgs  # known to type checkers alone

__all__ = ["NEVER_AWAITED", "LastWords", "Taker", "made_at", "type_name"]

__unittest = True

Taker = Callable[[type[BaseException], str, str, object], bool]
"""Given a category, a text, a place and what it is about; says whether it takes it."""

NEVER_AWAITED: Final = re.compile(r"coroutine .* was never awaited")

# What is to reach us, whatever the filters say.  The comment in the pattern
# makes the entries ours: no filter of the user's is equal to one of them.
_MARK: Final = r"(?#itf.leaks.gc_check)"
_WATCHED: Final = (
    (_MARK, ResourceWarning),
    (_MARK + NEVER_AWAITED.pattern, RuntimeWarning),
)

# From the hook outwards to the function of `warnings` that holds the message;
# there may be a hook of another in between.
_FRAMES_TO_MESSAGE: Final = 8

# The files that the code of `warnings` is in; which ones depends on the version.
_FILES_OF_WARNINGS: Final = frozenset(
    code.co_filename
    for function in (warnings.WarningMessage.__init__, warnings.catch_warnings.__enter__)
    if (code := getattr(function, "__code__", None)) is not None
)

_OWN: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep


class _Hook:
    """One of Python's hooks, with ours before it: what we do not take goes on to it.

    Who replaced it while it was in place may put it back after it was taken
    out; then it only passes on.
    """

    def __init__(self, owner: Any, name: str, take: Callable[..., bool]) -> None:
        self.owner = owner
        self.name = name
        self.take = take
        self.live = True
        self.before = getattr(owner, name)
        setattr(owner, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        if not (self.live and self.take(*args, **kwargs)):
            self.before(*args, **kwargs)

    def is_on_top(self) -> bool:
        return getattr(self.owner, self.name) is self

    def remove(self) -> None:
        self.live = False
        while isinstance(top := getattr(self.owner, self.name), _Hook) and not top.live:
            setattr(self.owner, self.name, top.before)


class LastWords:
    """Filters and hooks over what is there, that give a taker each such warning.

    Whatever filters were set before; also those that a filter set later makes
    an error, which nobody can raise where an object is being freed.

    Args:
        take: What is asked; what it does not take goes on to Python.
        renew: See `_put_filters`.
    """

    def __init__(self, take: Taker, *, renew: bool) -> None:
        def take_warning(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            *_: object,
            **__: object,
        ) -> bool:
            text = safe_str(message) if isinstance(message, Warning) else message
            # A function of itf's may stand where Python's own warns of a coroutine.
            place = _place_of_drop() if filename.startswith(_OWN) else f"{filename}:{lineno}"
            return take(category, text, place, _source_of_warning())

        def take_unraisable(args: UnraisableHookArgs) -> bool:
            text = safe_str(args.exc_value) if args.exc_value else ""
            return take(args.exc_type, text, _place_of(args), _source_of(args))

        self.lists = all_filters()
        self.entries = _put_filters(renew=renew)
        self.hooks = [
            _Hook(warnings, "showwarning", take_warning),
            _Hook(sys, "unraisablehook", take_unraisable),
        ]

    def renew(self) -> None:
        """Be first, and let those through again that were shown before this."""
        _put_filters(renew=True)
        self.lists += all_filters()

    def displaced(self) -> tuple[str, ...]:
        """Say which hooks of ours are not on top any more."""
        return tuple(
            f"{hook.owner.__name__}.{hook.name} was replaced by "
            f"{safe_repr(getattr(hook.owner, hook.name))} and not put back"
            for hook in self.hooks
            if not hook.is_on_top()
        )

    def is_on_top(self) -> bool:
        """Say whether nothing stands over ours."""
        first = filters_here()[: len(self.entries)]
        return bool(first == self.entries) and all(hook.is_on_top() for hook in self.hooks)

    def remove(self) -> None:
        """Take ours out, and leave what others put there since."""
        for hook in self.hooks:
            hook.remove()
        # A copy of a list may be in place by now, left there by a catch_warnings;
        # it goes back to the first list when it is left.
        lists = {id(filters): filters for filters in (*self.lists, *all_filters())}
        for filters in lists.values():
            _take_out(filters, self.entries)


def _take_out(filters: list[Any], entries: list[Any]) -> None:
    for entry in entries:
        if entry in filters:
            filters.remove(entry)


_entries: list[Any] = []


def _put_filters(*, renew: bool) -> list[Any]:
    """Put our filters in front of all others, and return them.

    Args:
        renew: Let also those warnings through again that Python shows once a
            place and has shown.  It does so for all warnings, whence not for
            each test; under our filters nothing is noted as shown.
    """
    lists = all_filters()
    if renew or not _entries:
        here, *lists = lists
        for message, category in _WATCHED:
            warnings.filterwarnings("always", message, category)
        _entries[:] = here[: len(_WATCHED)]
        for filters in lists:
            _take_out(filters, _entries)
    for filters in lists:
        filters[:0] = _entries
    return list(_entries)


def _source_of_warning() -> object:
    """Return what the warning that is being shown is about; None if that cannot be seen.

    ``warnings.showwarning`` is not given it; it is in the message object that
    its caller holds.
    """
    frame: types.FrameType | None = sys._getframe(1)
    for _ in range(_FRAMES_TO_MESSAGE):
        if frame is None:
            return None
        for value in frame.f_locals.values() if _is_of_warnings(frame) else ():
            if isinstance(value, warnings.WarningMessage):
                source: object = value.source
                return source
        frame = frame.f_back
    return None


def _source_of(args: UnraisableHookArgs) -> object:
    """Return what something unraisable is about; None if that cannot be seen.

    Up to 3.13 the object that is freed, or its `__del__`, is in the arguments;
    since then there is at most its name, in a text.
    """
    for frame, _ in traceback.walk_tb(args.exc_traceback):
        values = frame.f_locals
        if _is_between(frame):
            for value in values.values():
                if type(value) is types.CoroutineType:
                    return value
        if frame.f_code.co_name == "__del__":
            first = values.get(next(iter(frame.f_code.co_varnames), ""))
            finalizer = getattr(type(first), "__del__", None)
            if getattr(finalizer, "__code__", None) is frame.f_code:
                return first
    return args.object


def _place_of(args: UnraisableHookArgs) -> str:
    """Return the ``file:line`` at which something unraisable was raised."""
    place = ""
    for frame, line in traceback.walk_tb(args.exc_traceback):
        if not _is_between(frame):
            place = f"{frame.f_code.co_filename}:{line}"
    # Raised in C, it has no traceback, or one that does not reach the user's code.
    return place or _place_of_drop()


def _place_of_drop() -> str:
    """Return the ``file:line`` at which the user's code dropped what is being freed."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_between(frame):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_between(frame: types.FrameType) -> bool:
    """Say whether a frame stands between the user's code and our hook."""
    return module_of(frame).partition(".")[0] == "itf" or _is_of_warnings(frame)


def _is_of_warnings(frame: types.FrameType) -> bool:
    """Say whether a frame runs code of `warnings`, in whichever module that is."""
    return frame.f_code.co_filename in _FILES_OF_WARNINGS


def made_at(thing: object) -> str:
    """Return the ``file:line`` at which an object was made, if that is traced."""
    if type(thing) is types.CoroutineType and thing.cr_origin:
        filename, lineno, _ = thing.cr_origin[0]
        return f"{filename}:{lineno}"
    trace = tracemalloc.get_object_traceback(thing) if tracemalloc.is_tracing() else None
    if not trace:
        return ""
    frames = list(reversed(trace))
    # `Path.open` is not where the user looks, if the user's own line was traced too.
    theirs = [frame for frame in frames if not frame.filename.startswith(_LIBRARY)]
    frame = (theirs or frames)[0]
    return f"{frame.filename}:{frame.lineno}"


def type_name(kind: type) -> str:
    """Return the name of a type, with its module unless it is a builtin."""
    name = kind.__qualname__
    module = getattr(kind, "__module__", None)
    return name if module in (None, "builtins") else f"{module}.{name}"
