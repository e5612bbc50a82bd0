"""Every private name of the standard library that the shared objects use.

`multiprocessing` itself uses each of them.  Where a later Python lacks one,
there is a slower replacement here, or an error that says which name is missing.
"""

from __future__ import annotations

import _multiprocessing  # type: ignore[import-not-found]  # no stubs for it
from typing import Any, Final

from itf.exceptions import WorkerError

__all__ = ["semaphore_at", "semaphore_named", "value_of"]

__unittest = True

# multiprocessing's number for a semaphore that any thread may release; 0 is an RLock.
_SEMAPHORE: Final = 1


def semaphore_at(address: int, maximum: int) -> Any:
    """Return a `multiprocessing` SemLock for the semaphore at an address.

    Raises:
        WorkerError: This Python cannot make one.
    """
    # Without a name, SemLock takes the handle for an address.
    return _rebuild(address, _SEMAPHORE, maximum, None)


def semaphore_named(lock: Any) -> Any:
    """Return a second SemLock for the semaphore of a `multiprocessing` Lock or Semaphore.

    Raises:
        WorkerError: This Python cannot make one.
    """
    inner = getattr(lock, "_semlock", None)
    if inner is None:
        raise _unknown("Lock._semlock")
    return _rebuild(inner.handle, inner.kind, inner.maxvalue, inner.name)


def _rebuild(*args: Any) -> Any:
    try:
        return _multiprocessing.SemLock._rebuild(*args)
    except AttributeError:
        raise _unknown("SemLock._rebuild") from None


def value_of(handle: Any) -> int:
    """Return the value of the semaphore of a SemLock; 0 on macOS, which cannot return it."""
    try:
        return int(handle._get_value())
    except (AttributeError, NotImplementedError):
        return 0


def _unknown(name: str) -> WorkerError:
    return WorkerError(
        f"this Python's multiprocessing has no {name}, which the shared objects need; "
        "use a Python version that itf supports"
    )
