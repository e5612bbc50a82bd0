"""Which threads may hold a shared lock: one entry counter for each thread, in shared memory.

The lock is a semaphore of the system, and a semaphore does not know its holder.
Therefore each thread records in its own counter, *before* it tries to acquire
the semaphore, that it is **inside** the lock, and *after* it has released the
semaphore that it is **outside** again.  A holder that is killed at any instant
leaves a counter that says "inside".

A counter is one 8-byte number, which is written in one store.  Its two lowest
bits say how the thread is inside; both are 0 while it is outside:

- `WAITING`: the thread sleeps in ``acquire()``;
- `ENTERED`: the thread holds the lock, or tries to acquire it without a wait,
  or has just released it.

The other bits count the entries: a thread that goes outside writes a number
that its counter never had before (`outside`).  A counter that says "outside"
with the same number at two looks has said so all the time between them.

A thread that releases the lock in place of its holder does not write to the
holder's counter, which says "inside" until that holder uses the lock again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from itf.sync.members import CLEANERS, MemberTable
from itf.sync.os_semaphore import SEMAPHORE_SIZE, semaphore_value
from itf.sync.segment import THREAD_SLOTS

__all__ = [
    "ENTERED",
    "INSIDE",
    "LOCK",
    "LOCK_SIZE",
    "WAITING",
    "dead_inside",
    "entry_counters",
    "is_living_inside",
    "mark_outside",
    "outside",
    "slots_holding",
]

__unittest = True

LOCK: Final = 2
"""Kind of a lock's region in the directory; even, because it has a counter for each thread slot."""

LOCK_SIZE: Final = SEMAPHORE_SIZE + 8 * THREAD_SLOTS
"""Size of a lock's region in bytes: the semaphore, then the entry counters by thread slot."""

WAITING: Final = 1
"""Bit of an entry counter: the thread sleeps in ``acquire()``."""

ENTERED: Final = 2
"""Bit of an entry counter: the thread holds the lock, or tries to without a wait."""

INSIDE: Final = WAITING | ENTERED
"""Mask of an entry counter: not 0 if the thread may hold the lock."""


def entry_counters(table: MemberTable, offset: int) -> memoryview:
    """Return the entry counters of the lock whose region begins at an offset."""
    return table.longs(offset + SEMAPHORE_SIZE, THREAD_SLOTS)


def outside(counter: int) -> int:
    """Return the next value of an entry counter that says "outside"."""
    return (counter | INSIDE) + 1


def is_living_inside(table: MemberTable, counters: memoryview, how: int) -> bool:
    """Return whether a thread of a living process is inside.

    Args:
        table: The processes that share the lock.
        counters: The entry counters of the lock.
        how: The bits to look for: `WAITING`, `ENTERED` or `INSIDE`.
    """
    inside = [slot for slot, counter in enumerate(counters.tolist()) if counter & how]
    return any(_is_living(table, slot) for slot in inside)


def dead_inside(table: MemberTable, counters: memoryview) -> list[int]:
    """Return the thread slots that are inside and whose process has died."""
    inside = [slot for slot, counter in enumerate(counters.tolist()) if counter & INSIDE]
    return [slot for slot in inside if not _is_living(table, slot)]


def mark_outside(counters: memoryview, slots: Iterable[int]) -> None:
    """Mark thread slots of dead processes as outside."""
    for slot in slots:
        counters[slot] = outside(counters[slot])


def slots_holding(table: MemberTable, offset: int) -> list[int]:
    """Return the thread slots that hold the lock at an offset, are about to, or did just now."""
    counters = entry_counters(table, offset).tolist()
    return [slot for slot, counter in enumerate(counters) if counter & ENTERED]


def _is_living(table: MemberTable, slot: int) -> bool:
    owner = table.owner(slot)
    return owner is not None and table.is_alive(owner)


def _clean_thread_slot(table: MemberTable, offset: int, slot: int) -> bool:
    """Mark the slot of a dead thread as outside, if it certainly does not hold the lock.

    Returns:
        Whether the slot is outside now, so that another thread may have it.
    """
    counters = entry_counters(table, offset)

    def clean() -> None:
        # While the semaphore is above 0, nobody holds the lock.
        if counters[slot] & INSIDE and semaphore_value(table, offset):
            mark_outside(counters, [slot])

    if counters[slot] & INSIDE:
        # Only as the one that may recover the lock: a thread that recovers it
        # marks the slots as outside that it has found dead.  If this slot went
        # to a new thread in between, that thread would be marked instead.
        table.try_exclusive(offset, clean)
    return not counters[slot] & INSIDE


CLEANERS[LOCK] = _clean_thread_slot
