"""A selector around the platform's own, for loops that watch how they wait."""

from __future__ import annotations

import os
import selectors
from collections.abc import Mapping
from typing import Any

__all__ = ["WrappedSelector"]

__unittest = True


class WrappedSelector(selectors.BaseSelector):
    """The platform's selector, which a loop is handed, and of which a subclass has its `select`.

    In a forked child it leaves alone what it shares with the parent: with
    epoll, a child that closes an inherited loop would take the parent's
    descriptors out of the parent's loop.
    """

    def __init__(self) -> None:
        self.inner = selectors.DefaultSelector()
        self._pid = os.getpid()
        self._own = 0

    def count_own(self) -> None:
        """Note how many descriptors are the loop's own: the one that wakes it."""
        self._own = len(self.inner.get_map())

    def watches(self) -> bool:
        """Say whether descriptors are watched beside the loop's own."""
        return len(self.inner.get_map()) > self._own

    def watched(self) -> list[str]:
        """Name the descriptors that are watched beside the loop's own."""
        kinds = {selectors.EVENT_READ: "read", selectors.EVENT_WRITE: "write"}
        # The loop's own came first.
        keys = list(self.inner.get_map().values())[self._own :]
        return [
            f"descriptor {key.fd} (to {' and '.join(kinds[k] for k in kinds if key.events & k)})"
            for key in keys
        ]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until something is ready, and return it."""
        return self.inner.select(timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a descriptor."""
        return self.inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Watch a descriptor no more."""
        if self._pid != os.getpid():
            return self.inner.get_map()[fileobj]
        return self.inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a descriptor for something else."""
        return self.inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is watched."""
        return self.inner.get_map()

    def close(self) -> None:
        """Close the selector's own descriptor."""
        self.inner.close()
