"""Asyncio tasks and asynchronous generators that outlive a test.

A loop is known from when it is made on; those that were there before asyncio
was first looked at are found among all objects, once.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import sys
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Final

from itf.await_chain import await_chain
from itf.leaks.creation_sites import origins
from itf.leaks.leak import Leak
from itf.safe_repr import safe_repr
from itf.tracebacks import code_location

__all__ = ["Pending", "all_objects", "cancel", "executor_threads", "look_at_tasks", "new_tasks"]

__unittest = True

Pending = frozenset[Any]
"""Weak references to tasks that are not done, and to open asynchronous generators."""

_NONE: Final[Pending] = frozenset()

# How long what is cancelled may take to end.
_CANCEL_WAIT: Final = 1.0

_FRAMES_SHOWN: Final = 6

# Not a WeakSet, which takes longer to go through than all else that is done with them.
_known: set[weakref.ref[Any]] = set()


def look_at_tasks() -> Pending:
    """Return what is pending now, in all loops."""
    events = sys.modules.get("asyncio.base_events")
    if events is None:
        return _NONE
    base = getattr(events, "BaseEventLoop", None)
    if base is None or "asyncio" not in sys.modules:
        return _NONE  # half imported, in another thread
    if not hasattr(base.__init__, "_itf_watched"):
        _watch_loops(base)
    # Missing while a lazy import of asyncio.tasks is not resolved: no task exists then.
    all_tasks: Any = getattr(sys.modules.get("asyncio.tasks"), "all_tasks", lambda loop: ())
    found: set[Any] = set()
    for loop in _loops():
        if tasks := all_tasks(loop):
            found.update(map(weakref.ref, tasks))
        if loop.is_closed():
            if not tasks:
                _known.discard(weakref.ref(loop))
        elif generators := _generators_of(loop):
            found.update(map(weakref.ref, list(generators)))
    return frozenset(found) if found else _NONE


def _loops() -> list[Any]:
    """Return the loops that there are."""
    return [loop for reference in list(_known) if (loop := reference()) is not None]


def _know(loop: Any) -> None:
    _known.add(weakref.ref(loop, _known.discard))


def _generators_of(loop: Any) -> Any:
    """Return which generators a loop will close; there is no public place for them."""
    return getattr(loop, "_asyncgens", ())


def executor_threads() -> set[Any]:
    """Return the threads that loops which are not closed keep for what blocks.

    They end with their loop; a loop that is left behind is told by its
    descriptors.  There is no public way to a loop's executor.
    """
    found: set[Any] = set()
    for loop in _loops():
        if not loop.is_closed():
            found.update(getattr(getattr(loop, "_default_executor", None), "_threads", ()))
    return found


def all_objects() -> list[Any]:
    """Return all objects that the collector tracks; none while other threads run.

    A thread that is making a tuple at this moment would fail with a SystemError
    if somebody else had hold of what it has made so far.
    """
    return gc.get_objects() if len(sys._current_frames()) == 1 else []


def _watch_loops(base: Any) -> None:
    original = base.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        _know(self)

    __init__._itf_watched = True  # type: ignore[attr-defined]
    base.__init__ = __init__
    for candidate in all_objects():
        if issubclass(type(candidate), base):
            _know(candidate)


def new_tasks(before: Pending, after: Pending) -> Iterator[Leak]:
    """Tell of what was not pending before."""
    for reference in after - before:
        pending = reference()
        if pending is None or _is_over(pending):
            continue
        noun = "task" if hasattr(pending, "get_coro") else "asynchronous generator"
        name = pending.get_name() if noun == "task" else pending.__qualname__
        yield Leak(
            "tasks",
            noun,
            name,
            # Not by its id, which the next one may have once this one is gone.
            ("task", reference),
            lambda reference=reference, noun=noun, name=name: (  # type: ignore[misc]
                f"{noun} {name!r}{_told(reference())}"
            ),
            reference,
        )


def _is_over(pending: Any) -> bool:
    return pending.done() if hasattr(pending, "done") else pending.ag_frame is None


def _told(pending: Any) -> str:
    if pending is None:
        return ""
    if not hasattr(pending, "get_coro"):
        frame = pending.ag_frame
        return "" if frame is None else f", is open at {code_location(frame)}"
    coroutine = pending.get_coro()
    origin = origins.text("task", weakref.ref(pending), "made")
    named = getattr(coroutine, "__qualname__", None) or safe_repr(coroutine)
    closed = "" if not pending.get_loop().is_closed() else ", of a loop that is closed"
    frames = pending.get_stack(limit=_FRAMES_SHOWN)
    # get_stack returns one frame of a suspended task; await_chain finds the others.
    chain = list(itertools.islice(await_chain(coroutine), _FRAMES_SHOWN))[::-1]
    where = ", awaited from ".join(code_location(frame) for frame in chain or frames)
    return f" ({named}){origin}{closed}" + (f", is at {where}" if where else "")


def cancel(leaks: Iterable[Leak]) -> None:
    """Cancel tasks, and close generators, as far as their loops can still run."""
    by_loop: dict[Any, list[Any]] = {}
    for leak in leaks:
        pending = leak.data()
        if pending is not None and not _is_over(pending):
            by_loop.setdefault(_loop_of(pending), []).append(pending)
    for loop, pending in by_loop.items():
        if loop is None or loop.is_closed():
            continue
        tasks = [each for each in pending if hasattr(each, "cancel")]
        generators = [each for each in pending if hasattr(each, "aclose")]
        if loop.is_running():
            # In another thread, or around us; either way it goes on by itself.
            for task in tasks:
                with contextlib.suppress(RuntimeError):  # closed in this moment
                    loop.call_soon_threadsafe(task.cancel)
            continue
        with contextlib.suppress(RuntimeError):  # we are inside another running loop
            _finish(loop, tasks, generators)


def _loop_of(pending: Any) -> Any:
    if hasattr(pending, "get_loop"):
        return pending.get_loop()
    return next((loop for loop in _loops() if pending in _generators_of(loop)), None)


def _finish(loop: Any, tasks: list[Any], generators: list[Any]) -> None:
    import asyncio

    for task in tasks:
        task.cancel()

    async def wait() -> None:
        closing = [asyncio.ensure_future(generator.aclose()) for generator in generators]
        waiting = [*tasks, *closing]
        done, _ = await asyncio.wait(waiting, timeout=_CANCEL_WAIT)
        for task in done:
            if not task.cancelled():
                # Looked at, so that the loop does not tell of it as well: the
                # task has been told already.
                task.exception()

    coroutine = wait()
    try:
        loop.run_until_complete(coroutine)
    finally:
        coroutine.close()
