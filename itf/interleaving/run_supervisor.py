"""What the thread that calls `interleave` does during a run: start, timeout, stalls, end."""

from __future__ import annotations

import time
from typing import Final

from itf.interleaving.managed_thread import ManagedThread, start_as_daemon
from itf.interleaving.scheduler import Scheduler

__all__ = ["RunSupervisor"]

__unittest = True

# Bound at import: the module's own name is patched while functions run.
_monotonic: Final = time.monotonic

# Real seconds without a step after which the running thread counts as blocked outside,
# in a call that is not patched, and another thread gets the turn.  Longer than a pause
# of a loaded machine: a thread that is only slow would run in parallel with the next.
_STALL_TIMEOUT: Final = 0.3

# Real seconds to wait for each thread to end after the run.
_END_TIMEOUT: Final = 1.0


class RunSupervisor:
    """Starts the threads of a run, waits for its end, and ends the threads.

    Args:
        scheduler: The scheduler of the run.
        timeout: Real seconds that the run may take; None for no limit.

    Attributes:
        timed_out: Whether the run did not end within its timeout.
        not_ended: Threads that were still alive after `end_threads`.
    """

    def __init__(self, scheduler: Scheduler, timeout: float | None) -> None:
        self.timed_out = False
        self.not_ended: list[ManagedThread] = []
        self._scheduler = scheduler
        self._timeout = timeout

    def run(self) -> None:
        """Run the threads until all are done, one fails, none can continue, or time is up.

        The threads are not ended yet, so that their stacks can be reported.
        """
        scheduler = self._scheduler
        deadline = None if self._timeout is None else _monotonic() + self._timeout
        try:
            for managed in list(scheduler.threads):
                if managed.thread is not None:
                    start_as_daemon(managed.thread, daemon=False)
            scheduler.begin()
            progress = -1
            while not scheduler.wait_for_end(_pause_before(deadline)):
                if deadline is not None and _monotonic() >= deadline:
                    self.timed_out = True
                    return
                progress = scheduler.end_stalled_turn(progress)
        finally:
            scheduler.close()

    def end_threads(self) -> None:
        """Unwind all threads, one after the other, and join them."""
        self._scheduler.unwind_threads()
        for managed in list(self._scheduler.threads):
            thread = managed.thread
            if thread is None or thread.ident is None:
                continue
            if managed.turn_lock.locked():
                managed.turn_lock.release()
            thread.join(_END_TIMEOUT)
            if thread.is_alive():
                self.not_ended.append(managed)


def _pause_before(deadline: float | None) -> float:
    """Return the seconds until the next check for a stall, at most until the deadline."""
    left = _STALL_TIMEOUT if deadline is None else deadline - _monotonic()
    return max(0.0, min(_STALL_TIMEOUT, left))
