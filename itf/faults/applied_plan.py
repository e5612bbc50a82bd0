"""A plan at one place: what happens there to a call that is hit."""

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
    """A plan at one place.

    Attributes:
        take_ticket: Takes a ticket for a call: false if the call is hit.
        plan: The plan.
        label: What it is in, for messages.
        event_data: What is told with each event.
        default_result: What becomes of a call that is hit where the plan does not say it.

    Args:
        plan: The plan.
        timeline: Where its hits are told.
        label: What it is in.
        event_data: What is told with each event.
        default_result: What becomes of a call that is hit where the plan does not say
            it; called with the hit and the arguments of the call.
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
        # Not by a method: what is on a timeline for long would keep all of this.
        self._note = timeline.shorthand("fault", functools.partial(_describe, plan, event_data))
        # What makes the short way short: nothing of it is looked for at a hit.
        self._only = None if plan.others or plan.last.waits else plan.last
        self._next_hit_number = plan.hit_numbers.__next__
        self._call_of = plan.schedule.call_of
        self._watching = plan.hit_waiters.wake_callbacks
        plan.attach(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process, what happens is on a timeline there.
        return (_remake, (self.plan, self.label, self.event_data, self.default_result))

    def handle_hit(self, ticket: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what happens to a call that is hit; return its value, or CALL_ORIGINAL."""
        outcome = self._only
        if ticket is not False or outcome is None:
            struck = self.plan.resolve_ticket(ticket)
            return CALL_ORIGINAL if struck is None else self.apply_hit(struck.hit, args, kwargs)
        # The short way, for loops that are hit a million times.
        # Of two threads that are hit at once, each gets one of the two numbers.
        number = self._next_hit_number()
        self._note(number)
        if self._watching:
            self.plan.notify_hit()
        if outcome.returns is not NOTHING:
            return outcome.returns
        if outcome.raises is None:
            return self._end(self.plan.hit(number), args, kwargs)
        raise self._error(outcome.raises, self.plan, self._call_of(number), number)

    async def handle_hit_async(
        self, ticket: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Do what happens to a call of a coroutine function."""
        struck = self.plan.resolve_ticket(ticket)
        return (
            CALL_ORIGINAL
            if struck is None
            else await self.apply_hit_async(struck.hit, args, kwargs)
        )

    def apply_hit(self, hit: Hit, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what a hit does; return the value of the call, or CALL_ORIGINAL."""
        outcome = hit.outcome
        self._tell(hit)
        if outcome.waits:
            hit.plan.wait_before_call(outcome, self.label)
        return self._end(hit, args, kwargs) if outcome.ends_call else CALL_ORIGINAL

    async def apply_hit_async(self, hit: Hit, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what a hit does, in a coroutine."""
        outcome = hit.outcome
        self._tell(hit)
        if outcome.waits:
            await hit.plan.wait_before_call_async(outcome, self.label)
        return self._end(hit, args, kwargs) if outcome.ends_call else CALL_ORIGINAL

    def _tell(self, hit: Hit) -> None:
        self._note(hit)
        hit.plan.notify_hit()

    def _error(
        self,
        raises: BaseException | type[BaseException],
        plan: BasePlan,
        call: int,
        number: int,
    ) -> BaseException:
        # Made here, and raised elsewhere by no name: its traceback leads to the
        # frame that raises it, which is not to lead back to it.
        error = fresh_error(raises, number)
        add_note(error, f"{INJECTED}{plan.text} as call {call} of {self.label}")
        return error

    def _end(self, hit: Hit, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outcome = hit.outcome
        if outcome.raises is not None:
            raise self._error(outcome.raises, hit.plan, hit.call, hit.number)
        if outcome.returns is not NOTHING:
            return outcome.returns
        if self.default_result is not None:
            return self.default_result(hit, args, kwargs)
        raise InjectedFaultError(
            f"{self.label}: call {hit.call} fails, as {hit.plan} has it", self.label, hit.call
        )


def _remake(
    plan: BasePlan, label: str, event_data: dict[str, Any], default_result: DefaultResult | None
) -> AppliedPlan:
    return AppliedPlan(plan, Timeline(), label, event_data, default_result)


def _describe(plan: BasePlan, event_data: dict[str, Any], what: int | Hit) -> dict[str, Any]:
    """Say what is on the timeline of a hit, of which the number may be all that was kept."""
    hit = plan.hit(what) if isinstance(what, int) else what
    return {
        **event_data,
        "action": "hit",
        "call": hit.call,
        "plan": str(hit.plan),
        "outcome": hit.outcome.describe(),
    }


class _StackTicket:
    """The ticket of a call that is hit by several plans, and what each of them is."""

    def __init__(self, pairs: list[tuple[AppliedPlan, Hit]]) -> None:
        self.pairs = pairs

    def __bool__(self) -> bool:
        return False


class PlanStack:
    """Several plans, as if each had a function of its own around those that were there before."""

    def __init__(self, applied_plans: tuple[AppliedPlan, ...]) -> None:
        self._applied_plans = applied_plans[::-1]

    def take_ticket(self) -> object:
        """Take a ticket of each, down to the one that ends the call."""
        pairs = []
        for applied in self._applied_plans:
            ticket = applied.take_ticket()
            if ticket:
                continue
            struck = applied.plan.resolve_ticket(ticket)
            if struck is None:
                continue
            pairs.append((applied, struck.hit))
            if struck.hit.outcome.ends_call:
                break
        return _StackTicket(pairs) if pairs else True

    def handle_hit(self, ticket: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what happens to a call that is hit; return its value, or CALL_ORIGINAL."""
        for applied, hit in ticket.pairs:
            value = applied.apply_hit(hit, args, kwargs)
            if value is not CALL_ORIGINAL:
                return value
        return CALL_ORIGINAL

    async def handle_hit_async(
        self, ticket: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Do what happens to a call of a coroutine function."""
        for applied, hit in ticket.pairs:
            value = await applied.apply_hit_async(hit, args, kwargs)
            if value is not CALL_ORIGINAL:
                return value
        return CALL_ORIGINAL


class _NoPlan:
    """Every call passes."""

    # Returns True, and has no state that threads could share.
    take_ticket = True.__bool__

    def __reduce__(self) -> str:
        return "NO_PLAN"


NO_PLAN = _NoPlan()
"""Who is handler_cell where there is no plan: every call passes."""
