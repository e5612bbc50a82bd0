"""Which thread gets the next turn; virtual time and deadlocks, which follow from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from itf.interleaving.managed_thread import (
    BLOCKED,
    DONE,
    OUTSIDE,
    READY,
    ManagedThread,
    Sleep,
    wait_cycle,
)

__all__ = ["SchedulingPolicy"]

__unittest = True

# Bound at import: the modules' own names are patched while functions run.
_monotonic: Final = time.monotonic
_get_ident: Final = threading.get_ident

# Real seconds without progress before a deadlock is reported, if unmanaged threads
# are alive: until then one of them may still release what a thread waits for.
_DEADLOCK_DELAY: Final = 1.0

# Virtual seconds by which a timed wait ends late.  Without them, rounding could make a
# clock that is read after the wait show a time before the deadline.
_CLOCK_MARGIN: Final = 1e-6


class SchedulingPolicy:
    """Chooses the next thread of one run, and advances the run's virtual time.

    The ready thread with the highest priority is next.  If no thread is ready, virtual
    time advances to the first deadline.  If there is no deadline either, the run ends
    with a deadlock.

    Attributes:
        now: Virtual seconds since the start of the run; they advance only while all
            threads wait.
        is_over: Whether the run has ended, because all threads are done or in a deadlock.
        deadlocked: The threads that were alive when the deadlock was detected.

    Thread safety: none; the scheduler calls it with its mutex locked.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.is_over = False
        self.deadlocked: list[ManagedThread] = []
        # Whether there are threads besides the caller, which only waits for the run.
        self._has_unmanaged = threading.active_count() > 1
        self._caller = _get_ident()
        # When the last turn ended, if no thread could continue since then.
        self._idle_since: float | None = None

    def choose(
        self, threads: Sequence[ManagedThread], *, patient: bool = True
    ) -> ManagedThread | None:
        """Return the thread that gets the next turn; None if there is none yet, or no more.

        Args:
            threads: The threads of the run.
            patient: Whether to wait in real time for threads outside, and for unmanaged
                threads, before virtual time advances.
        """
        alive = [managed for managed in threads if managed.state is not DONE]
        if not any(managed.is_root or not _is_daemon(managed) for managed in alive):
            self.is_over = True
            return None
        ready = [managed for managed in alive if managed.state is READY]
        if not ready and not (patient and self._may_end_early(alive)):
            ready = self._advance_time(alive)
        if ready:
            self._idle_since = None
            return max(ready, key=lambda managed: (managed.priority, -managed.number))
        if any(managed.state is OUTSIDE for managed in alive) or self._unmanaged_may_wake(alive):
            return None
        if any(managed.is_root for managed in alive):
            self.deadlocked = alive
        self.is_over = True
        return None

    def _may_end_early(self, alive: list[ManagedThread]) -> bool:
        """Return whether the wait with the first deadline may end before that deadline.

        A thread outside, or an unmanaged thread, may still release what it waits for.
        """
        if any(managed.state is OUTSIDE for managed in alive):
            return True
        timed = [managed for managed in alive if managed.deadline is not None]
        first = min(timed, key=lambda managed: managed.deadline or 0.0, default=None)
        return self._has_unmanaged and first is not None and type(first.resource) is not Sleep

    def _advance_time(self, alive: list[ManagedThread]) -> list[ManagedThread]:
        """Advance virtual time to the first deadline; return the threads that it makes ready."""
        waiting = [
            (managed.deadline, managed)
            for managed in alive
            if managed.state is BLOCKED and managed.deadline is not None
        ]
        if not waiting:
            return []
        moment = max(self.now, min(deadline for deadline, _ in waiting))
        late = [managed for deadline, managed in waiting if deadline <= moment]
        self.now = moment + _CLOCK_MARGIN
        for managed in late:
            managed.state = READY
            managed.timed_out = True
        return late

    def _unmanaged_may_wake(self, alive: list[ManagedThread]) -> bool:
        """Return whether an unmanaged thread may still release what a managed one waits for."""
        if not self._has_unmanaged or wait_cycle(alive):
            return False
        holders = [managed.resource.holder() for managed in alive if managed.resource is not None]
        # The caller's thread waits for the end of the run, and so releases nothing.
        if any(isinstance(holder, int) and holder != self._caller for holder in holders):
            return True
        if self._idle_since is None:
            self._idle_since = _monotonic()
        return _monotonic() < self._idle_since + _DEADLOCK_DELAY


def _is_daemon(managed: ManagedThread) -> bool:
    return managed.thread is not None and managed.thread.daemon
