"""Locks that a forked child finds free.

When one thread forks, the child has only that thread: a lock that another one
held at that moment would stay locked in the child for ever.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["lock_of"]

__unittest = True

# By id, not as a WeakSet: an owner that has an == may have no hash.
_owners: weakref.WeakValueDictionary[tuple[int, str], Any] = weakref.WeakValueDictionary()


def lock_of(owner: Any, attribute: str = "_lock") -> threading.RLock:
    """Return the lock of an object, made at its first use, and fresh in every forked child.

    It is an ``RLock``: the garbage collector may run a ``__del__`` that comes
    back to the object while this very thread holds it.

    Args:
        owner: Any object with a ``__dict__``.
        attribute: The attribute under which the lock is kept.
    """
    lock: threading.RLock | None = owner.__dict__.get(attribute)
    if lock is None:
        # Known first, locked later: a fork must not come between the two.
        _owners[id(owner), attribute] = owner
        # setdefault is atomic: two threads that come first get the same lock.
        lock = owner.__dict__.setdefault(attribute, threading.RLock())
    return lock


def _renew() -> None:
    for (_, attribute), owner in list(_owners.items()):
        owner.__dict__[attribute] = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
