"""A semaphore between processes; the permits of a dead process become free again."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final

from itf.sync.deadline import (
    DEFAULT_TIMEOUT,
    Deadline,
    check_name,
)
from itf.sync.lock import SharedLock
from itf.sync.members import CLEANERS, MemberTable
from itf.sync.segment import PROCESS_SLOTS, SegmentUser
from itf.sync.wakeup import WakeUp
from itf.validation import check_integer, check_timeout

__all__ = ["SharedSemaphore"]

__unittest = True

_PERMITS: Final = 1  # kind in the directory; odd, because it has data for each process slot
_SIZE: Final = 8 + 8 * PROCESS_SLOTS


class SharedSemaphore(SegmentUser):
    """A semaphore for processes and threads, as `multiprocessing.Semaphore`.

    The semaphore records how many permits each process has.  If a process ends
    without releasing its permits, they become free.  A process that releases more
    permits than it has acquired adds a permit.

    Example:
        >>> slots = SharedSemaphore(MemberTable(), "slots", 2)
        >>> with slots:
        ...     slots.value
        1

    Args:
        table: The processes that may use it.
        name: Its name, for messages.
        value: Number of permits.
        default_timeout: Seconds to wait where no timeout is given; None waits forever.

    Thread safety: every method, from any thread.
    """

    _views = ("_total", "_held")

    def __init__(
        self,
        table: MemberTable,
        name: str,
        value: int = 1,
        *,
        default_timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        self.name = check_name(name, "semaphore")
        value = check_integer("value", value, 0)
        self._default = check_timeout("default_timeout", default_timeout)
        self._table = table
        label = f"semaphore {name!r}"
        # Protects the numbers of permits against concurrent changes.  Each change is one
        # store, so a process that is killed with the lock leaves consistent numbers.
        self._lock = SharedLock(table, name, default_timeout=None, label=label)
        self._wake_up = WakeUp(table, f"a permit of {label}")
        self._offset = table.allocate(_PERMITS, _SIZE, label).offset
        self._attach()
        self._total[0] = value

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in self._views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._attach()

    def _attach(self) -> None:
        self._total = self._table.longs(self._offset, 1)
        self._held = self._table.longs(self._offset + 8, PROCESS_SLOTS)
        self._table.register(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def value(self) -> int:
        """Number of free permits, including those of dead processes."""
        held = [(process, count) for process, count in enumerate(self._held.tolist()) if count]
        alive = self._table.is_alive
        return int(self._total[0] - sum(count for process, count in held if alive(process)))

    def get_value(self) -> int:
        """Return `value`; `multiprocessing.Semaphore` has it under this name."""
        return self.value

    def locked(self) -> bool:
        """Return whether no permit is free."""
        return self.value <= 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquire a permit.

        Args:
            block: Whether to wait for a permit.
            timeout: Seconds to wait, by default the semaphore's default timeout.

        Returns:
            Whether a permit was acquired; False only where ``block`` is false or
            ``timeout`` is given.

        Raises:
            WorkerTimeoutError: The default timeout has passed.
        """
        deadline = Deadline(timeout if block else 0.0, self._default)
        if self._wake_up.wait_for(lambda: self._take(deadline.left()), deadline):
            return True
        if deadline.explicit:
            return False
        raise deadline.error(self._table, f"semaphore {self.name!r} had no permit")

    def release(self) -> None:
        """Release a permit.

        Raises:
            WorkerTimeoutError: Another process is stopped while it changes the semaphore.
        """
        process = self._table.process_slot()
        deadline = Deadline(None, self._default)
        if not self._lock.acquire(True, deadline.left()):
            raise deadline.error(self._table, f"semaphore {self.name!r} was not released")
        try:
            if self._held[process]:
                self._held[process] -= 1
            else:
                self._total[0] += 1
        finally:
            self._lock.release()
        self._wake_up.notify(1)

    def _take(self, limit: float | None) -> bool:
        process = self._table.process_slot()
        if not self._lock.acquire(True, limit):
            return False
        try:
            if self._total[0] - sum(self._held.tolist()) <= 0:
                self._recover()
            if self._total[0] - sum(self._held.tolist()) <= 0:
                return False
            self._held[process] += 1
            return True
        finally:
            self._lock.release()

    def _recover(self) -> None:
        """Free the permits of dead processes."""
        for process, count in enumerate(self._held.tolist()):
            if count and not self._table.is_alive(process):
                permits = "a permit" if count == 1 else f"{count} permits"
                self._table.record_dead_holder(process, f"{permits} of semaphore {self.name!r}")
                self._held[process] = 0


def _clean_process_slot(table: MemberTable, offset: int, process: int) -> bool:
    """Return whether the slot of a dead process may be reused: only if it has no permits."""
    return not table.longs(offset + 8, PROCESS_SLOTS)[process]


CLEANERS[_PERMITS] = _clean_process_slot
