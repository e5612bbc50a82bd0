"""Wake-ups for threads that wait until shared state has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from itf._private import semlock_value
from itf.sync.deadline import Deadline
from itf.sync.members import CLEANERS, MemberTable
from itf.sync.os_semaphore import SEMAPHORE_SIZE, SystemSemaphore, poll_seconds
from itf.sync.segment import THREAD_SLOTS, SegmentUser
from itf.tracebacks import code_location

__all__ = ["WakeUp"]

__unittest = True

_WAKE_UP: Final = 4  # kind in the directory; even, because it has data for each thread slot

# Layout of the region in bytes: the semaphore, a byte that says whether any thread may
# sleep, and a byte for each thread slot that says whether its thread does.
_HINT: Final = SEMAPHORE_SIZE
_SLEEPERS: Final = 2 * SEMAPHORE_SIZE
_SIZE: Final = _SLEEPERS + THREAD_SLOTS


class WakeUp(SegmentUser):
    """Wakes threads that wait for a change which another thread or process makes.

    A wake-up may be lost, for example if a process dies between the change and
    `notify`.  Therefore a waiting thread also checks by itself every few
    milliseconds, and a lost wake-up costs no more time than that.

    Args:
        table: The processes that may use it.
        label: What the threads wait for, in messages.
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
        """Sleep until something has happened.

        Args:
            happened: Returns whether it has happened.  It may change shared state,
                for example take an item, and must do that atomically.
            deadline: When to stop waiting.

        Returns:
            Whether it happened before the deadline passed.
        """
        if happened():
            return True
        self._table.check_open()
        slot = self._table.thread_slot()
        # The local reference keeps the memory mapped: a semaphore handle does not.
        view, attempt = self._view, self._handle.acquire
        waits_for = self._table.waits_for_view(slot)
        mark = _SLEEPERS + slot
        try:
            while True:
                # Set before the check, so that a thread that makes the change after
                # the check finds this mark in `notify`.
                view[mark] = view[_HINT] = 1
                if happened():
                    return True
                if deadline.passed():
                    return False
                if not attempt(True, poll_seconds(deadline.left())) and not waits_for[0]:
                    self._table.record_wait(self._entry.number, code_location())
        finally:
            view[mark] = waits_for[0] = 0

    def notify(self, limit: int = THREAD_SLOTS) -> None:
        """Wake at most `limit` waiting threads."""
        view = self._view
        if not view[_HINT]:
            return
        view[_HINT] = 0
        # A thread that begins to wait from now on sets the hint again, and checks after
        # that whether the change was made.
        sleepers = bytes(view[_SLEEPERS:]).count(1)
        if sleepers > limit:
            view[_HINT] = 1
        for _ in range(min(limit, sleepers - semlock_value(self._handle))):
            self._handle.release()


def _clean_thread_slot(table: MemberTable, offset: int, slot: int) -> bool:
    table.memory[offset + _SLEEPERS + slot] = 0
    return True


CLEANERS[_WAKE_UP] = _clean_thread_slot
