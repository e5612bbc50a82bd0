"""Errors that nobody can catch: of a thread, of a finalizer, and coroutines never awaited."""

from __future__ import annotations

import functools
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from itf.leaks.leak import Leak
from itf.safe_repr import safe_str, unraisable_text
from itf.tracebacks import code_location, exception_tree

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["ErrorHooks", "watch_coroutines"]

__unittest = True


class ErrorHooks:
    """Python's hooks for errors that cannot be raised, with ours before them.

    An error goes to the guard that it belongs to; one that nobody takes goes
    on to the hook that was there before.

    Args:
        find: Returns the guard that an error of this thread belongs to, by
            default of the one that runs; None if there is none, or if nobody knows.

    Thread safety: the hooks may be called in any thread; they are put in and
    taken out under the lock of whoever does so.
    """

    def __init__(self, find: Callable[[threading.Thread | None], Any]) -> None:
        self._find = find
        # What was there before, each time that ours were put in, and for whom.
        self._before: list[tuple[Any, Any, Any]] = []
        self._thread_own = self._thread_hook
        self._unraisable_own = self._unraisable_hook

    def put_in(self, guard: Any) -> None:
        """Put the hooks in place for a guard, over whatever is there."""
        before = (threading.excepthook, sys.unraisablehook)
        if before[0] is not self._thread_own or before[1] is not self._unraisable_own:
            self._before.append((guard, *before))
            threading.excepthook = self._thread_own
            sys.unraisablehook = self._unraisable_own

    def take_out(self, guard: Any, *, last: bool) -> None:
        """Put back what was there before a guard, unless somebody else still needs ours.

        Args:
            guard: The guard that goes.
            last: Whether it is the last one.
        """
        if not self._before or (not last and self._before[-1][0] is not guard):
            return
        place = 0 if last else -1
        _, thread_hook, unraisable_hook = self._before[place]
        del self._before[place:]
        # Whoever has put something of their own over ours keeps it.
        if threading.excepthook is self._thread_own:
            threading.excepthook = thread_hook
        if sys.unraisablehook is self._unraisable_own:
            sys.unraisablehook = unraisable_hook

    def _taken(self, leak: Leak, thread: threading.Thread | None) -> bool:
        """Hand an error to the test that it belongs to; say whether there is one."""
        guard = self._find(thread)
        if guard is None:
            return False
        guard.take(leak)
        return True

    def _thread_hook(self, args: threading.ExceptHookArgs) -> None:
        # SystemExit ends a thread in silence; Python's own hook knows.
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            name = args.thread.name if args.thread is not None else "?"
            leak = _error_leak(f"thread {name!r} died of", name, args.exc_value)
            if self._taken(leak, args.thread):
                return
        before = self._before[-1][1] if self._before else threading.__excepthook__
        before(args)

    def _unraisable_hook(self, args: UnraisableHookArgs) -> None:
        error = args.exc_value
        if error is not None:
            # What is being finalized must not be kept; its text may be.
            leak = _error_leak(f"{unraisable_text(args)}:", type(error).__name__, error)
            if self._taken(leak, None):
                for exception, _, _ in exception_tree(error):
                    traceback.clear_frames(exception.__traceback__)
                return
        before = self._before[-1][2] if self._before else sys.__unraisablehook__
        before(args)


def _error_leak(what: str, name: str, error: BaseException) -> Leak:
    """Describe an error, at once: it must not be kept, nor what its frames hold."""
    text = "".join(traceback.format_exception(error)).rstrip()
    indented = "\n".join(f"    {line}" for line in text.splitlines())
    said = f"{what} {type(error).__name__}: {safe_str(error)}\n{indented}"
    return Leak("errors", "error", name, ("error", id(error), said), lambda: said)


def watch_coroutines(find: Callable[[threading.Thread | None], Any]) -> bool:
    """See to it that coroutines that are never awaited are told; say whether that can be.

    Python says it with a warning, which filters may hold back or show once
    only.  There is no public place to learn of each.
    """
    original = getattr(warnings, "_warn_unawaited_coroutine", None)
    if original is None:
        return False

    @functools.wraps(original)
    def warn(coroutine: Any) -> None:
        guard = find(None)
        # What somebody catches on purpose, with `catch_warnings` or
        # `assertWarns`, was looked at.
        if guard is None or not guard.sees_warnings():
            original(coroutine)
        else:
            guard.take(_coroutine_leak(coroutine))

    warnings._warn_unawaited_coroutine = warn  # type: ignore[attr-defined]
    return True


def _coroutine_leak(coroutine: Any) -> Leak:
    name = coroutine.__qualname__
    code = coroutine.cr_code
    where = f"defined at {code.co_filename}:{code.co_firstlineno}"
    frame = sys._getframe(2)
    said = f"coroutine {name!r} was never awaited, {where}, dropped at {code_location(frame)}"
    return Leak("tasks", "coroutine", name, ("coroutine", id(coroutine), said), lambda: said)
