"""BasePlan: how a fault plan counts calls, selects hits and waits, also across processes."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from itf._private import is_gil_enabled
from itf.exceptions import FaultTimeoutError, ItfError
from itf.faults.call_counter import EXHAUSTED, CallCounter, TicketIterator
from itf.faults.known_plans import all_plans, known_plans, receive_plan
from itf.faults.outcome_options import Outcome
from itf.faults.schedule import Schedule
from itf.faults.shared_count import SharedPage
from itf.faults.waiters import Waiters
from itf.fork_safety import fork_safe_lock

__all__ = ["BasePlan", "Hit", "HitTicket", "PlanState", "TicketSource", "count_text"]

__unittest = True


class Hit(NamedTuple):
    """A call that a plan selected to fail.

    Attributes:
        plan: The plan.
        call: The number of the call, from 1.
        number: The number of the hit, from 1.
        outcome: What happens to the call.
    """

    plan: BasePlan
    call: int
    number: int
    outcome: Outcome


class HitTicket:
    """The ticket of a call that is hit, with the details; false, as every ticket of a hit."""

    __slots__ = ("hit",)

    def __init__(self, hit: Hit) -> None:
        self.hit = hit

    def __bool__(self) -> bool:
        return False


class TicketSource(Protocol):
    """A plan on an attribute, as `BasePlan` knows it.

    Attributes:
        take_ticket: Counts a call and returns its ticket; the ticket of a hit is false.
    """

    take_ticket: Callable[[], object]

    def __hash__(self) -> int: ...


class BasePlan:
    """The behaviour of a fault plan, independent of its constructor.

    A plan that counts alone counts by tickets: values of an iterator, true for a
    call that passes and false for a hit.  A plan counts by numbers instead if it
    shares its count with other processes, or if another plan follows it (``then``).

    Attributes:
        text: The plan's name in messages, such as ``FaultPlan.always()``.
        seed: The seed of a random plan; None for all others.
        schedule: Which calls are hit.
        outcomes: What happens to the hits, in order; the last outcome also applies
            to all further hits.
        last: The last outcome.
        others: How many outcomes precede the last.
        hit_numbers: Iterator over the numbers of hits, used while counting by tickets.
        hit_waiters: Threads and coroutines that wait for a hit.

    Thread safety: every method, from any thread of any process.
    """

    seed: int | str | None

    def set_up(self, state: PlanState) -> None:
        """Initialize the plan with nothing counted."""
        text, self.schedule, self.outcomes, self._then, self.seed = state
        # Stored, not only computed by __str__: the note of every raised exception needs the text.
        self.text = f"FaultPlan.{text}"
        self.last, self.others = self.outcomes[-1], len(self.outcomes) - 1
        self._page: SharedPage | None = None
        self._released = False
        self._uses = 0
        self._waiters = Waiters()
        self.hit_waiters = Waiters()
        self._tickets: TicketIterator | CallCounter = CallCounter()
        if self._then is None and is_gil_enabled():
            self._tickets = TicketIterator(self.schedule)
            # Shadows the method, which counts by numbers and is slower.
            self.__dict__["take_ticket"] = self._tickets.take
        # Two counts, used only while the count is shared: the hits that this process recorded on
        # its timeline since then, and the hits that need no report (those before sharing, and
        # those of other processes that were reported).
        self._recorded_hits = CallCounter()
        self._reported_hits = 0
        # Messages about failed transfers that could not be written to the page, and the offset up
        # to which the messages on the page were returned.
        self._failed_transfers: list[str] = []
        self._lines_read = 0
        self._applied_plans: weakref.WeakSet[TicketSource] = weakref.WeakSet()
        # `itertools.count` is documented as atomic; other iterators are not.
        self.hit_numbers = itertools.count(1)
        all_plans.add(self)

    @property
    def hits(self) -> int:
        """How many calls were hit."""
        return self.schedule.hits(self.count())

    def count(self) -> int:
        """Return how many calls were counted."""
        page = self._page
        return self._tickets.taken if page is None else page.calls

    def release(self) -> None:
        """Release all calls that hang or are delayed; later calls do neither."""
        self._released = True
        page = self._page
        if page is not None:
            page.release()
        self._waiters.wake_all()
        if self._then is not None:
            self._then.release()

    def take_ticket(self) -> object:
        """Count a call and return its ticket; the ticket of a hit is false."""
        page = self._page
        call = cast(int, self._tickets.take()) if page is None else page.next_call()
        if not call:
            # Another thread began to share the count after `page` was read.
            call = cast(SharedPage, self._page).next_call()
        schedule = self.schedule
        if schedule.is_hit(call):
            return HitTicket(self._hit(call, schedule.hits(call)))
        then = self._then
        if then is not None and schedule.first is not None and schedule.first < call:
            ticket = then.take_ticket()
            resolved = None if ticket else then.resolve_ticket(ticket)
            return True if resolved is None else resolved
        return True

    def _more(self) -> object:
        """Extend the exhausted tickets, and take one."""
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
        """Return the hit that a false ticket stands for; None if the call passes after all."""
        while ticket is EXHAUSTED:
            ticket = self._more()
        if ticket:
            return None
        if isinstance(ticket, HitTicket):
            return ticket
        # The order of two simultaneous hits does not matter: each gets one of the two numbers.
        return HitTicket(self.hit(next(self.hit_numbers)))

    def hit(self, number: int) -> Hit:
        """Return the n-th hit."""
        return self._hit(self.schedule.call_of(number), number)

    def _hit(self, call: int, number: int) -> Hit:
        outcomes = self.outcomes
        return Hit(self, call, number, outcomes[min(number, len(outcomes)) - 1])

    def plans_with_seed(self) -> list[BasePlan]:
        """Return the plans with a seed, of this plan and those that follow it."""
        later = [] if self._then is None else self._then.plans_with_seed()
        return later if self.seed is None else [self, *later]

    def attach(self, applied: TicketSource) -> None:
        """Set ``applied.take_ticket``, and set it again whenever the function changes."""
        with fork_safe_lock(self):
            applied.take_ticket = self.take_ticket
            self._applied_plans.add(applied)

    def notify_hit(self) -> None:
        """Count a recorded hit, and wake the threads that wait for hits."""
        if self._page is not None:
            self._recorded_hits.take()
        if self.hit_waiters.wake_callbacks:
            self.hit_waiters.wake_all()

    def unreported_hits(self) -> int:
        """Return how many hits other processes had since the last call of this method."""
        reported = self._reported_hits + self._recorded_hits.taken
        unreported = max(0, self.hits - reported) if self._page is not None else 0
        self._reported_hits += unreported
        return unreported

    def wait_before_call(self, outcome: Outcome, target: str) -> None:
        """Wait as the outcome of a hit says: first its delay, then its hang.

        Raises:
            FaultTimeoutError: The call hung for longer than its timeout.
        """
        wait_for = self._waiters.wait_for
        if outcome.delay is not None:
            wait_for(self._is_released, outcome.delay, self.is_shared)
        if outcome.hang and not wait_for(self._is_released, outcome.timeout, self.is_shared):
            raise self._hung(outcome, target)

    async def wait_before_call_async(self, outcome: Outcome, target: str) -> None:
        """Wait as `wait_before_call` does, without blocking the event loop."""
        wait_for = self._waiters.wait_for_async
        if outcome.delay is not None:
            await wait_for(self._is_released, outcome.delay, self.is_shared)
        if outcome.hang and not await wait_for(self._is_released, outcome.timeout, self.is_shared):
            raise self._hung(outcome, target)

    def _hung(self, outcome: Outcome, target: str) -> FaultTimeoutError:
        return FaultTimeoutError(
            f"{target} hung for {outcome.timeout:g} s and was not released ({self}); "
            "call plan.release(), or pass the plan another timeout="
        )

    def is_shared(self) -> bool:
        """Return whether other processes may count too."""
        return self._page is not None

    def _is_released(self) -> bool:
        page = self._page
        if page is not None:
            return page.released or not page.is_used()
        return self._released or not self._uses

    def add_uses(self, change: int) -> None:
        """Add to the number of places where the plan is injected; at 0, hanging calls go on."""
        with fork_safe_lock(self):
            self._uses += change
            if self._page is not None:
                self._page.set_in_use(self._uses > 0)
        self._waiters.wake_all()
        if self._then is not None:
            self._then.add_uses(change)

    def share(self) -> SharedPage:
        """Move the count to shared memory, so that other processes can count too.

        Raises:
            OSError: No memory or no descriptor is left.
        """
        with fork_safe_lock(self):
            if self._page is not None:
                return self._page
            page = SharedPage.create()
            page.set_in_use(self._uses > 0)
            page.calls = self._tickets.taken
            with page.locked():
                self._page = page
                # Removing the shadowing function makes calls use the method, which waits for the
                # page. A thread cannot be between looking up the function and calling it: tickets
                # exist only with a GIL, and CPython does not switch threads there.
                self.__dict__.pop("take_ticket", None)
                self._update_applied_plans()
                # A thread that read `_page` as None may take a number only now; the closed counter
                # returns 0, and the thread then uses the page.
                tickets = self._tickets
                page.calls = tickets.close() if isinstance(tickets, CallCounter) else tickets.taken
            self._reported_hits = self.hits
            if self._released:
                page.release()
            known_plans[page.uid] = self
        # Wakes the waiters, because from here on they must poll: another process cannot wake
        # them.
        self._waiters.wake_all()
        self.hit_waiters.wake_all()
        return page

    def report_failed_transfer(self, message: str) -> None:
        """Record a message about a process that should have this plan and does not."""
        try:
            # Written to the page, because this process may be a child of the test process.
            self.share().add_line(message)
        except (OSError, ItfError):
            self._failed_transfers.append(message)

    def take_failed_transfers(self) -> list[str]:
        """Return the messages of all processes since the last call of this method."""
        with fork_safe_lock(self):
            failed, self._failed_transfers = self._failed_transfers, []
            if self._page is not None:
                lines, self._lines_read = self._page.lines(self._lines_read)
                failed += lines
        later = [] if self._then is None else self._then.take_failed_transfers()
        return [*failed, *later]

    def join_count(self, page: SharedPage) -> None:
        """Count in the shared memory of the process that sent this plan."""
        self._page = page
        self.__dict__.pop("take_ticket", None)

    def reset_after_fork(self) -> None:
        """Forget the threads of the parent process; called in a forked child."""
        self._waiters.clear()
        self.hit_waiters.clear()
        # The plan is injected in the parent, which counts those uses.
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
        return f"<{self}: {count_text(self.count(), 'call')}, {count_text(self.hits, 'hit')}>"


PlanState: TypeAlias = tuple[str, Schedule, list[Outcome], BasePlan | None, int | str | None]

"""Constructor data of a plan: its text, schedule, outcomes, following plan, and seed."""


def count_text(count: int, what: str) -> str:
    """Return a count with its noun, such as ``1 call`` or ``2 calls``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
