"""Where tasks are: their names, and the frames that they wait in."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

from itf.frames import module_of, site
from itf.texts import safe_repr

__all__ = ["coroutine_name", "in_order", "pass_over", "stacks", "users_tasks"]

__unittest = True

# Of tasks that stand at the same place, so many are named; a thousand names
# say no more.
_NAMES_SHOWN: Final = 10

# Tasks of itf's own, which stand around a user's coroutine.
_own: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


def pass_over(task: asyncio.Task[Any] | None) -> None:
    """Leave a task of itf's own out of what `users_tasks` returns."""
    if task is not None:
        _own.add(task)


def users_tasks(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    """Return the tasks of a loop that have not ended, without itf's own, sorted by name."""
    return in_order(task for task in asyncio.all_tasks(loop) if task not in _own)


def stacks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Say where each task is: its frames that are not itf's, the innermost last.

    Tasks that stand at the same place are told together.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        groups.setdefault(_lines(task), []).append(task.get_name())
    told = []
    for (function, *places), names in groups.items():
        shown = ", ".join(names[:_NAMES_SHOWN])
        if len(names) > _NAMES_SHOWN:
            shown += f" and {len(names) - _NAMES_SHOWN} more"
        told += [f"  {shown} ({function})", *places]
    return "\n".join(told)


def _lines(task: asyncio.Task[Any]) -> tuple[str, ...]:
    """Return the name of a task's function, and a line for each frame."""
    coroutine = task.get_coro()
    frames = [
        frame for frame in _await_chain(coroutine) if module_of(frame).partition(".")[0] != "itf"
    ]
    name = frames[0].f_code.co_qualname if frames else coroutine_name(coroutine)
    return (name, *(f"    at {site(frame)}" for frame in frames))


def in_order(tasks: Iterable[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Sort tasks by name, so that Task-2 comes before Task-10."""
    return sorted(tasks, key=lambda task: (len(task.get_name()), task.get_name()))


def coroutine_name(coroutine: Any) -> str:
    """Return the name of the function that a coroutine comes from."""
    return str(getattr(coroutine, "__qualname__", None) or safe_repr(coroutine))


def _await_chain(coroutine: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine and of all it awaits; `Task.get_stack` has but the first."""
    while coroutine is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(coroutine, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                break
        coroutine = (
            getattr(coroutine, "cr_await", None)
            or getattr(coroutine, "gi_yieldfrom", None)
            or getattr(coroutine, "ag_await", None)
        )
