"""What runs now: the scheduler, and who asks for the time outside of its threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from itf.schedules.scheduler import Scheduler
    from itf.schedules.tasks import Task

__all__ = ["active", "current_task"]

__unittest = True

_get_ident: Final = threading.get_ident


class _Active:
    """What runs now.

    Attributes:
        scheduler: The scheduler whose functions run; None most of the time.
        ahead: By how many seconds the time that functions are told is ahead of the real one.
    """

    scheduler: Scheduler | None = None
    ahead = 0.0
    _explorer: int | None = None

    @contextmanager
    def exploring(self) -> Iterator[None]:
        """Be the thread that calls setup and check."""
        self._explorer, self.ahead = _get_ident(), 0.0
        try:
            yield
        finally:
            self._explorer = None

    def is_explorer(self) -> bool:
        """Say whether the caller's thread is the one that calls setup and check."""
        return self._explorer == _get_ident()


active: Final = _Active()


def current_task() -> tuple[Scheduler, Task] | None:
    """Return the scheduler and the task that the caller's thread is; None for any other thread."""
    scheduler = active.scheduler
    if scheduler is None:
        return None
    task = scheduler.current()
    return None if task is None else (scheduler, task)
