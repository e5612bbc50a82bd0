"""Interpreters of `concurrent.interpreters` that outlive a test: which, where made, and their end.

Those of `InterpreterPoolExecutor` are among them.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any, Final

from itf.leaks.creation_sites import origins
from itf.leaks.leak import Leak

__all__ = ["SEES_INTERPRETERS", "close_interpreter", "look_at_interpreters", "new_interpreters"]

__unittest = True

_NONE: Final[frozenset[int]] = frozenset()

# What `concurrent.interpreters` is made of.  It is never imported here: who has
# not imported it has made no interpreter.
_MODULE: Final = "_interpreters"

SEES_INTERPRETERS: Final = importlib.util.find_spec(_MODULE) is not None
"""Whether this Python can make interpreters, by public means since 3.14."""


def look_at_interpreters() -> frozenset[int]:
    """Return the ids of the interpreters that were made in Python, but for the one that runs."""
    module = sys.modules.get(_MODULE)
    if module is None:
        return _NONE
    try:
        found = module.list_all(require_ready=True)
        if len(found) == 1:
            return _NONE  # the main one
        made = {number for number, whence in found if whence == module.WHENCE_STDLIB}
        return frozenset(made - {module.get_current()[0]})
    except (AttributeError, TypeError, ValueError):
        return _by_public_means()


def _by_public_means() -> frozenset[int]:
    """Ask `concurrent.interpreters`, where the module below it is not what it was.

    It takes longer, for it makes an object for each.
    """
    public = sys.modules.get("concurrent.interpreters")
    if public is None:
        return _NONE
    others = {public.get_main().id, public.get_current().id}
    return frozenset(each.id for each in public.list_all() if each.id not in others)


def new_interpreters(before: frozenset[int], after: frozenset[int]) -> Iterator[Leak]:
    """Tell of the interpreters that were not there before; no two ever have the same id."""
    for number in sorted(after - before):
        yield Leak(
            "interpreters",
            "interpreter",
            f"interpreter {number}",
            ("interpreter", number),
            lambda number=number: (  # type: ignore[misc]
                f"interpreter {number}{origins.text('interpreter', number, 'created')}"
                f"{', is running' if _is_running(number) else ''}"
            ),
            number,
        )


def _is_running(number: int) -> bool:
    try:
        return bool(sys.modules[_MODULE].is_running(number))
    except Exception:  # noqa: BLE001 - it was closed in this moment; the error has no public type before 3.14
        return False


def close_interpreter(number: int) -> None:
    """Close an interpreter; one that is closed already is left alone.

    Raises:
        RuntimeError: It runs something, in some thread.
        Exception: What `concurrent.interpreters` raises of one that it cannot close.
    """
    if _is_running(number):
        raise RuntimeError("it is running")
    if number not in look_at_interpreters():
        return
    worker = _pool_worker_of(number)
    if worker is not None:
        # It would otherwise try to close its interpreter when its thread ends,
        # and the thread would die of an error.
        worker.finalize()
    else:
        sys.modules[_MODULE].destroy(number)


def _pool_worker_of(number: int) -> Any:
    """Return what an `InterpreterPoolExecutor` has for a thread; None if no pool has this one.

    There is no public way from an interpreter to the pool that made it.
    """
    kind = getattr(sys.modules.get("concurrent.futures.interpreter"), "WorkerContext", None)
    # An object refers to its class.  Only for a report, for it looks through all objects.
    for candidate in gc.get_referrers(kind) if kind is not None else ():
        if type(candidate) is kind and getattr(candidate.interp, "id", None) == number:
            return candidate
    return None
