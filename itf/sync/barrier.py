"""A barrier between processes that does not count dead processes as waiting."""

from __future__ import annotations

from threading import BrokenBarrierError
from typing import Any, Final

from itf.exceptions import WorkerTimeoutError
from itf.sync.deadline import (
    DEFAULT_TIMEOUT,
    Deadline,
    check_name,
)
from itf.sync.lock import SharedLock
from itf.sync.members import CLEANERS, MemberTable
from itf.sync.segment import THREAD_SLOTS, SegmentUser
from itf.sync.wakeup import WakeUp
from itf.validation import check_integer, check_timeout

__all__ = ["SharedBarrier"]

__unittest = True

_BARRIER: Final = 8  # kind in the directory; even, because it has data for each thread slot

# Layout of the region in 8-byte numbers: the generation, 1 if the barrier is broken, and
# a mark for each thread slot.  A mark is the generation in which the thread waits,
# shifted, and the thread's index plus 1; it is 0 if the thread does not wait.
_WAITING: Final = 16
_SIZE: Final = _WAITING + 8 * THREAD_SLOTS
_INDEX_BITS: Final = 16
_INDEX: Final = (1 << _INDEX_BITS) - 1

# Mark of a thread that was waiting at a reset.  No generation is that high.
_RESET: Final = 1 << 63


class SharedBarrier(SegmentUser):
    """A barrier for processes and threads, as `multiprocessing.Barrier`.

    A process that is killed while it waits no longer counts as waiting.

    Args:
        table: The processes that may use it.
        name: Its name, for messages.
        parties: Number of threads that have to wait before all of them go on.
        default_timeout: Seconds to wait where no timeout is given; None waits forever.

    Attributes:
        name: Its name.
        parties: As given.

    Thread safety: every method, from any thread.
    """

    _views = ("_state", "_waiting")

    def __init__(
        self,
        table: MemberTable,
        name: str,
        parties: int,
        *,
        default_timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        self.name = check_name(name, "barrier")
        self.parties = check_integer("parties", parties, 1)
        if self.parties > THREAD_SLOTS:
            raise ValueError(f"a barrier has at most {THREAD_SLOTS} parties, got {parties}")
        self._default = check_timeout("default_timeout", default_timeout)
        self._table = table
        label = f"barrier {name!r}"
        # Protects all data in the region against concurrent changes.  Each change is one
        # store, so a process that is killed with the lock leaves consistent data.
        self._lock = SharedLock(table, name, default_timeout=None, label=label)
        self._wake_up = WakeUp(table, label)
        self._offset = table.allocate(_BARRIER, _SIZE, label).offset
        self._attach()
        self._state[0] = 1

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in self._views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._attach()

    def _attach(self) -> None:
        self._state = self._table.longs(self._offset, 2)  # generation, broken
        self._waiting = self._table.longs(self._offset + _WAITING, THREAD_SLOTS)
        self._table.register(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def n_waiting(self) -> int:
        """Number of waiting threads of living processes."""
        return len(self._waiters())

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""
        return bool(self._state[1])

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties wait.

        Args:
            timeout: Seconds to wait, by default the barrier's default timeout.

        Returns:
            A number from 0 to ``parties - 1``, different for each party.

        Raises:
            threading.BrokenBarrierError: The barrier was broken or reset, or
                the given timeout has passed, which breaks it.
            WorkerTimeoutError: The default timeout has passed, which breaks it.
        """
        deadline = Deadline(timeout, self._default)
        slot = self._table.thread_slot()
        waiting = self._waiting
        try:
            mark = self._arrive(slot, deadline)
            self._wake_up.wait_for(lambda: self._is_over(slot, mark), deadline)
            return self._finish(slot, mark, deadline)
        finally:
            waiting[slot] = 0

    def reset(self) -> None:
        """Raise BrokenBarrierError in the waiting threads, and make the barrier usable again."""
        with self._lock:
            for slot in self._waiters():
                self._waiting[slot] = _RESET
            self._state[1] = 0
        self._wake_up.notify()

    def abort(self) -> None:
        """Break the barrier until it is reset."""
        with self._lock:
            self._state[1] = 1
        self._wake_up.notify()

    def _waiters(self) -> dict[int, int]:
        """Return the index of each waiting thread of a living process, by thread slot."""
        generation = self._state[0]
        waiters = {
            slot: (mark & _INDEX) - 1
            for slot, mark in enumerate(self._waiting.tolist())
            if mark and mark >> _INDEX_BITS == generation
        }
        for slot in list(waiters):
            owner = self._table.owner(slot)
            if owner is None or not self._table.is_alive(owner):
                del waiters[slot]
        return waiters

    def _arrive(self, slot: int, deadline: Deadline) -> int:
        """Mark a thread as waiting; return its mark."""
        if not self._lock.acquire(True, deadline.left()):
            raise self._timed_out(deadline)
        try:
            if self._state[1]:
                raise BrokenBarrierError
            generation, waiters = self._state[0], self._waiters()
            index = min(set(range(self.parties)) - set(waiters.values()))
            mark = generation << _INDEX_BITS | index + 1
            self._waiting[slot] = mark
            if len(waiters) + 1 == self.parties:
                # This store releases all threads that wait in this generation.
                self._state[0] = generation + 1
        finally:
            self._lock.release()
        if self._state[0] != generation:
            self._wake_up.notify()
        return int(mark)

    def _passed(self, mark: int) -> bool:
        return bool(self._state[0] > mark >> _INDEX_BITS)

    def _is_over(self, slot: int, mark: int) -> bool:
        return bool(self._waiting[slot] == _RESET or self._passed(mark) or self._state[1])

    def _finish(self, slot: int, mark: int, deadline: Deadline) -> int:
        if self._waiting[slot] == _RESET:
            raise BrokenBarrierError
        if not self._passed(mark):
            if self._state[1]:
                raise BrokenBarrierError
            error = self._timed_out(deadline)
            if not self._break(mark):
                raise error
        return (mark & _INDEX) - 1

    def _break(self, mark: int) -> bool:
        """Break the barrier after a timeout; return True if all parties have arrived just now."""
        with self._lock:
            if self._passed(mark):
                return True
            self._state[1] = 1
        self._wake_up.notify()
        return False

    def _timed_out(self, deadline: Deadline) -> BrokenBarrierError | WorkerTimeoutError:
        if deadline.explicit:
            return BrokenBarrierError()
        return deadline.error(
            self._table,
            f"barrier {self.name!r}: {self.n_waiting} of {self.parties} parties have come",
        )


def _clean_thread_slot(table: MemberTable, offset: int, slot: int) -> bool:
    table.longs(offset + _WAITING, THREAD_SLOTS)[slot] = 0
    return True


CLEANERS[_BARRIER] = _clean_thread_slot
