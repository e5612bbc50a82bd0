"""A lock between processes that the death of its holder, at any instant, does not keep locked.

It stands on a semaphore of the system, which knows no holder.  So each thread
notes in shared memory, *before* it tries the semaphore, that it is **inside**,
and *after* it has released it that it is out again: one number a thread, odd
for inside, that never comes back (its **visit**).  One who died inside may have
held the lock, or only waited for it.  Those who wait find that out themselves:
they sleep in short slices, and before and after each of them, when they know
that they do not hold the lock, publish the number of the **round** that is
going on (and 0 once they have it, or have gone).

One of them at a time (a kernel lock) recovers.  It (1) reads all visits, (2)
sees the semaphore at 0, (3) begins a new round, and (4) takes the lock over if
everybody alive who is inside has published this round, and if all that it read
in (1) is still so, but for those who came in by their next visit.

Why nobody alive can then hold the lock: if X did, it did not acquire before
(3), for it could not have published since.  So it acquired after (2), and
somebody, P, was first to release after (2), and had acquired before (2).  P was
alive, and inside until after that release; it could not publish this round
before it, and after it would have another visit than in (1), or than the next.
So (4) fails for P, whether it was seen inside in (1) or not, is stopped, or has
died since.  And as nobody alive has it while the semaphore is at 0, a dead one
has.  A thread that is stopped inside keeps all others from recovering until it
goes on: it might be the holder.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final

from itf.exceptions import WorkerTimeoutError
from itf.workers.arena import SEATS, Tenant
from itf.workers.lock_handle import LockHandle, make_handle
from itf.workers.roster import CLEANERS, Roster
from itf.workers.semaphores import SEMAPHORE_SIZE, SystemSemaphore, semaphore_value
from itf.workers.waits import DEFAULT_TIMEOUT, Deadline, check_name, check_timeout

__all__ = ["LOCK", "SharedLock", "seats_holding"]

__unittest = True

LOCK: Final = 2
"""The kind of a lock in the directory; even, for it has a column for each seat."""

# The region of a lock: the semaphore, the round, the visits, what was published.
_ROUND: Final = SEMAPHORE_SIZE
_VISITS: Final = 2 * SEMAPHORE_SIZE
_PUBLISHED: Final = _VISITS + 8 * SEATS
_SIZE: Final = _PUBLISHED + 8 * SEATS


class SharedLock(Tenant):
    """A lock for processes and threads, as `multiprocessing.Lock`, that outlives its holders.

    Example:
        >>> lock = SharedLock(Roster(), "data")
        >>> with lock:
        ...     lock.acquire(timeout=0)
        False

    Args:
        roster: Who may use it.
        name: Its name, for messages.
        default_timeout: How long to wait for it where no timeout is given, in
            seconds; None is for ever.
        label: What messages call it.

    Attributes:
        name: Its name.

    Thread safety: every method, from any thread; it may be released by another
    thread or process than the one that acquired it.  That one, until it uses
    the lock again, is then taken for a possible holder, and keeps a lock of a
    dead process from being recovered.
    """

    _views = ("_round", "_visits", "_published")

    def __init__(
        self,
        roster: Roster,
        name: str,
        *,
        default_timeout: float | None = DEFAULT_TIMEOUT,
        label: str = "",
    ) -> None:
        self.name = check_name(name, "lock")
        self._roster = roster
        self._default = check_timeout(default_timeout)
        self._entry = roster.allocate(LOCK, _SIZE, label or f"lock {name!r}")
        self.semaphore = SystemSemaphore(roster, self._entry.offset, 1, 1)
        self._attach()
        self._round[0] = 1  # what is published is never 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __getstate__(self) -> tuple[Any, ...]:
        return self._roster, self.name, self._default, self._entry, self.semaphore

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._roster, self.name, self._default, self._entry, self.semaphore = state
        self._attach()

    def _attach(self) -> None:
        offset = self._entry.offset
        self._round = self._roster.longs(offset + _ROUND, 1)
        self._visits = self._roster.longs(offset + _VISITS, SEATS)
        self._published = self._roster.longs(offset + _PUBLISHED, SEATS)
        self._handles: dict[int, LockHandle] = {}
        # Beside the kernel's lock, which belongs to the whole process.
        self._recovering = threading.Lock()
        self._roster.admit(self)

    def detach(self) -> None:
        """Let go of the memory; the environment has ended."""
        self._forget()
        super().detach()

    def forked(self) -> None:
        """Take note that this is a new process: it has not acquired anything."""
        self._forget()
        self._recovering = threading.Lock()

    def _forget(self) -> None:
        for handle in list(self._handles.values()):
            handle.forget()
        self._handles.clear()
        self.__dict__.pop("acquire", None)
        self.__dict__.pop("release", None)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquire the lock.

        Args:
            block: Whether to wait for it.
            timeout: How many seconds to wait; by default as long as the lock
                was made to.

        Returns:
            Whether it was acquired, False only where ``block`` is false or
            ``timeout`` is given.

        Raises:
            WorkerTimeoutError: The default timeout has passed.
        """
        return self.by_this_thread().acquire(block, timeout)

    def release(self) -> None:
        """Release the lock, which any thread of any process may do.

        Raises:
            ValueError: Nobody has acquired it.
        """
        self.by_this_thread().release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def by_this_thread(self) -> LockHandle:
        """Return the handle of this thread, which is made at its first use."""
        handle = self._handles.get(threading.get_ident())
        if handle is None:
            self._roster.check_open()
            seat = self._roster.seat()
            handle = make_handle(
                self, seat, self._visits, self._published, self._roster.waits_for_view(seat)
            )
            if not self._handles:
                # The first thread of a process, most often the only one,
                # gets to its handle without a search.
                self.__dict__.update(acquire=handle.acquire, release=handle.release)
            self._handles[threading.get_ident()] = handle
        return handle

    # What a handle asks for when things are not simple.

    @property
    def round(self) -> int:
        """The number of the round of recovery that is going on, or was the last."""
        return int(self._round[0])

    def deadline(self, timeout: float | None) -> Deadline:
        """Return when a wait with this timeout ends."""
        return Deadline(timeout, self._default)

    def timed_out(self, deadline: Deadline) -> WorkerTimeoutError:
        """Return the error that tells that the default timeout has passed."""
        return deadline.error(self._roster, f"{self._entry.label} was not acquired")

    def note_wait(self, place: str) -> None:
        """Note that this thread waits for the lock, and where."""
        self._roster.waiting(self._entry.number, place)

    # Recovery: see the module's docstring for the steps, and why they are sound.

    def recover(
        self, me: int, is_free: Callable[[], bool], patience: float, recovered: list[bool]
    ) -> bool:
        """Take the lock over from a dead process, if it was in its hands.

        Args:
            me: The seat of this thread, which is inside and does not hold the
                lock, and has published the current round.
            is_free: Says whether the semaphore is above 0.
            patience: How long to wait for the others to publish.
            recovered: Gets an item at the instant at which the lock is taken
                over; for a caller that is interrupted.
        """
        if not self._dead(self._visits.tolist()) or not self._recovering.acquire(blocking=False):
            return False
        try:
            if not self._roster.try_byte(self._entry.offset):
                return False
            try:
                return self._run_round(me, is_free, patience, recovered)
            finally:
                self._roster.free_byte(self._entry.offset)
        finally:
            self._recovering.release()

    def _dead(self, visits: list[int]) -> list[int]:
        """Return the seats of dead processes that are inside."""
        roster = self._roster
        inside = [(seat, roster.owner(seat)) for seat, visit in enumerate(visits) if visit & 1]
        return [seat for seat, owner in inside if owner is None or not roster.is_alive(owner)]

    def _run_round(
        self, me: int, is_free: Callable[[], bool], patience: float, recovered: list[bool]
    ) -> bool:
        visits = self._visits
        before = visits.tolist()  # step 1
        dead = self._dead(before)
        if is_free():  # step 2
            # Nobody holds it, so no dead one does.
            _let_out(visits, dead)
            return False
        self._round[0] += 1  # step 3
        self._published[me] = self._round[0]
        end = time.monotonic() + patience
        while (verdict := self._verdict(before, dead, me)) is None:  # step 4
            if time.monotonic() >= end:
                return False
            time.sleep(0.001)
        if not verdict:
            return False
        self._report(dead)
        recovered.append(True)
        _let_out(visits, dead)
        return True

    def _verdict(self, before: list[int], dead: list[int], me: int) -> bool | None:
        """Say whether nobody alive can hold the lock; None if not all have published yet."""
        # In this order: what was published in a later visit must not be taken
        # for news of an earlier one.
        published, now = self._published.tolist(), self._visits.tolist()
        complete = True
        for seat, (was, visit) in enumerate(zip(before, now, strict=True)):
            if visit != was and not (visit == was + 1 and visit & 1):
                return False
            if not visit & 1 or seat in dead or seat == me:
                continue
            owner = self._roster.owner(seat)
            if owner is None or not self._roster.is_alive(owner):
                return False
            complete = complete and published[seat] >= self._round[0]
        return complete or None

    def _report(self, dead: Iterable[int]) -> None:
        # One of them held it.  Those who had published a round were waiting,
        # unless there is nobody else: then one had it for an instant.
        suspects = [seat for seat in dead if not self._published[seat]] or list(dead)
        for owner in {self._roster.owner(seat) for seat in suspects}:
            if owner is not None:
                self._roster.report_casualty(owner, self._entry.label)


def seats_holding(roster: Roster, offset: int) -> list[int]:
    """Return the seats of those who hold the lock of a region, or are about to, or did just now."""
    visits = roster.longs(offset + _VISITS, SEATS).tolist()
    published = roster.longs(offset + _PUBLISHED, SEATS).tolist()
    return [seat for seat, visit in enumerate(visits) if visit & 1 and not published[seat]]


def _let_out(visits: memoryview, dead: Iterable[int]) -> None:
    for seat in dead:
        visits[seat] += 1


def _clean_seat(roster: Roster, offset: int, seat: int) -> bool:
    """Let a dead one out, where that cannot be mistaken: if nobody holds the lock."""
    visits = roster.longs(offset + _VISITS, SEATS)
    if visits[seat] & 1 and semaphore_value(roster, offset):
        visits[seat] += 1
    return not visits[seat] & 1


CLEANERS[LOCK] = _clean_seat
