from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import os
import re
import sys
import types
import unittest
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar
from unittest import mock

from itf import FaultInjectionError, FaultPlan, Timeline, inject_faults
from itf.faults.injection import Injection
from tests.support import in_threads

HERE = sys.modules[__name__]


def add(first: int, /, second: int = 2, *rest: int, third: int = 3, **others: int) -> int:
    """Add numbers."""
    return first + second + sum(rest) + third + sum(others.values())


add.mark = "kept"  # type: ignore[attr-defined]


async def fetch(value: int) -> int:
    """Return a value later."""
    await asyncio.sleep(0)
    return value


def count(end: int) -> Iterator[int]:
    """Yield numbers, then the values that were sent in."""
    for number in range(end):
        sent = yield number
        if sent is not None:
            yield sent
    return end


async def count_later(end: int) -> AsyncIterator[int]:
    """Yield numbers, then the values sent in and the ValueError thrown in."""
    for number in range(end):
        try:
            sent = yield number
        except ValueError:
            sent = -1
        if sent is not None:
            yield sent


@contextlib.contextmanager
def opened(value: int) -> Iterator[int]:
    """A context manager that records a KeyError raised in its ``with``."""
    with contextlib.suppress(KeyError):
        yield value


@contextlib.asynccontextmanager
async def opened_later(value: int) -> AsyncIterator[int]:
    """An async context manager that records a KeyError raised in its ``with``."""
    with contextlib.suppress(KeyError):
        yield value


class Base:
    length = len
    partial = functools.partial(add, 1)
    left: ClassVar[list[str]] = []
    limit = 3

    def __init__(self, value: int = 1) -> None:
        self._value = value

    def __enter__(self) -> Base:
        return self

    def __exit__(self, *_: object) -> None:
        self.left.append("left")

    def method(self, more: int = 0) -> int:
        """Return the value."""
        return self._value + more

    async def fetch(self) -> int:
        """Return the value later."""
        return self._value

    @classmethod
    def of(cls, value: int) -> Base:
        """Create an instance."""
        return cls(value)

    @staticmethod
    def double(value: int) -> int:
        """Double a value."""
        return 2 * value

    @property
    def value(self) -> int:
        """The value."""
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        self._value = value

    @functools.cached_property
    def cached(self) -> int:
        """The value, cached."""
        return self._value

    @contextlib.contextmanager
    def opened(self, more: int = 0) -> Iterator[int]:
        yield self._value + more


class Derived(Base):
    pass


async def drained(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


class KindsTest(unittest.TestCase):
    """Plans that hit the second call do not affect the first and the third."""

    def plan(self, **how: Any) -> FaultPlan:
        return FaultPlan.nth_call(2, **(how or {"returns": "fault"}))

    def assert_second(self, target: Any, name: str, call: Callable[[], object], real: Any) -> None:
        before = inspect.getattr_static(target, name)
        with inject_faults(target, name, self.plan()) as plan:
            self.assertEqual([real, "fault", real], [call() for _ in range(3)])
            self.assertEqual((3, 1), (plan.calls, plan.hits))
        self.assertIs(before, inspect.getattr_static(target, name))
        self.assertEqual(real, call())

    def test_functions_of_a_module(self) -> None:
        """A function with every kind of parameter, a builtin, and a partial."""
        self.assert_second(HERE, "add", lambda: add(1, 2, 3, third=4, fourth=5), 15)
        self.assert_second(HERE, "add", lambda: add(1), 6)
        self.assert_second(os, "getpid", lambda: os.getpid(), os.getpid())  # noqa: PLW0108
        module = types.ModuleType("made")
        module.part = functools.partial(add, 1)  # type: ignore[attr-defined]
        self.assert_second(module, "part", lambda: module.part(1), 5)

    def test_methods(self) -> None:
        """A plan on a class, a derived class or an object hits the calls of that one only."""
        base, derived = Base(), Derived()
        self.assert_second(Base, "method", lambda: base.method(more=1), 2)
        self.assert_second(Base, "method", lambda: derived.method(1), 2)
        self.assert_second(Derived, "method", lambda: derived.method(more=0), 1)
        self.assertNotIn("method", vars(Derived))
        self.assert_second(base, "method", lambda: base.method(2), 3)
        self.assertEqual({"_value": 1}, vars(base))
        with inject_faults(Derived, "method", FaultPlan.always(returns=0)):
            self.assertEqual((1, 0), (base.method(), derived.method()))
        with inject_faults(base, "method", FaultPlan.always(returns=0)):
            self.assertEqual((0, 1), (base.method(), Base().method()))

    def test_static_and_class_methods(self) -> None:
        """They are hit when called on the class, an instance or a derived class."""
        for caller in (Base, Base(), Derived):
            self.assert_second(Base, "double", lambda caller=caller: caller.double(2), 4)
            before = vars(Base)["of"]
            with inject_faults(Base, "of", self.plan()):
                kinds = [type(caller.of(1)).__name__ for _ in range(3)]
                name = Base.__name__ if caller is not Derived else "Derived"
                self.assertEqual([name, "str", name], kinds)
                self.assertIsInstance(vars(Base)["of"], classmethod)
            self.assertIs(before, vars(Base)["of"])

    def test_what_binds_no_self(self) -> None:
        """A builtin or partial as class attribute still gets no ``self``."""
        self.assert_second(Base, "length", lambda: Base().length([1]), 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it will be a method one day
            self.assert_second(Base, "partial", lambda: Base.partial(1), 5)

    def test_properties(self) -> None:
        """Reading the property is hit; setting it is not."""
        base = Base(5)
        self.assert_second(Base, "value", lambda: base.value, 5)
        with inject_faults(Base, "value", FaultPlan.always(raises=OSError)):
            base.value = 6
            with self.assertRaises(OSError):
                _ = base.value
            self.assertEqual("The value.", Base.value.__doc__)
        self.assertEqual(6, base.value)
        self.assert_second(Base, "cached", lambda: Base().cached, 1)

    def test_coroutine_functions(self) -> None:
        """A coroutine function fails when it is awaited."""
        self.assert_second(HERE, "fetch", lambda: asyncio.run(fetch(3)), 3)
        base = Base()
        self.assert_second(Base, "fetch", lambda: asyncio.run(base.fetch()), 1)
        self.assert_second(base, "fetch", lambda: asyncio.run(base.fetch()), 1)
        with inject_faults(HERE, "fetch", FaultPlan.always(raises=OSError)) as plan:
            coroutine = fetch(1)
            self.assertEqual(0, plan.calls)
            with self.assertRaises(OSError):
                asyncio.run(coroutine)

    def test_generator_functions(self) -> None:
        """A generator function fails at its first value; ``returns`` gives the values yielded."""
        with inject_faults(HERE, "count", self.plan(returns=[7, 8])):
            self.assertEqual([[0, 1], [7, 8], [0, 1]], [list(count(2)) for _ in range(3)])
            items = count(2)
            self.assertEqual([0, "sent", 1], [next(items), items.send("sent"), next(items)])
            with self.assertRaises(StopIteration) as caught:
                next(items)
            self.assertEqual(2, caught.exception.value)
        with inject_faults(HERE, "count", self.plan(raises=OSError)) as plan:
            self.assertEqual([0], list(count(1)))
            items = count(1)
            self.assertEqual(1, plan.calls)
            with self.assertRaises(OSError):
                next(items)
        wrong = inject_faults(HERE, "count", FaultPlan.always(returns=3))
        with wrong, self.assertRaises(FaultInjectionError) as refused:
            list(count(1))
        self.assertEqual(
            "returns=3 for a generator function: it must be what is to be yielded, such as a list",
            str(refused.exception),
        )

    def test_async_generator_functions(self) -> None:
        """An async generator function fails at its first value; sent and thrown values arrive."""

        async def use() -> None:
            with inject_faults(HERE, "count_later", self.plan(returns=[7, 8])):
                given = [await drained(count_later(2)) for _ in range(3)]
                self.assertEqual([[0, 1], [7, 8], [0, 1]], given)
                items: Any = count_later(2)
                self.assertEqual(0, await items.asend(None))
                self.assertEqual("sent", await items.asend("sent"))
                await items.aclose()
                items = count_later(2)
                self.assertEqual([0, -1], [await anext(items), await items.athrow(ValueError())])
                with self.assertRaises(KeyError):
                    await items.athrow(KeyError("out"))
            failing = inject_faults(HERE, "count_later", FaultPlan.always(raises=OSError))
            with failing, self.assertRaises(OSError):
                await drained(count_later(1))

        asyncio.run(use())

    def test_context_managers(self) -> None:
        """A context manager fails at its ``with``; ``returns`` gives the value of the ``with``."""

        def use(open_it: Callable[[], Any]) -> object:
            with open_it() as value:
                return value

        self.assert_second(HERE, "opened", lambda: use(lambda: opened(1)), 1)
        base = Base()
        for target in (Base, base):
            self.assert_second(target, "opened", lambda: use(lambda: base.opened(more=1)), 2)
        with inject_faults(HERE, "opened", self.plan(raises=OSError)):
            with opened(1):
                raise KeyError("kept by the context manager")
            manager = opened(1)
            with self.assertRaises(OSError), manager:
                self.fail("the with was entered")

    def test_async_context_managers(self) -> None:
        """An async context manager fails at its ``with``; a hang does not block the loop."""

        async def use() -> list[object]:
            values = []
            for _ in range(3):
                async with opened_later(1) as value:
                    values.append(value)
                    raise KeyError("kept by the context manager")
            return values

        with inject_faults(HERE, "opened_later", FaultPlan.first(2, delay=0)):
            self.assertEqual([1, 1, 1], asyncio.run(use()))

        async def enter() -> None:
            async with opened_later(1):
                self.fail("the with was entered")

        failing = inject_faults(HERE, "opened_later", FaultPlan.always(raises=OSError))
        with failing, self.assertRaises(OSError):
            asyncio.run(enter())

    def test_dunder_methods_of_a_class(self) -> None:
        """A constructor and the methods of a context manager class can be hit on the class."""
        failing = inject_faults(Base, "__enter__", FaultPlan.always(raises=OSError))
        with failing, self.assertRaises(OSError), Base():
            self.fail("the with was entered")
        with inject_faults(Base, "__init__", self.plan(raises=OSError)):
            self.assertEqual(4, Base(4).value)
            with self.assertRaises(OSError):
                Base()
        with Base() as base:
            self.assertEqual(1, base.value)

    def test_it_looks_like_the_original(self) -> None:
        """The wrapper has the original's name, docstring, signature, attributes and kind."""
        targets: list[tuple[Any, str]] = [
            *(
                (HERE, n)
                for n in ("add", "fetch", "count", "count_later", "opened", "opened_later")
            ),
            *((Base, n) for n in ("method", "of", "double", "fetch", "opened")),
            *((Base(), n) for n in ("method", "fetch")),
        ]

        def look(target: Any, name: str) -> list[Any]:
            found = getattr(target, name)
            return [
                found.__name__,
                found.__qualname__,
                found.__module__,
                found.__doc__,
                str(inspect.signature(found)),
                getattr(found, "mark", None),
                inspect.iscoroutinefunction(found),
                inspect.isgeneratorfunction(found),
                inspect.isasyncgenfunction(found),
            ]

        for target, name in targets:
            with self.subTest(name):
                before = look(target, name)
                with inject_faults(target, name, FaultPlan.always()):
                    self.assertEqual(before, look(target, name))

    def test_a_call_with_the_wrong_arguments(self) -> None:
        """Wrong arguments raise the same TypeError as without a plan."""
        with inject_faults(Base, "method", FaultPlan.nth_call(9)) as plan:
            with self.assertRaises(TypeError):
                Base().method(1, 2)  # type: ignore[call-arg]
            self.assertEqual(0, plan.calls)


class PlaceTest(unittest.TestCase):
    def test_nested(self) -> None:
        """The last plan receives a call first; a call that it ends does not reach the others."""
        outer, inner = FaultPlan.always(returns="outer"), FaultPlan.nth_call(2, returns="inner")
        with inject_faults(HERE, "add", outer), inject_faults(HERE, "add", inner):
            self.assertEqual(["outer", "inner", "outer"], [add(1) for _ in range(3)])
        self.assertEqual((2, 3), (outer.calls, inner.calls))
        delayed = FaultPlan.always(delay=0)
        with inject_faults(HERE, "add", outer), inject_faults(HERE, "add", delayed):
            self.assertEqual("outer", add(1))
        self.assertEqual(6, add(1))

    def test_undone_in_any_order(self) -> None:
        """Removing one plan keeps the others; removing the last restores the original."""
        original = add
        for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)):
            plans = [FaultPlan.always(delay=0) for _ in range(3)]
            injections = [inject_faults(HERE, "add", plan) for plan in plans]
            for injection in injections:
                injection.start()
            for position, number in enumerate(order):
                add(1)
                injections[number].undo()
                injections[number].undo()  # a second call does nothing
                self.assertEqual(position + 1, plans[number].calls)
                self.assertIs(position == 2, HERE.add is original)
        self.assertIs(original, HERE.add)

    def test_the_same_plan_twice_at_one_place(self) -> None:
        """A plan injected twice counts each call twice."""
        plan = FaultPlan.nth_call(4, returns="fault")
        with inject_faults(HERE, "add", plan), inject_faults(HERE, "add", plan):
            self.assertEqual([6, "fault", 6], [add(1) for _ in range(3)])
        self.assertEqual(6, plan.calls)

    def test_again_after_its_end(self) -> None:
        """An injection can be started again; its plan continues to count."""
        plan = FaultPlan.nth_call(2, returns="fault")
        injection = inject_faults(HERE, "add", plan)
        for expected in (6, "fault", 6):
            with injection:
                self.assertEqual(expected, add(1))
        self.assertEqual(repr(injection), "<Injection of FaultPlan.nth_call(2), not installed>")

    def test_after_an_error_in_the_with(self) -> None:
        """An error in the ``with`` removes the plan and propagates."""
        original = add
        with self.assertRaises(KeyError), inject_faults(HERE, "add", FaultPlan.always()):
            raise KeyError("of the test")
        self.assertIs(original, HERE.add)

    def test_a_patch_by_other_code(self) -> None:
        """Any order of `mock.patch` and injection ends with the original restored."""
        original = add
        plan = FaultPlan.always(returns="fault")
        with mock.patch.object(HERE, "add", lambda _: "patched"):
            with inject_faults(HERE, "add", FaultPlan.nth_call(2, returns="fault")):
                self.assertEqual(["patched", "fault"], [add(1), add(1)])
            self.assertEqual("patched", add(1))
        self.assertIs(original, HERE.add)
        injection = inject_faults(HERE, "add", plan)
        injection.start()
        with mock.patch.object(HERE, "add", lambda _: "patched"):
            injection.undo()
            self.assertEqual("patched", add(1))
        # The patch restored the wrapper, which now passes every call ...
        self.assertEqual(6, add(1))
        # ... and the next injection there removes it.
        with inject_faults(HERE, "add", plan):
            self.assertEqual("fault", add(1))
        self.assertIs(original, HERE.add)

    def test_a_wrapper_that_outlives_its_plan(self) -> None:
        """A wrapper that outlives its plan passes every call and counts none."""
        with inject_faults(HERE, "add", FaultPlan.always(returns="fault")) as plan:
            kept = add
        self.assertEqual(6, kept(1))
        self.assertEqual(0, plan.calls)

    def test_eight_threads_inject_and_undo(self) -> None:
        """Eight threads that inject and undo leave the original function."""
        original = add

        def work(_: int) -> set[object]:
            seen = set()
            for _ in range(100):
                with inject_faults(HERE, "add", FaultPlan.always(returns="fault")):
                    seen.add(add(1))
            return seen

        self.assertEqual({"fault"}, set().union(*in_threads(8, work)))
        self.assertIs(original, HERE.add)

    def test_what_a_module_makes_when_asked(self) -> None:
        """An attribute from a module's ``__getattr__`` is created there again afterwards."""
        module = types.ModuleType("lazy")
        module.__getattr__ = lambda name: {"late": add}[name]  # type: ignore[method-assign]
        with inject_faults(module, "late", FaultPlan.always(returns="fault")):
            self.assertEqual("fault", module.late(1))
        self.assertNotIn("late", vars(module))
        self.assertEqual(6, module.late(1))

    def test_objects_that_refuse_attributes(self) -> None:
        """A frozen object can have a plan if it has a ``__dict__``."""

        class Frozen:
            def __setattr__(self, name: str, value: object) -> None:
                raise AttributeError("frozen")

            def read(self) -> str:
                return "real"

        frozen = Frozen()
        with inject_faults(frozen, "read", FaultPlan.always(returns="fault")):
            self.assertEqual("fault", frozen.read())
        self.assertEqual(("real", {}), (frozen.read(), vars(frozen)))

    def test_nothing_is_kept(self) -> None:
        """After `undo`, itf holds no reference to the target or the plan."""

        class Target:
            def read(self) -> str:
                return "real"

        gone = []
        target = Target()
        weakref.finalize(target, gone.append, "target")
        with inject_faults(target, "read", FaultPlan.nth_call(3)):
            target.read()
        del target
        gc.collect()
        self.assertEqual(["target"], gone)

    def test_one_that_was_never_entered(self) -> None:
        """An injection that was never started warns: its ``with`` is missing."""
        with self.assertWarnsRegex(
            RuntimeWarning, "faults for 'add' were never injected: use `with"
        ):
            inject_faults(HERE, "add", FaultPlan.always())
            gc.collect()


class MistakesTest(unittest.TestCase):
    def test_mistakes(self) -> None:
        """Invalid arguments raise an error with the value and advice, and change nothing."""
        base, plan = Base(), FaultPlan.always()

        class Slots:
            __slots__ = ()

            def read(self) -> None:
                pass

            def __repr__(self) -> str:
                return "<slots>"

        here = __name__
        slots = f"{type(self).__qualname__}.test_mistakes.<locals>.Slots"
        cases: list[tuple[Any, Any, Any, type[Exception], str]] = [
            (
                Base,
                "metod",
                plan,
                AttributeError,
                f"{here}.Base has no attribute 'metod'; did you mean 'method'?",
            ),
            (HERE, "zzz", plan, AttributeError, f"{here} has no attribute 'zzz'"),
            (None, "read", plan, AttributeError, "None has no attribute 'read'"),
            (
                Base,
                "limit",
                plan,
                FaultInjectionError,
                f"{here}.Base.limit is 3, which is no function; faults can be injected into "
                "what is called, and into properties",
            ),
            (
                HERE,
                "Base",
                plan,
                FaultInjectionError,
                f"{here}.Base is a class, which has to stay one; inject into its constructor: "
                "inject_faults(Base, '__init__', plan)",
            ),
            (
                Slots(),
                "read",
                plan,
                FaultInjectionError,
                "cannot inject faults into 'read' of <slots>: it takes no attributes "
                f"('Slots' object attribute 'read' is read-only); inject into its class, {slots}",
            ),
            (
                list,
                "append",
                plan,
                FaultInjectionError,
                "cannot inject faults into 'append' of <class 'list'>: it takes no attributes "
                "(cannot set 'append' attribute of immutable type 'list'); "
                "derive a class from list, or inject into what calls it",
            ),
            (
                [],
                "append",
                plan,
                FaultInjectionError,
                "cannot inject faults into 'append' of []: it takes no attributes "
                "('list' object attribute 'append' is read-only); "
                "derive a class from list, or inject into what calls it",
            ),
            (
                base,
                "value",
                plan,
                FaultInjectionError,
                f"'value' of {base!r} is a property of its class; inject into that: "
                "inject_faults(Base, 'value', plan)",
            ),
            (
                base,
                "__enter__",
                plan,
                FaultInjectionError,
                f"Python looks up '__enter__' of {base!r} on its class, never on the object; "
                "inject into that: inject_faults(Base, '__enter__', plan)",
            ),
            (
                "os.path",
                "join",
                plan,
                FaultInjectionError,
                "target is the str 'os.path'; pass the module, class or object itself",
            ),
            (Base, 3, plan, TypeError, "name must be a str, the name of what is called, got 3"),
            (
                Base,
                "method",
                FaultPlan.always,
                TypeError,
                "plan must be a FaultPlan, such as FaultPlan.nth_call(3), got ",
            ),
        ]
        before = dict(vars(Base))
        for target, name, faults, kind, text in cases:
            with self.subTest(text), self.assertRaisesRegex(kind, f"^{re.escape(text)}"):
                inject_faults(target, name, faults).start()
        self.assertEqual((before, 0), (dict(vars(Base)), plan._uses))


class EventsTest(unittest.TestCase):
    def events(self, plan: FaultPlan, calls: int = 1) -> list[dict[str, Any]]:
        injection = inject_faults(HERE, "add", plan)
        self.timeline = injection.timeline = Timeline()
        with injection:
            for _ in range(calls):
                add(1)
        return [event["data"] for event in self.timeline.events("fault")]

    def test_each_hit_is_an_event(self) -> None:
        """Injection, hits and removal are events, with the counts."""
        target = f"{__name__}.add"
        self.assertEqual(
            [
                {"target": target, "action": "injected", "plan": "FaultPlan.every(2)"},
                *(
                    {
                        "target": target,
                        "action": "hit",
                        "call": call,
                        "plan": "FaultPlan.every(2)",
                        "outcome": "is delayed by 0 s, returns 'x'",
                    }
                    for call in (2, 4)
                ),
                {"target": target, "action": "undone", "calls": 5, "hits": 2},
            ],
            self.events(FaultPlan.every(2, delay=0, returns="x"), 5),
        )

    def test_the_outcome_is_recorded(self) -> None:
        """The event of a hit describes its outcome."""
        for plan, text in (
            (FaultPlan.always(returns=3), "returns 3"),
            (FaultPlan.always(delay=0, returns=None), "is delayed by 0 s, returns None"),
            (FaultPlan.always(hang=True, timeout=1), "hangs"),
            (FaultPlan.sequence([..., 5]), None),
        ):
            plan.release()
            self.assertEqual(
                [text] if text else [], [e["outcome"] for e in self.events(plan) if "outcome" in e]
            )

    def test_the_seed_is_pinned(self) -> None:
        """The text of the timeline shows the seed after any number of hits."""
        plan = FaultPlan.probability(1.0, returns=0)
        self.events(plan, 100)
        text = self.timeline.describe(5)
        self.assertIn(
            f"fault: FaultPlan.probability(1.0, seed={plan.seed}) in {__name__}.add", text
        )
        later = FaultPlan.first(1, returns=0, then=FaultPlan.probability(0.5, seed="later"))
        self.events(later, 1)
        self.assertEqual(
            [f"fault: FaultPlan.probability(0.5, seed='later') in {__name__}.add"],
            self.timeline.pinned,
        )

    def test_of_which_thread(self) -> None:
        """A hit in a thread is on the same timeline, with the thread's name."""
        injection = inject_faults(HERE, "add", FaultPlan.always(returns=0))
        timeline = injection.timeline = Timeline()
        with injection:
            in_threads(3, lambda _: add(1))
        names = [e["thread"] for e in timeline.events("fault") if e["data"]["action"] == "hit"]
        self.assertEqual(3, len(set(names)))
        self.assertNotIn("MainThread", names)

    def test_of_which_task(self) -> None:
        """A hit in a task has the task's name."""

        async def use() -> None:
            await asyncio.create_task(fetch(1), name="the task")

        injection = inject_faults(HERE, "fetch", FaultPlan.always(returns=0))
        timeline = injection.timeline = Timeline()
        with injection:
            asyncio.run(use())
        self.assertEqual(["the task"], [event["task"] for event in timeline if event["task"]])

    def test_an_injection_knows_its_plan(self) -> None:
        """``with`` and the attribute ``plan`` give the plan."""
        plan = FaultPlan.always()
        injection = inject_faults(HERE, "add", plan)
        self.assertIsInstance(injection, Injection)
        with injection as given:
            self.assertIs(plan, given)
        self.assertIs(plan, injection.plan)


if __name__ == "__main__":
    unittest.main()
