"""The scheduler that is active in this process, and the thread that called `interleave`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from itf.interleaving.managed_thread import ManagedThread
    from itf.interleaving.scheduler import Scheduler

__all__ = ["current_managed_thread", "current_run"]

__unittest = True

# Bound at import: a test may patch threading.get_ident.
_get_ident: Final = threading.get_ident


class _CurrentRun:
    """State of the active `interleave` call; at most one call is active in a process.

    Attributes:
        scheduler: The scheduler of the current run; None while no function runs.
        clock_offset: Virtual seconds that all runs of this call took so far.  `setup`
            and `check` read clocks that are ahead of real time by this much.
    """

    scheduler: Scheduler | None = None
    clock_offset = 0.0
    _caller: int | None = None

    @contextmanager
    def called_from_this_thread(self) -> Iterator[None]:
        """Register the current thread as the one that calls `setup` and `check`."""
        self._caller, self.clock_offset = _get_ident(), 0.0
        try:
            yield
        finally:
            self._caller = None

    def is_caller_thread(self) -> bool:
        """Return whether the current thread called `interleave`, and so runs setup and check."""
        return self._caller == _get_ident()


current_run: Final = _CurrentRun()


def current_managed_thread() -> tuple[Scheduler, ManagedThread] | None:
    """Return the scheduler and the current thread's `ManagedThread`.

    Returns:
        None if no run is active, or if the scheduler does not manage this thread.
    """
    scheduler = current_run.scheduler
    if scheduler is None:
        return None
    managed = scheduler.current()
    return None if managed is None else (scheduler, managed)
