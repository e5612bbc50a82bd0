"""Async generators that were begun, so that a test can be told which it left open."""

from __future__ import annotations

import sys
import weakref
from types import AsyncGeneratorType
from typing import Any

from itf.frames import site

__all__ = ["Generators"]

__unittest = True


class Generators:
    """The async generators that were begun in the runs of one loop.

    asyncio knows them as well, but closes them together with the loop only,
    and does not say which they are.

    Thread safety: none; it belongs to its loop.
    """

    def __init__(self) -> None:
        self._begun: weakref.WeakSet[AsyncGeneratorType[Any, Any]] = weakref.WeakSet()

    def watch(self) -> None:
        """See each generator that is begun from now on until the loop stops.

        To be called inside the running loop, which puts the hooks back when it stops.
        """
        first = sys.get_asyncgen_hooks().firstiter

        def begun(generator: Any) -> None:
            self._begun.add(generator)
            if first is not None:
                first(generator)

        sys.set_asyncgen_hooks(firstiter=begun)

    def open(self) -> list[AsyncGeneratorType[Any, Any]]:
        """Return those that have not ended."""
        return [generator for generator in self._begun if generator.ag_frame is not None]

    def __bool__(self) -> bool:
        return bool(self._begun) and bool(self.open())

    @staticmethod
    def describe(generator: AsyncGeneratorType[Any, Any]) -> str:
        """Name a generator: its function, and where it stands."""
        name = getattr(generator, "__qualname__", "?")
        frame = generator.ag_frame
        where = f" at {site(frame)}" if frame is not None else ""
        return f"async generator {name}{where}"
