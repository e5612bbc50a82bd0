"""The tasks that an event loop still has; where there is none at all, that is known at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

# Imported where there is a loop: who has none need not wait for it.
if TYPE_CHECKING:
    import asyncio

__all__ = ["pending_tasks"]

__unittest = True

# Where asyncio keeps the tasks of all loops, up to 3.13; from 3.14 on, most of
# them are where only `all_tasks` finds them.
_KEPT_IN: Final[tuple[str, ...]] = {
    (3, 11): ("_all_tasks",),
    (3, 12): ("_scheduled_tasks", "_eager_tasks"),
    (3, 13): ("_scheduled_tasks", "_eager_tasks"),
}.get(sys.version_info[:2], ())


def pending_tasks(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
    """Return the tasks of a loop that are not done, as `asyncio.all_tasks` does.

    That takes as long as a test's other costs; at the end of a test there is
    mostly no task in this process, done or not.
    """
    tasks: Any = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return set()  # with lazy imports: nobody has made a task yet
    for name in _KEPT_IN or ("",):  # a name that nothing has: then asyncio is asked
        if getattr(tasks, name, True):
            found: set[asyncio.Task[Any]] = tasks.all_tasks(loop)
            return found
    return set()
