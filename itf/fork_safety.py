"""Fork safety: hooks that run at os.fork, and locks that are free in a forked child.

A forked child has one thread: the one that called `os.fork`.  A lock that
another thread held at that moment stays locked in the child, because no thread
is left that would release it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["after_fork_in_child", "around_fork", "current_pid", "fork_safe_lock"]

__unittest = True

_Function = TypeVar("_Function", bound=Callable[[], Any])

# Owners of the locks, with the name of the attribute.  Not a WeakSet of owners:
# an owner that defines __eq__ may have no __hash__.
_owners: weakref.WeakValueDictionary[tuple[int, str], Any] = weakref.WeakValueDictionary()

_pid = os.getpid()


def after_fork_in_child(function: _Function) -> _Function:
    """Call a function in each forked child, before `os.fork` returns there; a decorator.

    Functions are called in the order of their registration.  An exception in one
    is reported by `sys.unraisablehook`, and the next function is called.  A
    registration lasts as long as the process, so register functions of modules
    only.  On systems without `os.fork` the function is never called.
    """
    around_fork(after_in_child=function)
    return function


def around_fork(
    *,
    before: Callable[[], Any] | None = None,
    after_in_parent: Callable[[], Any] | None = None,
    after_in_child: Callable[[], Any] | None = None,
) -> None:
    """Call functions before and after each `os.fork`; see `after_fork_in_child`.

    Args:
        before: Called in the parent before the fork, the last registered first.
        after_in_parent: Called in the parent after the fork.
        after_in_child: Called in the child.
    """
    if not hasattr(os, "register_at_fork"):
        return  # Windows
    functions = {
        "before": before,
        "after_in_parent": after_in_parent,
        "after_in_child": after_in_child,
    }
    # os.register_at_fork refuses None as the value of an argument.
    os.register_at_fork(**{name: f for name, f in functions.items() if f is not None})


def current_pid() -> int:
    """Return the process id without a system call; it is read again after each fork.

    A process that was forked by C code, without `os.fork`, gets its parent's id.
    """
    return _pid


def fork_safe_lock(owner: Any, attribute: str = "_lock") -> threading.RLock:
    """Return the lock of an object; each forked child gets a new, free one.

    The lock is created at the first call.  It is reentrant, because the garbage
    collector can run a ``__del__`` in any thread at any time: that method may
    need the lock that the same thread holds.

    Args:
        owner: Any object with a ``__dict__`` that allows weak references.
        attribute: Name of the attribute that holds the lock.
    """
    lock: threading.RLock | None = owner.__dict__.get(attribute)
    if lock is None:
        # Register the owner before the lock exists.  In the other order a fork
        # in between would leave a lock that the child does not replace.
        _owners[id(owner), attribute] = owner
        # setdefault is atomic, so two threads that call this first get the same lock.
        lock = owner.__dict__.setdefault(attribute, threading.RLock())
    return lock


@after_fork_in_child
def _after_fork() -> None:
    global _pid  # noqa: PLW0603 - there is one current process
    _pid = os.getpid()
    for (_, attribute), owner in list(_owners.items()):
        owner.__dict__[attribute] = threading.RLock()
