"""A lock as one thread uses it: the steps of `itf.workers.lock`, as fast as Python takes them.

Closures, not methods: what a lock costs is what is looked up on the way.
While the lock favours this thread (see `itf.workers.favour`), they are two calls
of its cell, otherwise all that the proof asks for.
Where two steps belong together, nothing stands between them at which Python
would run a signal handler or another thread (that is the end of a call, or a
jump back).  At a call that is interrupted, the semaphore's handle, which counts
what was acquired through it, says whether it succeeded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from itf.frames import site
from itf.workers.favour import DISOWNED, FREE
from itf.workers.private import count_of, forget_count, is_this_thread, value_of
from itf.workers.semaphores import waiting_slice

if TYPE_CHECKING:
    from itf.workers.lock import SharedLock

__all__ = ["Acquire", "LockHandle", "make_handle"]

__unittest = True

# How long one who recovers waits for the others to publish before it lets
# another one try: some slices of theirs.
_PATIENCE: Final = 0.05

# Every 16th release, at first, is an occasion to favour this thread; with each
# time that the favour is withdrawn they are half as many, down to one in 2048.
_FIRST_REST: Final = 30
_LAST_REST: Final = 4094

# How long, in seconds, a thread sleeps at first that waits for a favoured one:
# no bell rings for it, so it looks again soon, and later less often.
_FIRST_PAUSE: Final = 0.0002


class Acquire(Protocol):
    """How a lock is acquired."""

    def __call__(self, block: bool = True, timeout: float | None = None) -> bool:
        """Return whether it was acquired."""
        ...


class LockHandle(NamedTuple):
    """A lock as one thread uses it; called by another one, it finds that one's handle."""

    acquire: Acquire
    release: Callable[[], None]
    forget: Callable[[], None]
    """Serve nobody any more: this is a new process, or the environment has ended."""


def make_handle(  # noqa: PLR0915, PLR0917 - closures over the same variables stand in one function
    lock: SharedLock,
    me: int,
    visits: memoryview,
    published: memoryview,
    favoured: memoryview,
    own: memoryview,
    waits_for: memoryview,
) -> LockHandle:
    """Return the handle of this thread.

    Args:
        lock: The lock.
        me: The thread's seat.
        visits: The visits of all seats; they are also what keeps the memory.
        published: What all seats have published; 0 while they do not wait.
        favoured: The seat that the lock favours, plus 1.
        own: The value of the thread's cell.
        waits_for: What this thread waits for.
    """
    semaphore: Any = lock.semaphore.handle()
    attempt, post = semaphore.acquire, semaphore.release
    count, reset_count = count_of(semaphore), forget_count(semaphore)
    cell: Any = lock.cell(me)
    step_in: Callable[..., bool] = bool
    step_out: Callable[[], object] = bool
    count_in_cell: Callable[[], int] = int
    reset_cell: Callable[[], object] = bool
    if cell is not None:
        step_in, step_out = cell.acquire, cell.release
        count_in_cell, reset_cell = count_of(cell), forget_count(cell)
    is_mine = is_this_thread()
    # The seat's next one, whoever had it before.
    visit = visits[me] + 1 | 1
    published[me] = 0
    mine, other = visits[me : me + 1], lock.by_this_thread
    # While it is held in the usual way, or by favour, True; False while it is
    # not held; None while it is held and no semaphore's count says so.
    held: bool | None = False
    # Whether the lock favours this thread, as far as the thread knows.
    is_favoured = False
    # Favour is thought of when none of these bits is set in a visit, and what
    # the others' visits were then; visits are odd.
    rest = _FIRST_REST if cell is not None else 1
    seen: list[int] = []

    # As few variables as can be: each costs something at each call.

    def acquire(block: bool = True, timeout: float | None = None) -> bool:
        nonlocal held
        if is_favoured and held is False and is_mine():
            try:
                if step_in(False):
                    held = True
                    return True
            except BaseException:
                undo_step()
                raise
        return acquire_plainly(block, timeout)

    def release() -> None:
        nonlocal held, is_favoured
        if held and is_favoured:
            # First, and in one step with the look at it: of two threads that
            # release it at once, one alone does.
            held = False
            try:
                step_out()
            except ValueError:
                # Before anything else can run: this thread could acquire the cell.
                is_favoured = False
                release_disowned()
        else:
            release_plainly()

    def acquire_plainly(block: bool, timeout: float | None) -> bool:
        nonlocal held, is_favoured, rest
        if not is_mine():
            return other().acquire(block, timeout)
        if held is False:
            if is_favoured:
                # It was withdrawn; the next time it takes longer to be given.
                is_favoured = False
                rest = min(rest << 1 | 2, _LAST_REST)
            mine[0] = visit
            try:
                if attempt(False):
                    held = True
                    return True
                # In here, for it could be interrupted at its start.
                return wait(block, timeout)
            except BaseException:
                undo()
                raise
        return wait(block, timeout)

    def release_plainly() -> None:
        nonlocal held, visit
        if not held or not is_mine():
            release_otherwise()
        elif visit & rest:
            try:
                post()
            finally:
                held = False
                mine[0] = visit + 1
                visit += 2
        else:
            release_and_think()

    def release_and_think() -> None:
        """Release, and have the lock favour this thread if no other one has come meanwhile."""
        nonlocal held, is_favoured, seen, visit
        is_asked = False
        try:
            others = visits.tolist()
            others[me] = 0
            if others == seen and not any(number & 1 for number in others):
                reset_cell()
                own[0] = FREE
                is_asked = True
                lock.give_favour(me)
            seen = others
        finally:
            try:
                # Interrupted or not: if it was given, this seat is the favoured
                # one, or was, and then its cell has been withdrawn.
                if is_asked and (favoured[0] == me + 1 or own[0] != FREE):
                    is_favoured = True
                else:
                    post()
            finally:
                # Not `leave`: a call could be interrupted at its start.
                held = False
                mine[0] = visit + 1
                visit += 2
                reset_count()

    def release_otherwise() -> None:
        """Release what was recovered, what another thread acquired, or by another handle."""
        nonlocal held, visit
        if not is_mine():
            other().release()
            return
        mine[0] = visit  # inside: the others must see everybody who releases
        try:
            if held is None and not favoured[0]:
                post()
            else:
                lock.release_for_another(post)
        finally:
            held = False
            mine[0] = visit + 1
            visit += 2
            reset_count()

    def release_disowned() -> None:
        """Release what is in other hands by now, for another one has released it before."""
        reset_cell()
        release_otherwise()

    def undo_step() -> None:
        """Give back the cell, if an interrupted call has acquired it."""
        if count_in_cell():
            step_out()

    def undo() -> None:
        """Give back what an interrupted call may have acquired; be outside, if not already."""
        nonlocal held, visit
        try:
            if count() > 0:
                post()
        finally:
            held = False
            mine[0] = visit + 1
            visit += 2
            reset_count()

    def wait(block: bool, timeout: float | None) -> bool:  # noqa: PLR0912, PLR0915 - steps of one proof
        """Acquire what is in other hands; the thread is inside."""
        nonlocal held, is_favoured, visit
        holds_it = held is not False
        by_favour = is_favoured and holds_it
        if by_favour:
            mine[0] = visit
            # Another thread that releases it must not step out of the cell
            # behind our back.
            is_favoured = False
        elif holds_it:
            held = None
            reset_count()
        recovered: list[bool] = []
        pause = _FIRST_PAUSE
        try:
            if not holds_it:
                published[me] = lock.round  # only where we do not hold it
            deadline = lock.deadline(timeout if block else 0.0)
            while True:
                if by_favour:
                    keeps = lock.give_up_favour(me)
                    if keeps is not None:
                        by_favour, holds_it, held = False, keeps, None if keeps else False
                        reset_cell()
                elif favoured[0] and not holds_it and lock.take_from_favoured(recovered):
                    held = None
                    return True
                sleep = waiting_slice(deadline.left())
                if favoured[0]:
                    # Who releases by favour wakes nobody.
                    sleep, pause = min(sleep, pause), 2 * pause
                if attempt(True, sleep):
                    held, by_favour = True, False
                    reset_cell()
                    return True
                passed = deadline.passed()
                if not holds_it:
                    published[me] = lock.round
                    if lock.recover(me, is_free, 0.0 if passed else _PATIENCE, recovered):
                        held = None
                        return True
                if passed and deadline.explicit:
                    break
                if not waits_for[0]:
                    lock.note_wait(site())
                if passed:
                    raise lock.timed_out(deadline)
        except BaseException:
            if by_favour and favoured[0] != me + 1:
                # Interrupted on the way back from giving it up.
                by_favour = False
                held = None if own[0] < DISOWNED else False
                reset_cell()
            if count() > 0 or recovered:
                held = False
                try:
                    post()
                finally:
                    reset_count()
            raise
        finally:
            # By stores, for a call could be interrupted.
            published[me] = waits_for[0] = 0
            if by_favour:
                is_favoured = True
            if by_favour or held is False:
                mine[0] = visit + 1
                visit += 2
        return False

    def is_free() -> bool:
        return value_of(semaphore) > 0

    def forget() -> None:
        nonlocal is_mine, held, is_favoured
        is_mine = bool  # False, for everybody, also for who kept lock.acquire
        held = is_favoured = False

    return LockHandle(acquire, release, forget)
