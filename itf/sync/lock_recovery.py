"""How a shared lock is taken over from a process that has died with it.

Only one thread of all processes recovers a lock at a time: it holds a lock of
the kernel, which ends with its process.  (Two at once would find one another
inside, and neither would succeed.)  That thread

1. finds the dead processes that are inside the lock (`itf.sync.lock_entries`),
2. reads all entry counters,
3. tries the semaphore.  If that succeeds, the lock was free, and is now held,
4. otherwise reads all entry counters again, and takes the lock over if they
   are unchanged and nobody but the dead processes and itself is inside.

Why no living thread holds the lock after step 4: suppose that thread X does.
X was outside in both step 2 and step 4, and its counter would have changed if
X had been inside in between (an "outside" value is used once).  So X was
outside when step 3 found the semaphore at 0.  The same is true of every other
living thread, and only a thread inside can release what it has acquired.  So
the semaphore stayed at 0, and X cannot have acquired it.  (A thread may also
release what another one has acquired.  If that happens after step 3, it is a
release of the lock that the recovering thread has got.)

There need not be a dead process inside: the semaphore may also be at 0 because
an exception has interrupted ``acquire()`` just after it was acquired.

The threads that wait have to be outside for step 4.  That is why a thread that
finds no living holder does not sleep on the semaphore.  A process that is
stopped while one of its threads is inside keeps the lock from being recovered
until it continues, because it might be the holder.
"""

from __future__ import annotations

from collections.abc import Callable

from itf.sync.lock_entries import ENTERED, INSIDE, WAITING, dead_inside, mark_outside
from itf.sync.members import MemberTable
from itf.sync.segment import Entry

__all__ = ["recover"]

__unittest = True


def recover(
    table: MemberTable,
    entry: Entry,
    counters: memoryview,
    slot: int,
    try_semaphore: Callable[[bool], bool],
) -> bool:
    """Acquire a lock, without a wait, if no living thread holds it.

    Args:
        table: The processes that share the lock.
        entry: The lock's entry in the directory.
        counters: The entry counters of the lock.
        slot: The thread slot of this thread, which does not hold the lock.  The thread
            is inside afterwards, as a waiter.
        try_semaphore: Acquires the lock's semaphore if it is above 0, and returns
            whether it did.

    Returns:
        Whether the lock was acquired.  If not, a living thread may hold it, or
        another thread is recovering it.
    """

    def attempt() -> bool:
        dead = dead_inside(table, counters)
        # Inside, because this thread may acquire the semaphore, or take the lock over.
        counters[slot] |= WAITING
        first = counters.tolist()
        if not try_semaphore(False):
            second = counters.tolist()
            inside = {number for number, counter in enumerate(second) if counter & INSIDE}
            if first != second or inside - {slot, *dead}:
                return False
            _record_holder(table, entry, dead, second)
        # Only now: if this thread is killed before the holder is recorded, the next
        # thread that recovers the lock has to find the holder inside.
        mark_outside(counters, dead)
        return True

    return bool(table.try_exclusive(entry.offset, attempt))


def _record_holder(table: MemberTable, entry: Entry, dead: list[int], counters: list[int]) -> None:
    """Record which dead process has held a lock.

    Args:
        table: The processes that share the lock.
        entry: The lock's entry in the directory.
        dead: The thread slots of dead processes that are inside; may be empty.
        counters: The entry counters of the lock.
    """
    # The threads that did not wait, if there are any.  Otherwise a waiting thread
    # was killed just after it had acquired the semaphore.
    suspects = [slot for slot in dead if counters[slot] & ENTERED] or dead
    for owner in {table.owner(slot) for slot in suspects}:
        if owner is not None:
            table.record_dead_holder(owner, entry.label)
