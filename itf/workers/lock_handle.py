"""A lock as one thread uses it: the steps of `itf.workers.lock`, as fast as Python takes them.

Closures, not methods: what a lock costs is what is looked up on the way.
Where two steps belong together, nothing stands between them at which Python
would run a signal handler or another thread (that is the end of a call, or a
jump back).  At a call that is interrupted, the semaphore's handle, which counts
what was acquired through it, says whether it succeeded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from itf.frames import site
from itf.workers.semaphores import waiting_slice

if TYPE_CHECKING:
    from itf.workers.lock import SharedLock

__all__ = ["LockHandle", "make_handle"]

__unittest = True

# How long one who recovers waits for the others to publish before it lets
# another one try: some slices of theirs.
_PATIENCE: Final = 0.05


class LockHandle(NamedTuple):
    """A lock as one thread uses it; called by another one, it finds that one's handle."""

    acquire: Callable[..., bool]
    release: Callable[[], None]
    forget: Callable[[], None]
    """Serve nobody any more: this is a new process, or the environment has ended."""


def make_handle(  # noqa: PLR0915 - closures over the same variables stand in one function
    lock: SharedLock, me: int, visits: memoryview, published: memoryview, waits_for: memoryview
) -> LockHandle:
    """Return the handle of this thread.

    Args:
        lock: The lock.
        me: The thread's seat.
        visits: The visits of all seats; they are also what keeps the memory.
        published: What all seats have published; 0 while they do not wait.
        waits_for: What this thread waits for.
    """
    semaphore: Any = lock.semaphore.handle()
    attempt, post = semaphore.acquire, semaphore.release
    count, reset_count = semaphore._count, semaphore._after_fork
    # "Is it this thread?", in a third of the time of comparing idents.
    owner = threading.RLock()
    owner.acquire()
    is_mine: Callable[[], bool] = owner._is_owned  # type: ignore[attr-defined]
    # The seat's next one, whoever had it before.
    visit = visits[me] + 1 | 1
    mine, other = visits[me : me + 1], lock.by_this_thread
    # While it is held in the usual way, True; False while it is not held; None
    # while it is held and the semaphore's count does not say so.
    held: bool | None = False

    def acquire(block: bool = True, timeout: float | None = None) -> bool:
        nonlocal held
        if is_mine():
            if held is False:
                mine[0] = visit
                try:
                    if attempt(False):
                        held = True
                        return True
                except BaseException:
                    undo()
                    raise
            return wait(block, timeout)
        return other().acquire(block, timeout)

    def release() -> None:
        nonlocal held, visit
        if is_mine() and held:
            try:
                post()
            finally:
                held = False
                mine[0] = visit + 1
                visit += 2
        else:
            release_otherwise()

    def release_otherwise() -> None:
        """Release what was recovered, what another thread acquired, or by another handle."""
        if not is_mine():
            other().release()
            return
        mine[0] = visit  # inside: the others must see everybody who releases
        try:
            post()
        finally:
            leave()

    def leave() -> None:
        nonlocal held, visit
        held = False
        reset_count()
        mine[0] = visit + 1
        visit += 2

    def undo() -> None:
        """Give back what an interrupted call may have acquired."""
        if count():
            post()
        leave()

    def wait(block: bool, timeout: float | None) -> bool:  # noqa: PLR0912 - steps of one proof
        """Acquire what is in other hands; the thread is inside."""
        nonlocal held
        holds_it = held is not False
        if holds_it:
            held = None
            reset_count()
        recovered: list[bool] = []
        try:
            if not holds_it:
                published[me] = lock.round  # only where we do not hold it
            deadline = lock.deadline(timeout if block else 0.0)
            while not attempt(True, waiting_slice(deadline.left())):
                passed = deadline.passed()
                if not holds_it:
                    published[me] = lock.round
                    if lock.recover(me, is_free, 0.0 if passed else _PATIENCE, recovered):
                        held = None
                        return True
                if passed and deadline.explicit:
                    break
                if passed:
                    raise lock.timed_out(deadline)
                if not waits_for[0]:
                    lock.note_wait(site())
            else:
                held = True
                return True
        except BaseException:
            if count() or recovered:
                post()
                holds_it = False
            if not holds_it:
                leave()
            raise
        finally:
            # By stores, for a call could be interrupted.
            published[me] = waits_for[0] = 0
        if not holds_it:
            leave()
        return False

    def is_free() -> bool:
        return not semaphore._is_zero()

    def forget() -> None:
        nonlocal is_mine
        is_mine = bool  # False, for everybody, also for who kept lock.acquire

    return LockHandle(acquire, release, forget)
