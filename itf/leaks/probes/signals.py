"""Signal handlers, blocked signals and timers, as settings."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterable
from typing import Any, Final

from itf.leaks.probes.changes import Change
from itf.leaks.quick import SIGNALS, signal_handlers
from itf.safe_repr import safe_repr

__all__ = ["SignalHandlers", "Timers", "restore_blocked", "signals_text"]

__unittest = True

_getitimer: Final[Any] = getattr(signal, "getitimer", None)

_TIMERS: Final = {
    name: getattr(signal, name)
    for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
    if hasattr(signal, name)
}


class SignalHandlers:
    """What each signal calls."""

    read = staticmethod(signal_handlers)

    def changes(self, before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterable[Change]:
        """Tell of every signal that calls something else."""
        for number, old, new in zip(SIGNALS, before, after, strict=True):
            if old != new:
                yield Change(
                    f"signal {_name_of(number)}",
                    _handler_text(old),
                    _handler_text(new),
                    _Handling(number, old),
                )


class _Handling:
    """Gives a signal the handler that it had."""

    def __init__(self, number: int, handler: Any) -> None:
        self.number = number
        self.handler = handler

    def __call__(self) -> None:
        # One that C code had set cannot be set from here: the signal does as by default.
        known = signal.SIG_DFL if self.handler is None else self.handler
        signal.signal(self.number, known)


def restore_blocked(numbers: set[int]) -> None:
    """Let this thread block these signals, and no others."""
    signal.pthread_sigmask(signal.SIG_SETMASK, numbers)


def signals_text(numbers: set[int]) -> str:
    """Return the names of signals."""
    return ", ".join(map(_name_of, sorted(numbers))) or "none"


def _name_of(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return str(number)


def _handler_text(handler: Any) -> str:
    if handler is None:
        return "a handler of C code"
    with contextlib.suppress(ValueError):
        return signal.Handlers(handler).name
    return safe_repr(handler)


class Timers:
    """Which of the three interval timers run, and until when."""

    def read(self) -> tuple[Any, ...]:
        """Return what is left of each of them, and between which moments that was read."""
        timers = tuple(map(_getitimer, _NUMBERS))
        # Of timers that run, what is left is never the same again; of those that
        # do not, all readings are equal.
        if timers == _ALL_OFF:
            return timers
        begun = time.monotonic()
        return (*map(_getitimer, _NUMBERS), begun, time.monotonic())

    def changes(self, before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterable[Change]:
        """Tell of every timer that was started, stopped, or set to another time."""
        for name, which, old, new in zip(_TIMERS, _TIMERS.values(), before, after, strict=False):
            if not old[0]:
                is_changed = bool(new[0])
            elif not new[0]:
                # What was to fire once, and had the time to, has fired.
                is_changed = bool(old[1]) or before[-2] + old[0] > time.monotonic()
            elif old[1] or new[1] or which != signal.ITIMER_REAL:
                is_changed = old[1] != new[1]
            else:
                is_changed = (
                    before[-1] + old[0] + _SLACK < after[-2] + new[0]
                    or after[-1] + new[0] + _SLACK < before[-2] + old[0]
                )
            if is_changed:
                yield Change(
                    f"timer {name}",
                    _timer_text(old),
                    _timer_text(new),
                    _Setting(which, old, before[-1]),
                )


# By so many seconds the same time to fire may differ from reading to reading:
# what is left is rounded to microseconds, and clocks are set right.
_SLACK: Final = 0.01

_NUMBERS: Final = tuple(_TIMERS.values())
_ALL_OFF: Final = ((0.0, 0.0),) * len(_TIMERS)


class _Setting:
    """Starts a timer anew that a test has stopped, or stops one."""

    def __init__(self, which: int, timer: tuple[float, float], read_at: Any) -> None:
        self.which = which
        self.timer = timer
        self.read_at = read_at

    def __call__(self) -> None:
        left, interval = self.timer
        if left:
            # What has passed since then has passed; one that is overdue fires at once.
            left = max(1e-6, left - (time.monotonic() - self.read_at))
        signal.setitimer(self.which, left, interval)


def _timer_text(timer: tuple[float, float]) -> str:
    left, interval = timer
    if not left:
        return "off"
    return f"on, {left:.3g} s left" + (f", then every {interval:g} s" if interval else "")
