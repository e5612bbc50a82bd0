"""How those who sleep until something shared has changed are woken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from itf.sync.deadline import Deadline
from itf.sync.members import CLEANERS, MemberTable
from itf.sync.os_semaphore import SEMAPHORE_SIZE, SystemSemaphore, poll_seconds
from itf.sync.segment import THREAD_SLOTS, SegmentUser
from itf.sync.semlock import value_of
from itf.tracebacks import code_location

__all__ = ["WakeUp"]

__unittest = True

_WAKE_UP: Final = 4  # the kind in the directory: even, a column for each seat

# The region: the semaphore, whether anybody sleeps, and who does.
_HINT: Final = SEMAPHORE_SIZE
_SLEEPERS: Final = 2 * SEMAPHORE_SIZE
_SIZE: Final = _SLEEPERS + THREAD_SLOTS


class WakeUp(SegmentUser):
    """A bell that wakes those who wait for a change that somebody else makes.

    Nothing depends on its being heard: who waits looks by itself every few
    milliseconds, so that one who dies before ringing, or a ring that wakes the
    wrong one, costs that much time and no more.

    Args:
        roster: Who may use it.
        label: What those who wait are said to wait for.
    """

    _views = ("_view", "_handle")

    def __init__(self, table: MemberTable, label: str) -> None:
        self._table = table
        self._entry = table.allocate(_WAKE_UP, _SIZE, label)
        self._semaphore = SystemSemaphore(table, self._entry.offset, 0, THREAD_SLOTS)
        self._attach()

    def __getstate__(self) -> tuple[Any, ...]:
        return self._table, self._entry, self._semaphore

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._table, self._entry, self._semaphore = state
        self._attach()

    def _attach(self) -> None:
        offset = self._entry.offset
        self._view: memoryview = self._table.memory[offset : offset + _SIZE]
        self._handle: Any = self._semaphore.handle()
        self._table.register(self)

    def wait_for(self, happened: Callable[[], Any], deadline: Deadline) -> bool:
        """Sleep until something has happened; False if the deadline passes before that.

        Args:
            happened: Looks whether it has; what it changes in doing so, it
                changes at once.
            deadline: When to give up.
        """
        if happened():
            return True
        self._table.check_open()
        slot = self._table.slot()
        # Held by this call, for a semaphore does not keep its memory.
        view, attempt = self._view, self._handle.acquire
        waits_for = self._table.waits_for_view(slot)
        mark = _SLEEPERS + slot
        try:
            while True:
                # Before looking: whoever changes something after the look sees it.
                view[mark] = view[_HINT] = 1
                if happened():
                    return True
                if deadline.passed():
                    return False
                if not attempt(True, poll_seconds(deadline.left())) and not waits_for[0]:
                    self._table.waiting(self._entry.number, code_location())
        finally:
            view[mark] = waits_for[0] = 0

    def notify(self, limit: int = THREAD_SLOTS) -> None:
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


def _clean_thread_slot(table: MemberTable, offset: int, slot: int) -> bool:
    table.memory[offset + _SLEEPERS + slot] = 0
    return True


CLEANERS[_WAKE_UP] = _clean_thread_slot
