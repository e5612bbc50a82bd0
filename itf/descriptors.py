"""File descriptors that go to a worker with the process that is being started."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["Descriptor", "anonymous_file", "handle_for_child", "receive"]

__unittest = True

# By a name of our own: a test that has it fail means its own calls.
_close = os.close


class Descriptor:
    """A file descriptor with an owner: closed once, and at the latest with the object.

    A forked worker inherits it; under the other start methods it can be
    pickled, but only while a process is being started.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        """Close it; if it is closed, do nothing."""
        number, self.number = self.number, -1
        if number >= 0:
            _close(number)

    def __del__(self, close: Callable[[int], object] = os.close) -> None:
        # At interpreter exit, module globals may be gone, and a lazy import (3.15) can
        # no longer be resolved. So os.close is bound as a default, and nothing else is used.
        number, self.number = self.number, -1
        if number >= 0:
            try:  # noqa: SIM105 - contextlib may be gone, too
                close(number)
            except OSError:
                pass  # closed by somebody else

    def __reduce__(self) -> tuple[Any, ...]:
        return (receive, (handle_for_child(self.number),))


# By number: two pickles that a process begins with may both bring a descriptor.
_received: weakref.WeakValueDictionary[int, Descriptor] = weakref.WeakValueDictionary()


def receive(handle: Any) -> Descriptor:
    """Return the descriptor that this process has got by what `handle_for_child` returned."""
    number = handle.detach()
    known = _received.get(number)
    if known is not None and known.number == number:
        return known
    descriptor = _received[number] = Descriptor(number)
    return descriptor


def handle_for_child(number: int) -> Any:
    """Return what can be pickled for the process that is being started to get a descriptor.

    It is the same one each time: no descriptor can be passed to one process twice.
    """
    from multiprocessing.context import get_spawning_popen

    # Here, for Windows has not got it.
    from multiprocessing.reduction import DupFd

    popen = get_spawning_popen()
    handles: dict[int, Any] = {} if popen is None else vars(popen).setdefault("_itf_handles", {})
    if number not in handles:
        handles[number] = DupFd(number)
    return handles[number]


def anonymous_file(name: str) -> Descriptor:
    """Make a file without a path, in memory where there is such a thing.

    It is gone when the last descriptor of it is closed, however its owners end.
    """
    if hasattr(os, "memfd_create"):
        return Descriptor(os.memfd_create(name, os.MFD_CLOEXEC))
    number, path = tempfile.mkstemp(prefix=f"{name}-")
    os.unlink(path)
    return Descriptor(number)
