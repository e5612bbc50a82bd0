"""FaultPlan: which calls of a function fail, and how."""

from __future__ import annotations

import dataclasses
import operator
import os
from collections.abc import Iterable
from typing import Any, Protocol, Unpack, overload

from itf.exceptions import FaultTimeoutError
from itf.faults.base_plan import BasePlan, count_text
from itf.faults.outcome_options import PASS, Outcome, OutcomeOptions, checked_outcome, seconds
from itf.faults.schedule import ENDLESS, Every, Random, Runs, Schedule
from itf.safe_repr import safe_repr

__all__ = ["FaultPlan"]

__unittest = True


class _CallsConstructor(Protocol):
    def __call__(self, *numbers: int, **options: Unpack[OutcomeOptions]) -> FaultPlan: ...


class _Calls:
    """On the class, the constructor ``calls(1, 4, 7)``; on a plan, the number of its calls."""

    @overload
    def __get__(self, plan: None, cls: type[FaultPlan]) -> _CallsConstructor: ...
    @overload
    def __get__(self, plan: FaultPlan, cls: type[FaultPlan]) -> int: ...
    def __get__(self, plan: FaultPlan | None, cls: type[FaultPlan]) -> Any:
        return cls._of_calls if plan is None else plan.count()


class FaultPlan(BasePlan):
    """Which calls of a function fail, and how.

    A constructor selects the calls that are hit, counted from 1.  Its keyword
    arguments define what happens to a hit:

    - ``raises``: an exception or an exception class.  The first hit raises an
      instance itself; later hits raise copies of it.
    - ``returns``: the value returned instead of the function's own.  For a
      generator function, the values that it yields.
    - ``delay``: seconds to wait before the call goes on.
    - ``hang``: the call hangs until `release`, until the plan is injected nowhere,
      or for ``timeout`` seconds (60 by default; None waits forever).  After a
      timeout it raises a `FaultTimeoutError`; otherwise the call goes on.
    - ``then``: another plan.  Once this plan has hit, each call that it does not
      hit is passed to ``then``.

    A plan with none of the first four raises an `InjectedFaultError`.

    `inject_faults` applies a plan to a function; on its own a plan does nothing.
    A plan counts all calls of all functions that it is applied to.  Processes
    count together: workers that receive the plan by closure or argument, and
    processes started by `multiprocessing` while the plan is applied.

    Example:
        >>> plan = FaultPlan.nth_call(2, raises=ConnectionError("line is down"))
        >>> import string
        >>> from itf import inject_faults
        >>> with inject_faults(string, "capwords", plan):
        ...     print(string.capwords("one"))
        ...     try:
        ...         string.capwords("two")
        ...     except ConnectionError as error:
        ...         print(error)
        One
        line is down
        >>> plan.calls, plan.hits
        (2, 1)

    Attributes:
        calls: How many calls were counted.
        hits: How many of these calls were hit.
        seed: The seed of a `probability` plan; None for all others.

    Thread safety: every method, from any thread of any process.
    """

    calls = _Calls()

    def __init__(self) -> None:
        raise TypeError(
            "a FaultPlan is made by always(), nth_call(n), first(n), every(n), calls(1, 4, 7), "
            "after(n), probability(p) or sequence([...])"
        )

    @classmethod
    def always(cls, **options: Unpack[OutcomeOptions]) -> FaultPlan:
        """Hit every call."""
        return cls._make("always()", Runs([(True, ENDLESS)]), options)

    @classmethod
    def nth_call(cls, n: int, **options: Unpack[OutcomeOptions]) -> FaultPlan:
        """Hit the n-th call."""
        constructor = f"nth_call({safe_repr(n)})"
        return cls._make(constructor, Runs.of_calls([_number(constructor, "n", n)]), options)

    @classmethod
    def first(cls, n: int, **options: Unpack[OutcomeOptions]) -> FaultPlan:
        """Hit the first n calls."""
        constructor = f"first({safe_repr(n)})"
        return cls._make(
            constructor, Runs([(True, _number(constructor, "n", n)), (False, ENDLESS)]), options
        )

    @classmethod
    def every(cls, n: int, **options: Unpack[OutcomeOptions]) -> FaultPlan:
        """Hit every n-th call: n, twice n, and so on."""
        constructor = f"every({safe_repr(n)})"
        return cls._make(constructor, Every(_number(constructor, "n", n)), options)

    @classmethod
    def _of_calls(cls, *numbers: int, **options: Unpack[OutcomeOptions]) -> FaultPlan:
        """Hit the calls with these numbers."""
        constructor = f"calls({', '.join(map(safe_repr, numbers))})"
        if not numbers:
            raise ValueError(
                "calls() needs the numbers of the calls to hit, such as calls(1, 4, 7)"
            )
        checked = {_number(constructor, "each number", number) for number in numbers}
        return cls._make(constructor, Runs.of_calls(sorted(checked)), options)

    @classmethod
    def after(cls, n: int, **options: Unpack[OutcomeOptions]) -> FaultPlan:
        """Hit every call after the first n."""
        constructor = f"after({safe_repr(n)})"
        runs = Runs([(False, _number(constructor, "n", n, 0)), (True, ENDLESS)])
        return cls._make(constructor, runs, options)

    @classmethod
    def probability(
        cls, p: float, *, seed: int | str | None = None, **options: Unpack[OutcomeOptions]
    ) -> FaultPlan:
        """Hit each call with a probability.

        The seed and the number of a call decide whether it is hit, independent of the
        thread or process that makes the call.

        Args:
            p: The probability, from 0 to 1.
            seed: The same seed hits the same calls.  By default a seed is drawn; the
                timeline of a failing test shows it.
            options: As for every plan.
        """
        constructor = f"probability({safe_repr(p)})"
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
            raise ValueError(f"{constructor}: p must be a number from 0 to 1, got {safe_repr(p)}")
        if seed is None:
            seed = int.from_bytes(os.urandom(4))
        elif isinstance(seed, bool) or not isinstance(seed, int | str):
            raise TypeError(f"{constructor}: seed must be an int or a str, got {safe_repr(seed)}")
        plan = cls._make(f"probability({p!r}, seed={seed!r})", Random(float(p), seed), options)
        plan.seed = seed
        return plan

    @classmethod
    def sequence(cls, outcomes: Iterable[Any], **options: Unpack[OutcomeOptions]) -> FaultPlan:
        """Give the first call the first outcome, the second call the second, and so on.

        Args:
            outcomes: An exception or exception class is raised, ``...`` passes the
                call, and any other value is returned.  After the last outcome, calls
                pass.
            options: As for every plan, except ``raises`` and ``returns``.
        """
        constructor = "sequence([...])"
        if "raises" in options or "returns" in options:
            raise ValueError(
                f"{constructor}: each outcome defines what is raised or returned; "
                "omit raises= and returns="
            )
        if isinstance(outcomes, str | bytes) or not isinstance(outcomes, Iterable):
            raise TypeError(f"{constructor} takes a list of outcomes, got {safe_repr(outcomes)}")
        items = list(outcomes)
        if not items:
            raise ValueError(f"{constructor} needs at least one outcome")
        base = checked_outcome(constructor, options)
        hits = [number for number, item in enumerate(items, start=1) if item is not PASS]
        ends = [
            dataclasses.replace(base, **_ending_of(constructor, items[hit - 1])) for hit in hits
        ]
        return cls._make(f"sequence({safe_repr(items)})", Runs.of_calls(hits), options, ends)

    @classmethod
    def _make(
        cls,
        text: str,
        schedule: Schedule,
        options: OutcomeOptions,
        ends: list[Outcome] | None = None,
    ) -> FaultPlan:
        outcome = checked_outcome(text, options)
        then = options.get("then")
        if then is not None and not isinstance(then, FaultPlan):
            raise TypeError(f"{text}: then must be another FaultPlan, got {safe_repr(then)}")
        if then is not None and schedule.is_endless:
            raise ValueError(
                f"{text} lets no call pass once it has hit, so that then= would never be asked; "
                "use first(n) or calls(...)"
            )
        plan = cls.__new__(cls)
        plan.set_up((text, schedule, ends or [outcome], then, None))
        return plan

    def wait_until_hit(self, timeout: float | None = 60.0, *, hits: int = 1) -> None:
        """Wait until a call is hit, in any thread or process.

        Args:
            timeout: Seconds to wait; None waits forever.
            hits: How many hits to wait for, counted since the plan was created.

        Raises:
            FaultTimeoutError: The hits did not happen in time.
        """
        limit = None if timeout is None else seconds("wait_until_hit()", "timeout", timeout)
        hits = _number("wait_until_hit()", "hits", hits)
        if not self.hit_waiters.wait_for(lambda: self.hits >= hits, limit, self.is_shared):
            times = "" if hits == 1 else f" {hits} times"
            raise FaultTimeoutError(
                f"{self} was not hit{times} within {limit:g} s; it has had "
                f"{count_text(self.calls, 'call')} and {count_text(self.hits, 'hit')}; "
                "is it injected where the calls are made?"
            )


def _number(constructor: str, name: str, value: object, least: int = 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{constructor}: {name} must be a whole number, got {safe_repr(value)}")
    number = operator.index(value)
    if not least <= number <= ENDLESS:
        raise ValueError(
            f"{constructor}: {name} must be a whole number from {least} on, got {safe_repr(value)}"
        )
    return number


def _ending_of(constructor: str, item: object) -> dict[str, Any]:
    """Return how an item of a sequence ends a call."""
    kind = item if isinstance(item, type) else type(item)
    if not issubclass(kind, BaseException):
        return {"returns": item}
    return {"raises": checked_outcome(constructor, {"raises": item}).raises}
