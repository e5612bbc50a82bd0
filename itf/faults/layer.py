"""A plan at one place: what happens there to a call that is hit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from itf.exception_notes import add_note
from itf.exceptions import InjectedFaultError
from itf.faults.counted import CountedPlan, Hit
from itf.faults.outcome import INJECTED, NOTHING, fresh_error
from itf.faults.wrapping import PASS_ON
from itf.timeline import Timeline

__all__ = ["NO_PLAN", "Blank", "Layer", "Stack"]

__unittest = True

Blank: TypeAlias = Callable[[Hit, tuple[Any, ...], dict[str, Any]], Any]


class Layer:
    """A plan at one place.

    Attributes:
        tick: Takes a ticket for a call: false if the call is hit.
        plan: The plan.
        label: What it is in, for messages.
        about: What is told with each event.
        blank: What becomes of a call that is hit where the plan does not say it.

    Args:
        plan: The plan.
        timeline: Where its hits are told.
        label: What it is in.
        about: What is told with each event.
        blank: What becomes of a call that is hit where the plan does not say
            it; called with the hit and the arguments of the call.
    """

    tick: Callable[[], object]

    def __init__(
        self,
        plan: CountedPlan,
        timeline: Timeline,
        label: str,
        about: dict[str, Any],
        blank: Blank | None,
    ) -> None:
        self.plan = plan
        self.label = label
        self.about = about
        self.blank = blank
        # Not by a method: what is on a timeline for long would keep all of this.
        self._note = timeline.shorthand("fault", functools.partial(_describe, plan, about))
        # What makes the short way short: nothing of it is looked for at a hit.
        self._only = None if plan.others or plan.last.waits else plan.last
        self._claim = plan.claims.__next__
        self._call_of = plan.schedule.call_of
        self._watching = plan.watchers.wakers
        plan.enlist(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process, what happens is on a timeline there.
        return (_remake, (self.plan, self.label, self.about, self.blank))

    def strike(self, ticket: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what happens to a call that is hit; return its value, or PASS_ON."""
        outcome = self._only
        if ticket is not False or outcome is None:
            struck = self.plan.claim(ticket)
            return PASS_ON if struck is None else self.suffer(struck.hit, args, kwargs)
        # The short way, for loops that are hit a million times.
        # Of two threads that are hit at once, each gets one of the two numbers.
        number = self._claim()
        self._note(number)
        if self._watching:
            self.plan.announce()
        if outcome.returns is not NOTHING:
            return outcome.returns
        if outcome.raises is None:
            return self._end(self.plan.hit(number), args, kwargs)
        raise self._error(outcome.raises, self.plan, self._call_of(number), number)

    async def strike_async(
        self, ticket: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Do what happens to a call of a coroutine function."""
        struck = self.plan.claim(ticket)
        return PASS_ON if struck is None else await self.suffer_async(struck.hit, args, kwargs)

    def suffer(self, hit: Hit, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what a hit does; return the value of the call, or PASS_ON."""
        outcome = hit.outcome
        self._tell(hit)
        if outcome.waits:
            hit.plan.wait_out(outcome, self.label)
        return self._end(hit, args, kwargs) if outcome.ends_call else PASS_ON

    async def suffer_async(self, hit: Hit, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what a hit does, in a coroutine."""
        outcome = hit.outcome
        self._tell(hit)
        if outcome.waits:
            await hit.plan.wait_out_async(outcome, self.label)
        return self._end(hit, args, kwargs) if outcome.ends_call else PASS_ON

    def _tell(self, hit: Hit) -> None:
        self._note(hit)
        hit.plan.announce()

    def _error(
        self,
        raises: BaseException | type[BaseException],
        plan: CountedPlan,
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
        if self.blank is not None:
            return self.blank(hit, args, kwargs)
        raise InjectedFaultError(
            f"{self.label}: call {hit.call} fails, as {hit.plan} has it", self.label, hit.call
        )


def _remake(plan: CountedPlan, label: str, about: dict[str, Any], blank: Blank | None) -> Layer:
    return Layer(plan, Timeline(), label, about, blank)


def _describe(plan: CountedPlan, about: dict[str, Any], what: int | Hit) -> dict[str, Any]:
    """Say what is on the timeline of a hit, of which the number may be all that was kept."""
    hit = plan.hit(what) if isinstance(what, int) else what
    return {
        **about,
        "action": "hit",
        "call": hit.call,
        "plan": str(hit.plan),
        "outcome": hit.outcome.describe(),
    }


class _Stacked:
    """The ticket of a call that is hit by several plans, and what each of them is."""

    def __init__(self, pairs: list[tuple[Layer, Hit]]) -> None:
        self.pairs = pairs

    def __bool__(self) -> bool:
        return False


class Stack:
    """Several plans, as if each had a function of its own around those that were there before."""

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self._layers = layers[::-1]

    def tick(self) -> object:
        """Take a ticket of each, down to the one that ends the call."""
        pairs = []
        for layer in self._layers:
            ticket = layer.tick()
            if ticket:
                continue
            struck = layer.plan.claim(ticket)
            if struck is None:
                continue
            pairs.append((layer, struck.hit))
            if struck.hit.outcome.ends_call:
                break
        return _Stacked(pairs) if pairs else True

    def strike(self, ticket: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what happens to a call that is hit; return its value, or PASS_ON."""
        for layer, hit in ticket.pairs:
            value = layer.suffer(hit, args, kwargs)
            if value is not PASS_ON:
                return value
        return PASS_ON

    async def strike_async(self, ticket: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what happens to a call of a coroutine function."""
        for layer, hit in ticket.pairs:
            value = await layer.suffer_async(hit, args, kwargs)
            if value is not PASS_ON:
                return value
        return PASS_ON


class _NoPlan:
    """Every call passes."""

    # Returns True, and has no state that threads could share.
    tick = True.__bool__

    def __reduce__(self) -> str:
        return "NO_PLAN"


NO_PLAN = _NoPlan()
"""Who is asked where there is no plan: every call passes."""
