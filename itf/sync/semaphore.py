"""A semaphore between processes whose permits come back from the dead."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final

from itf.sync.deadline import (
    DEFAULT_TIMEOUT,
    Deadline,
    check_name,
    check_number,
    check_timeout,
)
from itf.sync.lock import SharedLock
from itf.sync.members import CLEANERS, MemberTable
from itf.sync.segment import PROCESS_SLOTS, SegmentUser
from itf.sync.wakeup import WakeUp

__all__ = ["SharedSemaphore"]

__unittest = True

_PERMITS: Final = 1  # the kind in the directory: odd, a column for each process
_SIZE: Final = 8 + 8 * PROCESS_SLOTS


class SharedSemaphore(SegmentUser):
    """A semaphore for processes and threads, as `multiprocessing.Semaphore`.

    It knows which process has how many permits: those of one that has ended
    without releasing them are free again.  A process that releases more than it
    has acquired adds a permit.

    Example:
        >>> slots = SharedSemaphore(MemberTable(), "slots", 2)
        >>> with slots:
        ...     slots.value
        1

    Args:
        roster: Who may use it.
        name: Its name, for messages.
        value: How many permits there are.
        default_timeout: How long to wait where no timeout is given, in
            seconds; None is for ever.

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
        value = check_number(value, "value")
        self._default = check_timeout(default_timeout)
        self._table = table
        label = f"semaphore {name!r}"
        # Held while permits are counted and taken; each change is one store.
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
        """How many permits are free; those of the dead are."""
        held = [(process, count) for process, count in enumerate(self._held.tolist()) if count]
        alive = self._table.is_alive
        return int(self._total[0] - sum(count for process, count in held if alive(process)))

    def get_value(self) -> int:
        """Return `value`, by the name that `multiprocessing` gives it."""
        return self.value

    def locked(self) -> bool:
        """Say whether no permit is free."""
        return self.value <= 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take a permit.

        Args:
            block: Whether to wait for one.
            timeout: How many seconds to wait; by default as long as the
                semaphore was made to.

        Returns:
            Whether it was taken, False only where ``block`` is false or
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
        """Give a permit back.

        Raises:
            WorkerTimeoutError: Somebody is stopped in the middle of taking one.
        """
        place = self._table.place()
        deadline = Deadline(None, self._default)
        if not self._lock.acquire(True, deadline.left()):
            raise deadline.error(self._table, f"semaphore {self.name!r} was not released")
        try:
            if self._held[place]:
                self._held[place] -= 1
            else:
                self._total[0] += 1
        finally:
            self._lock.release()
        self._wake_up.notify(1)

    def _take(self, limit: float | None) -> bool:
        place = self._table.place()
        if not self._lock.acquire(True, limit):
            return False
        try:
            if self._total[0] - sum(self._held.tolist()) <= 0:
                self._recover()
            if self._total[0] - sum(self._held.tolist()) <= 0:
                return False
            self._held[place] += 1
            return True
        finally:
            self._lock.release()

    def _recover(self) -> None:
        """Take back what the dead hold."""
        for process, count in enumerate(self._held.tolist()):
            if count and not self._table.is_alive(process):
                permits = "a permit" if count == 1 else f"{count} permits"
                self._table.record_dead_holder(process, f"{permits} of semaphore {self.name!r}")
                self._held[process] = 0


def _clean_process_slot(table: MemberTable, offset: int, process: int) -> bool:
    """Leave a dead process its place until its permits were taken back."""
    return not table.longs(offset + 8, PROCESS_SLOTS)[process]


CLEANERS[_PERMITS] = _clean_process_slot
