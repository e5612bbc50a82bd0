from __future__ import annotations

import copy
import re
import traceback
import types
import unittest
from collections.abc import Callable
from typing import Any

from itf import FaultPlan, InjectedFaultError, inject_faults
from tests.support import in_threads


def outcomes(plan: FaultPlan, calls: int) -> list[Any]:
    """Return the results of that many calls of a function with the plan."""
    module = types.SimpleNamespace(function=lambda: "ok")
    with inject_faults(module, "function", plan):
        return [outcome(module.function) for _ in range(calls)]


def outcome(function: Callable[[], object]) -> object:
    """Return the result of a call, or the name of the exception."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - what it is, is the result
        return type(error).__name__


class WhichCallsTest(unittest.TestCase):
    def test_each_constructor(self) -> None:
        """Each constructor hits the calls that its name says."""
        expected = {
            "always()": (FaultPlan.always(returns=0), [1, 2, 3, 4, 5, 6, 7]),
            "nth_call(3)": (FaultPlan.nth_call(3, returns=0), [3]),
            "first(2)": (FaultPlan.first(2, returns=0), [1, 2]),
            "every(3)": (FaultPlan.every(3, returns=0), [3, 6]),
            "calls(7, 1, 4, 4)": (FaultPlan.calls(7, 1, 4, 4, returns=0), [1, 4, 7]),
            "after(5)": (FaultPlan.after(5, returns=0), [6, 7]),
            "probability(0.5, seed=3)": (
                FaultPlan.probability(0.5, seed=3, returns=0),
                [1, 3, 4, 6],
            ),
            "sequence([0, Ellipsis, 0])": (FaultPlan.sequence([0, ..., 0]), [1, 3]),
        }
        for text, (plan, hit) in expected.items():
            with self.subTest(text):
                given = outcomes(plan, 7)
                self.assertEqual(hit, [n for n, value in enumerate(given, start=1) if value == 0])
                self.assertEqual((7, len(hit)), (plan.calls, plan.hits))
                self.assertEqual(f"FaultPlan.{text}", str(plan))

    def test_repr(self) -> None:
        """The repr contains the counts."""
        plan = FaultPlan.nth_call(2, returns=0)
        self.assertEqual("<FaultPlan.nth_call(2): 0 calls, 0 hits>", repr(plan))
        outcomes(plan, 2)
        self.assertEqual("<FaultPlan.nth_call(2): 2 calls, 1 hit>", repr(plan))

    def test_eight_threads(self) -> None:
        """With eight threads every call is counted, and exactly the selected calls are hit."""
        for plan in (
            FaultPlan.nth_call(777, returns=0),
            FaultPlan.every(7, returns=0),
            FaultPlan.probability(0.3, seed=1, returns=0),
            FaultPlan.first(5, returns=0, then=FaultPlan.first(5, returns=0)),
        ):
            with self.subTest(str(plan)):
                module = types.SimpleNamespace(function=lambda: 1)
                with inject_faults(module, "function", plan):
                    results = in_threads(
                        8, lambda _, call=module.function: sum(call() for _ in range(1000))
                    )
                then = plan._then.hits if plan._then is not None else 0
                self.assertEqual(8000 - plan.hits - then, sum(results))
                self.assertEqual((8000, plan.schedule.hits(8000)), (plan.calls, plan.hits))

    def test_a_seed_makes_the_run_again(self) -> None:
        """A drawn seed is an attribute, and hits the same calls again."""
        plan = FaultPlan.probability(0.5, returns=0)
        first = outcomes(plan, 100)
        again = outcomes(FaultPlan.probability(0.5, seed=plan.seed, returns=0), 100)
        self.assertEqual(first, again)
        self.assertIn(f"seed={plan.seed!r}", str(plan))
        self.assertIsNone(FaultPlan.always().seed)
        self.assertNotEqual(plan.seed, FaultPlan.probability(0.5).seed)

    def test_then(self) -> None:
        """After a plan has hit, the calls it passes go to ``then``."""
        last = FaultPlan.nth_call(2, returns="last")
        plan = FaultPlan.calls(2, 4, returns="first", then=last)
        self.assertEqual(
            ["ok", "first", "ok", "first", "last", "ok"],
            outcomes(plan, 6),
        )
        self.assertEqual((6, 2, 3, 1), (plan.calls, plan.hits, last.calls, last.hits))
        third = FaultPlan.always(returns="third")
        chain = FaultPlan.first(1, returns="1", then=FaultPlan.first(1, returns="2", then=third))
        self.assertEqual(["1", "2", "third", "third"], outcomes(chain, 4))
        by_chance = FaultPlan.probability(
            0.5, seed=3, returns=0, then=FaultPlan.always(returns="then")
        )
        self.assertEqual([0, "then", 0, 0], outcomes(by_chance, 4))

    def test_one_plan_in_two_functions(self) -> None:
        """A plan in two functions counts the calls of both."""
        plan = FaultPlan.nth_call(2, returns="hit")
        module = types.SimpleNamespace(one=lambda: 1, two=lambda: 2)
        with inject_faults(module, "one", plan), inject_faults(module, "two", plan):
            self.assertEqual([1, "hit", 1], [module.one(), module.two(), module.one()])
        self.assertEqual(3, plan.calls)

    def test_a_copy_is_the_plan_itself(self) -> None:
        """copy and deepcopy return the plan itself, so that there is one count."""
        plan = FaultPlan.always()
        self.assertIs(plan, copy.copy(plan))
        self.assertIs(plan, copy.deepcopy({"plan": plan})["plan"])


class HowTest(unittest.TestCase):
    def failure(self, plan: FaultPlan) -> BaseException:
        with self.assertRaises(BaseException) as caught:
            module = types.SimpleNamespace(function=lambda: "ok")
            with inject_faults(module, "function", plan):
                module.function()
        return caught.exception

    def test_without_options(self) -> None:
        """A plan without options raises an InjectedFaultError with target and call."""
        error = self.failure(FaultPlan.always())
        self.assertIsInstance(error, InjectedFaultError)
        self.assertIsInstance(error, RuntimeError)
        self.assertEqual(
            "types.SimpleNamespace.function: call 1 fails, injected by FaultPlan.always()",
            str(error),
        )
        self.assertEqual(
            ("types.SimpleNamespace.function", 1),
            (error.target, error.call),  # type: ignore[attr-defined]
        )

    def test_raises(self) -> None:
        """``raises`` takes any exception or class; the exception has a note about its injection."""
        for raises in (ValueError, ValueError("no"), KeyboardInterrupt, SystemExit(3)):
            with self.subTest(repr(raises)):
                error = self.failure(FaultPlan.always(raises=raises))
                kind = raises if isinstance(raises, type) else type(raises)
                self.assertIs(kind, type(error))
                self.assertEqual(
                    ["injected by FaultPlan.always() as call 1 of types.SimpleNamespace.function"],
                    error.__notes__,
                )

    def test_an_instance_and_its_copies(self) -> None:
        """The first hit raises the instance; later hits raise copies with their own traceback."""
        cause = KeyError("cause")
        given = OSError(5, "Input/output error")
        given.__cause__ = cause
        plan = FaultPlan.always(raises=given)
        errors = [self.failure(plan) for _ in range(3)]
        self.assertIs(given, errors[0])
        self.assertEqual(3, len(set(map(id, errors))))
        for number, error in enumerate(errors, start=1):
            self.assertIsInstance(error, OSError)
            self.assertEqual((5, cause), (getattr(error, "errno", None), error.__cause__))
            self.assertEqual(1, len(error.__notes__))
            self.assertIn(f"as call {number} of", error.__notes__[0])

    def test_what_cannot_be_copied_is_raised_itself(self) -> None:
        """An exception that cannot be copied is raised again itself."""

        class OddError(Exception):
            def __init__(self, first: str, second: str) -> None:
                super().__init__(first + second)

        plan = FaultPlan.always(raises=OddError("a", "b"))
        module = types.SimpleNamespace(function=lambda: "ok")
        seen = []
        with inject_faults(module, "function", plan):
            for _ in range(3):
                try:
                    module.function()
                except OddError as error:
                    seen.append((error, len(traceback.extract_tb(error.__traceback__))))
        error, frames = seen[0]
        # After three raises, there is one note, about the last.
        self.assertEqual([(error, frames)] * 3, seen)
        self.assertEqual(
            ["injected by FaultPlan.always() as call 3 of types.SimpleNamespace.function"],
            error.__notes__,
        )

    def test_nothing_is_kept_alive(self) -> None:
        """A caught fault is freed with its traceback, without the garbage collector."""
        plan = FaultPlan.always(raises=ValueError)
        module = types.SimpleNamespace(function=lambda: "ok")

        class Witness:
            gone = False

            def __del__(self) -> None:
                Witness.gone = True

        def call() -> None:
            witness = Witness()
            try:
                module.function()
            except ValueError:
                del witness

        with inject_faults(module, "function", plan):
            call()
            self.assertTrue(Witness.gone)

    def test_returns(self) -> None:
        """``returns`` takes any value, including None."""
        for value in (None, 0, ValueError, ...):
            self.assertEqual([value], outcomes(FaultPlan.always(returns=value), 1))

    def test_delay(self) -> None:
        """After the delay, the call goes on to the plan's result or to the function."""
        self.assertEqual(["ok"], outcomes(FaultPlan.always(delay=0.001), 1))
        self.assertEqual([0], outcomes(FaultPlan.always(delay=0, returns=0), 1))
        self.assertEqual(["ValueError"], outcomes(FaultPlan.always(delay=0, raises=ValueError), 1))

    def test_sequence(self) -> None:
        """Exceptions are raised, ``...`` passes, other values are returned; then all calls pass."""
        plan = FaultPlan.sequence([ValueError, ..., None, OSError("x"), 3], delay=0)
        self.assertEqual(["ValueError", "ok", None, "OSError", 3, "ok"], outcomes(plan, 6))
        self.assertEqual((6, 4), (plan.calls, plan.hits))
        then = FaultPlan.always(returns="then")
        self.assertEqual([1, "then", "then"], outcomes(FaultPlan.sequence([1], then=then), 3))
        self.assertEqual(["ok", "ok"], outcomes(FaultPlan.sequence([...], then=then), 2))


class MistakesTest(unittest.TestCase):
    def test_mistakes(self) -> None:
        """Invalid arguments raise an error with the value and advice."""
        made = FaultPlan
        cases: list[tuple[Callable[[], object], type[Exception], str]] = [
            (
                made,
                TypeError,
                "a FaultPlan is made by always(), nth_call(n), first(n), every(n), "
                "calls(1, 4, 7), after(n), probability(p) or sequence([...])",
            ),
            (
                lambda: made.nth_call(0),
                ValueError,
                "nth_call(0): n must be a whole number from 1 on, got 0",
            ),
            (
                lambda: made.first(1.5),  # type: ignore[arg-type]
                TypeError,
                "first(1.5): n must be a whole number, got 1.5",
            ),
            (
                lambda: made.every(True),
                TypeError,
                "every(True): n must be a whole number, got True",
            ),
            (
                lambda: made.every(10**30),
                ValueError,
                f"every({10**30}): n must be a whole number from 1 on, got {10**30}",
            ),
            (
                lambda: made.after(-1),
                ValueError,
                "after(-1): n must be a whole number from 0 on, got -1",
            ),
            (
                made.calls,
                ValueError,
                "calls() needs the numbers of the calls to hit, such as calls(1, 4, 7)",
            ),
            (
                lambda: made.calls([1, 4]),  # type: ignore[arg-type]
                TypeError,
                "calls([1, 4]): each number must be a whole number, got [1, 4]",
            ),
            *(
                (
                    lambda p=p: made.probability(p),  # type: ignore[misc]
                    ValueError,
                    f"probability({p!r}): p must be a number from 0 to 1, got {p!r}",
                )
                for p in (-0.1, 1.1, float("nan"), "0.5", True)
            ),
            (
                lambda: made.probability(0.5, seed=0.5),  # type: ignore[arg-type]
                TypeError,
                "probability(0.5): seed must be an int or a str, got 0.5",
            ),
            (
                lambda: made.always(raises=ValueError("a"), returns=1),
                ValueError,
                "always(): raises=ValueError('a') and returns=1 contradict each other; "
                "a call ends in one way",
            ),
            *(
                (
                    lambda raises=raises: made.always(raises=raises),  # type: ignore[misc]
                    TypeError,
                    f"always(): raises must be an exception or the class of one, got {raises!r}",
                )
                for raises in ("error", int, [ValueError])
            ),
            (
                lambda: made.always(raises=UnicodeDecodeError),
                TypeError,
                "always(): UnicodeDecodeError cannot be made without arguments (function takes "
                "exactly 5 arguments (0 given)); pass an instance: raises=UnicodeDecodeError(...)",
            ),
            (
                lambda: made.always(delay=-1),
                ValueError,
                "always(): delay must be seconds from 0 on, got -1",
            ),
            (
                lambda: made.always(delay="1"),  # type: ignore[arg-type]
                TypeError,
                "always(): delay must be a number of seconds, got '1'",
            ),
            (
                lambda: made.always(hang=1),  # type: ignore[arg-type]
                TypeError,
                "always(): hang must be True or False, got 1",
            ),
            (
                lambda: made.always(timeout=float("nan")),
                ValueError,
                "always(): timeout must be seconds from 0 on, got nan",
            ),
            *(
                (
                    make,
                    ValueError,
                    f"{text} lets no call pass once it has hit, so that then= would never be "
                    "asked; use first(n) or calls(...)",
                )
                for text, make in (
                    ("always()", lambda: made.always(then=made.first(1))),
                    ("after(2)", lambda: made.after(2, then=made.first(1))),
                    ("every(1)", lambda: made.every(1, then=made.first(1))),
                    (
                        "probability(1, seed=2)",
                        lambda: made.probability(1, seed=2, then=made.first(1)),
                    ),
                )
            ),
            (
                lambda: made.first(1, then=ValueError),
                TypeError,
                "first(1): then must be another FaultPlan, got <class 'ValueError'>",
            ),
            (
                lambda: made.first(1, raise_=ValueError),  # type: ignore[call-arg]
                TypeError,
                "first(1) does not take raise_; it takes raises, returns, delay, hang, timeout, "
                "then",
            ),
            (lambda: made.sequence([]), ValueError, "sequence([...]) needs at least one outcome"),
            (
                lambda: made.sequence("abc"),
                TypeError,
                "sequence([...]) takes a list of outcomes, got 'abc'",
            ),
            (
                lambda: made.sequence([1], raises=ValueError),
                ValueError,
                "sequence([...]): each outcome defines what is raised or returned; "
                "omit raises= and returns=",
            ),
            (
                lambda: made.sequence([UnicodeDecodeError]),
                TypeError,
                "sequence([...]): UnicodeDecodeError cannot be made without arguments",
            ),
        ]
        for make, kind, text in cases:
            with self.subTest(text), self.assertRaisesRegex(kind, f"^{re.escape(text)}"):
                make()


if __name__ == "__main__":
    unittest.main()
