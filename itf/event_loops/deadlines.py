"""Deadlines of a `VirtualLoop`, which count on its virtual clock and on the real one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Deadline", "Deadlines"]

__unittest = True


class Deadline:
    """A time at which a `VirtualLoop` calls a function; see `VirtualLoop.set_deadline`.

    Attributes:
        real: The time by `time.monotonic`.
        virtual: The time by the loop's clock; None if only the real clock counts.
        callback: The function.
    """

    def __init__(
        self,
        deadlines: Deadlines,
        real: float,
        virtual: float | None,
        callback: Callable[[], object],
    ) -> None:
        self._deadlines = deadlines
        self.real = real
        self.virtual = virtual
        self.callback = callback

    def cancel(self) -> None:
        """Do not call the function any more."""
        self._deadlines.discard(self)

    def is_expired(self, virtual_now: float) -> bool:
        """Return whether one of the two clocks has reached the time."""
        if self.virtual is not None and self.virtual <= virtual_now:
            return True
        return self.real <= time.monotonic()


class Deadlines:
    """The deadlines of one loop.

    Thread safety: none; only the thread of the loop uses this object.
    """

    def __init__(self) -> None:
        self._deadlines: list[Deadline] = []

    def add(self, real: float, virtual: float | None, callback: Callable[[], object]) -> Deadline:
        """Add a deadline; the arguments are the attributes of `Deadline`."""
        deadline = Deadline(self, real, virtual, callback)
        self._deadlines.append(deadline)
        return deadline

    def discard(self, deadline: Deadline) -> None:
        """Remove a deadline, if it is there."""
        if deadline in self._deadlines:
            self._deadlines.remove(deadline)

    def pop_expired(self, virtual_now: float) -> list[Deadline]:
        """Remove and return the deadlines that one of the clocks has reached."""
        expired = [each for each in self._deadlines if each.is_expired(virtual_now)]
        for deadline in expired:
            self.discard(deadline)
        return expired

    def real_seconds_left(self, virtual_now: float) -> float:
        """Return the real seconds until the first deadline, if both clocks run equally fast."""
        now = time.monotonic()
        seconds = [each.real - now for each in self._deadlines]
        seconds += [time_ - virtual_now for time_ in self._virtual_times()]
        return max(0.0, min(seconds, default=math.inf))

    def first_virtual_time(self) -> float:
        """Return the earliest time by the virtual clock; infinity if there is none."""
        return min(self._virtual_times(), default=math.inf)

    def _virtual_times(self) -> list[float]:
        return [each.virtual for each in self._deadlines if each.virtual is not None]
