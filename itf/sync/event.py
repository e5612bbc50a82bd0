"""An event between processes that has no owner, and so nothing to lose."""

from __future__ import annotations

from typing import Any

from itf.sync.deadline import DEFAULT_TIMEOUT, Deadline, check_name, check_timeout
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from itf.sync.record import NUMBERS
from itf.sync.segment import SegmentUser
from itf.sync.wakeup import WakeUp

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
        roster: Who may use it.
        name: Its name, for messages.
        default_timeout: How long to wait where no timeout is given, in
            seconds; None is for ever.

    Thread safety: every method, from any thread.
    """

    _views = ("_changes",)

    def __init__(
        self, table: MemberTable, name: str, *, default_timeout: float | None = DEFAULT_TIMEOUT
    ) -> None:
        self.name = check_name(name, "event")
        self._default = check_timeout(default_timeout)
        self._table = table
        label = f"event {name!r}"
        # Held while the number of changes is read and written: it must not go
        # back to what one who waits has seen.
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
        # How often it was set or cleared; odd is set.  One store changes it.
        self._changes = self._table.longs(self._offset, 1)
        self._table.register(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def is_set(self) -> bool:
        """Say whether it is set."""
        return bool(self._changes[0] & 1)

    def set(self) -> None:
        """Set it, and wake those who wait for that.

        Raises:
            WorkerTimeoutError: Somebody is stopped in the middle of changing it.
        """
        self._change_to(1)
        self._wake_up.notify()

    def clear(self) -> None:
        """Clear it.

        Raises:
            WorkerTimeoutError: Somebody is stopped in the middle of changing it.
        """
        self._change_to(0)

    def _change_to(self, state: int) -> None:
        with self._lock:
            changes = self._changes[0]
            if changes & 1 != state:
                self._changes[0] = changes + 1

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, even if it is cleared again at once.

        Args:
            timeout: How many seconds to wait; by default as long as the event
                was made to.

        Returns:
            Whether it was set, False only where ``timeout`` is given.

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
