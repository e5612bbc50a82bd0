"""Owned file descriptors, which can be passed to a process that is being started."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["Descriptor", "anonymous_file", "handle_for_child", "receive"]

__unittest = True

# Bound at import, so that a fault injected into one of these does not break itf itself.
_close = os.close
_ftruncate = os.ftruncate


class Descriptor:
    """File descriptor that is closed exactly once, at the latest when the object is deleted.

    A forked worker inherits the descriptor.  With the other start methods, the
    object can be pickled, but only while a process is being started.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        """Close the descriptor, unless it is closed already."""
        number, self.number = self.number, -1
        if number >= 0:
            _close(number)

    def __del__(self, close: Callable[[int], object] = os.close) -> None:
        # At interpreter exit, module globals may be None, and lazy imports (3.15) can no
        # longer be resolved.  So os.close is a default argument, and no global is used.
        number, self.number = self.number, -1
        if number >= 0:
            try:  # noqa: SIM105 - contextlib may be None, too
                close(number)
            except OSError:
                pass  # other code closed the descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return (receive, (handle_for_child(self.number),))


# Descriptors received by this process, by number.  The preparation data and the process
# object are two pickles; both can contain the same descriptor.
_received: weakref.WeakValueDictionary[int, Descriptor] = weakref.WeakValueDictionary()


def receive(handle: Any) -> Descriptor:
    """Return the Descriptor for a handle from `handle_for_child`, in the new process."""
    number = handle.detach()
    known = _received.get(number)
    if known is not None and known.number == number:
        return known
    descriptor = _received[number] = Descriptor(number)
    return descriptor


def handle_for_child(number: int) -> Any:
    """Return a picklable handle that duplicates a descriptor for the process being started.

    Each call for the same process returns the same handle, because `multiprocessing`
    fails if a descriptor is passed to one process twice.
    """
    from multiprocessing.context import get_spawning_popen

    # Imported here, because DupFd does not exist on Windows.
    from multiprocessing.reduction import DupFd

    popen = get_spawning_popen()
    handles: dict[int, Any] = {} if popen is None else vars(popen).setdefault("_itf_handles", {})
    if number not in handles:
        handles[number] = DupFd(number)
    return handles[number]


def anonymous_file(name: str, size: int = 0) -> Descriptor:
    """Create a file without a path: in memory on Linux, elsewhere a deleted temporary file.

    The file has `size` zero bytes.

    The operating system frees the file with its last descriptor, also after a SIGKILL.
    """
    if hasattr(os, "memfd_create"):
        file = Descriptor(os.memfd_create(name, os.MFD_CLOEXEC))
    else:
        number, path = tempfile.mkstemp(prefix=f"{name}-")
        os.unlink(path)
        file = Descriptor(number)
    _ftruncate(file.number, size)
    return file
