"""The private names of the standard library that this library cannot do without, all of them.

`multiprocessing` and `threading` use each of them themselves.  What is gone in
some later Python has a way around it here, slower, or an error that says so.
"""

from __future__ import annotations

import _multiprocessing  # type: ignore[import-not-found]  # no stubs for it
import threading
from collections.abc import Callable
from typing import Any, Final

from itf.exceptions import WorkerError

__all__ = [
    "count_of",
    "forget_count",
    "is_this_thread",
    "is_zero",
    "semaphore_at",
    "semaphore_named",
    "value_of",
]

__unittest = True

_SEMAPHORE: Final = 1  # multiprocessing's number for one that need not be released by its holder


def semaphore_at(address: int, maximum: int) -> Any:
    """Return a handle, as `multiprocessing` has them, for the semaphore at an address.

    Raises:
        WorkerError: This Python cannot make one.
    """
    # Typed as if a handle had to have a name; without one it is an address.
    return _rebuild(address, _SEMAPHORE, maximum, None)


def semaphore_named(lock: Any) -> Any:
    """Return another handle for the semaphore of a `multiprocessing` Lock or Semaphore.

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


def count_of(handle: Any) -> Callable[[], int]:
    """Return what says how often a handle has acquired more than it has released."""
    try:
        count: Callable[[], int] = handle._count
    except AttributeError:
        raise _unknown("SemLock._count") from None
    return count


def forget_count(handle: Any) -> Callable[[], object]:
    """Return what makes a handle forget what it has acquired."""
    try:
        forget: Callable[[], object] = handle._after_fork
    except AttributeError:
        raise _unknown("SemLock._after_fork") from None
    return forget


def value_of(handle: Any) -> int:
    """Return the value of a handle's semaphore; 0 where that cannot be known (macOS)."""
    try:
        return int(handle._get_value())
    except (AttributeError, NotImplementedError):
        return 0


def is_zero(handle: Any) -> bool:
    """Say whether a handle's semaphore is at 0, so that nobody can acquire it now.

    Raises:
        WorkerError: This Python cannot say.
    """
    try:
        return bool(handle._is_zero())
    except AttributeError:
        raise _unknown("SemLock._is_zero") from None


def is_this_thread() -> Callable[[], bool]:
    """Return what says whether it is called in the thread that has called this."""
    lock = threading.RLock()
    lock.acquire()
    # In half of the time that comparing idents takes.
    is_owned: Callable[[], bool] | None = getattr(lock, "_is_owned", None)
    if is_owned is not None:
        return is_owned
    ident, get_ident = threading.get_ident(), threading.get_ident
    return lambda: get_ident() == ident


def _unknown(name: str) -> WorkerError:
    return WorkerError(
        f"this Python's multiprocessing has no {name}, on which the shared objects stand; "
        "use one of the versions that itf names"
    )
