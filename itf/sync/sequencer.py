"""Steps that run one after the other, in whichever process or thread each of them is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from itf.exceptions import WorkerDiedError, WorkerError, WorkerTimeoutError
from itf.sync.deadline import (
    DEFAULT_TIMEOUT,
    Deadline,
)
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from itf.sync.record import DoubleBufferedRecord
from itf.sync.wakeup import WakeUp
from itf.validation import check_integer, check_timeout

__all__ = ["Sequencer"]

__unittest = True

_NOBODY: Final = -1


class Sequencer:
    """Runs numbered steps in order, across processes and threads.

    Example:
        >>> sequence = Sequencer(MemberTable())
        >>> with sequence.step(0):
        ...     pass
        >>> with sequence.step(1):  # begins when step 0 is done
        ...     pass

    A step that ends with an exception counts as done, and the next step begins.

    Args:
        table: The processes that may use it.
        first: Number of the first step.
        default_timeout: Seconds to wait for the previous step; None waits forever.

    Thread safety: every method, from any thread.
    """

    def __init__(
        self, table: MemberTable, first: int = 0, *, default_timeout: float | None = DEFAULT_TIMEOUT
    ) -> None:
        first = check_integer("first", first, 0)
        self._default = check_timeout("default_timeout", default_timeout)
        self._table = table
        self._lock = SharedLock(table, "steps", default_timeout=None, label="the steps")
        self._wake_up = WakeUp(table, "the step before")
        # Number of the step that is next or running; process slot and pid of the process
        # that runs the step, _NOBODY and 0 if no process does.
        self._record = DoubleBufferedRecord(table, "the steps", "qqq", first, _NOBODY, 0)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at step {self._record.read()[0]}>"

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Wait until the previous step is done, and run this step in the ``with``.

        Raises:
            WorkerError: The step has run before, or is running.
            WorkerDiedError: The worker that ran an earlier step died in it.
            WorkerTimeoutError: The default timeout has passed.
        """
        number = check_integer("a step", number, 0)
        deadline = Deadline(None, self._default)
        if not self._wake_up.wait_for(lambda: self._begin(number, deadline), deadline):
            raise self._timed_out(number, deadline)
        try:
            yield
        finally:
            self._end(number)

    def _begin(self, number: int, deadline: Deadline) -> bool:
        if not self._lock.acquire(True, deadline.left()):
            return False
        try:
            now, process, pid = self._record.read()
            if number < now or (number == now and process != _NOBODY):
                raise WorkerError(f"step {number} was taken before; step {now} is next")
            if process != _NOBODY and not self._is_running(process, pid):
                name = self._table.member(process).name
                raise WorkerDiedError(
                    f"worker {name!r} (pid {pid}) died in step {now}; step {number} comes after it",
                    name,
                )
            if number != now:
                return False
            process = self._table.process_slot()
            self._record.write(number, process, self._table.member(process).pid)
            return True
        finally:
            self._lock.release()

    def _end(self, number: int) -> None:
        deadline = Deadline(None, self._default)
        if not self._lock.acquire(True, deadline.left()):
            raise self._timed_out(number, deadline)
        try:
            self._record.write(number + 1, _NOBODY, 0)
        finally:
            self._lock.release()
        self._wake_up.notify()

    def _is_running(self, process: int, pid: int) -> bool:
        return self._table.is_alive(process) and self._table.member(process).pid == pid

    def _timed_out(self, number: int, deadline: Deadline) -> WorkerTimeoutError:
        now, process, pid = self._record.read()
        taken = "no worker has begun" if process == _NOBODY else f"pid {pid} is in"
        return deadline.error(self._table, f"step {number} could not begin: {taken} step {now}")
