"""A lock between processes that never stays locked because its holder has died.

The lock is a semaphore of the system, with the value 1 while the lock is free.
Beside it, each thread has an entry counter in shared memory that says whether
the thread is *inside* the lock, which means: may hold it (`itf.sync.lock_entries`).

**Acquire**: mark this thread as inside, then try the semaphore.  If the semaphore
is at 0, mark the thread as outside and find out whether a living process can be
the holder.  If so, sleep on the semaphore for some milliseconds (inside again,
because the semaphore may be acquired in this sleep), and repeat.  If not,
recover the lock.

**Release**: release the semaphore, then mark this thread as outside.

**Recover**: see `itf.sync.lock_recovery`, which also has the proof that no two
threads ever hold the lock.

If an exception interrupts ``acquire()`` (Ctrl-C, for example), the thread cannot
know whether it has the semaphore.  It marks itself as outside in both cases.  If
it had the semaphore, nobody is inside now, and the next thread that wants the
lock recovers it.
"""

from __future__ import annotations

import time
from multiprocessing import context
from threading import get_ident
from types import TracebackType
from typing import Any, Final

from itf._private import semlock_value
from itf.sync.deadline import DEFAULT_TIMEOUT, Deadline, check_name
from itf.sync.lock_entries import (
    ENTERED,
    INSIDE,
    LOCK,
    LOCK_SIZE,
    WAITING,
    entry_counters,
    is_living_inside,
    outside,
)
from itf.sync.lock_recovery import recover
from itf.sync.members import MemberTable
from itf.sync.os_semaphore import SystemSemaphore, poll_seconds
from itf.tracebacks import code_location
from itf.validation import check_timeout

__all__ = ["SharedLock"]

__unittest = True

# Seconds between two attempts to recover the lock.  Each attempt fails until all
# living waiters have finished a sleep on the semaphore, which takes 0.01 at most.
_RETRY: Final = 0.001


class _ThreadSlots(dict[int, int]):
    """The thread slots of this process, by the ident of the thread."""

    def __init__(self, table: MemberTable) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, ident: int) -> int:
        slot = self[ident] = self._table.thread_slot()
        if self._table.closed:
            # `SharedLock.detach` may have cleared this dict before the slot was in it.
            self.clear()
        self._table.check_open()
        return slot


class SharedLock:
    """A lock for processes and threads, as `multiprocessing.Lock`, that outlives its holders.

    Example:
        >>> lock = SharedLock(MemberTable(), "data")
        >>> with lock:
        ...     lock.acquire(timeout=0)
        False

    Args:
        table: The processes that may use it.
        name: Its name, for messages.
        default_timeout: Seconds to wait for the lock where no timeout is given;
            None waits forever.
        label: What messages call it; by default "lock" and its name.

    Attributes:
        name: Its name.

    Thread safety: every method, from any thread.  Another thread or process than
    the one that acquired the lock may release it.  Until the first one uses the
    lock again, it is then regarded as a possible holder, and the lock of a dead
    process is not recovered.  A signal handler can acquire the lock while its
    thread waits for it, but does not recover it from a dead process.
    """

    def __init__(
        self,
        table: MemberTable,
        name: str,
        *,
        default_timeout: float | None = DEFAULT_TIMEOUT,
        label: str = "",
    ) -> None:
        self.name = check_name(name, "lock")
        self._table = table
        self._default = check_timeout("default_timeout", default_timeout)
        self._entry = table.allocate(LOCK, LOCK_SIZE, label or f"lock {name!r}")
        self._semaphore = SystemSemaphore(table, self._entry.offset, 1, 1)
        self._attach()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __getstate__(self) -> tuple[Any, ...]:
        # As multiprocessing.Lock: a copy would be the same lock, not another one.
        context.assert_spawning(self)
        return self._table, self.name, self._default, self._entry, self._semaphore

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._table, self.name, self._default, self._entry, self._semaphore = state
        self._attach()

    def _attach(self) -> None:
        self._counters = entry_counters(self._table, self._entry.offset)
        # Stored, because looking them up at each call costs a tenth of the call.
        self._handle: Any = self._semaphore.handle()
        self._try_semaphore, self._post_semaphore = self._handle.acquire, self._handle.release
        self._slots = _ThreadSlots(self._table)
        self._table.register(self)

    def detach(self) -> None:
        """Release the shared memory, because the environment has ended."""
        # In this order: a method reads the counters first and the slots second.
        # A method that reads these counters finds no slot, which raises.
        self._slots.clear()
        self._counters = memoryview(b"")

    def reset_after_fork(self) -> None:
        """Forget the thread slots, which belong to the parent process of this forked child."""
        self._slots.clear()

    # The next three methods keep the entry counters in a local variable, so that
    # the memory stays mapped until the end of the call if the environment ends in
    # between.  After the first write they call no function of Python where an
    # exception of a signal handler at its start would leave the counter wrong.

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquire the lock; wait for it if another thread holds it.

        Args:
            block: Whether to wait.
            timeout: Seconds to wait, by default the lock's default timeout.

        Returns:
            Whether the lock was acquired; False only where ``block`` is false or
            ``timeout`` is given.

        Raises:
            WorkerTimeoutError: No timeout was given, and the default timeout has
                passed.
            WorkerError: The environment has ended.
        """
        counters = self._counters
        slot = self._slots[get_ident()]
        before = counters[slot]
        acquired = False
        try:
            # First of all: a process that is killed after it has acquired the
            # semaphore has to be inside.
            counters[slot] = before | ENTERED
            acquired = self._try_semaphore(False) or self._wait(
                counters, slot, before, block, timeout
            )
            return acquired
        finally:
            if not acquired:
                # As `_rest`, which an exception could interrupt at its start.
                now = counters[slot]
                counters[slot] = (
                    now & ~INSIDE | before & INSIDE if before & INSIDE else (now | INSIDE) + 1
                )

    def release(self) -> None:
        """Release the lock, whichever thread has acquired it.

        Raises:
            ValueError: The lock is free.
            WorkerError: The environment has ended.
        """
        counters = self._counters
        slot = self._slots[get_ident()]
        try:
            self._post_semaphore()
        finally:
            # Not before: a process that is killed with the semaphore in its hands
            # has to be inside.  If a signal handler has interrupted this thread in
            # `_wait`, and releases the lock, the thread stays inside as a waiter.
            now = counters[slot]
            counters[slot] = now & ~ENTERED if now & WAITING else (now | INSIDE) + 1

    __enter__ = acquire

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # As `release`, written out because a call of it costs a tenth of a `with`.
        counters = self._counters
        slot = self._slots[get_ident()]
        try:
            self._post_semaphore()
        finally:
            now = counters[slot]
            counters[slot] = now & ~ENTERED if now & WAITING else (now | INSIDE) + 1

    def locked(self) -> bool:
        """Return whether a living thread holds the lock, or is about to acquire it.

        It does not wait.  A lock whose holder has died is not locked: the next
        ``acquire()`` gets it.
        """
        counters = self._counters
        self._table.check_open()
        if semlock_value(self._handle) > 0:
            return False
        return is_living_inside(self._table, counters, INSIDE)

    def _wait(
        self,
        counters: memoryview,
        slot: int,
        before: int,
        block: bool,
        timeout: float | None,
    ) -> bool:
        """Acquire the lock after a first attempt has failed.

        Args:
            counters: The entry counters.
            slot: The thread slot of this thread.
            before: Its entry counter before ``acquire()``.  It says "inside" if
                this thread holds the lock already, or if ``acquire()`` is called
                by a signal handler that has interrupted this method.
            block: As for `acquire`.
            timeout: As for `acquire`.
        """
        table = self._table
        deadline = Deadline(timeout if block else 0.0, self._default)
        waits_for = table.waits_for_view(slot)
        try:
            while True:
                _rest(counters, slot, before)
                pause = poll_seconds(deadline.left())
                if before & INSIDE or is_living_inside(table, counters, ENTERED):
                    # Inside before the sleep, as in `acquire`.  A thread that was
                    # inside before must not recover the lock, because it may hold
                    # it: a signal handler can interrupt this method just after
                    # this line has acquired the semaphore.
                    counters[slot] |= WAITING
                    acquired = bool(self._try_semaphore(True, pause))
                else:
                    acquired = recover(table, self._entry, counters, slot, self._try_semaphore)
                    if not acquired:
                        # Outside, because a thread that recovers the lock needs that.
                        counters[slot] = outside(counters[slot])
                        time.sleep(min(_RETRY, pause))
                if acquired:
                    counters[slot] = counters[slot] & ~INSIDE | before & WAITING | ENTERED
                    return True
                passed = deadline.passed()
                if passed and deadline.explicit:
                    return False
                if not waits_for[0]:
                    # Only now, because it takes longer than most waits.
                    table.record_wait(self._entry.number, code_location())
                if passed:
                    raise deadline.error(table, f"{self._entry.label} was not acquired")
        finally:
            waits_for[0] = 0


def _rest(counters: memoryview, slot: int, before: int) -> None:
    """Mark a thread as outside, or as inside in the way in which it was before ``acquire()``."""
    now = counters[slot]
    counters[slot] = now & ~INSIDE | before & INSIDE if before & INSIDE else outside(now)
