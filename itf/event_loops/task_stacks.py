"""Stacks of suspended tasks, as text."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable
from typing import Any, Final

from itf.await_chain import await_chain
from itf.safe_repr import safe_repr
from itf.tracebacks import code_location, module_of

__all__ = ["coroutine_name", "format_stacks", "hide_task", "sort_by_name", "user_tasks"]

__unittest = True

# Maximum number of names listed for tasks with the same stack.
_NAMES_SHOWN: Final = 10

# Tasks that itf creates to run a user's coroutine. Reports leave them out.
_hidden_tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


def hide_task(task: asyncio.Task[Any] | None) -> None:
    """Leave a task that itf has created out of what `user_tasks` returns."""
    if task is not None:
        _hidden_tasks.add(task)


def user_tasks(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    """Return the unfinished tasks of a loop that itf has not created, sorted by name."""
    return sort_by_name(task for task in asyncio.all_tasks(loop) if task not in _hidden_tasks)


def format_stacks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Return the names and the stacks of tasks, without frames of itf.

    The innermost frame is last. Tasks with the same stack share one entry.
    """
    names_by_stack: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        names_by_stack.setdefault(_stack_lines(task), []).append(task.get_name())
    lines = []
    for (function, *frames), names in names_by_stack.items():
        shown = ", ".join(names[:_NAMES_SHOWN])
        if len(names) > _NAMES_SHOWN:
            shown += f" and {len(names) - _NAMES_SHOWN} more"
        lines += [f"  {shown} ({function})", *frames]
    return "\n".join(lines)


def _stack_lines(task: asyncio.Task[Any]) -> tuple[str, ...]:
    """Return the name of a task's function, followed by a line for each frame."""
    coroutine = task.get_coro()
    frames = [
        frame for frame in await_chain(coroutine) if module_of(frame).partition(".")[0] != "itf"
    ]
    name = frames[0].f_code.co_qualname if frames else coroutine_name(coroutine)
    return (name, *(f"    at {code_location(frame)}" for frame in frames))


def sort_by_name(tasks: Iterable[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Sort tasks by name. Shorter names come first, so Task-2 precedes Task-10."""
    return sorted(tasks, key=lambda task: (len(task.get_name()), task.get_name()))


def coroutine_name(coroutine: Any) -> str:
    """Return the qualified name of a coroutine's function."""
    return str(getattr(coroutine, "__qualname__", None) or safe_repr(coroutine))
