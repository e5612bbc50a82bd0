"""Waiting for futures, with a timeout and with detection of deadlocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from itf.event_loops.virtual_loop import VirtualLoop
from itf.exceptions import AsyncDeadlockError

__all__ = ["RealSeconds", "WaitResult", "wait_all"]

__unittest = True

WaitResult = Literal["done", "expired"] | AsyncDeadlockError


class RealSeconds(float):
    """A timeout that a `VirtualLoop` measures by the real clock instead of its own."""


class _Cancellable(Protocol):
    def cancel(self) -> None: ...


async def wait_all(
    futures: Sequence[asyncio.Future[Any]],
    timeout: float | None,
    *,
    detect_deadlock: bool = False,
) -> WaitResult:
    """Wait until all futures are done. Cancel none of them.

    `asyncio.wait` is not used: it sets a timer for its timeout, and a `VirtualLoop`
    with a pending timer is never in a deadlock.

    Args:
        futures: The futures to wait for.
        timeout: Seconds; None waits without limit. In a `VirtualLoop` the wait expires
            as soon as either the virtual or the real clock has advanced by this time;
            with `RealSeconds`, only the real clock counts.
        detect_deadlock: Whether a deadlock in a `VirtualLoop` ends this wait.

    Returns:
        "done", "expired", or the `AsyncDeadlockError` that ended the wait.
    """
    unfinished = [future for future in futures if not future.done()]
    if not unfinished:
        return "done"
    loop = asyncio.get_running_loop()
    result: asyncio.Future[WaitResult] = loop.create_future()
    count = len(unfinished)

    def end_wait(value: WaitResult) -> None:
        if not result.done():
            result.set_result(value)

    def count_down(_: object) -> None:
        nonlocal count
        count -= 1
        if not count:
            end_wait("done")

    for future in unfinished:
        future.add_done_callback(count_down)
    timer = _start_timer(loop, timeout, lambda: end_wait("expired"))
    handlers = loop.deadlock_handlers if detect_deadlock and isinstance(loop, VirtualLoop) else []
    handlers.append(end_wait)
    try:
        return await result
    finally:
        handlers.remove(end_wait)
        if timer is not None:
            timer.cancel()
        for future in unfinished:
            future.remove_done_callback(count_down)


def _start_timer(
    loop: asyncio.AbstractEventLoop, timeout: float | None, callback: Callable[[], object]
) -> _Cancellable | None:
    if timeout is None:
        return None
    if isinstance(loop, VirtualLoop):
        virtual = None if isinstance(timeout, RealSeconds) else timeout
        return loop.set_deadline(timeout, virtual, callback)
    return loop.call_later(timeout, callback)
