"""Errors that nobody can catch: of a thread, of a finalizer, and coroutines never awaited."""

from __future__ import annotations

import functools
import os
import sys
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Any, Final

from itf.frames import exception_tree, site
from itf.guard.leaks import Leak
from itf.guard.origins import origins
from itf.texts import safe_repr, safe_str

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["SEES_COROUTINES", "ErrorHooks", "error_hooks"]

__unittest = True

class ErrorHooks:
    """Python's hooks for errors that cannot be raised, with ours before them.

    They are in place as long as any guard stands.  An error goes to the guard
    of the test whose thread it came from; one that nobody takes goes on to the
    hook that was there before.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        # Held while the guards are counted and the hooks are put in or taken out.
        self._lock = threading.RLock()
        self._guards: list[Any] = []
        # What was there before, each time that ours were put in.
        self._before: list[tuple[Any, Any, Any]] = []
        self._own: tuple[Any, Any] = (self._thread_hook, self._unraisable_hook)

    def put_in(self, guard: Any) -> None:
        """Put the hooks in place for a guard, over whatever is there."""
        with self._lock:
            self._guards.append(guard)
            there = (threading.excepthook, sys.unraisablehook)
            if there != self._own:
                self._before.append((guard, *there))
                threading.excepthook, sys.unraisablehook = self._own

    def take_out(self, guard: Any) -> None:
        """Put back what was there before, unless another test still needs ours."""
        with self._lock:
            self._guards.remove(guard)
            if not self._before or (self._guards and self._before[-1][0] is not guard):
                return
            if self._guards and not guard.is_within(self._guards[-1]):
                return
            place = len(self._before) - 1 if self._guards else 0
            _, thread_hook, unraisable_hook = self._before[place]
            del self._before[place:]
            # Whoever has put something of their own over ours keeps it.
            if threading.excepthook == self._own[0]:
                threading.excepthook = thread_hook
            if sys.unraisablehook == self._own[1]:
                sys.unraisablehook = unraisable_hook

    def renew(self) -> None:
        """Make the lock anew, in a forked child: another thread may have held it."""
        self._lock = threading.RLock()

    def _taken(self, leak: Leak, thread: threading.Thread | None) -> bool:
        """Hand an error to the test that it belongs to; say whether there is one."""
        guards = [guard for guard in self._guards if guard.is_here()]
        if not guards:
            return False
        guard = origins.guard_of(thread) if thread is not None else origins.guard_here()
        if guard not in guards:
            # Nobody knows whose thread it is: it is the innermost test's, if
            # there is but one at this time.
            if any(other.in_company for other in guards):
                return False
            guard = guards[-1]
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
            what = f"{args.err_msg or 'Exception ignored in'}: {safe_repr(args.object)}:"
            leak = _error_leak(what, type(error).__name__, error)
            if self._taken(leak, None):
                for exception, _, _ in exception_tree(error):
                    traceback.clear_frames(exception.__traceback__)
                return
        before = self._before[-1][2] if self._before else sys.__unraisablehook__
        before(args)

    def take_coroutine(self, leak: Leak) -> bool:
        """Hand a coroutine that was never awaited to the test; say whether there is one."""
        guards = [guard for guard in self._guards if guard.is_here()]
        return bool(guards) and guards[-1].sees_warnings() and self._taken(leak, None)


error_hooks: Final = ErrorHooks()
"""The hooks of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=error_hooks.renew)


def _error_leak(what: str, name: str, error: BaseException) -> Leak:
    """Describe an error, at once: it must not be kept, nor what its frames hold."""
    text = "".join(traceback.format_exception(error)).rstrip()
    indented = "\n".join(f"    {line}" for line in text.splitlines())
    said = f"{what} {type(error).__name__}: {safe_str(error)}\n{indented}"
    return Leak("errors", "error", name, ("error", id(error), said), lambda: said)


def _watch_coroutines() -> bool:
    """See to it that coroutines that are never awaited are told; say whether that can be.

    Python says it with a warning, which filters may hold back or show once
    only.  There is no public place to learn of each.
    """
    original = getattr(warnings, "_warn_unawaited_coroutine", None)
    if original is None:
        return False

    @functools.wraps(original)
    def warn(coroutine: Any) -> None:
        # What somebody catches on purpose, with `catch_warnings` or
        # `assertWarns`, was looked at.
        if not error_hooks.take_coroutine(_coroutine_leak(coroutine)):
            original(coroutine)

    warnings._warn_unawaited_coroutine = warn  # type: ignore[attr-defined]
    return True


def _coroutine_leak(coroutine: Any) -> Leak:
    name = coroutine.__qualname__
    code = coroutine.cr_code
    where = f"defined at {code.co_filename}:{code.co_firstlineno}"
    frame = sys._getframe(2)
    said = f"coroutine {name!r} was never awaited, {where}, dropped at {site(frame)}"
    return Leak("tasks", "coroutine", name, ("coroutine", id(coroutine), said), lambda: said)




SEES_COROUTINES: Final = _watch_coroutines()
