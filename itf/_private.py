"""Every private name of the standard library that itf uses, each behind one small function.

Private names can change in any release of Python.  So each function

- accesses one private name, when it is called, not when this module is imported,
- has a docstring that states its result, the private name, and the fallback,
- has a fallback that needs only public names, and that is chosen if the name is missing,
- has a test class in ``tests/test_private.py`` with the function's name: one test that the
  private name exists on this Python and is used, one that the fallback gives the same answer
  (or the weaker answer that the docstring states).

This module is cheap to import: it imports only modules that each program has.  A function that
needs another module of the standard library has the module, or one of its objects, as its
argument, or imports the module when it is called.

``sys._getframe``, ``sys._current_frames``, ``os._exit`` and the methods of named tuples are
documented, and may be used anywhere.  ``tests/test_architecture.py`` checks that no other module
uses a private name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, Final

# Not imported at run time: these modules are slow to import, and most users need none of them.
if TYPE_CHECKING:
    import asyncio
    import selectors
    import threading
    from concurrent.futures import Future

__all__ = [
    "copy_semlock",
    "has_partialmethod_signature",
    "is_gil_enabled",
    "is_thread_start",
    "logging_handlers",
    "loop_selector",
    "pool_shutdown_locks",
    "replace_loop_selector",
    "running_loop",
    "semlock_at",
    "semlock_value",
    "set_daemon_after_start",
    "wrapped_executor_job",
]

__unittest = True

# --- sys --------------------------------------------------------------------------------------


def is_gil_enabled() -> bool:
    """Return whether this process runs with the global interpreter lock.

    Name: ``sys._is_gil_enabled``, since Python 3.13.
    Fallback: True.
    """
    ask: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return ask is None or bool(ask())


# --- functools --------------------------------------------------------------------------------


def has_partialmethod_signature(function: Any) -> bool:
    """Return whether `inspect.signature` reads a function's signature from a partialmethod.

    Name: the attribute ``_partialmethod``, which `functools.partialmethod` sets up to
    Python 3.12.  Since 3.13 the attribute is ``__partialmethod__``.
    Fallback: False for a function without either attribute.
    """
    return not vars(function).keys().isdisjoint(("_partialmethod", "__partialmethod__"))


# --- threading --------------------------------------------------------------------------------

# "run" is public, but only its caller `_bootstrap_inner` shows that it is `Thread.run`.
_THREAD_START_FUNCTIONS: Final = ("_bootstrap", "_bootstrap_inner", "run")


def is_thread_start(frame: FrameType) -> bool:
    """Return whether a frame runs a function with which `threading` starts each thread.

    Other functions of threading may be a thread's target, such as `threading.Event.wait`.

    Names: ``threading.Thread._bootstrap`` and ``threading.Thread._bootstrap_inner``.
    Fallback: False, so that a message shows these frames too.
    """
    module, function = frame.f_globals.get("__name__"), frame.f_code.co_name
    return module == "threading" and function in _THREAD_START_FUNCTIONS


def set_daemon_after_start(thread: threading.Thread, daemon: bool) -> bool:
    """Set the attribute `daemon` of a thread; return whether that is possible.

    The public attribute cannot be set after the start of a thread.

    Name: ``threading.Thread._daemonic``.
    Fallback: False, and the thread keeps its value.
    """
    if not hasattr(thread, "_daemonic"):
        return False
    thread._daemonic = daemon
    return True


# --- logging ----------------------------------------------------------------------------------


def logging_handlers(logging: Any) -> list[Any]:
    """Return all handlers that exist.

    Args:
        logging: The module `logging`.

    Name: ``logging._handlerList``, a list of weak references.
    Fallback: the handlers of all loggers, without handlers that no logger has.
    """
    references = getattr(logging, "_handlerList", None)
    if references is not None:
        return [handler for reference in [*references] if (handler := reference()) is not None]
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return [handler for logger in loggers for handler in getattr(logger, "handlers", ())]


# --- concurrent.futures -----------------------------------------------------------------------


def pool_shutdown_locks(pools: ModuleType) -> list[tuple[dict[str, Any], str]]:
    """Return where the locks are that a thread pool holds while it starts a thread.

    Args:
        pools: The module `concurrent.futures.thread`.

    Returns:
        The namespace and the name of each lock.

    Name: ``concurrent.futures.thread._global_shutdown_lock``.
    Fallback: no lock.
    """
    name = "_global_shutdown_lock"
    return [(vars(pools), name)] if name in vars(pools) else []


# --- multiprocessing --------------------------------------------------------------------------

# Kind of a SemLock that any thread may release: a Lock or a Semaphore.  An RLock has kind 0.
_SEMAPHORE_KIND: Final = 1


def semlock_at(address: int, maximum: int) -> Any:
    """Return a `multiprocessing` SemLock for the semaphore at an address; None without the name.

    Args:
        address: Of a ``sem_t`` in memory.
        maximum: Highest value of the semaphore.

    Name: ``_multiprocessing.SemLock._rebuild``, which takes its first argument for an address
    if it gets no name.
    Fallback: None; the caller raises an error.
    """
    return _rebuild_semlock(address, _SEMAPHORE_KIND, maximum, None)


def copy_semlock(lock: Any) -> Any:
    """Return a second SemLock for the semaphore of a `multiprocessing` Lock or Semaphore.

    Names: ``multiprocessing.Lock()._semlock``, and as in `semlock_at`.
    Fallback: None; the caller raises an error.
    """
    inner = getattr(lock, "_semlock", None)
    if inner is None:
        return None
    return _rebuild_semlock(inner.handle, inner.kind, inner.maxvalue, inner.name)


def _rebuild_semlock(*args: Any) -> Any:
    import _multiprocessing  # type: ignore[import-not-found]  # no stubs for it

    rebuild = getattr(_multiprocessing.SemLock, "_rebuild", None)
    return None if rebuild is None else rebuild(*args)


def semlock_value(handle: Any) -> int:
    """Return the value of the semaphore of a SemLock.

    Name: ``_multiprocessing.SemLock._get_value``.
    Fallback: 0, as on macOS, where the method raises NotImplementedError.
    """
    try:
        return int(handle._get_value())
    except (AttributeError, NotImplementedError):
        return 0


# --- asyncio ----------------------------------------------------------------------------------


def running_loop(asyncio: Any) -> object | None:
    """Return the event loop that runs in this thread; None if there is none.

    Each recorded event asks.  The public function raises an error where no loop runs, which
    takes ten times as long.

    Args:
        asyncio: The module `asyncio`.

    Name: ``asyncio._get_running_loop``.
    Fallback: `asyncio.get_running_loop`.
    """
    get_loop: Callable[[], object | None] | None = getattr(asyncio, "_get_running_loop", None)
    try:
        return asyncio.get_running_loop() if get_loop is None else get_loop()
    except RuntimeError:
        return None


def loop_selector(loop: asyncio.AbstractEventLoop) -> selectors.BaseSelector | None:
    """Return the selector that an event loop waits with.

    A selector can be passed only to the constructor of a loop, which a loop factory or an
    event loop policy of the user calls.

    Name: ``asyncio.SelectorEventLoop._selector``.
    Fallback: None, as for loops of other kinds (uvloop, Windows' proactor loop).
    """
    import selectors

    selector = getattr(loop, "_selector", None)
    return selector if isinstance(selector, selectors.BaseSelector) else None


def replace_loop_selector(
    loop: asyncio.AbstractEventLoop, selector: selectors.BaseSelector
) -> None:
    """Let an event loop wait with another selector; only if `loop_selector` returns one.

    Name: ``asyncio.SelectorEventLoop._selector``.
    Fallback: none is needed; `loop_selector` returns None.
    """
    loop._selector = selector  # type: ignore[attr-defined]


def wrapped_executor_job(frame: FrameType) -> Future[Any] | None:
    """Return the executor job for which `asyncio.wrap_future` creates a future.

    Every executor job passes through `asyncio.wrap_future`, which has no hook.

    Args:
        frame: A running frame of `asyncio.wrap_future`.

    Name: ``future``, a local variable of `asyncio.wrap_future`.
    Fallback: None, so that the job is not tracked.
    """
    from concurrent.futures import Future

    job = frame.f_locals.get("future")
    return job if isinstance(job, Future) else None
