"""The short cut through a lock, for the one thread that uses it over and over.

A lock notes who is inside, so that a dead holder is known (see
`itf.workers.lock`), and these notes cost more than the lock.  While nobody
else comes, they are not needed.  So such a lock **favours** a thread: the
semaphore stays at 0, and the thread has another one, its **cell**, which nobody
else ever acquires.  It holds the lock if it has acquired its cell.

Others who want the lock must withdraw the favour, whatever the thread does
meanwhile, and die while they do.  What they do to the cell must tell for ever
whether it was done, and whether the thread held the lock then.  So the cell is
at 2 when it is free and at 1 when it is held, and is withdrawn by turning the
bit of 2 over, at once: 2 becomes 0, which the thread cannot acquire any more.
If it holds it, 1 becomes 3, and 4 when it is released; then 2 is taken off
again, and nothing has happened.  Whoever dies anywhere in this leaves a number
that the next one can read.

All of this, but for the thread's own acquire and release, is done by one at a
time (a kernel lock, the same as for recovery).  The lock's own proof stands:
favour is given in place of a release, and by one who holds the lock; it is
withdrawn in place of an acquisition, by one who is inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from itf.workers.arena import SEATS, Tenant
from itf.workers.atomic import add, can_change_semaphores, flip, put
from itf.workers.private import semaphore_at
from itf.workers.roster import Roster
from itf.workers.semaphores import SEMAPHORE_SIZE, has_glibc

__all__ = ["DISOWNED", "FAVOUR_SIZE", "FREE", "Favour", "favoured_holder"]

__unittest = True

# The region: the number of the favoured seat + 1, then a cell for each seat.
_CELLS: Final = SEMAPHORE_SIZE
_CELL: Final = 32  # what sem_t takes
FAVOUR_SIZE: Final = _CELLS + SEATS * _CELL
"""How much memory a lock needs for it."""

_WITHDRAWN: Final = 0
_HELD: Final = 1
FREE: Final = 2
"""The value of a cell that can be acquired."""
DISOWNED: Final = 1000
"""What is added where somebody else than the holder releases.

The holder, who does not know, can neither release it nor mistake it for the
free cell.  It could acquire it, but does not try what it takes for its own.
"""

# Above it, a cell cannot be released: it is disowned.
_MAXIMUM: Final = 8


class Favour(Tenant):
    """Which seat a lock favours, and how that changes.

    All methods but `handle` are for whoever is alone with the lock.

    Attributes:
        word: The favoured seat + 1; 0 if the lock favours nobody.
    """

    word: memoryview
    _cells: memoryview

    _views = ("word", "_cells")

    def __init__(self, roster: Roster, offset: int) -> None:
        self._roster = roster
        self._offset = offset
        self.word = roster.words(offset, 1)
        self._cells = roster.words(offset + _CELLS, SEATS * _CELL // 4)
        roster.admit(self)

    @property
    def is_possible(self) -> bool:
        """Whether this system can do it."""
        return has_glibc() and can_change_semaphores()

    def handle(self, seat: int) -> Any:
        """Return a handle for a seat's cell, which is not favoured."""
        self._cells[seat * _CELL // 4] = _WITHDRAWN
        return semaphore_at(self._address(seat), _MAXIMUM)

    def value(self, seat: int) -> memoryview:
        """Return the value of a seat's cell; while it is not favoured, the seat may write it."""
        place = seat * _CELL // 4
        return self._cells[place : place + 1]

    def give(self, seat: int) -> None:
        """Favour a seat, whose thread holds the lock and has made its cell free."""
        put(self._roster.address + self._offset, seat + 1)

    def withdraw(self, report: Callable[[int], object]) -> bool:
        """Take the lock out of the cell, if nobody alive holds it.

        After it, nobody holds the lock, and nobody can acquire it, until
        `clear` is called.

        Args:
            report: Called with the seat of a dead one that has held it.
        """
        seat = self.word[0] - 1
        value = self._settled(seat)
        if value == FREE:
            flip(self._address(seat), FREE)
            value = self._value(seat)
            if value != _WITHDRAWN:
                add(self._address(seat), -FREE)
                return False
        if value == _HELD:
            owner = self._roster.owner(seat)
            if owner is not None and self._roster.is_alive(owner):
                return False
            report(seat)
            self._cells[seat * _CELL // 4] = _WITHDRAWN
        return True

    def clear(self) -> None:
        """Favour nobody any more: whoever is alone, and inside, has the lock now."""
        self.word[0] = 0

    def give_up(self, seat: int) -> bool:
        """Favour a seat no more, asked by its own thread; say whether that has the lock now."""
        holds: bool = self.word[0] == seat + 1 and self._settled(seat) == _HELD
        if holds:
            # By stores: interrupted between the two, it would hold what others can take.
            self._cells[seat * _CELL // 4] = _WITHDRAWN
            self.word[0] = 0
        return holds

    def disown(self) -> bool:
        """Release the lock in place of who holds it; False if nobody does."""
        seat = self.word[0] - 1
        if self._settled(seat) != _HELD:
            return False
        add(self._address(seat), DISOWNED)
        if self._value(seat) == DISOWNED + _HELD:
            return True
        add(self._address(seat), -DISOWNED)  # it was released meanwhile
        return False

    def _settled(self, seat: int) -> int:
        """Return a cell's value, after what somebody left who died in the middle of a change."""
        value = self._value(seat)
        if value > DISOWNED + _HELD:
            add(self._address(seat), -DISOWNED)
        elif value > DISOWNED:
            return value
        elif value > FREE:
            add(self._address(seat), -FREE)
        return self._value(seat)

    def _value(self, seat: int) -> int:
        return int(self._cells[seat * _CELL // 4])

    def _address(self, seat: int) -> int:
        address: int = self._roster.address
        return address + self._offset + _CELLS + seat * _CELL


def favoured_holder(roster: Roster, offset: int) -> list[int] | None:
    """Return who holds a lock through favour, at most one seat; None if it favours nobody."""
    seat = roster.words(offset, 1)[0] - 1
    if seat < 0:
        return None
    value = roster.words(offset + _CELLS + seat * _CELL, 1)[0]
    # With or without the mark of somebody who tries to withdraw it.
    return [seat] if value in (_HELD, _HELD + FREE) else []
