"""FaultPlan: when a call fails, and how."""

from __future__ import annotations

import dataclasses
import itertools
import operator
import os
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias, Unpack, cast, overload

from itf.descriptors import Descriptor
from itf.exceptions import FaultTimeoutError, ItfError
from itf.faults.counting import SharedPage
from itf.faults.gate import Sleepers
from itf.faults.outcome import PASS, How, Outcome, outcome_of, seconds
from itf.faults.schedule import ENDLESS, Every, Random, Runs, Schedule, Tickets
from itf.forks import lock_of
from itf.texts import safe_repr

__all__ = ["FaultPlan", "Hit", "Struck", "Ticking"]

__unittest = True


class Hit(NamedTuple):
    """One call that is hit.

    Attributes:
        plan: By which plan.
        call: The number of the call.
        number: The number of the hit.
        outcome: What becomes of it.
    """

    plan: FaultPlan
    call: int
    number: int
    outcome: Outcome


class Struck:
    """A ticket that says by which plan a call is hit; false, as all tickets of hits are."""

    __slots__ = ("hit",)

    def __init__(self, hit: Hit) -> None:
        self.hit = hit

    def __bool__(self) -> bool:
        return False


class Ticking(Protocol):
    """Where a plan is.

    Attributes:
        tick: Takes a ticket for a call: false if the call is hit.
    """

    tick: Callable[[], object]

    def __hash__(self) -> int: ...


class _CallsMaker(Protocol):
    def __call__(self, *numbers: int, **how: Unpack[How]) -> FaultPlan: ...


class _Calls:
    """Of the class, the constructor ``calls(1, 4, 7)``; of a plan, how many calls there were."""

    @overload
    def __get__(self, plan: None, cls: type[FaultPlan]) -> _CallsMaker: ...
    @overload
    def __get__(self, plan: FaultPlan, cls: type[FaultPlan]) -> int: ...
    def __get__(self, plan: FaultPlan | None, cls: type[FaultPlan]) -> Any:
        return cls._of_calls if plan is None else plan._count()


class FaultPlan:
    """Which calls of a function fail, and how.

    Made by one of its constructors, each of which says which calls are hit,
    counted from 1; what becomes of these is said by keyword:

    - ``raises``: an exception, or the class of one.  An instance is raised
      itself at the first hit, copies of it at those after.
    - ``returns``: the value in place of the function's own; of a generator
      function, what it yields.
    - ``delay``: seconds that pass before the call goes on.
    - ``hang``: the call hangs until `release`, until the plan is injected
      nowhere any more, or until ``timeout`` seconds have passed (60; None is
      for ever), which is a `FaultTimeoutError`.  Then it goes on.
    - ``then``: another plan, asked for each later call that this one lets pass
      once it has hit.

    A plan that is given none of the first four raises an `InjectedFaultError`.
    It does nothing by itself: `inject_faults` puts it into a function.  It
    counts all calls of all functions that it is put into, and so it does
    across processes: a worker that has a plan of the test, captured or as an
    argument, counts together with the test.

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
        seed: What a `probability` has drawn its calls by; None for all others.

    Thread safety: every method, from any thread of any process.
    """

    calls = _Calls()

    def __init__(self) -> None:
        raise TypeError(
            "a FaultPlan is made by always(), nth_call(n), first(n), every(n), calls(1, 4, 7), "
            "after(n), probability(p) or sequence([...])"
        )

    @classmethod
    def always(cls, **how: Unpack[How]) -> FaultPlan:
        """Hit every call."""
        return cls._make("always()", Runs([(True, ENDLESS)]), how)

    @classmethod
    def nth_call(cls, n: int, **how: Unpack[How]) -> FaultPlan:
        """Hit the n-th call."""
        maker = f"nth_call({safe_repr(n)})"
        return cls._make(maker, Runs.of_calls([_number(maker, "n", n)]), how)

    @classmethod
    def first(cls, n: int, **how: Unpack[How]) -> FaultPlan:
        """Hit the first n calls."""
        maker = f"first({safe_repr(n)})"
        return cls._make(maker, Runs([(True, _number(maker, "n", n)), (False, ENDLESS)]), how)

    @classmethod
    def every(cls, n: int, **how: Unpack[How]) -> FaultPlan:
        """Hit every n-th call: n, twice n, and so on."""
        maker = f"every({safe_repr(n)})"
        return cls._make(maker, Every(_number(maker, "n", n)), how)

    @classmethod
    def _of_calls(cls, *numbers: int, **how: Unpack[How]) -> FaultPlan:
        """Hit the calls of these numbers."""
        maker = f"calls({', '.join(map(safe_repr, numbers))})"
        if not numbers:
            raise ValueError(
                "calls() needs the numbers of the calls to hit, such as calls(1, 4, 7)"
            )
        checked = {_number(maker, "each number", number) for number in numbers}
        return cls._make(maker, Runs.of_calls(sorted(checked)), how)

    @classmethod
    def after(cls, n: int, **how: Unpack[How]) -> FaultPlan:
        """Hit every call after the first n."""
        maker = f"after({safe_repr(n)})"
        runs = Runs([(False, _number(maker, "n", n, 0)), (True, ENDLESS)])
        return cls._make(maker, runs, how)

    @classmethod
    def probability(
        cls, p: float, *, seed: int | str | None = None, **how: Unpack[How]
    ) -> FaultPlan:
        """Hit each call with a probability.

        Which calls are hit depends on the seed and on their numbers alone,
        whichever thread or process makes them.

        Args:
            p: From 0 to 1.
            seed: Draws the same calls again; by default one is drawn, and
                told with the timeline of a test that fails.
            how: As for every plan.
        """
        maker = f"probability({safe_repr(p)})"
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
            raise ValueError(f"{maker}: p must be a number from 0 to 1, got {safe_repr(p)}")
        if seed is None:
            seed = int.from_bytes(os.urandom(4))
        elif isinstance(seed, bool) or not isinstance(seed, int | str):
            raise TypeError(f"{maker}: seed must be an int or a str, got {safe_repr(seed)}")
        plan = cls._make(f"probability({p!r}, seed={seed!r})", Random(float(p), seed), how)
        plan.seed = seed
        return plan

    @classmethod
    def sequence(cls, outcomes: Iterable[Any], **how: Unpack[How]) -> FaultPlan:
        """Give each call, from the first on, the next of these outcomes.

        Args:
            outcomes: An exception or its class is raised, ``...`` lets the call
                pass, and any other value is returned.  When they are used up,
                calls pass.
            how: As for every plan, but for ``raises`` and ``returns``.
        """
        maker = "sequence([...])"
        if "raises" in how or "returns" in how:
            raise ValueError(
                f"{maker}: each outcome says itself what is raised or returned; "
                "leave raises= and returns= out"
            )
        if isinstance(outcomes, str | bytes) or not isinstance(outcomes, Iterable):
            raise TypeError(f"{maker} takes a list of outcomes, got {safe_repr(outcomes)}")
        items = list(outcomes)
        if not items:
            raise ValueError(f"{maker} needs at least one outcome")
        base = outcome_of(maker, how)
        hits = [number for number, item in enumerate(items, start=1) if item is not PASS]
        plan = cls._make(f"sequence({safe_repr(items)})", Runs.of_calls(hits), how)
        plan.outcomes = [
            dataclasses.replace(base, **_end_of(maker, items[number - 1])) for number in hits
        ]
        return plan

    @classmethod
    def _make(cls, text: str, schedule: Schedule, how: How) -> FaultPlan:
        outcome = outcome_of(text, how)
        then = how.get("then")
        if then is not None and not isinstance(then, FaultPlan):
            raise TypeError(f"{text}: then must be another FaultPlan, got {safe_repr(then)}")
        if then is not None and schedule.is_endless:
            raise ValueError(
                f"{text} lets no call pass once it has hit, so that then= would never be asked; "
                "use first(n) or calls(...)"
            )
        plan = cls.__new__(cls)
        plan._set_up((text, schedule, [outcome], then, None))
        return plan

    def _set_up(self, state: _State) -> None:
        self._text, self.schedule, self.outcomes, self._then, self.seed = state
        self._page: SharedPage | None = None
        self._released = False
        self._uses = 0
        self._sleepers = Sleepers()
        self.watchers = Sleepers()
        numbers = iter(range(1, ENDLESS))
        self._tickets = Tickets(numbers, numbers)
        if self._then is None:
            self._tickets = self.schedule.tickets()
            # In the place of the method, which needs the numbers of calls.
            self.__dict__["tick"] = self._tickets.take
        # How many hits are on a timeline of this process, of those since others count, too.
        self._told = itertools.repeat(None, ENDLESS)
        self._told_before = 0
        self._layers: weakref.WeakSet[Ticking] = weakref.WeakSet()
        self.claims = iter(range(1, ENDLESS))
        _plans.add(self)

    @property
    def hits(self) -> int:
        """How many calls were hit."""
        return self.schedule.hits(self._count())

    def _count(self) -> int:
        page = self._page
        return self._tickets.taken if page is None else page.calls

    def wait_until_hit(self, timeout: float | None = 60.0, *, hits: int = 1) -> None:
        """Wait until a call is hit, in whichever thread or process.

        Args:
            timeout: Seconds to wait; None is for ever.
            hits: How many hits to wait for, counted from the plan's beginning.

        Raises:
            FaultTimeoutError: It was not hit in time.
        """
        limit = None if timeout is None else seconds("wait_until_hit()", "timeout", timeout)
        hits = _number("wait_until_hit()", "hits", hits)
        if not self.watchers.wait_for(lambda: self.hits >= hits, limit, self._is_shared):
            times = "" if hits == 1 else f" {hits} times"
            raise FaultTimeoutError(
                f"{self} was not hit{times} within {limit:g} s; it has had "
                f"{_times(self.calls, 'call')} and {_times(self.hits, 'hit')}; "
                "is it injected where the calls are made?"
            )

    def release(self) -> None:
        """Let go all calls that hang or are delayed, for good: those that come do neither."""
        self._released = True
        page = self._page
        if page is not None:
            page.release()
        self._sleepers.wake()
        if self._then is not None:
            self._then.release()

    def tick(self) -> object:
        """Take a call's ticket: false if it is hit."""
        page = self._page
        call = cast(int, self._tickets.take()) if page is None else page.next_call()
        schedule = self.schedule
        if schedule.is_hit(call):
            return Struck(self._hit(call, schedule.hits(call)))
        then = self._then
        if then is not None and schedule.first is not None and schedule.first < call:
            ticket = then.tick()
            return ticket or then.claim(ticket)
        return True

    def claim(self, ticket: object) -> Struck:
        """Return what a ticket that is false says."""
        if isinstance(ticket, Struck):
            return ticket
        # Of two threads that are hit at once each gets one of the two numbers.
        return Struck(self.hit(next(self.claims)))

    def hit(self, number: int) -> Hit:
        """Return the n-th hit."""
        return self._hit(self.schedule.call_of(number), number)

    def _hit(self, call: int, number: int) -> Hit:
        outcomes = self.outcomes
        return Hit(self, call, number, outcomes[min(number, len(outcomes)) - 1])

    def seeded(self) -> list[FaultPlan]:
        """Return those of this plan and of those after it that have a seed."""
        later = [] if self._then is None else self._then.seeded()
        return later if self.seed is None else [self, *later]

    def enlist(self, layer: Ticking) -> None:
        """Give a layer the function that takes tickets, and another one when that changes."""
        with lock_of(self):
            layer.tick = self.tick
            self._layers.add(layer)

    def announce(self) -> None:
        """Take note that a hit was told, and have those who wait for one look at the count."""
        if self._page is not None:
            next(self._told)
        if self.watchers:
            self.watchers.wake()

    def untold_hits(self) -> int:
        """Return how many hits there were in other processes since this was asked for."""
        told = self._told_before + ENDLESS - operator.length_hint(self._told)
        untold = max(0, self.hits - told) if self._page is not None else 0
        self._told_before += untold
        return untold

    def wait_out(self, outcome: Outcome, target: str) -> None:
        """Let a call that is hit take its time.

        Raises:
            FaultTimeoutError: It hung for longer than it may.
        """
        wait_for = self._sleepers.wait_for
        if outcome.delay is not None:
            wait_for(self._lets_go, outcome.delay, self._is_shared)
        if outcome.hang and not wait_for(self._lets_go, outcome.timeout, self._is_shared):
            raise self._hung(outcome, target)

    async def wait_out_async(self, outcome: Outcome, target: str) -> None:
        """Let a call of a coroutine function take its time, while its loop goes on."""
        wait_for = self._sleepers.wait_for_async
        if outcome.delay is not None:
            await wait_for(self._lets_go, outcome.delay, self._is_shared)
        if outcome.hang and not await wait_for(self._lets_go, outcome.timeout, self._is_shared):
            raise self._hung(outcome, target)

    def _hung(self, outcome: Outcome, target: str) -> FaultTimeoutError:
        return FaultTimeoutError(
            f"{target} hung for {outcome.timeout:g} s, as {self} has it, and nobody let it go; "
            "call plan.release(), or give the plan another timeout="
        )

    def _is_shared(self) -> bool:
        return self._page is not None

    def _lets_go(self) -> bool:
        page = self._page
        if page is not None:
            return page.released or not page.uses
        return self._released or not self._uses

    def use(self, change: int) -> None:
        """Take note that it is injected at one place more, or less; at none, nobody hangs."""
        with lock_of(self):
            self._uses += change
            page = self._page
        if page is not None:
            page.use(change)
        self._sleepers.wake()
        if self._then is not None:
            self._then.use(change)

    def share(self) -> SharedPage:
        """Count together with other processes from now on.

        Raises:
            OSError: There is no memory, or no descriptor, for that.
        """
        with lock_of(self):
            if self._page is not None:
                return self._page
            page = SharedPage.create()
            page.use(self._uses)
            page.calls = self._tickets.taken
            with page.alone():
                self._page = page
                # From here on the method is called, and waits for the page.
                # Nobody can have looked up the ticket's `take` and not called
                # it yet: Python does not change threads between the two.
                self.__dict__.pop("tick", None)
                for layer in self._layers:
                    layer.tick = self.tick
                page.calls = self._tickets.taken
            self._told_before = self.hits
            if self._released:
                page.release()
            _known[page.uid] = self
        # They have slept as long as nobody else could wake them; now they look by themselves.
        self._sleepers.wake()
        self.watchers.wake()
        return page

    def join(self, page: SharedPage) -> None:
        """Count together with the process that this came from."""
        self._page = page
        self.__dict__.pop("tick", None)

    def forked(self) -> None:
        """Take note that this is a new process, in which nobody waits."""
        self._sleepers.forget()
        self.watchers.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        page = self.share()
        state = (self._text, self.schedule, self.outcomes, self._then, self.seed)
        return (_receive, (page.uid, page.way_in(), state))

    def __copy__(self) -> FaultPlan:
        return self

    def __deepcopy__(self, memo: object) -> FaultPlan:
        return self

    def __str__(self) -> str:
        return f"FaultPlan.{self._text}"

    def __repr__(self) -> str:
        return f"<{self}: {_times(self.calls, 'call')}, {_times(self.hits, 'hit')}>"


_State: TypeAlias = tuple[str, Schedule, list[Outcome], FaultPlan | None, int | str | None]

# All plans of this process, and those that others know of, by what they know them by.
_plans: weakref.WeakSet[FaultPlan] = weakref.WeakSet()
_known: weakref.WeakValueDictionary[bytes, FaultPlan] = weakref.WeakValueDictionary()


class _Receiving:
    """A lock, held while a plan is looked up, and made if it is not known."""


_receiving = _Receiving()


def _receive(uid: bytes, way_in: Descriptor | str, state: _State) -> FaultPlan:
    """Return the plan that another process has sent: if it is known here, that very one."""
    with lock_of(_receiving):
        plan = _known.get(uid)
        if plan is None:
            plan = FaultPlan.__new__(FaultPlan)
            plan._set_up(state)
            plan.join(SharedPage.enter(way_in, uid, str(plan)))
            _known[uid] = plan
        elif isinstance(way_in, Descriptor):
            plan.share().drop(way_in)
    return plan


def _number(maker: str, name: str, value: object, least: int = 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{maker}: {name} must be a whole number, got {safe_repr(value)}")
    number = operator.index(value)
    if not least <= number <= ENDLESS:
        raise ValueError(
            f"{maker}: {name} must be a whole number from {least} on, got {safe_repr(value)}"
        )
    return number


def _times(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _end_of(maker: str, item: object) -> dict[str, Any]:
    """Return how an item of a sequence ends a call."""
    kind = item if isinstance(item, type) else type(item)
    if not issubclass(kind, BaseException):
        return {"returns": item}
    return {"raises": outcome_of(maker, {"raises": item}).raises}


def _before_fork() -> None:
    for plan in list(_plans):
        try:
            plan.share()
        except (OSError, ItfError) as error:
            warnings.warn(
                f"{plan} cannot be shared with a forked process, which will count for itself: "
                f"{error}",
                RuntimeWarning,
                stacklevel=2,
            )


def _after_fork_in_child() -> None:
    for plan in list(_plans):
        plan.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
