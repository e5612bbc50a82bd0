"""A plan on one attribute: what happens there to a call that is hit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from itf.exception_notes import add_note
from itf.exceptions import InjectedFaultError
from itf.faults.base_plan import BasePlan, Hit
from itf.faults.interceptors import CALL_ORIGINAL
from itf.faults.outcome_options import INJECTED, NOTHING, fresh_error
from itf.timeline import Timeline

__all__ = ["NO_PLAN", "AppliedPlan", "DefaultResult", "PlanStack"]

__unittest = True

DefaultResult: TypeAlias = Callable[[Hit, tuple[Any, ...], dict[str, Any]], Any]


class AppliedPlan:
    """A plan on one attribute.

    Attributes:
        take_ticket: Counts a call and returns its ticket; the ticket of a hit is false.
        plan: The plan.
        label: The name of the attribute in messages.
        event_data: Data that every event on the timeline carries.
        default_result: See ``Args``.

    Args:
        plan: The plan.
        timeline: The timeline that the hits are recorded on.
        label: The name of the attribute in messages.
        event_data: Data that every event on the timeline carries.
        default_result: Returns the result of a hit for which the plan defines none;
            called with the hit and the arguments of the call.  None raises an
            InjectedFaultError.
    """

    take_ticket: Callable[[], object]

    def __init__(
        self,
        plan: BasePlan,
        timeline: Timeline,
        label: str,
        event_data: dict[str, Any],
        default_result: DefaultResult | None,
    ) -> None:
        self.plan = plan
        self.label = label
        self.event_data = event_data
        self.default_result = default_result
        # A partial, not a bound method: the timeline keeps a reference for long, and a method
        # would keep the whole object alive.
        self._record_event = timeline.shorthand(
            "fault", functools.partial(_describe, plan, event_data)
        )
        # Looked up once here, to make the fast path of `handle_hit` fast. `_constant_outcome` is
        # None if the plan has several outcomes or the outcome waits.
        self._constant_outcome = None if plan.others or plan.last.waits else plan.last
        self._next_hit_number = plan.hit_numbers.__next__
        self._call_of = plan.schedule.call_of
        self._hit_waiters = plan.hit_waiters.wake_callbacks
        plan.attach(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # The other process records hits on a timeline of its own.
        return (_rebuild, (self.plan, self.label, self.event_data, self.default_result))

    def handle_hit(self, ticket: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out a hit; return the value of the call, or CALL_ORIGINAL."""
        outcome = self._constant_outcome
        if ticket is not False or outcome is None:
            hit_ticket = self.plan.resolve_ticket(ticket)
            if hit_ticket is None:
                return CALL_ORIGINAL
            return self.apply_hit(hit_ticket.hit, args, kwargs)
        # Fast path, for functions that are hit a million times.
        # The order of two simultaneous hits does not matter: each gets one of the two numbers.
        number = self._next_hit_number()
        self._record_event(number)
        if self._hit_waiters:
            self.plan.notify_hit()
        if outcome.returns is not NOTHING:
            return outcome.returns
        if outcome.raises is None:
            return self._end_call(self.plan.hit(number), args, kwargs)
        raise self._error(outcome.raises, self.plan, self._call_of(number), number)

    async def handle_hit_async(
        self, ticket: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Carry out a hit of a coroutine function."""
        hit_ticket = self.plan.resolve_ticket(ticket)
        if hit_ticket is None:
            return CALL_ORIGINAL
        return await self.apply_hit_async(hit_ticket.hit, args, kwargs)

    def apply_hit(self, hit: Hit, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record a hit, wait and end the call as its outcome says."""
        outcome = hit.outcome
        self._record_hit(hit)
        if outcome.waits:
            hit.plan.wait_before_call(outcome, self.label)
        return self._end_call(hit, args, kwargs) if outcome.ends_call else CALL_ORIGINAL

    async def apply_hit_async(self, hit: Hit, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what `apply_hit` does, without blocking the event loop."""
        outcome = hit.outcome
        self._record_hit(hit)
        if outcome.waits:
            await hit.plan.wait_before_call_async(outcome, self.label)
        return self._end_call(hit, args, kwargs) if outcome.ends_call else CALL_ORIGINAL

    def _record_hit(self, hit: Hit) -> None:
        self._record_event(hit)
        hit.plan.notify_hit()

    def _error(
        self,
        raises: BaseException | type[BaseException],
        plan: BasePlan,
        call: int,
        number: int,
    ) -> BaseException:
        # Created in a function of its own, and raised by the caller without a variable: the
        # traceback of the error refers to the frame that raises, and a variable there would refer
        # back to the error (a reference cycle).
        error = fresh_error(raises, number)
        add_note(error, f"{INJECTED}{plan.text} as call {call} of {self.label}")
        return error

    def _end_call(self, hit: Hit, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outcome = hit.outcome
        if outcome.raises is not None:
            raise self._error(outcome.raises, hit.plan, hit.call, hit.number)
        if outcome.returns is not NOTHING:
            return outcome.returns
        if self.default_result is not None:
            return self.default_result(hit, args, kwargs)
        raise InjectedFaultError(
            f"{self.label}: call {hit.call} fails, injected by {hit.plan}", self.label, hit.call
        )


def _rebuild(
    plan: BasePlan, label: str, event_data: dict[str, Any], default_result: DefaultResult | None
) -> AppliedPlan:
    return AppliedPlan(plan, Timeline(), label, event_data, default_result)


def _describe(
    plan: BasePlan, event_data: dict[str, Any], hit_or_number: int | Hit
) -> dict[str, Any]:
    """Return the data of a hit's event; the hit may be given by its number alone."""
    hit = plan.hit(hit_or_number) if isinstance(hit_or_number, int) else hit_or_number
    return {
        **event_data,
        "action": "hit",
        "call": hit.call,
        "plan": str(hit.plan),
        "outcome": hit.outcome.describe(),
    }


class _StackTicket:
    """The ticket of a call that several plans hit, with those plans and their hits."""

    def __init__(self, pairs: list[tuple[AppliedPlan, Hit]]) -> None:
        self.pairs = pairs

    def __bool__(self) -> bool:
        return False


class PlanStack:
    """Several plans on one attribute, as if each wrapped the function and the plans before it."""

    def __init__(self, applied_plans: tuple[AppliedPlan, ...]) -> None:
        self._applied_plans = applied_plans[::-1]

    def take_ticket(self) -> object:
        """Take a ticket of each plan, newest first, until a plan ends the call."""
        pairs = []
        for applied in self._applied_plans:
            ticket = applied.take_ticket()
            if ticket:
                continue
            hit_ticket = applied.plan.resolve_ticket(ticket)
            if hit_ticket is None:
                continue
            pairs.append((applied, hit_ticket.hit))
            if hit_ticket.hit.outcome.ends_call:
                break
        return _StackTicket(pairs) if pairs else True

    def handle_hit(self, ticket: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out the hits; return the value of the call, or CALL_ORIGINAL."""
        for applied, hit in ticket.pairs:
            value = applied.apply_hit(hit, args, kwargs)
            if value is not CALL_ORIGINAL:
                return value
        return CALL_ORIGINAL

    async def handle_hit_async(
        self, ticket: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Carry out the hits of a coroutine function."""
        for applied, hit in ticket.pairs:
            value = await applied.apply_hit_async(hit, args, kwargs)
            if value is not CALL_ORIGINAL:
                return value
        return CALL_ORIGINAL


class _NoPlan:
    """The handler of an attribute without plans: every call passes."""

    # The bound method of a constant: it always returns True, and needs no state that threads
    # share.
    take_ticket = True.__bool__

    def __reduce__(self) -> str:
        return "NO_PLAN"


NO_PLAN = _NoPlan()
"""The handler of an attribute without plans: every call passes."""
