"""Who takes part in an environment, and who of them is alive.

Every process that uses a primitive has a place in the roster, and every thread
of it a seat.  A process holds a lock of the kernel (`fcntl.lockf`) on a byte of
its own, its *life*: the kernel drops it at the instant of death, whatever the
death, and also while the dead one is a zombie that nobody has waited for.
"""

from __future__ import annotations

import multiprocessing
import os
import struct
import threading
import time
import weakref
from collections.abc import Callable
from multiprocessing import context, reduction
from threading import get_ident
from typing import Any, Final, NamedTuple

from itf.exceptions import WorkerError
from itf.safe_repr import safe_repr
from itf.workers.arena import PROCESSES, SEATS, TABLES, AnonymousFile, Arena, read_text, write_text

__all__ = ["CLEANERS", "Casualty", "Member", "Roster", "Seat"]

__unittest = True

# The life of process N is the byte _LIFE + N of the header.
_LIFE: Final = 16

# More of the header: how many seats and casualties there have been.
_SEATS_USED: Final = 524
_CASUALTIES_COUNT: Final = 528

_PROCESS_SIZE: Final = 128  # pid, number of its stack file + 1 (4 bytes each), name
_PROCESS_STACKS: Final = 4
_PROCESS_NAME: Final = 8
_PROCESSES_AT: Final = TABLES

_SEAT: Final = struct.Struct("=HxxIQd")  # process + 1, number waited for + 1, ident, since
_SEAT_SIZE: Final = 320
_SEAT_NAME: Final = 24
_SEAT_SITE: Final = 88
_SEATS_AT: Final = _PROCESSES_AT + PROCESSES * _PROCESS_SIZE

_CASUALTY_SIZE: Final = 256  # pid (4 bytes), name, what it held
_CASUALTY_NAME: Final = 8
_CASUALTY_HELD: Final = 128
_MAX_CASUALTIES: Final = 2048
_CASUALTIES_AT: Final = _SEATS_AT + SEATS * _SEAT_SIZE

CLEANERS: Final[dict[int, Callable[[Roster, int, int], bool]]] = {}
"""By kind of region: clear what a dead one's seat has in it; False if that cannot be done yet.

Each module of primitives adds its own; called with roster, offset and seat.
"""

# By the identity of the file: a process that unpickles a roster twice must get
# the same one, for closing the second one's descriptor would drop its life.
_rosters: weakref.WeakValueDictionary[tuple[int, int], Roster] = weakref.WeakValueDictionary()


class Casualty(NamedTuple):
    """A process that died holding something, which was then taken back from it."""

    worker: str
    pid: int
    held: str


class Member(NamedTuple):
    """A process in the roster.

    Attributes:
        process: The number of its place.
        pid: Its process id.
        name: Its name.
        stacks: The descriptor, in that process, to which it writes its stacks
            when it is asked; None if it does not.
    """

    process: int
    pid: int
    name: str
    stacks: int | None = None


class Seat(NamedTuple):
    """A thread in the roster: whose it is, and what it waits for, since when and where."""

    seat: int
    process: int
    ident: int
    name: str
    waits_for: int | None
    since: float
    site: str


class Roster(Arena):
    """Who takes part in one environment; it is made by the test's own process.

    It is inherited by fork, and can be pickled while a process is being
    started.  A process enters itself at the first use of anything, and so does
    a thread; `join` is for those who want to be in it before, or by another
    name than that of their `multiprocessing` process.

    Attributes:
        describe: Makes the text of a timeout out of its first line; the
            environment may put a better one here, in each process.

    Thread safety: every method, from any thread.
    """

    describe: Callable[[str], str] | None = None

    def __init__(self, name: str = "test", stacks: int | None = None) -> None:
        super().__init__()
        try:
            self.join(name, stacks)
        except BaseException:
            self.close()
            raise

    def _open(self, file: AnonymousFile) -> None:
        super()._open(file)
        self._place: int | None = None
        self._pid = 0
        self._seats: dict[int, int] = {}
        _rosters[_identity(file.descriptor)] = self

    def __reduce__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        self.check_open()
        return _rebuild, (reduction.DupFd(self.descriptor),)

    def forked(self) -> None:
        """Take note that this is a new process: it is not in the roster yet."""
        self._place = None
        self._seats = {}
        super().forked()

    # Taking part

    def join(self, name: str | None = None, stacks: int | None = None) -> int:
        """Enter this process, or change its name.

        Args:
            name: Its name; by default that of the `multiprocessing` process.
            stacks: The descriptor to which it writes its stacks when it is asked.

        Returns:
            The number of its place.
        """
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a worker is a str, got {safe_repr(name)}")
        with self.exclusive():
            is_new = self._place is None
            if self._place is None:
                self._place = self._take_place()
            place = _PROCESSES_AT + _PROCESS_SIZE * self._place
            name = name or multiprocessing.current_process().name
            write_text(self.memory, place + _PROCESS_NAME, _PROCESS_SIZE - _PROCESS_NAME, name)
            if is_new or stacks is not None:
                self.words(place + _PROCESS_STACKS, 1)[0] = 0 if stacks is None else stacks + 1
            self.words(place, 1)[0] = self._pid = os.getpid()
            return self._place

    def place(self) -> int:
        """Return the number of this process, which takes part from now on."""
        return self.join() if self._place is None else self._place

    def seat(self) -> int:
        """Return the number of this thread's seat, which is taken at the first call.

        It stays when the thread ends, and the next thread with its ident has
        it: what that one left locked can still be released.
        """
        seat = self._seats.get(get_ident())
        return self._take_seat() if seat is None else seat

    def _take_place(self) -> int:
        used = [self.words(_PROCESSES_AT + _PROCESS_SIZE * n, 1)[0] for n in range(PROCESSES)]
        # Those that nobody has ever had first: they need no cleaning.
        for number in sorted(range(PROCESSES), key=lambda n: used[n] != 0):
            if used[number] and (self.is_alive(number) or not self._clean_place(number)):
                continue
            # Not try_byte: somebody who looks whether it is alive has it for a moment.
            deadline = time.monotonic() + 1
            while not (is_ours := self.try_byte(_LIFE + number)) and time.monotonic() < deadline:
                time.sleep(0.0001)
            if is_ours:  # else somebody is stopped while looking: without a life, we are dead
                return number
        raise WorkerError(f"more than {PROCESSES} processes take part in this environment")

    def _clean_place(self, number: int) -> bool:
        clean = [
            self._clean_seat(seat) for seat in self._owned_seats() if self._owner(seat) == number
        ]
        return all(clean) and self._cleared(number, by_process=True)

    def _take_seat(self) -> int:
        place = self.place()
        with self.exclusive():
            used = self.seats_used
            seat = used if used < SEATS else self._reusable_seat()
            offset = _SEATS_AT + _SEAT_SIZE * seat
            _SEAT.pack_into(self.memory, offset, place + 1, 0, get_ident(), 0.0)
            self._write_thread(offset)
            self.words(_SEATS_USED, 1)[0] = max(used, seat + 1)
            self._seats[get_ident()] = seat
            return seat

    def _reusable_seat(self) -> int:
        for seat in range(SEATS):
            owner = self._owner(seat)
            if owner is None or (not self.is_alive(owner) and self._clean_seat(seat)):
                return seat
        raise WorkerError(f"more than {SEATS} threads take part in this environment")

    def _clean_seat(self, seat: int) -> bool:
        if not self._cleared(seat, by_process=False):
            return False
        self.memory[_SEATS_AT + _SEAT_SIZE * seat : _SEATS_AT + _SEAT_SIZE * seat + 2] = b"\0\0"
        return True

    def _cleared(self, number: int, *, by_process: bool) -> bool:
        # Odd kinds have a column for each process, even ones for each seat.
        return all(
            cleaner(self, entry.offset, number)
            for kind, cleaner in CLEANERS.items()
            if kind % 2 == by_process
            for entry in self.entries(kind)
        )

    # Who is there

    @property
    def seats_used(self) -> int:
        """How many seats have ever been taken; all others are empty."""
        return int(self.words(_SEATS_USED, 1)[0])

    def is_alive(self, process: int) -> bool:
        """Say whether a process of the roster lives; a stopped one does, a zombie does not."""
        if process == self._place:
            return True  # our own lock would not stand in our way
        # Shared: two who look at the same time are not in each other's way.
        if not self.try_byte(_LIFE + process, shared=True):
            return True
        self.free_byte(_LIFE + process)
        return False

    def owner(self, seat: int) -> int | None:
        """Return the process whose seat it is; None if it is empty."""
        return self._owner(seat)

    def _owner(self, seat: int) -> int | None:
        offset = _SEATS_AT + _SEAT_SIZE * seat
        owner = int.from_bytes(self.memory[offset : offset + 2], "little")
        return owner - 1 if owner else None

    def _owned_seats(self) -> list[int]:
        return [seat for seat in range(self.seats_used) if self._owner(seat) is not None]

    def member(self, process: int) -> Member:
        """Return who has this place."""
        place = _PROCESSES_AT + _PROCESS_SIZE * process
        pid = self.words(place, 1)[0]
        stacks = self.words(place + _PROCESS_STACKS, 1)[0]
        name = read_text(self.memory, place + _PROCESS_NAME)
        return Member(process, pid, name, stacks - 1 if stacks else None)

    def members(self) -> list[Member]:
        """Return all processes that take part and are alive."""
        members = [self.member(number) for number in range(PROCESSES)]
        return [member for member in members if member.pid and self.is_alive(member.process)]

    def seats(self) -> list[Seat]:
        """Return the threads of all processes that are alive."""
        seats = []
        for seat in self._owned_seats():
            offset = _SEATS_AT + _SEAT_SIZE * seat
            owner, waits_for, ident, since = _SEAT.unpack_from(self.memory, offset)
            if owner and self.is_alive(owner - 1):
                name = read_text(self.memory, offset + _SEAT_NAME)
                site = read_text(self.memory, offset + _SEAT_SITE)
                waits = waits_for - 1 if waits_for else None
                seats.append(Seat(seat, owner - 1, ident, name, waits, since, site))
        return seats

    # What they wait for

    def waiting(self, number: int, site: str) -> None:
        """Note what this thread waits for, a number of the directory, and where."""
        offset = _SEATS_AT + _SEAT_SIZE * self.seat()
        self._write_thread(offset)
        write_text(self.memory, offset + _SEAT_SITE, _SEAT_SIZE - _SEAT_SITE, site)
        struct.pack_into("=d", self.memory, offset + 16, time.time())
        self.words(offset + 4, 1)[0] = number + 1

    def waits_for_view(self, seat: int) -> memoryview:
        """Return what `waiting` writes to; one store of 0 ends it."""
        return self.words(_SEATS_AT + _SEAT_SIZE * seat + 4, 1)

    def _write_thread(self, offset: int) -> None:
        # The ident may be that of an earlier thread, so the name is written anew.
        name = threading.current_thread().name
        write_text(self.memory, offset + _SEAT_NAME, _SEAT_SITE - _SEAT_NAME, name)

    # Who died

    def report_casualty(self, process: int, held: str) -> None:
        """Note that something was taken back from a dead process."""
        dead = self.member(process)
        with self.exclusive():
            count = self.words(_CASUALTIES_COUNT, 1)[0]
            if count >= _MAX_CASUALTIES:
                return
            offset = _CASUALTIES_AT + _CASUALTY_SIZE * count
            self.words(offset, 1)[0] = dead.pid
            write_text(self.memory, offset + _CASUALTY_NAME, 120, dead.name)
            write_text(self.memory, offset + _CASUALTY_HELD, 128, held)
            self.words(_CASUALTIES_COUNT, 1)[0] = count + 1

    def casualties(self) -> list[Casualty]:
        """Return who died holding what, in the order in which it was taken back."""
        casualties = []
        for number in range(self.words(_CASUALTIES_COUNT, 1)[0]):
            offset = _CASUALTIES_AT + _CASUALTY_SIZE * number
            name = read_text(self.memory, offset + _CASUALTY_NAME)
            held = read_text(self.memory, offset + _CASUALTY_HELD)
            casualties.append(Casualty(name, self.words(offset, 1)[0], held))
        return casualties


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _rebuild(duplicate: Any) -> Roster:
    """Open the roster in the process that is being started."""
    file = AnonymousFile(duplicate.detach())
    known = _rosters.get(_identity(file.descriptor))
    if known is not None and not known.closed:
        known.spare.append(file)
        return known
    roster = Roster.__new__(Roster)
    roster._open(file)
    return roster


def _after_fork() -> None:
    for roster in list(_rosters.values()):
        roster.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
