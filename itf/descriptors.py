"""File descriptors that go to a worker with the process that is being started."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

__all__ = ["Descriptor", "anonymous_file"]

__unittest = True


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
            os.close(number)

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
        # Here, for Windows has not got it.
        from multiprocessing.reduction import DupFd

        return (_receive, (DupFd(self.number),))


def _receive(handle: Any) -> Descriptor:
    return Descriptor(handle.detach())


def anonymous_file(name: str) -> Descriptor:
    """Make a file without a path, in memory where there is such a thing.

    It is gone when the last descriptor of it is closed, however its owners end.
    """
    if hasattr(os, "memfd_create"):
        return Descriptor(os.memfd_create(name, os.MFD_CLOEXEC))
    number, path = tempfile.mkstemp(prefix=f"{name}-")
    os.unlink(path)
    return Descriptor(number)
