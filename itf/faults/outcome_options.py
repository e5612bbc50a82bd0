"""What happens to a call that is hit: the options of a plan, checked."""

from __future__ import annotations

import copy
import dataclasses
import math
import threading
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from itf.safe_repr import safe_repr

__all__ = [
    "INJECTED",
    "NOTHING",
    "OPTION_NAMES",
    "PASS",
    "Outcome",
    "OutcomeOptions",
    "checked_outcome",
    "fresh_error",
    "seconds",
]

__unittest = True

PASS: Final = ...
"""The outcome in a sequence that passes a call."""


class _Nothing:
    """The type of `NOTHING`."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()
"""Marks that ``returns`` was not given; None is a value."""


INJECTED: Final = "injected by "
"""Prefix of the note that an injected exception gets."""


class OutcomeOptions(TypedDict, total=False):
    """The keyword options of a plan; `itf.faults.plan.FaultPlan` describes them."""

    raises: BaseException | type[BaseException] | None
    returns: Any
    delay: float | None
    hang: bool
    timeout: float | None
    then: Any


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What happens to a call that is hit: first the delay, then the hang, then its end.

    Attributes:
        raises: The exception or exception class; None raises nothing.
        returns: The value returned instead of the call's own; NOTHING for none.
        delay: Seconds to wait; None waits for nothing.
        hang: Whether the call hangs until it is released.
        timeout: Seconds the call may hang; None is forever.
        waits: Whether the call is delayed or hangs.
        ends_call: Whether the call never reaches the original function.
    """

    raises: BaseException | type[BaseException] | None = None
    returns: Any = NOTHING
    delay: float | None = None
    hang: bool = False
    timeout: float | None = 60.0
    # Computed once, because every hit reads them.
    waits: bool = dataclasses.field(init=False)
    ends_call: bool = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        waits = self.delay is not None or self.hang
        ends = self.raises is not None or self.returns is not NOTHING
        for name, value in (
            ("waits", waits),
            ("ends_call", ends or not waits),
        ):
            object.__setattr__(self, name, value)

    def describe(self) -> str:
        """Return a short text, such as ``is delayed by 2 s, raises OSError``."""
        parts = []
        if self.delay is not None:
            parts.append(f"is delayed by {self.delay:g} s")
        if self.hang:
            parts.append("hangs")
        if self.raises is not None:
            kind = self.raises if isinstance(self.raises, type) else type(self.raises)
            parts.append(f"raises {kind.__name__}")
        if self.returns is not NOTHING:
            parts.append(f"returns {safe_repr(self.returns)}")
        return ", ".join(parts) or "fails"


OPTION_NAMES: Final = tuple(field.name for field in dataclasses.fields(Outcome) if field.init)
"""The options of a plan, without ``then``."""


def checked_outcome(constructor: str, options: Mapping[str, Any]) -> Outcome:
    """Return an outcome from checked options.

    Args:
        constructor: The constructor that was called, for messages.
        options: The options, by name.

    Raises:
        TypeError: An option is unknown or has the wrong type.
        ValueError: Options contradict one another, or a value is out of range.
    """
    unknown = options.keys() - {*OPTION_NAMES, "then"}
    if unknown:
        raise TypeError(
            f"{constructor} does not take {', '.join(sorted(unknown))}; "
            f"it takes {', '.join(OPTION_NAMES)}, then"
        )
    parts = Outcome(**{name: value for name, value in options.items() if name != "then"})
    if parts.raises is not None and parts.returns is not NOTHING:
        raise ValueError(
            f"{constructor}: raises={safe_repr(parts.raises)} and "
            f"returns={safe_repr(parts.returns)} contradict each other; a call ends in one way"
        )
    if not isinstance(parts.hang, bool):
        raise TypeError(f"{constructor}: hang must be True or False, got {safe_repr(parts.hang)}")
    timeout = parts.timeout
    return dataclasses.replace(
        parts,
        raises=_checked_error(constructor, parts.raises),
        delay=None if parts.delay is None else seconds(constructor, "delay", parts.delay),
        timeout=None if timeout is None else seconds(constructor, "timeout", timeout),
    )


def _checked_error(constructor: str, raises: object) -> BaseException | type[BaseException] | None:
    if raises is None or isinstance(raises, BaseException):
        return raises
    if not isinstance(raises, type) or not issubclass(raises, BaseException):
        raise TypeError(
            f"{constructor}: raises must be an exception or the class of one, "
            f"got {safe_repr(raises)}"
        )
    try:
        raises()
    except Exception as error:
        raise TypeError(
            f"{constructor}: {raises.__name__} cannot be made without arguments ({error}); "
            f"pass an instance: raises={raises.__name__}(...)"
        ) from error
    return raises


def seconds(constructor: str, name: str, value: object) -> float:
    """Return a checked number of seconds.

    Raises:
        TypeError: The value is not a number.
        ValueError: The value is negative or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(
            f"{constructor}: {name} must be a number of seconds, got {safe_repr(value)}"
        )
    if math.isnan(value) or value < 0:
        raise ValueError(f"{constructor}: {name} must be seconds from 0 on, got {safe_repr(value)}")
    # The longest time that a lock can wait.
    return float(min(value, threading.TIMEOUT_MAX))


def fresh_error(raises: BaseException | type[BaseException], hit: int) -> BaseException:
    """Return the exception of a hit.

    The first hit raises the given instance.  Later hits raise copies: raised again,
    the instance would keep its earlier traceback, and another thread would extend
    that.  An instance that cannot be copied is raised again.
    """
    if isinstance(raises, type):
        return raises()
    if hit == 1:
        return raises
    try:
        made = copy.copy(raises)
    except Exception:  # noqa: BLE001 - its class may want other arguments than it keeps
        made = raises
    if type(made) is not type(raises):
        made = raises
    notes = getattr(made, "__notes__", None)
    if isinstance(notes, list):
        made.__notes__ = [note for note in notes if not str(note).startswith(INJECTED)]
    made.__cause__, made.__suppress_context__ = raises.__cause__, raises.__suppress_context__
    return made.with_traceback(None)
