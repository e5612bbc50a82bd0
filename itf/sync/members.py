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
from itf.sync.segment import (
    MEMBER_TABLES,
    PROCESS_SLOTS,
    THREAD_SLOTS,
    AnonymousFile,
    SharedSegment,
    read_text,
    write_text,
)

__all__ = ["CLEANERS", "DeadHolder", "MemberTable", "ProcessSlot", "ThreadSlot"]

__unittest = True

# The life of process N is the byte _LIFE + N of the header.
_LIFE: Final = 16

# More of the header: how many seats and casualties there have been.
_SLOTS_USED: Final = 524
_HOLDERS_COUNT: Final = 528

_PROCESS_SIZE: Final = 128  # pid, number of its stack file + 1 (4 bytes each), name
_PROCESS_STACKS: Final = 4
_PROCESS_NAME: Final = 8
_PROCESSES_AT: Final = MEMBER_TABLES

_SLOT: Final = struct.Struct("=HxxIQd")  # process + 1, number waited for + 1, ident, since
_SLOT_SIZE: Final = 320
_SLOT_NAME: Final = 24
_SLOT_SITE: Final = 88
_SLOTS_AT: Final = _PROCESSES_AT + PROCESS_SLOTS * _PROCESS_SIZE

_HOLDER_SIZE: Final = 256  # pid (4 bytes), name, what it held
_HOLDER_NAME: Final = 8
_HOLDER_HELD: Final = 128
_MAX_HOLDERS: Final = 2048
_HOLDERS_AT: Final = _SLOTS_AT + THREAD_SLOTS * _SLOT_SIZE

CLEANERS: Final[dict[int, Callable[[MemberTable, int, int], bool]]] = {}
"""By kind of region: clear what a dead one's seat has in it; False if that cannot be done yet.

Each module of primitives adds its own; called with roster, offset and seat.
"""

# By the identity of the file: a process that unpickles a roster twice must get
# the same one, for closing the second one's descriptor would drop its life.
_tables: weakref.WeakValueDictionary[tuple[int, int], MemberTable] = weakref.WeakValueDictionary()


class DeadHolder(NamedTuple):
    """A process that died holding something, which was then taken back from it."""

    worker: str
    pid: int
    held: str


class ProcessSlot(NamedTuple):
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


class ThreadSlot(NamedTuple):
    """A thread in the roster: whose it is, and what it waits for, since when and where."""

    slot: int
    process: int
    ident: int
    name: str
    waits_for: int | None
    since: float
    site: str


class MemberTable(SharedSegment):
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
        self._slots: dict[int, int] = {}
        _tables[_identity(file.descriptor)] = self

    def __reduce__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        self.check_open()
        return _rebuild, (reduction.DupFd(self.descriptor),)

    def reset_after_fork(self) -> None:
        """Take note that this is a new process: it is not in the roster yet."""
        self._place = None
        self._slots = {}
        super().reset_after_fork()

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
                self._place = self._claim_process_slot()
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

    def slot(self) -> int:
        """Return the number of this thread's seat, which is taken at the first call.

        It stays when the thread ends, and the next thread with its ident has
        it: what that one left locked can still be released.
        """
        slot = self._slots.get(get_ident())
        return self._claim_thread_slot() if slot is None else slot

    def _claim_process_slot(self) -> int:
        used = [self.words(_PROCESSES_AT + _PROCESS_SIZE * n, 1)[0] for n in range(PROCESS_SLOTS)]
        # Those that nobody has ever had first: they need no cleaning.
        for number in sorted(range(PROCESS_SLOTS), key=lambda n: used[n] != 0):
            if used[number] and (self.is_alive(number) or not self._clean_process_slot(number)):
                continue
            # Not try_byte: somebody who looks whether it is alive has it for a moment.
            deadline = time.monotonic() + 1
            while (
                not (is_ours := self.try_lock_byte(_LIFE + number)) and time.monotonic() < deadline
            ):
                time.sleep(0.0001)
            if is_ours:  # else somebody is stopped while looking: without a life, we are dead
                return number
        raise WorkerError(f"more than {PROCESS_SLOTS} processes take part in this environment")

    def _clean_process_slot(self, number: int) -> bool:
        clean = [
            self._clean_thread_slot(slot)
            for slot in self._owned_slots()
            if self._owner(slot) == number
        ]
        return all(clean) and self._cleared(number, by_process=True)

    def _claim_thread_slot(self) -> int:
        place = self.place()
        with self.exclusive():
            used = self.slots_used
            slot = used if used < THREAD_SLOTS else self._reusable_thread_slot()
            offset = _SLOTS_AT + _SLOT_SIZE * slot
            _SLOT.pack_into(self.memory, offset, place + 1, 0, get_ident(), 0.0)
            self._write_thread(offset)
            self.words(_SLOTS_USED, 1)[0] = max(used, slot + 1)
            self._slots[get_ident()] = slot
            return slot

    def _reusable_thread_slot(self) -> int:
        for slot in range(THREAD_SLOTS):
            owner = self._owner(slot)
            if owner is None or (not self.is_alive(owner) and self._clean_thread_slot(slot)):
                return slot
        raise WorkerError(f"more than {THREAD_SLOTS} threads take part in this environment")

    def _clean_thread_slot(self, slot: int) -> bool:
        if not self._cleared(slot, by_process=False):
            return False
        self.memory[_SLOTS_AT + _SLOT_SIZE * slot : _SLOTS_AT + _SLOT_SIZE * slot + 2] = b"\0\0"
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
    def slots_used(self) -> int:
        """How many seats have ever been taken; all others are empty."""
        return int(self.words(_SLOTS_USED, 1)[0])

    def is_alive(self, process: int) -> bool:
        """Say whether a process of the roster lives; a stopped one does, a zombie does not."""
        if process == self._place:
            return True  # our own lock would not stand in our way
        # Shared: two who look at the same time are not in each other's way.
        if not self.try_lock_byte(_LIFE + process, shared=True):
            return True
        self.unlock_byte(_LIFE + process)
        return False

    def owner(self, slot: int) -> int | None:
        """Return the process whose seat it is; None if it is empty."""
        return self._owner(slot)

    def _owner(self, slot: int) -> int | None:
        offset = _SLOTS_AT + _SLOT_SIZE * slot
        owner = int.from_bytes(self.memory[offset : offset + 2], "little")
        return owner - 1 if owner else None

    def _owned_slots(self) -> list[int]:
        return [slot for slot in range(self.slots_used) if self._owner(slot) is not None]

    def member(self, process: int) -> ProcessSlot:
        """Return who has this place."""
        place = _PROCESSES_AT + _PROCESS_SIZE * process
        pid = self.words(place, 1)[0]
        stacks = self.words(place + _PROCESS_STACKS, 1)[0]
        name = read_text(self.memory, place + _PROCESS_NAME)
        return ProcessSlot(process, pid, name, stacks - 1 if stacks else None)

    def members(self) -> list[ProcessSlot]:
        """Return all processes that take part and are alive."""
        members = [self.member(number) for number in range(PROCESS_SLOTS)]
        return [member for member in members if member.pid and self.is_alive(member.process)]

    def slots(self) -> list[ThreadSlot]:
        """Return the threads of all processes that are alive."""
        slots = []
        for slot in self._owned_slots():
            offset = _SLOTS_AT + _SLOT_SIZE * slot
            owner, waits_for, ident, since = _SLOT.unpack_from(self.memory, offset)
            if owner and self.is_alive(owner - 1):
                name = read_text(self.memory, offset + _SLOT_NAME)
                site = read_text(self.memory, offset + _SLOT_SITE)
                waits = waits_for - 1 if waits_for else None
                slots.append(ThreadSlot(slot, owner - 1, ident, name, waits, since, site))
        return slots

    # What they wait for

    def waiting(self, number: int, site: str) -> None:
        """Note what this thread waits for, a number of the directory, and where."""
        offset = _SLOTS_AT + _SLOT_SIZE * self.slot()
        self._write_thread(offset)
        write_text(self.memory, offset + _SLOT_SITE, _SLOT_SIZE - _SLOT_SITE, site)
        struct.pack_into("=d", self.memory, offset + 16, time.time())
        self.words(offset + 4, 1)[0] = number + 1

    def waits_for_view(self, slot: int) -> memoryview:
        """Return what `waiting` writes to; one store of 0 ends it."""
        return self.words(_SLOTS_AT + _SLOT_SIZE * slot + 4, 1)

    def _write_thread(self, offset: int) -> None:
        # The ident may be that of an earlier thread, so the name is written anew.
        name = threading.current_thread().name
        write_text(self.memory, offset + _SLOT_NAME, _SLOT_SITE - _SLOT_NAME, name)

    # Who died

    def record_dead_holder(self, process: int, held: str) -> None:
        """Note that something was taken back from a dead process."""
        dead = self.member(process)
        with self.exclusive():
            count = self.words(_HOLDERS_COUNT, 1)[0]
            if count >= _MAX_HOLDERS:
                return
            offset = _HOLDERS_AT + _HOLDER_SIZE * count
            self.words(offset, 1)[0] = dead.pid
            write_text(self.memory, offset + _HOLDER_NAME, 120, dead.name)
            write_text(self.memory, offset + _HOLDER_HELD, 128, held)
            self.words(_HOLDERS_COUNT, 1)[0] = count + 1

    def dead_holders(self) -> list[DeadHolder]:
        """Return who died holding what, in the order in which it was taken back."""
        dead_holders = []
        for number in range(self.words(_HOLDERS_COUNT, 1)[0]):
            offset = _HOLDERS_AT + _HOLDER_SIZE * number
            name = read_text(self.memory, offset + _HOLDER_NAME)
            held = read_text(self.memory, offset + _HOLDER_HELD)
            dead_holders.append(DeadHolder(name, self.words(offset, 1)[0], held))
        return dead_holders


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _rebuild(duplicate: Any) -> MemberTable:
    """Open the roster in the process that is being started."""
    file = AnonymousFile(duplicate.detach())
    known = _tables.get(_identity(file.descriptor))
    if known is not None and not known.closed:
        known.spare.append(file)
        return known
    table = MemberTable.__new__(MemberTable)
    table._open(file)
    return table


def _after_fork() -> None:
    for table in list(_tables.values()):
        table.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
