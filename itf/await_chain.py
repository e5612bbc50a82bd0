"""Frames of a suspended coroutine and of everything that it awaits."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

__all__ = ["await_chain"]

__unittest = True

# The frame attribute of a coroutine, a generator and an asynchronous generator.
_FRAME_ATTRIBUTES: Final = ("cr_frame", "gi_frame", "ag_frame")

# The attribute with the object that each of them awaits.
_AWAITED_ATTRIBUTES: Final = ("cr_await", "gi_yieldfrom", "ag_await")


def await_chain(awaitable: Any) -> Iterator[FrameType]:
    """Yield the frame of a coroutine, then the frame of what it awaits, and so on.

    `asyncio.Task.get_stack` returns only the outermost frame of a suspended task.

    Args:
        awaitable: A coroutine, a generator or an asynchronous generator. Any other
            object has no frames.

    Yields:
        Frames, the outermost first.
    """
    while awaitable is not None:
        frame = _first_attribute(awaitable, _FRAME_ATTRIBUTES)
        if frame is not None:
            yield frame
        awaitable = _first_attribute(awaitable, _AWAITED_ATTRIBUTES)


def _first_attribute(owner: Any, names: tuple[str, ...]) -> Any:
    """Return the first of the attributes that exists and is not None."""
    for name in names:
        value = getattr(owner, name, None)
        if value is not None:
            return value
    return None
