"""How those who sleep until something shared has changed are woken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from itf.tracebacks import code_location
from itf.workers.arena import SEATS, Tenant
from itf.workers.private import value_of
from itf.workers.roster import CLEANERS, Roster
from itf.workers.semaphores import SEMAPHORE_SIZE, SystemSemaphore, waiting_slice
from itf.workers.waits import Deadline

__all__ = ["Bell"]

__unittest = True

_BELL: Final = 4  # the kind in the directory: even, a column for each seat

# The region: the semaphore, whether anybody sleeps, and who does.
_HINT: Final = SEMAPHORE_SIZE
_SLEEPERS: Final = 2 * SEMAPHORE_SIZE
_SIZE: Final = _SLEEPERS + SEATS


class Bell(Tenant):
    """A bell that wakes those who wait for a change that somebody else makes.

    Nothing depends on its being heard: who waits looks by itself every few
    milliseconds, so that one who dies before ringing, or a ring that wakes the
    wrong one, costs that much time and no more.

    Args:
        roster: Who may use it.
        label: What those who wait are said to wait for.
    """

    _views = ("_view", "_handle")

    def __init__(self, roster: Roster, label: str) -> None:
        self._roster = roster
        self._entry = roster.allocate(_BELL, _SIZE, label)
        self._semaphore = SystemSemaphore(roster, self._entry.offset, 0, SEATS)
        self._attach()

    def __getstate__(self) -> tuple[Any, ...]:
        return self._roster, self._entry, self._semaphore

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._roster, self._entry, self._semaphore = state
        self._attach()

    def _attach(self) -> None:
        offset = self._entry.offset
        self._view: memoryview = self._roster.memory[offset : offset + _SIZE]
        self._handle: Any = self._semaphore.handle()
        self._roster.admit(self)

    def wait_for(self, happened: Callable[[], Any], deadline: Deadline) -> bool:
        """Sleep until something has happened; False if the deadline passes before that.

        Args:
            happened: Looks whether it has; what it changes in doing so, it
                changes at once.
            deadline: When to give up.
        """
        if happened():
            return True
        self._roster.check_open()
        seat = self._roster.seat()
        # Held by this call, for a semaphore does not keep its memory.
        view, attempt = self._view, self._handle.acquire
        waits_for = self._roster.waits_for_view(seat)
        mark = _SLEEPERS + seat
        try:
            while True:
                # Before looking: whoever changes something after the look sees it.
                view[mark] = view[_HINT] = 1
                if happened():
                    return True
                if deadline.passed():
                    return False
                if not attempt(True, waiting_slice(deadline.left())) and not waits_for[0]:
                    self._roster.waiting(self._entry.number, code_location())
        finally:
            view[mark] = waits_for[0] = 0

    def ring(self, limit: int = SEATS) -> None:
        """Wake those who wait, at most so many of them."""
        view = self._view
        if not view[_HINT]:
            return
        view[_HINT] = 0
        # One who comes from now on sets the hint anew, and looks after that.
        sleepers = bytes(view[_SLEEPERS:]).count(1)
        if sleepers > limit:
            view[_HINT] = 1
        for _ in range(min(limit, sleepers - value_of(self._handle))):
            self._handle.release()


def _clean_seat(roster: Roster, offset: int, seat: int) -> bool:
    roster.memory[offset + _SLEEPERS + seat] = 0
    return True


CLEANERS[_BELL] = _clean_seat
