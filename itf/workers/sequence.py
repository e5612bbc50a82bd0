"""Steps that are taken in order, whoever takes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from itf.exceptions import WorkerDiedError, WorkerError, WorkerTimeoutError
from itf.workers.bell import Bell
from itf.workers.cell import Cell
from itf.workers.lock import SharedLock
from itf.workers.roster import Roster
from itf.workers.waits import (
    DEFAULT_TIMEOUT,
    Deadline,
    check_number,
    check_timeout,
)

__all__ = ["Sequence"]

__unittest = True

_NOBODY: Final = -1


class Sequence:
    """Steps that are taken in order, by whichever processes and threads.

    Example:
        >>> sequence = Sequence(Roster())
        >>> with sequence.step(0):
        ...     pass
        >>> with sequence.step(1):  # begins when step 0 is done
        ...     pass

    A step that is left by an exception is done as well; the exception is its
    worker's.

    Args:
        roster: Who may use it.
        first: The number of the first step.
        default_timeout: How long to wait for the step before, in seconds;
            None is for ever.

    Thread safety: every method, from any thread.
    """

    def __init__(
        self, roster: Roster, first: int = 0, *, default_timeout: float | None = DEFAULT_TIMEOUT
    ) -> None:
        first = check_number(first, "first")
        self._default = check_timeout(default_timeout)
        self._roster = roster
        self._lock = SharedLock(roster, "steps", default_timeout=None, label="the steps")
        self._bell = Bell(roster, "the step before")
        # The step that is next or going on; the process that takes it, and its pid.
        self._cell = Cell(roster, "the steps", "qqq", first, _NOBODY, 0)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at step {self._cell.read()[0]}>"

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Wait until the step before is done, and be this step until the end of the ``with``.

        Raises:
            WorkerError: The step was taken before.
            WorkerDiedError: The worker that took a step before this one died in it.
            WorkerTimeoutError: The default timeout has passed.
        """
        number = check_number(number, "a step")
        deadline = Deadline(None, self._default)
        if not self._bell.wait_for(lambda: self._begin(number, deadline), deadline):
            raise self._timed_out(number, deadline)
        try:
            yield
        finally:
            self._end(number)

    def _begin(self, number: int, deadline: Deadline) -> bool:
        if not self._lock.acquire(True, deadline.left()):
            return False
        try:
            now, process, pid = self._cell.read()
            if number < now or (number == now and process != _NOBODY):
                raise WorkerError(f"step {number} was taken before; step {now} is next")
            if process != _NOBODY and not self._is_there(process, pid):
                name = self._roster.member(process).name
                raise WorkerDiedError(
                    f"worker {name!r} (pid {pid}) died in step {now}; step {number} comes after it",
                    name,
                )
            if number != now:
                return False
            place = self._roster.place()
            self._cell.write(number, place, self._roster.member(place).pid)
            return True
        finally:
            self._lock.release()

    def _end(self, number: int) -> None:
        deadline = Deadline(None, self._default)
        if not self._lock.acquire(True, deadline.left()):
            raise self._timed_out(number, deadline)
        try:
            self._cell.write(number + 1, _NOBODY, 0)
        finally:
            self._lock.release()
        self._bell.ring()

    def _is_there(self, process: int, pid: int) -> bool:
        return self._roster.is_alive(process) and self._roster.member(process).pid == pid

    def _timed_out(self, number: int, deadline: Deadline) -> WorkerTimeoutError:
        now, process, pid = self._cell.read()
        taken = "nobody has begun" if process == _NOBODY else f"pid {pid} is in"
        return deadline.error(self._roster, f"step {number} could not begin: {taken} step {now}")
