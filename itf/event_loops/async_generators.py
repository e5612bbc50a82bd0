"""Asynchronous generators that a test has started and not closed."""

from __future__ import annotations

import sys
import weakref
from types import AsyncGeneratorType
from typing import Any

from itf.tracebacks import code_location

__all__ = ["AsyncGeneratorTracker"]

__unittest = True


class AsyncGeneratorTracker:
    """Records the asynchronous generators that are iterated in one event loop.

    asyncio has such a record as well, but only closes the generators together with
    the loop, and has no public way to list them.

    Thread safety: none; a tracker belongs to the thread of its loop.
    """

    def __init__(self) -> None:
        self._started: weakref.WeakSet[AsyncGeneratorType[Any, Any]] = weakref.WeakSet()

    def install(self) -> None:
        """Record each generator whose iteration starts from now until the loop stops.

        Must be called inside the running loop. The loop restores the previous hooks
        when it stops.
        """
        previous = sys.get_asyncgen_hooks().firstiter

        def record(generator: Any) -> None:
            self._started.add(generator)
            if previous is not None:
                previous(generator)

        sys.set_asyncgen_hooks(firstiter=record)

    def unfinished(self) -> list[AsyncGeneratorType[Any, Any]]:
        """Return the generators that are neither exhausted nor closed."""
        return [generator for generator in self._started if generator.ag_frame is not None]

    @staticmethod
    def describe(generator: AsyncGeneratorType[Any, Any]) -> str:
        """Return the name of a generator's function, and the line where it is suspended."""
        name = getattr(generator, "__qualname__", "?")
        frame = generator.ag_frame
        where = f" at {code_location(frame)}" if frame is not None else ""
        return f"async generator {name}{where}"
