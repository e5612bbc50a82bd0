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

While the lock favours a thread (see `itf.workers.favour`), the semaphore is at
0 as well.  Favour is given in place of a release, so all of this is true of who
gives it, if (2) also sees that the lock favours nobody; it is given and
withdrawn under the kernel lock of recovery, so never during a round.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from multiprocessing import context
from types import TracebackType
from typing import Any, Final, TypeVar

from itf.exceptions import WorkerError, WorkerTimeoutError
from itf.workers.arena import SEATS, Tenant
from itf.workers.favour import FAVOUR_SIZE, Favour, favoured_holder
from itf.workers.lock_handle import Acquire, LockHandle, make_handle
from itf.workers.private import is_zero, semaphore_at
from itf.workers.roster import CLEANERS, Roster
from itf.workers.semaphores import SEMAPHORE_SIZE, SystemSemaphore, semaphore_value
from itf.workers.waits import DEFAULT_TIMEOUT, Deadline, check_name, check_timeout

__all__ = ["LOCK", "SharedLock", "seats_holding"]

__unittest = True

_Result = TypeVar("_Result")

LOCK: Final = 2
"""The kind of a lock in the directory; even, for it has a column for each seat."""

# The region of a lock: the semaphore, the round, the visits, what was published, the favour.
_ROUND: Final = SEMAPHORE_SIZE
_VISITS: Final = 2 * SEMAPHORE_SIZE
_PUBLISHED: Final = _VISITS + 8 * SEATS
_FAVOUR: Final = _PUBLISHED + 8 * SEATS
_SIZE: Final = _FAVOUR + FAVOUR_SIZE

# How long one who releases what another one has acquired waits for those who
# look after the lock for some microseconds.
_PATIENCE: Final = 60.0


class _Notes(Tenant):
    """What the threads note in a lock's region: all of it in 8-byte numbers, by seat.

    Attributes:
        round: The round that is going on, or was the last.
        visits: Who is inside.
        published: The round that was going on when a seat last knew that it
            does not hold the lock; 0 while it does not wait.
    """

    _views = ("round", "visits", "published")

    def __init__(self, roster: Roster, offset: int) -> None:
        self._roster = roster
        self.round = roster.longs(offset + _ROUND, 1)
        self.visits = roster.longs(offset + _VISITS, SEATS)
        self.published = roster.longs(offset + _PUBLISHED, SEATS)
        roster.admit(self)


class SharedLock:
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
        acquire: Called with ``block=True`` and ``timeout=None``, as that of
            `multiprocessing.Lock`; it says whether the lock was acquired, which
            is False only where ``block`` is false or a timeout is given.  When
            the default timeout has passed, it raises a `WorkerTimeoutError`.
        release: Called without arguments; it raises a `ValueError` if nobody
            has acquired the lock.

    Thread safety: every method, from any thread; it may be released by another
    thread or process than the one that acquired it.  That one, until it uses
    the lock again, is then taken for a possible holder, and keeps a lock of a
    dead process from being recovered.
    """

    # Not methods, for Python finds what is in the object alone in half of the
    # time; so does multiprocessing's own.
    acquire: Acquire
    release: Callable[[], None]

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
        self._notes.round[0] = 1  # what is published is never 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __getstate__(self) -> tuple[Any, ...]:
        # Two of it in one process would not know of one another's visits.
        context.assert_spawning(self)
        return self._roster, self.name, self._default, self._entry, self.semaphore

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._roster, self.name, self._default, self._entry, self.semaphore = state
        self._attach()

    def _attach(self) -> None:
        offset = self._entry.offset
        self._notes = _Notes(self._roster, offset)
        self._favour = Favour(self._roster, offset + _FAVOUR)
        self._handles: dict[int, LockHandle] = {}
        self._forget()
        self._roster.admit(self)

    def detach(self) -> None:
        """Let go of the memory; the environment has ended."""
        self._forget()

    def forked(self) -> None:
        """Take note that this is a new process: it has not acquired anything."""
        self._forget()

    def _forget(self) -> None:
        for handle in list(self._handles.values()):
            handle.forget()
        self._handles.clear()
        self.acquire, self.release = self._acquire, self._release

    def _acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        return self.by_this_thread().acquire(block, timeout)

    def _release(self) -> None:
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

    def locked(self) -> bool:
        """Say whether it is held, by anybody.

        One whose holder has died is, until somebody who wants it has recovered it.
        """
        self._roster.check_open()
        place = self._entry.offset + _FAVOUR
        while True:
            favoured = favoured_holder(self._roster, place)
            if favoured is not None:
                return bool(favoured)
            held = is_zero(self.semaphore.handle())
            # While the lock favours somebody, the semaphore is at 0 as well.
            if not held or favoured_holder(self._roster, place) is None:
                return held

    def by_this_thread(self) -> LockHandle:
        """Return the handle of this thread, which is made at its first use."""
        handle = self._handles.get(threading.get_ident())
        if handle is None:
            self._roster.check_open()
            seat = self._roster.seat()
            handle = make_handle(
                self,
                seat,
                self._notes.visits,
                self._notes.published,
                self._favour.word,
                self._favour.value(seat),
                self._roster.waits_for_view(seat),
            )
            if not self._handles:
                # The first thread of a process, most often the only one,
                # gets to its handle without a search.
                self.acquire, self.release = handle.acquire, handle.release
            self._handles[threading.get_ident()] = handle
        return handle

    # What a handle asks for when things are not simple.

    @property
    def round(self) -> int:
        """The number of the round of recovery that is going on, or was the last."""
        return int(self._notes.round[0])

    def deadline(self, timeout: float | None) -> Deadline:
        """Return when a wait with this timeout ends."""
        return Deadline(timeout, self._default)

    def timed_out(self, deadline: Deadline) -> WorkerTimeoutError:
        """Return the error that tells that the default timeout has passed."""
        return deadline.error(self._roster, f"{self._entry.label} was not acquired")

    def note_wait(self, place: str) -> None:
        """Note that this thread waits for the lock, and where."""
        self._roster.waiting(self._entry.number, place)

    # Favour: see `itf.workers.favour`.

    def cell(self, seat: int) -> Any:
        """Return a handle for what a seat acquires while the lock favours it; None if it cannot."""
        return self._favour.handle(seat) if self._favour.is_possible else None

    def give_favour(self, seat: int) -> None:
        """Favour this thread, which holds the lock, and so release it; unless others are busy.

        It has made its cell free before.
        """
        self._when_alone(lambda: self._favour.give(seat))

    def give_up_favour(self, seat: int) -> bool | None:
        """Favour this thread no more; say whether it holds the lock now, None if others are busy.

        The thread has held it by favour and is inside.
        """
        return self._when_alone(lambda: self._favour.give_up(seat))

    def take_from_favoured(self, recovered: list[bool]) -> bool:
        """Acquire the lock from the thread that it favours, if that does not hold it.

        Args:
            recovered: Gets an item at the instant at which the lock is
                acquired; for a caller that is interrupted.
        """

        def take() -> bool:
            favour = self._favour
            if not favour.word[0] or not favour.withdraw(lambda seat: self._report([seat])):
                return False
            favour.clear()
            recovered.append(True)
            return True

        return bool(self._when_alone(take))

    def release_for_another(self, post: Callable[[], object]) -> None:
        """Release what another thread may have acquired; the caller is inside.

        Raises:
            ValueError: Nobody has acquired it.
            WorkerError: Somebody is stopped while he looks after the lock.
        """

        def release() -> bool:
            if self._favour.word[0]:
                if not self._favour.disown():
                    raise ValueError("semaphore or lock released too many times")
                self._favour.clear()
            post()
            return True

        if not self._when_alone(release, _PATIENCE):
            raise WorkerError(f"{self._entry.label} is looked after by a process that stands")

    def _when_alone(self, action: Callable[[], _Result], patience: float = 0.0) -> _Result | None:
        return self._roster.when_alone(self._entry.offset, action, patience)

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
        if not self._dead(self._notes.visits.tolist()):
            return False
        return bool(self._when_alone(lambda: self._run_round(me, is_free, patience, recovered)))

    def _dead(self, visits: list[int]) -> list[int]:
        """Return the seats of dead processes that are inside."""
        roster = self._roster
        inside = [(seat, roster.owner(seat)) for seat, visit in enumerate(visits) if visit & 1]
        return [seat for seat, owner in inside if owner is None or not roster.is_alive(owner)]

    def _run_round(
        self, me: int, is_free: Callable[[], bool], patience: float, recovered: list[bool]
    ) -> bool:
        notes, visits = self._notes, self._notes.visits
        before = visits.tolist()  # step 1
        dead = self._dead(before)
        if self._favour.word[0]:
            return False  # it is not at the semaphore that it is decided
        if is_free():  # step 2
            # Nobody holds it, so no dead one does.
            _let_out(visits, dead)
            return False
        notes.round[0] += 1  # step 3
        notes.published[me] = notes.round[0]
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
        published, now = self._notes.published.tolist(), self._notes.visits.tolist()
        complete = True
        for seat, (was, visit) in enumerate(zip(before, now, strict=True)):
            if visit != was and not (visit == was + 1 and visit & 1):
                return False
            if not visit & 1 or seat in dead or seat == me:
                continue
            owner = self._roster.owner(seat)
            if owner is None or not self._roster.is_alive(owner):
                return False
            complete = complete and published[seat] >= self.round
        return complete or None

    def _report(self, dead: Iterable[int]) -> None:
        # One of them held it.  Those who had published a round were waiting,
        # unless there is nobody else: then one had it for an instant.
        suspects = [seat for seat in dead if not self._notes.published[seat]] or list(dead)
        for owner in {self._roster.owner(seat) for seat in suspects}:
            if owner is not None:
                self._roster.report_casualty(owner, self._entry.label)


def seats_holding(roster: Roster, offset: int) -> list[int]:
    """Return the seats of those who hold the lock of a region, or are about to, or did just now."""
    by_favour = favoured_holder(roster, offset + _FAVOUR)
    if by_favour is not None:
        return by_favour
    visits = roster.longs(offset + _VISITS, SEATS).tolist()
    published = roster.longs(offset + _PUBLISHED, SEATS).tolist()
    return [seat for seat, visit in enumerate(visits) if visit & 1 and not published[seat]]


def _let_out(visits: memoryview, dead: Iterable[int]) -> None:
    for seat in dead:
        visits[seat] += 1


def _clean_seat(roster: Roster, offset: int, seat: int) -> bool:
    """Let a dead one out, where that cannot be mistaken: if nobody holds the lock."""
    visits, favoured = roster.longs(offset + _VISITS, SEATS), roster.words(offset + _FAVOUR, 1)

    def clean() -> None:
        # Alone, for whoever recovers lets those out whom it has seen dead, and
        # by then the seat could be another one's.
        if favoured[0] == seat + 1:
            _unfavour(roster, offset, seat, visits)
        if visits[seat] & 1 and semaphore_value(roster, offset):
            visits[seat] += 1

    if visits[seat] & 1 or favoured[0] == seat + 1:
        roster.when_alone(offset, clean)
    return not visits[seat] & 1 and favoured[0] != seat + 1


def _unfavour(roster: Roster, offset: int, seat: int, visits: memoryview) -> None:
    """Put the lock that favours a dead seat back into the semaphore, unless it died holding it."""
    if favoured_holder(roster, offset + _FAVOUR):
        return  # for whoever wants the lock, and tells of it
    # The dead one stands for this process, should that die in between.
    visits[seat] |= 1
    favour = Favour(roster, offset + _FAVOUR)
    favour.withdraw(lambda _: None)
    favour.clear()
    semaphore_at(roster.address + offset, 1).release()


CLEANERS[LOCK] = _clean_seat
