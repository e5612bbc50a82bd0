from __future__ import annotations

import contextvars
import functools
import sys
import threading
import unittest
from typing import Any

from itf import (
    IntegrationTestCase,
    InterleavingDeadlockError,
    interleave,
)
from tests.interleaving.programs import (
    Account,
    AccountWithLock,
    Pipeline,
    crossing,
    failing_run,
    lost_update,
)
from tests.support import in_threads, run_method, run_script


class FindTest(unittest.TestCase):
    def test_a_lost_update_is_found(self) -> None:
        """200 runs find a lost update with any seed; the error of check is the cause."""
        for seed in range(0, 5_000, 500):
            error = lost_update(seed=seed)
            self.assertIsInstance(error.__cause__, AssertionError)
            self.assertEqual("balance is 1", str(error.__cause__))
            self.assertIn(error.run, range(1, 201))
            self.assertGreaterEqual(error.seed, seed)

    def test_a_deadlock_is_found_and_described(self) -> None:
        """The error has the cycle, where each thread waits, and where it acquired its locks."""
        forwards, backwards = crossing(threading.Lock(), threading.Lock())
        error = failing_run(interleave, forwards, backwards, seed=1)
        self.assertIsInstance(error, InterleavingDeadlockError)
        self.assertEqual({"forwards-1", "backwards-2"}, set(error.circle))
        self.assertEqual(error.circle[0], error.circle[-1])
        text = str(error)
        self.assertRegex(text, r"deadlock: (\S+) -> (\S+) -> \1\n")
        self.assertRegex(
            text,
            r"forwards-1 waits for Lock 'second' of \S+forwards, held by backwards-2,\n"
            r"    at \S+programs\.py:\d+ in crossing\.<locals>\.forwards:  with first, second:\n"
            r"    holding Lock 'first' of \S+forwards, acquired at \S+programs\.py:\d+ in \S+",
        )

    def test_a_failure_is_replayed_exactly_by_its_seed(self) -> None:
        """The seed of a failure gives the same turns again, also in other threads."""
        first = lost_update(seed=3)
        again = {lost_update(seed=first.seed, runs=1).schedule for _ in range(20)}
        self.assertEqual({first.schedule}, again)
        forwards, backwards = crossing(threading.Lock(), threading.Lock())
        deadlock = failing_run(interleave, forwards, backwards)
        replay = functools.partial(interleave, forwards, backwards, seed=deadlock.seed, runs=1)
        schedules = in_threads(4, lambda _: failing_run(replay).schedule)
        self.assertEqual({deadlock.schedule}, set(schedules))

    def test_all_primitives_replay(self) -> None:
        """Queues, events, conditions, sleeps, timeouts and started threads replay."""
        pipeline = Pipeline()

        def schedule(seed: int) -> Any:
            error = failing_run(
                interleave,
                pipeline.produce,
                pipeline.consume,
                pipeline.start_others,
                setup=pipeline.reset,
                check=lambda: False,
                seed=seed,
                runs=1,
            )
            self.assertIn("check returned False", str(error))
            return error.schedule

        for seed in range(20):
            self.assertEqual(schedule(seed), schedule(seed))

    def test_a_failure_is_replayed_in_another_process(self) -> None:
        """The seed of a failure gives the same turns in a new process."""
        script = (
            "import sys; from tests.interleaving.programs import lost_update\n"
            "print('\\n'.join(lost_update(seed=int(sys.argv[1]), runs=1).schedule))"
        )
        error = lost_update(seed=11)
        for hashing in ("1", "2"):
            result = run_script(script, str(error.seed), PYTHONHASHSEED=hashing)
            self.assertEqual("", result.stderr)
            self.assertEqual("\n".join(error.schedule), result.stdout.strip())

    def test_code_with_a_lock_passes(self) -> None:
        """No run of correct code fails, and the runs have different schedules."""
        account = AccountWithLock()

        def setup() -> None:
            account.balance = 0

        explored = interleave(
            *[account.deposit] * 3, setup=setup, check=lambda: account.balance == 3, seed=1
        )
        self.assertEqual((1, 200), (explored.seed, explored.runs))
        self.assertGreater(explored.schedules, 50)

    def test_a_rare_order_is_found(self) -> None:
        """A fault that needs one preemption at one of a hundred instructions is found."""
        state = {"open": False, "seen": False}

        def setup() -> None:
            state.update(open=False, seen=False)

        def writer() -> None:
            for _ in range(20):
                state["open"] = False
            state["open"] = True
            state["open"] = False

        def reader() -> None:
            state["seen"] = state["open"]

        error = failing_run(
            interleave, writer, reader, setup=setup, check=lambda: not state["seen"], runs=2_000,
            seed=1,
        )  # fmt: skip
        self.assertIn("check returned False", str(error))


class FunctionsTest(unittest.TestCase):
    def test_any_callable_can_be_run(self) -> None:
        """Lambdas, closures, partials, callable objects and builtins can be run."""
        seen: list[str] = []

        class Callable:
            def __call__(self) -> None:
                seen.append("object")

        def named(name: str) -> None:
            seen.append(name)

        interleave(
            Callable(),
            lambda: seen.append("lambda"),
            functools.partial(named, "partial"),
            functools.partial(seen.append, "built-in"),
            functools.partial(functools.partial(named), "nested"),
            runs=1,
        )
        self.assertEqual({"object", "lambda", "partial", "built-in", "nested"}, set(seen))

    def test_threads_are_named_after_functions(self) -> None:
        """A thread has the name of its function, with a number."""
        names: set[str] = set()

        def record() -> None:
            names.add(threading.current_thread().name)

        interleave(record, functools.partial(record), runs=1)
        self.assertEqual({"record-1", "record-2"}, names)

    def test_functions_see_the_context_of_the_caller(self) -> None:
        """Each function runs in its own copy of the caller's contextvars context."""
        variable = contextvars.ContextVar("variable", default="unset")
        token = variable.set("caller's")
        seen: list[str] = []

        def change() -> None:
            seen.append(variable.get())
            variable.set("changed")

        try:
            interleave(change, change, runs=2)
            self.assertEqual(["caller's"] * 4, seen)
            self.assertEqual("caller's", variable.get())
        finally:
            variable.reset(token)

    def test_setup_and_check_run_once_a_run_in_the_caller(self) -> None:
        """Each run calls setup, functions and check, in this order."""
        calls: list[object] = []
        interleave(
            lambda: calls.append("function"),
            setup=lambda: calls.append(threading.get_ident()),
            check=lambda: calls.append("check"),
            runs=3,
        )
        self.assertEqual([threading.get_ident(), "function", "check"] * 3, calls)


class PassThroughTest(unittest.TestCase):
    def test_a_base_exception_is_raised_unchanged(self) -> None:
        """A BaseException of a function or check is raised unchanged, with a note."""

        class Outcome(BaseException):
            pass

        def fails() -> None:
            raise Outcome

        for arguments in ({"check": fails}, {}):
            function = (lambda: None) if arguments else fails
            with self.subTest(arguments), self.assertRaises(Outcome) as caught:
                interleave(function, seed=9, **arguments)
            (note,) = caught.exception.__notes__
            self.assertRegex(note, r"^in run 1 of 200 of interleave; replay: .*seed=9, runs=1")

    def test_sys_exit_ends_its_thread_alone(self) -> None:
        """sys.exit in a function ends its thread, and fails no run."""
        done: list[str] = []
        interleave(sys.exit, lambda: done.append("other"), runs=3)
        self.assertEqual(["other"] * 3, done)


class UnderUnittestTest(unittest.TestCase):
    def test_a_failed_check_is_a_failure_not_an_error(self) -> None:
        """unittest counts a failed check as a failure; the timeline records it."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                account = Account()
                for part in range(2):
                    with self.subTest(part=part):
                        account.balance = 0
                        interleave(
                            account.deposit,
                            account.deposit,
                            setup=lambda: vars(account).update(balance=0),
                            check=lambda: self.assertEqual(2, account.balance),
                            seed=1,
                        )

        result = run_method(Case)
        self.assertEqual((2, []), (len(result.failures), result.errors))
        self.assertIn("AssertionError: 2 != 1", result.failures[0][1])
        self.assertIn("itf.exceptions.InterleavingError: run", result.failures[0][1])
        self.assertRegex(result.failures[0][1], r"interleave: action='failed', seed=\d+, run=\d+")

    def test_a_passing_call_is_recorded(self) -> None:
        """A passing call is recorded with its seed and runs.

        Functions record on the timeline of the test, too.
        """

        class Case(IntegrationTestCase):
            def test(self) -> None:
                interleave(lambda: self.timeline.record("mine"), runs=2, seed=6)
                (event,) = self.timeline.events("interleave")
                self.assertEqual(
                    {"action": "explored", "seed": 6, "runs": 2, "schedules": 1}, event["data"]
                )
                self.assertEqual(2, len(self.timeline.events("mine")))

        self.assertTrue(run_method(Case).wasSuccessful())

    def test_a_skip_in_the_check_skips(self) -> None:
        """SkipTest in check skips the test."""

        class Case(unittest.TestCase):
            def test(self) -> None:
                interleave(lambda: None, check=lambda: self.skipTest("not here"))

        self.assertEqual(1, len(run_method(Case).skipped))


if __name__ == "__main__":
    unittest.main()
