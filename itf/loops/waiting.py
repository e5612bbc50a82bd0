"""How coroutines of itf wait: for the end of others, a deadline, or a deadlock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from itf.exceptions import AsyncDeadlockError
from itf.loops.virtual import VirtualLoop

__all__ = ["Ending", "RealSeconds", "settle"]

__unittest = True

Ending = Literal["done", "expired"] | AsyncDeadlockError


class RealSeconds(float):
    """Seconds of the real clock, also in a loop whose own clock is virtual."""


class _Alarm(Protocol):
    def cancel(self) -> None: ...


async def settle(
    futures: Sequence[asyncio.Future[Any]],
    timeout: float | None,
    *,
    sees_deadlock: bool = False,
) -> Ending:
    """Wait until all futures are done, without cancelling any; say how the wait ended.

    Args:
        futures: What to wait for.
        timeout: Seconds; None is for ever.  In a virtual loop they count on both
            clocks, whichever is first there; `RealSeconds` on the real one alone.
        sees_deadlock: End the wait when nothing in a virtual loop can go on.
    """
    waiting = [future for future in futures if not future.done()]
    if not waiting:
        return "done"
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[Ending] = loop.create_future()
    left = len(waiting)

    def wake(ending: Ending) -> None:
        if not waiter.done():
            waiter.set_result(ending)

    def one_ended(_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            wake("done")

    for future in waiting:
        future.add_done_callback(one_ended)
    alarm = _set_alarm(loop, timeout, lambda: wake("expired"))
    handlers = loop.on_deadlock if sees_deadlock and isinstance(loop, VirtualLoop) else []
    handlers.append(wake)
    try:
        return await waiter
    finally:
        handlers.remove(wake)
        if alarm is not None:
            alarm.cancel()
        for future in waiting:
            future.remove_done_callback(one_ended)


def _set_alarm(
    loop: asyncio.AbstractEventLoop, timeout: float | None, callback: Callable[[], object]
) -> _Alarm | None:
    if timeout is None:
        return None
    if isinstance(loop, VirtualLoop):
        virtual = None if isinstance(timeout, RealSeconds) else timeout
        return loop.set_deadline(timeout, virtual, callback)
    return loop.call_later(timeout, callback)
