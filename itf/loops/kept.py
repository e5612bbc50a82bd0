"""Who keeps a loop between two tests of a class, and closes it in the end."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Keepable", "Kept"]

__unittest = True


class Keepable(Protocol):
    """What can be kept: it knows its class and the thread that used it last."""

    owner: weakref.ref[Any]
    thread: int

    def close(self) -> None:
        """Free what it holds."""


_K = TypeVar("_K", bound=Keepable)


class Kept(Generic[_K]):
    """What one test of a class leaves to the next.

    It goes from one test of a class to the next one, in whatever thread that
    runs.  It is closed with its class, or, under runners that do not end
    classes, when its thread comes to another class; at the latest, with the
    process.  A forked child closes its own copies.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        # Held while _ending changes, and while _idle is looked through; that it
        # is appended to and popped from at the same time is harmless.
        self._lock = threading.Lock()
        self._idle: list[_K] = []
        self._ending: weakref.WeakSet[Any] = weakref.WeakSet()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)
        atexit.register(self.close)

    def take(self, owner: Any) -> _K | None:
        """Return what was kept for a class, a TestCase; None if there is nothing.

        It is the caller's until he gives it back.
        """
        if self._idle:
            try:
                last = self._idle.pop()
            except IndexError:  # another thread was faster
                return self._look_for(owner)
            if last.owner() is owner:
                return last  # nearly always
            self._idle.append(last)
        return self._look_for(owner)

    def _look_for(self, owner: Any) -> _K | None:
        with self._lock:
            found = next((kept for kept in self._idle if kept.owner() is owner), None)
            # Of another class, to which this thread will hardly come back.
            thread = threading.get_ident()
            over = [kept for kept in self._idle if kept.thread == thread and kept is not found]
            found = self._taken(found)
            over = [kept for kept in over if self._taken(kept)]
            if owner not in self._ending:
                self._ending.add(owner)
                owner.addClassCleanup(self.close, owner)
        for kept in over:
            kept.close()
        return found

    def _taken(self, kept: _K | None) -> _K | None:
        """Take one that was just seen; None if another thread was faster."""
        try:
            self._idle.remove(kept)  # type: ignore[arg-type]
        except ValueError:
            return None
        return kept

    def give_back(self, kept: _K) -> None:
        """Keep it for the next test of its class."""
        kept.thread = threading.get_ident()
        self._idle.append(kept)

    def close(self, owner: type | None = None) -> None:
        """Close what is kept for a class that is over, or for all."""
        with self._lock:
            over = [kept for kept in self._idle if owner is None or kept.owner() is owner]
            over = [kept for kept in over if self._taken(kept)]
            if owner is not None:
                self._ending.discard(owner)  # it may be run once more
        for kept in over:
            kept.close()

    def _forked(self) -> None:
        self._lock = threading.Lock()
        self.close()
