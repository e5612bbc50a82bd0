"""How a plan counts calls, in one process or in many, and what it has for those that are hit."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from itf.exceptions import FaultTimeoutError, ItfError
from itf.faults.call_counter import EXHAUSTED, CallCounter, TicketIterator
from itf.faults.known_plans import all_plans, known_plans, receive_plan
from itf.faults.outcome_options import Outcome
from itf.faults.schedule import Schedule
from itf.faults.shared_count import SharedPage
from itf.faults.waiters import Waiters
from itf.fork_safety import fork_safe_lock
from itf.gil import gil_is_enabled

__all__ = ["BasePlan", "Hit", "HitTicket", "State", "TicketSource", "times"]

__unittest = True


class Hit(NamedTuple):
    """One call that is hit.

    Attributes:
        plan: By which plan.
        call: The number of the call.
        number: The number of the hit.
        outcome: What becomes of it.
    """

    plan: BasePlan
    call: int
    number: int
    outcome: Outcome


class HitTicket:
    """A ticket that says by which plan a call is hit; false, as all tickets of hits are."""

    __slots__ = ("hit",)

    def __init__(self, hit: Hit) -> None:
        self.hit = hit

    def __bool__(self) -> bool:
        return False


class TicketSource(Protocol):
    """Where a plan is.

    Attributes:
        take_ticket: Takes a ticket for a call: false if the call is hit.
    """

    take_ticket: Callable[[], object]

    def __hash__(self) -> int: ...


class BasePlan:
    """What a fault plan does, whichever way it was made.

    It counts by tickets as long as it is alone, and by numbers once it shares
    its count with other processes, or if another plan comes after it.

    Attributes:
        text: What it is called, such as ``FaultPlan.always()``.
        seed: What a random one has drawn its calls by; None for all others.
        schedule: Which calls are hit.
        outcomes: What becomes of them, the last one also of all further ones.
        last: The last outcome.
        others: How many there are before it.
        hit_numbers: Gives each hit a number, as long as it counts by tickets.
        hit_waiters: Those who wait for a hit.

    Thread safety: every method, from any thread of any process.
    """

    seed: int | str | None

    def set_up(self, state: State) -> None:
        """Begin, with nothing counted."""
        text, self.schedule, self.outcomes, self._then, self.seed = state
        # Not by __str__ alone, for each exception that is raised tells it.
        self.text = f"FaultPlan.{text}"
        self.last, self.others = self.outcomes[-1], len(self.outcomes) - 1
        self._page: SharedPage | None = None
        self._released = False
        self._uses = 0
        self._waiters = Waiters()
        self.hit_waiters = Waiters()
        self._tickets: TicketIterator | CallCounter = CallCounter()
        if self._then is None and gil_is_enabled():
            self._tickets = TicketIterator(self.schedule)
            # In the place of the method, which needs the numbers of calls.
            self.__dict__["take_ticket"] = self._tickets.take
        # How many hits are on a timeline of this process, of those since others count, too.
        self._recorded_hits = CallCounter()
        self._reported_hits = 0
        # Messages of this process, and how far those of the page were read.
        self._lost: list[str] = []
        self._lost_read = 0
        self._applied_plans: weakref.WeakSet[TicketSource] = weakref.WeakSet()
        # `count` is atomic by its documentation, other iterators are not.
        self.hit_numbers = itertools.count(1)
        all_plans.add(self)

    @property
    def hits(self) -> int:
        """How many calls were hit."""
        return self.schedule.hits(self.count())

    def count(self) -> int:
        """Return how many calls there were."""
        page = self._page
        return self._tickets.taken if page is None else page.calls

    def release(self) -> None:
        """Let go all calls that hang or are delayed, for good: those that come do neither."""
        self._released = True
        page = self._page
        if page is not None:
            page.release()
        self._waiters.wake_all()
        if self._then is not None:
            self._then.release()

    def take_ticket(self) -> object:
        """Take a call's ticket: false if it is hit."""
        page = self._page
        call = cast(int, self._tickets.take()) if page is None else page.next_call()
        if not call:
            # Another thread has begun to share the count after we had looked.
            call = cast(SharedPage, self._page).next_call()
        schedule = self.schedule
        if schedule.is_hit(call):
            return HitTicket(self._hit(call, schedule.hits(call)))
        then = self._then
        if then is not None and schedule.first is not None and schedule.first < call:
            ticket = then.take_ticket()
            struck = None if ticket else then.resolve_ticket(ticket)
            return True if struck is None else struck
        return True

    def _more(self) -> object:
        """Take a ticket where there were no more."""
        with fork_safe_lock(self):
            tickets = self._tickets
            if self._page is None and isinstance(tickets, TicketIterator):
                tickets.extend()
                self.__dict__["take_ticket"] = tickets.take
                self._update_applied_plans()
        return self.take_ticket()

    def _update_applied_plans(self) -> None:
        for applied in self._applied_plans:
            applied.take_ticket = self.take_ticket

    def resolve_ticket(self, ticket: object) -> HitTicket | None:
        """Return what a ticket that is false says; None if the call passes after all."""
        while ticket is EXHAUSTED:
            ticket = self._more()
        if ticket:
            return None
        if isinstance(ticket, HitTicket):
            return ticket
        # Of two threads that are hit at once each gets one of the two numbers.
        return HitTicket(self.hit(next(self.hit_numbers)))

    def hit(self, number: int) -> Hit:
        """Return the n-th hit."""
        return self._hit(self.schedule.call_of(number), number)

    def _hit(self, call: int, number: int) -> Hit:
        outcomes = self.outcomes
        return Hit(self, call, number, outcomes[min(number, len(outcomes)) - 1])

    def plans_with_seed(self) -> list[BasePlan]:
        """Return those of this plan and of those after it that have a seed."""
        later = [] if self._then is None else self._then.plans_with_seed()
        return later if self.seed is None else [self, *later]

    def attach(self, applied: TicketSource) -> None:
        """Give a applied the function that takes tickets, and another one when that changes."""
        with fork_safe_lock(self):
            applied.take_ticket = self.take_ticket
            self._applied_plans.add(applied)

    def notify_hit(self) -> None:
        """Take note that a hit was told, and have those who wait for one look at the count."""
        if self._page is not None:
            self._recorded_hits.take()
        if self.hit_waiters.wake_callbacks:
            self.hit_waiters.wake_all()

    def unreported_hits(self) -> int:
        """Return how many hits there were in other processes since this was handler_cell for."""
        told = self._reported_hits + self._recorded_hits.taken
        untold = max(0, self.hits - told) if self._page is not None else 0
        self._reported_hits += untold
        return untold

    def wait_before_call(self, outcome: Outcome, target: str) -> None:
        """Let a call that is hit take its time.

        Raises:
            FaultTimeoutError: It hung for longer than it may.
        """
        wait_for = self._waiters.wait_for
        if outcome.delay is not None:
            wait_for(self._is_released, outcome.delay, self.is_shared)
        if outcome.hang and not wait_for(self._is_released, outcome.timeout, self.is_shared):
            raise self._hung(outcome, target)

    async def wait_before_call_async(self, outcome: Outcome, target: str) -> None:
        """Let a call of a coroutine function take its time, while its loop goes on."""
        wait_for = self._waiters.wait_for_async
        if outcome.delay is not None:
            await wait_for(self._is_released, outcome.delay, self.is_shared)
        if outcome.hang and not await wait_for(self._is_released, outcome.timeout, self.is_shared):
            raise self._hung(outcome, target)

    def _hung(self, outcome: Outcome, target: str) -> FaultTimeoutError:
        return FaultTimeoutError(
            f"{target} hung for {outcome.timeout:g} s, as {self} has it, and nobody let it go; "
            "call plan.release(), or give the plan another timeout="
        )

    def is_shared(self) -> bool:
        """Say whether other processes may count, too."""
        return self._page is not None

    def _is_released(self) -> bool:
        page = self._page
        if page is not None:
            return page.released or not page.is_used()
        return self._released or not self._uses

    def add_uses(self, change: int) -> None:
        """Take note that it is injected at one place more, or less; at none, nobody hangs."""
        with fork_safe_lock(self):
            self._uses += change
            if self._page is not None:
                self._page.set_in_use(self._uses > 0)
        self._waiters.wake_all()
        if self._then is not None:
            self._then.add_uses(change)

    def share(self) -> SharedPage:
        """Count together with other processes from now on.

        Raises:
            OSError: There is no memory, or no descriptor, for that.
        """
        with fork_safe_lock(self):
            if self._page is not None:
                return self._page
            page = SharedPage.create()
            page.set_in_use(self._uses > 0)
            page.calls = self._tickets.taken
            with page.locked():
                self._page = page
                # From here on the method is called, and waits for the page.
                # Nobody can have looked up the ticket's `take` and not called
                # it yet: with a GIL, and only then there are tickets, Python
                # does not change threads between the two.
                self.__dict__.pop("take_ticket", None)
                self._update_applied_plans()
                # Who has seen no page, and takes a number only now, gets none.
                tickets = self._tickets
                page.calls = tickets.close() if isinstance(tickets, CallCounter) else tickets.taken
            self._reported_hits = self.hits
            if self._released:
                page.release()
            known_plans[page.uid] = self
        # They have slept as long as nobody else could wake them; now they look by themselves.
        self._waiters.wake_all()
        self.hit_waiters.wake_all()
        return page

    def report_failed_transfer(self, message: str) -> None:
        """Take note of a process that should have this plan and has not."""
        try:
            # On the page, because this may be a child of the process of the test.
            self.share().add_line(message)
        except (OSError, ItfError):
            self._lost.append(message)

    def take_failed_transfers(self) -> list[str]:
        """Return what was reported, by any process, since this was handler_cell for."""
        with fork_safe_lock(self):
            lost, self._lost = self._lost, []
            if self._page is not None:
                lines, self._lost_read = self._page.lines(self._lost_read)
                lost += lines
        later = [] if self._then is None else self._then.take_failed_transfers()
        return [*lost, *later]

    def join_count(self, page: SharedPage) -> None:
        """Count together with the process that this came from."""
        self._page = page
        self.__dict__.pop("take_ticket", None)

    def reset_after_fork(self) -> None:
        """Take note that this is a new process, in which nobody waits."""
        self._waiters.clear()
        self.hit_waiters.clear()
        # Where it is injected, it is in the process that has injected it.
        self._uses = 0
        if self._page is not None:
            self._page.reset_after_fork()

    def __reduce__(self) -> tuple[Any, ...]:
        page = self.share()
        state = (
            self.text.removeprefix("FaultPlan."),
            self.schedule,
            self.outcomes,
            self._then,
            self.seed,
        )
        return (receive_plan, (type(self), page.uid, page.address(), state))

    def __copy__(self) -> BasePlan:
        return self

    def __deepcopy__(self, memo: object) -> BasePlan:
        return self

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<{self}: {times(self.count(), 'call')}, {times(self.hits, 'hit')}>"


State: TypeAlias = tuple[str, Schedule, list[Outcome], BasePlan | None, int | str | None]

"""What makes a plan: its text, schedule, outcomes, the plan after it, its seed."""


def times(count: int, what: str) -> str:
    """Say how many of something there are."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
