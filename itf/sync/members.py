"""The member table: the processes and threads that use an environment, and which are alive.

Every process that uses a primitive has a process slot in the table, and each of
its threads a thread slot.  A process proves that it is alive by a kernel lock
(`itf.file_lock`) on a byte of its own, its *life byte*.  The kernel releases this
lock when the process dies in any way, also if the process is then a zombie.
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

from itf.descriptors import Descriptor
from itf.exceptions import WorkerError
from itf.fork_safety import after_fork_in_child
from itf.safe_repr import safe_repr
from itf.sync.segment import (
    MEMBER_TABLES,
    PROCESS_SLOTS,
    THREAD_SLOTS,
    SharedSegment,
    read_text,
    write_text,
)

__all__ = ["CLEANERS", "DeadHolder", "MemberTable", "ProcessSlot", "ThreadSlot"]

__unittest = True

# Offset of the life bytes in the header: process slot N locks the byte _LIFE + N.
_LIFE: Final = 16

# More of the header: the number of thread slots ever used, and of recorded dead holders.
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
"""Functions that clear a dead member's data in a region, by kind of region.

Each module of primitives adds its function.  Arguments: the table, the offset of
the region, and the number of the dead member's slot, which is a process slot if
the kind is odd, and a thread slot if it is even.  A function returns False if the
slot must not be reused yet.
"""

# The tables of this process by device and inode.  A process that unpickles a table twice
# must get the same object: closing a second descriptor of the file would release the
# lock on the life byte.
_tables: weakref.WeakValueDictionary[tuple[int, int], MemberTable] = weakref.WeakValueDictionary()


class DeadHolder(NamedTuple):
    """A process that died while it held something, which was then recovered."""

    worker: str
    pid: int
    held: str


class ProcessSlot(NamedTuple):
    """A process in the member table.

    Attributes:
        process: Number of its process slot.
        pid: Process id.
        name: Name of the process.
        stacks: File descriptor, in that process, to which it writes its stacks
            on request; None if it does not answer requests.
    """

    process: int
    pid: int
    name: str
    stacks: int | None = None


class ThreadSlot(NamedTuple):
    """A thread in the member table.

    Attributes:
        slot: Number of its thread slot.
        process: Number of the process slot of its process.
        ident: Its `threading.get_ident`.
        name: Name of the thread.
        waits_for: Number in the directory of what it waits for; None if it does not wait.
        since: Start of the wait, as `time.time`.
        site: Line of the user's code that waits.
    """

    slot: int
    process: int
    ident: int
    name: str
    waits_for: int | None
    since: float
    site: str


class MemberTable(SharedSegment):
    """The processes and threads that use one environment; created by the test's process.

    A forked child inherits the table; other start methods pickle it.  A process and
    a thread enter the table at their first use of a primitive.  `join` enters a
    process earlier, or under another name than that of its `multiprocessing` process.

    Attributes:
        describe: Function that returns the message of a timeout, given its first
            line; None for the plain report.  Each process may set its own.

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

    def _open(self, file: Descriptor) -> None:
        super()._open(file)
        self._process_slot: int | None = None
        self._pid = 0
        self._slots: dict[int, int] = {}
        _tables[_identity(file.number)] = self

    def __reduce__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        self.check_open()
        return _rebuild, (reduction.DupFd(self.descriptor),)

    def reset_after_fork(self) -> None:
        """Reset the state of this process, a forked child that is not in the table yet."""
        self._process_slot = None
        self._slots = {}
        super().reset_after_fork()

    def join(self, name: str | None = None, stacks: int | None = None) -> int:
        """Enter this process into the table, or change its name.

        Args:
            name: Its name; by default that of the `multiprocessing` process.
            stacks: Descriptor to which it writes its stacks on request.

        Returns:
            The number of its process slot.
        """
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a worker is a str, got {safe_repr(name)}")
        with self.exclusive():
            is_new = self._process_slot is None
            if self._process_slot is None:
                self._process_slot = self._claim_process_slot()
            offset = _PROCESSES_AT + _PROCESS_SIZE * self._process_slot
            name = name or multiprocessing.current_process().name
            write_text(self.memory, offset + _PROCESS_NAME, _PROCESS_SIZE - _PROCESS_NAME, name)
            if is_new or stacks is not None:
                self.words(offset + _PROCESS_STACKS, 1)[0] = 0 if stacks is None else stacks + 1
            self.words(offset, 1)[0] = self._pid = os.getpid()
            return self._process_slot

    def process_slot(self) -> int:
        """Return the number of this process's slot; enter the process if it has none."""
        return self.join() if self._process_slot is None else self._process_slot

    def thread_slot(self) -> int:
        """Return the number of this thread's slot, which the first call claims.

        The slot stays claimed when the thread ends.  The next thread of this process
        with the same ident gets it, and can release what the ended thread had locked.
        """
        slot = self._slots.get(get_ident())
        return self._claim_thread_slot() if slot is None else slot

    def _claim_process_slot(self) -> int:
        used = [self.words(_PROCESSES_AT + _PROCESS_SIZE * n, 1)[0] for n in range(PROCESS_SLOTS)]
        # Slots that were never used come first, because they need no cleaning.
        for number in sorted(range(PROCESS_SLOTS), key=lambda n: used[n] != 0):
            if used[number] and (self.is_alive(number) or not self._clean_process_slot(number)):
                continue
            # Repeated, because a process in `is_alive` locks the byte for a moment.
            deadline = time.monotonic() + 1
            while (
                not (is_ours := self.try_lock_byte(_LIFE + number)) and time.monotonic() < deadline
            ):
                time.sleep(0.0001)
            if is_ours:  # otherwise a process is stopped in `is_alive`: try another slot
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
        process = self.process_slot()
        with self.exclusive():
            used = self.slots_used
            slot = used if used < THREAD_SLOTS else self._reusable_thread_slot()
            offset = _SLOTS_AT + _SLOT_SIZE * slot
            _SLOT.pack_into(self.memory, offset, process + 1, 0, get_ident(), 0.0)
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
        # Regions of an odd kind have data for each process slot, those of an even kind
        # for each thread slot.
        return all(
            cleaner(self, entry.offset, number)
            for kind, cleaner in CLEANERS.items()
            if kind % 2 == by_process
            for entry in self.entries(kind)
        )

    @property
    def slots_used(self) -> int:
        """Number of thread slots that were ever claimed; all later slots are empty."""
        return int(self.words(_SLOTS_USED, 1)[0])

    def is_alive(self, process: int) -> bool:
        """Return whether a process is alive; a stopped process is, a zombie is not."""
        if process == self._process_slot:
            return True  # the lock below succeeds on this process's own life byte
        # A shared lock, so that two processes can check at the same time.
        if not self.try_lock_byte(_LIFE + process, shared=True):
            return True
        self.unlock_byte(_LIFE + process)
        return False

    def owner(self, slot: int) -> int | None:
        """Return the process slot that a thread slot belongs to; None if it is empty."""
        return self._owner(slot)

    def _owner(self, slot: int) -> int | None:
        offset = _SLOTS_AT + _SLOT_SIZE * slot
        owner = int.from_bytes(self.memory[offset : offset + 2], "little")
        return owner - 1 if owner else None

    def _owned_slots(self) -> list[int]:
        return [slot for slot in range(self.slots_used) if self._owner(slot) is not None]

    def member(self, process: int) -> ProcessSlot:
        """Return the process in a process slot."""
        offset = _PROCESSES_AT + _PROCESS_SIZE * process
        pid = self.words(offset, 1)[0]
        stacks = self.words(offset + _PROCESS_STACKS, 1)[0]
        name = read_text(self.memory, offset + _PROCESS_NAME)
        return ProcessSlot(process, pid, name, stacks - 1 if stacks else None)

    def members(self) -> list[ProcessSlot]:
        """Return all living processes of the table."""
        members = [self.member(number) for number in range(PROCESS_SLOTS)]
        return [member for member in members if member.pid and self.is_alive(member.process)]

    def thread_slots(self) -> list[ThreadSlot]:
        """Return the threads of all living processes."""
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

    def record_wait(self, number: int, site: str) -> None:
        """Record what this thread waits for, by its number in the directory, and where."""
        offset = _SLOTS_AT + _SLOT_SIZE * self.thread_slot()
        self._write_thread(offset)
        write_text(self.memory, offset + _SLOT_SITE, _SLOT_SIZE - _SLOT_SITE, site)
        struct.pack_into("=d", self.memory, offset + 16, time.time())
        self.words(offset + 4, 1)[0] = number + 1

    def waits_for_view(self, slot: int) -> memoryview:
        """Return a view of the field that says what a thread waits for; 0 is nothing."""
        return self.words(_SLOTS_AT + _SLOT_SIZE * slot + 4, 1)

    def _write_thread(self, offset: int) -> None:
        # Written at each wait: an earlier thread with the same ident had another name.
        name = threading.current_thread().name
        write_text(self.memory, offset + _SLOT_NAME, _SLOT_SITE - _SLOT_NAME, name)

    def record_dead_holder(self, process: int, held: str) -> None:
        """Record that something was recovered from a dead process."""
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
        """Return the processes that died holding something, in the order of recovery."""
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
    """Open the table in a process that is being started."""
    file = Descriptor(duplicate.detach())
    known = _tables.get(_identity(file.number))
    if known is not None and not known.closed:
        known.spare.append(file)
        return known
    table = MemberTable.__new__(MemberTable)
    table._open(file)
    return table


@after_fork_in_child
def _after_fork() -> None:
    for table in list(_tables.values()):
        table.reset_after_fork()
