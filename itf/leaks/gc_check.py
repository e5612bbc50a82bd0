"""What a test leaves to the garbage collector, blamed on that test."""

from __future__ import annotations

import dataclasses
import gc
import os
import threading
import time
import types
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Literal

from itf.fork_safety import fork_safe_lock
from itf.leaks.finalizer_warnings import NEVER_AWAITED, LastWords, made_at, type_name
from itf.safe_repr import safe_repr

__all__ = ["Garbage", "GarbageCheck", "GarbageKind", "collect", "heap_is_frozen"]

__unittest = True

GarbageKind = Literal["resource", "coroutine", "uncollectable"]

# A collection of another thread's lasts milliseconds; one whose finalizers wait
# for something may last for ever, and no test is to hang for it.
_COLLECT_TIMEOUT: Final = 1.0

# Python 3.12 freezes some 400 objects as it starts; gc.freeze() freezes all that
# are there, of which there are at least 5,000 in any Python that has unittest.
_FROZEN_AT_START: Final = 1000

# Where a warning comes from the collector, its file and line are those of
# whatever ran when the collector happened to be called.
_BY_COLLECTOR: Final = "freed by the garbage collector"


@dataclasses.dataclass(frozen=True)
class Garbage:
    """Something that a test left to the garbage collector.

    Attributes:
        kind: ``resource`` (a ResourceWarning), ``coroutine`` (never awaited) or
            ``uncollectable`` (new in ``gc.garbage``).
        text: What Python says of it; for what is uncollectable, how many and which.
        where: The ``file:line`` at which it was dropped, or that the collector
            freed it; then, if `tracemalloc` traces, where it was made.
        type_name: The type, with its module unless it is a builtin; of a
            warning that does not say what it is about, the warning's.
    """

    kind: GarbageKind
    text: str
    where: str
    type_name: str


class GarbageCheck:
    """Blame on a test what it leaves to the garbage collector.

    One check serves a class: `begin` and `end` around each test, `close` after
    the last.  What is alive when a test begins is frozen (`gc.freeze`), so that
    the collection at its end looks only at what the test made.

    What the test looks at itself, with ``warnings.catch_warnings(record=True)``
    or ``assertWarns``, is left to it, and so is what it ignores by a filter of
    its own.  What a collection frees while tests run in several threads cannot
    be told apart; Python then says it as it would without a check.

    Args:
        owns: Says whether a thread, by its ident, belongs to the test; by
            default it is the thread that called `begin`.

    Attributes:
        changes: What the last test replaced in the warnings machinery and did
            not put back, a text for each.  It is left as it is.

    Example:
        >>> class Connection:
        ...     def __del__(self):
        ...         warnings.warn("unclosed connection", ResourceWarning, source=self)
        >>> check = GarbageCheck()
        >>> check.begin()
        >>> connection = Connection()
        >>> connection.itself = connection
        >>> del connection
        >>> [(found.kind, found.text, found.where) for found in check.end()]
        [('resource', 'unclosed connection', 'freed by the garbage collector')]
        >>> check.close()
        []

    Thread safety: any number of checks at once; each one from one thread at a time.
    """

    def __init__(self, *, owns: Callable[[int], bool] | None = None) -> None:
        self._owns = owns or self._is_own_thread
        self._thread = 0
        self._begun = False
        self._alone = True
        # Appended to by the hooks, in any thread; an append is atomic.
        self._found: list[Garbage] = []
        self._known: set[int] = set()
        self.changes: tuple[str, ...] = ()

    @property
    def looks(self) -> bool:
        """Whether it has begun and not ended."""
        return self._begun

    def begin(self) -> None:
        """Look from here on.

        Raises:
            RuntimeError: It has begun already.
        """
        if self._begun:
            raise RuntimeError("this GarbageCheck has begun already; call end() first")
        opens = _watch.open_for(self)
        if opens or _watch.running:
            # What is garbage by now belongs to those before us; frozen it would be lost to them.
            collect()
        gc.freeze()
        self._thread = threading.get_ident()
        self._found = []
        self._known = {id(thing) for thing in gc.garbage}
        self._begun = True
        _watch.enter(self, renew=opens)

    def end(self) -> list[Garbage]:
        """Collect, look no longer, and return what is to be blamed on this test.

        Raises:
            RuntimeError: It has not begun.
        """
        if not self._begun:
            raise RuntimeError("this GarbageCheck has not begun; call begin() first")
        try:
            self.changes = _watch.displaced()
            with _watch.on_top():
                collect()
            uncollectable = self._uncollectable()
        finally:
            self._begun = False
            _watch.leave(self)
        found, self._found = self._found, []
        return found + uncollectable

    def close(self) -> list[Garbage]:
        """Let the heap go, and return what only this collection freed.

        It was alive when one test ended and dropped later; it belongs to the
        class.  The heap is let go when the last of the checks is closed, and
        only to a check that was alone something is blamed.  What the user had
        frozen is frozen again, together with all that is alive by now: Python
        cannot thaw the one without the other.
        """
        found = self.end() if self._begun else []
        if not _watch.close_for(self):
            return found
        gc.unfreeze()
        if self._alone:
            self._known = {id(thing) for thing in gc.garbage}
            _watch.enter(self, renew=False)
            try:
                collect()
                found += self._found + self._uncollectable()
            finally:
                _watch.leave(self)
                self._found = []
        else:
            collect()
        if _watch.user_froze:
            gc.freeze()
        return found

    def _is_own_thread(self, ident: int) -> bool:
        return ident == self._thread

    def _uncollectable(self) -> list[Garbage]:
        """Return what came into ``gc.garbage``, by type."""
        new = [thing for thing in gc.garbage if id(thing) not in self._known]
        if not new:
            return []
        for check in _watch.running:  # told once, by the innermost
            check._known.update(map(id, new))
        saved = gc.get_debug() & gc.DEBUG_SAVEALL
        why = "kept by gc.DEBUG_SAVEALL" if saved else "that cannot be freed"
        found = []
        for kind, count in Counter(map(type, new)).items():
            example = next(thing for thing in new if type(thing) is kind)
            things = "object" if count == 1 else "objects"
            text = f"{count} {things} in gc.garbage {why}, such as {safe_repr(example)}"
            made = made_at(example)
            found.append(
                Garbage("uncollectable", text, f"made at {made}" * bool(made), type_name(kind))
            )
        if _watch.blamed(by_collector=True) is self:
            return found
        for garbage in found:
            said = f"{garbage.text}, made by one of the tests that run at once"
            warnings.warn(said, ResourceWarning, stacklevel=3)
        return []


class _Watch:
    """What is in place while checks look: one installation, however many they are."""

    def __init__(self) -> None:
        # Replaced, never changed: the hooks read it without a lock, for a
        # finalizer may call them at any moment, in any thread.  Replaced only
        # under fork_safe_lock(self), and so is what follows.
        self.running: tuple[GarbageCheck, ...] = ()
        self.installation: LastWords | None = None
        self.opened: weakref.WeakSet[GarbageCheck] = weakref.WeakSet()
        self.frozen = False
        self.user_froze = False
        # The thread that the collector runs in.
        self.collecting = 0

    def open_for(self, check: GarbageCheck) -> bool:
        """Note a check that begins; say whether for the first time."""
        with fork_safe_lock(self):
            if check in self.opened:
                return False
            if not self.frozen:
                self.frozen = True
                self.user_froze = heap_is_frozen()
            self.opened.add(check)
            for other in self.opened:
                other._alone = len(self.opened) == 1
            return True

    def close_for(self, check: GarbageCheck) -> bool:
        """Forget a check; say whether it was the last, and there is a heap to let go."""
        with fork_safe_lock(self):
            self.opened.discard(check)
            last = self.frozen and not self.opened
            self.frozen = self.frozen and not last
            return last

    def enter(self, check: GarbageCheck, *, renew: bool) -> None:
        with fork_safe_lock(self):
            if self.installation is None:
                self.installation = LastWords(self.take, renew=renew)
                gc.callbacks.append(self.on_collection)
            elif renew:
                self.installation.renew()
            self.running = (*self.running, check)

    def leave(self, check: GarbageCheck) -> None:
        with fork_safe_lock(self):
            self.running = tuple(other for other in self.running if other is not check)
            if not self.running and self.installation is not None:
                self.installation.remove()
                self.installation = None
                if self.on_collection in gc.callbacks:
                    gc.callbacks.remove(self.on_collection)

    def forget(self) -> None:
        """Let nothing of ours be left in a forked child: nobody there asks for it."""
        self.collecting = 0
        self.opened = weakref.WeakSet()
        self.frozen = False
        for check in self.running:
            self.leave(check)

    def on_collection(self, phase: str, info: dict[str, int]) -> None:
        """Know which thread collects (for `gc.callbacks`)."""
        self.collecting = threading.get_ident() if phase == "start" else 0

    def displaced(self) -> tuple[str, ...]:
        """Say what was put over ours and left there."""
        return self.installation.displaced() if self.installation else ()

    @contextmanager
    def on_top(self) -> Generator[None]:
        """Be asked first, also where a test has put something over ours."""
        with fork_safe_lock(self):
            on_top = self.installation is not None and self.installation.is_on_top()
            over = None if on_top else LastWords(self.take, renew=False)
        try:
            yield
        finally:
            if over is not None:
                over.remove()

    def blamed(self, *, by_collector: bool) -> GarbageCheck | None:
        """Return the check that an event in this thread belongs to; None if nobody can say."""
        running = self.running
        if not by_collector:
            ident = threading.get_ident()
            for check in reversed(running):
                if check._owns(ident):
                    return check
        if len({check._thread for check in running}) == 1:
            return running[-1]
        return None

    def take(self, category: type[BaseException], text: str, where: str, source: object) -> bool:
        """Keep a warning for the check that it is to be blamed on; say whether there is one."""
        kind = _kind_of(category, text, source)
        if kind is None:
            return False
        by_collector = self.collecting == threading.get_ident()
        check = self.blamed(by_collector=by_collector)
        if check is None:
            return False
        if by_collector:
            where = _BY_COLLECTOR
        if made := made_at(source):
            where = f"{where}, made at {made}"
        # The source itself is being finalized, and must not be kept.
        of = type_name(category if source is None else type(source))
        check._found.append(Garbage(kind, text.partition("\n")[0], where, of))
        return True


_watch = _Watch()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch.forget)


def heap_is_frozen() -> bool:
    """Say whether somebody has called `gc.freeze` and not `gc.unfreeze` since."""
    return gc.get_freeze_count() > _FROZEN_AT_START


class _Probe:
    """A circle of its own: it goes when the collector really ran."""

    def __init__(self) -> None:
        self.itself = self


def collect() -> bool:
    """Collect all garbage that is not frozen, and say whether it was done.

    `gc.collect` does nothing, and does not say so, while another thread
    collects; then it is tried again for up to a second.
    """
    deadline = None
    pause = 1e-6
    while True:
        gone = weakref.ref(_Probe())
        gc.collect()
        done = gone() is None
        if gc.get_debug() & gc.DEBUG_SAVEALL:
            gc.garbage[:] = [thing for thing in gc.garbage if type(thing) is not _Probe]
        if done:
            return True
        deadline = deadline or time.monotonic() + _COLLECT_TIMEOUT
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.01)


def _kind_of(category: type[BaseException], text: str, source: object) -> GarbageKind | None:
    if issubclass(category, ResourceWarning):
        return "resource"
    if issubclass(category, RuntimeWarning) and (
        type(source) is types.CoroutineType or NEVER_AWAITED.match(text)
    ):
        return "coroutine"
    return None
