"""Base class of selectors that observe how their event loop waits."""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from typing import Any

from itf.fork_safety import current_pid

__all__ = ["WrappedSelector"]

__unittest = True


class WrappedSelector(selectors.BaseSelector):
    """Forwards every call to another selector; subclasses override `select`.

    In a forked child, `unregister` does nothing. An epoll instance is shared with
    the parent process: without this, closing an inherited loop in the child would
    remove the parent's descriptors from the parent's loop.

    Args:
        inner: The selector to forward to; by default a new one of the platform's kind.
    """

    def __init__(self, inner: selectors.BaseSelector | None = None) -> None:
        self.inner = selectors.DefaultSelector() if inner is None else inner
        self._pid = current_pid()
        self._loop_descriptors = 0

    def note_loop_descriptors(self) -> None:
        """Treat all descriptors registered so far as the loop's own.

        To be called right after the loop is constructed: it has then registered only
        the socket that wakes it up.
        """
        self._loop_descriptors = len(self.inner.get_map())

    def has_user_descriptors(self) -> bool:
        """Return whether a descriptor is registered that is not the loop's own."""
        return len(self.inner.get_map()) > self._loop_descriptors

    def user_descriptors(self) -> list[str]:
        """Return a text for each registered descriptor that is not the loop's own."""
        kinds = {selectors.EVENT_READ: "read", selectors.EVENT_WRITE: "write"}
        # The map keeps the order of registration, so the loop's own descriptors are first.
        keys = list(self.inner.get_map().values())[self._loop_descriptors :]
        return [
            f"descriptor {key.fd} (to {' and '.join(kinds[k] for k in kinds if key.events & k)})"
            for key in keys
        ]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until a descriptor is ready or the timeout in seconds has passed."""
        return self.inner.select(timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Register a file object."""
        return self.inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Unregister a file object; in a forked child, do nothing."""
        if self._pid != current_pid():
            return self.inner.get_map()[fileobj]
        return self.inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Change the events or the data of a registered file object."""
        return self.inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return the mapping of file objects to selector keys."""
        return self.inner.get_map()

    def close(self) -> None:
        """Close the inner selector."""
        self.inner.close()
