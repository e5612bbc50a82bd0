"""Pending tasks of an event loop, with a fast path for the usual case of none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

# Not imported at run time: importing asyncio is slow, and most users need no loop.
if TYPE_CHECKING:
    import asyncio

__all__ = ["pending_tasks"]

__unittest = True

# Private sets of asyncio that contain the tasks of all loops, by Python version.  From
# 3.14 on, most tasks are in linked lists in C, which only `asyncio.all_tasks` reads.
_PRIVATE_TASK_SETS: Final[tuple[str, ...]] = {
    (3, 11): ("_all_tasks",),
    (3, 12): ("_scheduled_tasks", "_eager_tasks"),
    (3, 13): ("_scheduled_tasks", "_eager_tasks"),
}.get(sys.version_info[:2], ())


def pending_tasks(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
    """Return the tasks of a loop that are not done, like `asyncio.all_tasks`.

    `asyncio.all_tasks` would double the overhead of a test.  It is skipped if the
    process has no task at all, which is usual at the end of a test.
    """
    tasks: Any = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return set()  # a lazy import of asyncio is not resolved, so no task exists
    # "" is no attribute: an unknown Python version always calls asyncio.all_tasks.
    for name in _PRIVATE_TASK_SETS or ("",):
        if getattr(tasks, name, True):
            found: set[asyncio.Task[Any]] = tasks.all_tasks(loop)
            return found
    return set()
