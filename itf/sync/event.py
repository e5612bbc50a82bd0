"""An event between processes; no process owns it, so a death cannot leave it broken."""

from __future__ import annotations

from typing import Any

from itf.sync.deadline import DEFAULT_TIMEOUT, Deadline, check_name
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from itf.sync.record import NUMBERS
from itf.sync.segment import SegmentUser
from itf.sync.wakeup import WakeUp
from itf.validation import check_timeout

__all__ = ["SharedEvent"]

__unittest = True


class SharedEvent(SegmentUser):
    """An event for processes and threads, as `multiprocessing.Event`.

    Example:
        >>> ready = SharedEvent(MemberTable(), "ready")
        >>> ready.set()
        >>> ready.wait()
        True

    Args:
        table: The processes that may use it.
        name: Its name, for messages.
        default_timeout: Seconds to wait where no timeout is given; None waits forever.

    Thread safety: every method, from any thread.
    """

    _views = ("_changes",)

    def __init__(
        self, table: MemberTable, name: str, *, default_timeout: float | None = DEFAULT_TIMEOUT
    ) -> None:
        self.name = check_name(name, "event")
        self._default = check_timeout("default_timeout", default_timeout)
        self._table = table
        label = f"event {name!r}"
        # Protects the number of changes while `_change_to` reads and writes it.  Without
        # the lock the number could return to a value that a waiting thread has read.
        self._lock = SharedLock(
            table, name, default_timeout=self._default, label=f"{label} (to change it)"
        )
        self._wake_up = WakeUp(table, label)
        self._offset = table.allocate(NUMBERS, 8, f"event {name!r}").offset
        self._attach()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in self._views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._attach()

    def _attach(self) -> None:
        # Number of changes; odd if the event is set.  One store changes it.
        self._changes = self._table.longs(self._offset, 1)
        self._table.register(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def is_set(self) -> bool:
        """Return whether the event is set."""
        return bool(self._changes[0] & 1)

    def set(self) -> None:
        """Set the event, and wake the waiting threads.

        Raises:
            WorkerTimeoutError: Another process is stopped while it changes the event.
        """
        self._change_to(1)
        self._wake_up.notify()

    def clear(self) -> None:
        """Clear the event.

        Raises:
            WorkerTimeoutError: Another process is stopped while it changes the event.
        """
        self._change_to(0)

    def _change_to(self, state: int) -> None:
        with self._lock:
            changes = self._changes[0]
            if changes & 1 != state:
                self._changes[0] = changes + 1

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, even if it is cleared again immediately.

        Args:
            timeout: Seconds to wait, by default the event's default timeout.

        Returns:
            Whether the event was set; False only where ``timeout`` is given.

        Raises:
            WorkerTimeoutError: The default timeout has passed.
        """
        changes = self._changes
        before = changes[0]
        if before & 1:
            return True
        deadline = Deadline(timeout, self._default)
        if self._wake_up.wait_for(lambda: changes[0] != before, deadline):
            return True
        if deadline.explicit:
            return False
        raise deadline.error(self._table, f"event {self.name!r} was not set")
