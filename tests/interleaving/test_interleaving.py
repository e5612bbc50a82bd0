from __future__ import annotations

import contextvars
import functools
import os
import socket
import sys
import threading
import time
import unittest
from typing import Any

from itf import (
    IntegrationTestCase,
    InterleavingDeadlockError,
    InterleavingError,
    InterleavingTimeoutError,
    interleave,
)
from tests.interleaving.programs import Account, AccountWithLock, Pipeline, crossing, failing_run
from tests.support import in_threads, run_method, run_script


def lost_update(**options: Any) -> Any:
    """Interleave two deposits without a lock, and return the failure."""
    account = Account()

    def setup() -> None:
        account.balance = 0

    def check() -> None:
        if account.balance != 2:
            raise AssertionError(f"balance is {account.balance}")

    return failing_run(
        interleave, account.deposit, account.deposit, setup=setup, check=check, **options
    )


class FindingTest(unittest.TestCase):
    def test_a_lost_update_is_found(self) -> None:
        """Whatever the seed, 200 runs find it, and the check's error is the cause."""
        for seed in range(0, 5_000, 500):
            error = lost_update(seed=seed)
            self.assertIsInstance(error.__cause__, AssertionError)
            self.assertEqual("balance is 1", str(error.__cause__))
            self.assertIn(error.run, range(1, 201))
            self.assertGreaterEqual(error.seed, seed)

    def test_a_deadlock_is_found_and_its_circle_told(self) -> None:
        """Who waits for which lock, where, held by whom, and where that one took it."""
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
        """The same seed gives the same turns, twenty times of twenty, in other threads too."""
        first = lost_update(seed=3)
        again = {lost_update(seed=first.seed, runs=1).schedule for _ in range(20)}
        self.assertEqual({first.schedule}, again)
        forwards, backwards = crossing(threading.Lock(), threading.Lock())
        deadlock = failing_run(interleave, forwards, backwards)
        replay = functools.partial(interleave, forwards, backwards, seed=deadlock.seed, runs=1)
        schedules = in_threads(4, lambda _: failing_run(replay).schedule)
        self.assertEqual({deadlock.schedule}, set(schedules))

    def test_each_seed_replays_with_all_that_is_taken_over(self) -> None:
        """Queues, events, conditions, sleeps, timeouts, threads started: the same turns twice."""
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
        """A seed may be sent to a colleague."""
        script = (
            "import sys; from tests.interleaving.test_interleaving import lost_update\n"
            "print('\\n'.join(lost_update(seed=int(sys.argv[1]), runs=1).schedule))"
        )
        error = lost_update(seed=11)
        for hashing in ("1", "2"):
            result = run_script(script, str(error.seed), PYTHONHASHSEED=hashing)
            self.assertEqual("", result.stderr)
            self.assertEqual("\n".join(error.schedule), result.stdout.strip())

    def test_code_with_a_lock_passes(self) -> None:
        """No run fails, and the runs differ."""
        account = AccountWithLock()

        def setup() -> None:
            account.balance = 0

        explored = interleave(
            *[account.deposit] * 3, setup=setup, check=lambda: account.balance == 3, seed=1
        )
        self.assertEqual((1, 200), (explored.seed, explored.runs))
        self.assertGreater(explored.schedules, 50)

    def test_a_rare_order_is_found(self) -> None:
        """One that needs a change at one location of a hundred, within some hundred runs."""
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


class ReportTest(unittest.TestCase):
    def test_the_message_says_seed_run_replay_and_turns(self) -> None:
        """The text of a lost update, but for the seed and the instructions."""
        error = lost_update(seed=3)
        head, replay, heading, *turns = str(error).splitlines()
        self.assertEqual(
            f"run {error.run} of 200 failed: check raised AssertionError: balance is 1", head
        )
        version = ".".join(map(str, sys.version_info[:3]))
        self.assertEqual(
            f"replay: interleave(..., seed={error.seed}, runs=1), the same under Python {version}",
            replay,
        )
        self.assertEqual(f"the turns that led to it (last {len(turns)} of {len(turns)}):", heading)
        self.assertEqual([f"  {line}" for line in error.schedule], turns)
        self.assertRegex(turns[-1], r"  deposit-[12]  ran to its end$")
        self.assertRegex(
            "\n".join(turns),
            r"deposit-[12]  ran to \S+programs\.py:\d+ in Account\.deposit, "
            r"before [A-Z_]+.*:  self\.balance \+= 1",
        )

    def test_only_the_last_turns_are_shown(self) -> None:
        """The error has all of them."""
        counter = iter(range(10_000))
        lock = threading.Lock()

        def count() -> None:
            for _ in range(500):
                with lock:
                    next(counter)

        error = failing_run(interleave, count, count, check=lambda: False, seed=5)
        self.assertGreater(len(error.schedule), 20)
        self.assertIn(f"(last 20 of {len(error.schedule)})", str(error))
        self.assertEqual(23, len(str(error).splitlines()))

    def test_an_exception_of_a_function_is_the_cause(self) -> None:
        """With the thread that raised it, and the seed; no frame of itf is in its traceback."""

        def fails() -> None:
            raise ValueError("no luck")

        error = failing_run(interleave, fails, lambda: None, seed=8)
        self.assertIn("run 1 of 200 failed: fails-1 raised ValueError: no luck\n", str(error))
        self.assertEqual(8, error.seed)
        self.assertIsInstance(error.__cause__, ValueError)
        names = []
        entry = error.__cause__.__traceback__
        while entry is not None:
            names.append(entry.tb_frame.f_code.co_name)
            entry = entry.tb_next
        self.assertEqual(["fails"], names)

    def test_waits_that_nobody_ends_are_a_deadlock(self) -> None:
        """Of a condition never notified, and of a lock whose holder has ended."""
        condition = threading.Condition()

        def wait() -> None:
            with condition:
                condition.wait()

        error = failing_run(interleave, wait)
        self.assertIsInstance(error, InterleavingDeadlockError)
        self.assertEqual((), error.circle)
        self.assertRegex(
            str(error),
            r"no thread can go on\n  wait-1 waits for Condition 'condition' of \S+wait,\n",
        )
        lock = threading.Lock()

        def keep() -> None:
            lock.acquire()

        error = failing_run(interleave, keep, keep)
        lock.release()
        self.assertRegex(str(error), r"held by keep-\d, which has ended,")

    def test_a_lock_that_its_holder_takes_again(self) -> None:
        """The shortest circle; the lock is free again after it."""
        lock = threading.Lock()

        def twice() -> None:
            lock.acquire()
            lock.acquire()

        error = failing_run(interleave, twice)
        self.assertEqual(("twice-1", "twice-1"), error.circle)
        self.assertIn("which it holds itself", str(error))
        self.assertFalse(lock.locked())


class KindsOfFunctionsTest(unittest.TestCase):
    def test_whatever_can_be_called(self) -> None:
        """Methods, lambdas, closures, partials, callable objects and built-in ones."""
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
        """So that a log tells them apart."""
        names: set[str] = set()

        def record() -> None:
            names.add(threading.current_thread().name)

        interleave(record, functools.partial(record), runs=1)
        self.assertEqual({"record-1", "record-2"}, names)

    def test_functions_see_the_context_of_the_caller(self) -> None:
        """Each has a copy of its own, as `contextvars` does it."""
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
        """Setup, functions, check, in this order."""
        calls: list[object] = []
        interleave(
            lambda: calls.append("function"),
            setup=lambda: calls.append(threading.get_ident()),
            check=lambda: calls.append("check"),
            runs=3,
        )
        self.assertEqual([threading.get_ident(), "function", "check"] * 3, calls)


class BadInputTest(unittest.TestCase):
    def test_errors_say_what_is_wrong(self) -> None:
        """What was got, and what to do."""

        async def coroutine() -> None:
            return None

        def generator() -> Any:
            yield

        for functions, options, kind, text in (
            ((generator,), {}, TypeError, "function 1 is a generator function.*executes none"),
            ((), {}, ValueError, "needs functions to run as threads, got none"),
            ((3,), {}, TypeError, "function 1 cannot be called: 3"),
            ((print, None), {}, TypeError, "function 2 cannot be called: None; did you call it"),
            ((coroutine,), {}, TypeError, "function 1 is a coroutine function.*async_test_runner"),
            ((functools.partial(coroutine),), {}, TypeError, "is a coroutine function"),
            ((print,), {"setup": 1}, TypeError, "setup cannot be called: 1"),
            ((print,), {"check": coroutine}, TypeError, "check is a coroutine function"),
            ((print,), {"runs": 0}, ValueError, "runs must be at least 1, got 0"),
            ((print,), {"runs": 1.5}, TypeError, "runs must be an int, got 1.5"),
            ((print,), {"seed": "x"}, TypeError, "seed must be an int or None, got 'x'"),
            ((print,), {"seed": -1}, ValueError, "seed must not be negative, got -1"),
            ((print,), {"timeout": 0}, ValueError, "timeout must be above 0, got 0"),
            ((print,), {"trace": [3]}, TypeError, "trace takes modules and their names, got 3"),
        ):
            with self.subTest(text), self.assertRaisesRegex(kind, text):
                interleave(*functions, **options)  # type: ignore[arg-type]

    def test_nested_calls_are_refused(self) -> None:
        """In a function, in setup and in check."""

        def nested() -> None:
            interleave(print)

        error = failing_run(interleave, nested)
        self.assertIsInstance(error.__cause__, RuntimeError)
        self.assertIn("called by a function that interleave runs", str(error.__cause__))
        with self.assertRaisesRegex(RuntimeError, "called by setup or check of another"):
            interleave(lambda: None, setup=nested)

    def test_an_error_of_setup_comes_out_as_it_is(self) -> None:
        """It has nothing to do with the order; a note has the seed."""
        with self.assertRaises(KeyError) as caught:
            interleave(lambda: None, setup=lambda: {}["key"], seed=4)
        self.assertEqual(
            ["in setup of run 1 of 200 of interleave, seed 4"], caught.exception.__notes__
        )


class PassThroughTest(unittest.TestCase):
    def test_what_is_no_exception_comes_out_as_it_is(self) -> None:
        """From a function and from the check, with a note that says how to replay it."""

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
        """As in any thread."""
        done: list[str] = []
        interleave(sys.exit, lambda: done.append("other"), runs=3)
        self.assertEqual(["other"] * 3, done)


class UnderUnittestTest(unittest.TestCase):
    def test_a_failed_check_is_a_failure_not_an_error(self) -> None:
        """In a subtest, too; and the timeline of the test tells it."""

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

    def test_a_passing_one_is_told_on_the_timeline(self) -> None:
        """With its seed and how many orders were tried; functions use the test's own timeline."""

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
        """It is no failure of the run."""

        class Case(unittest.TestCase):
            def test(self) -> None:
                interleave(lambda: None, check=lambda: self.skipTest("not here"))

        self.assertEqual(1, len(run_method(Case).skipped))


class EndTest(unittest.TestCase):
    """Nothing hangs, and nothing is left."""

    def setUp(self) -> None:
        self.threads = set(threading.enumerate())

    def tearDown(self) -> None:
        self.assertEqual(self.threads, set(threading.enumerate()))

    def test_a_function_blocked_outside_is_told(self) -> None:
        """With where it is; its thread ends when the call does."""
        ours, theirs = socket.socketpair()
        try:
            error = failing_run(interleave, lambda: ours.recv(1), lambda: None, timeout=0.5, seed=1)
            self.assertIsInstance(error, InterleavingTimeoutError)
            self.assertIn("the run did not end within 0.5 s:\n", str(error))
            self.assertRegex(str(error), r"lambda-1 \(.*\) is at \S+test_interleaving\.py:\d+ in ")
            self.assertIn("could not be ended: lambda-1", str(error))
        finally:
            (blocked,) = [t for t in threading.enumerate() if t.name == "lambda-1"]
            theirs.send(b"x")
            blocked.join(60)
            ours.close()
            theirs.close()

    def test_what_another_function_ends_is_waited_for(self) -> None:
        """A socket that is not taken over delays a run and does not fail it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            interleave(lambda: ours.recv(1), lambda: theirs.send(b"x"), runs=5, seed=1)

    def test_a_loop_without_end_is_ended(self) -> None:
        """Also one that does nothing at all."""

        def loop() -> None:
            while True:
                pass

        error = failing_run(interleave, loop, lambda: None, timeout=0.2, seed=1)
        self.assertIsInstance(error, InterleavingTimeoutError)
        self.assertNotIn("could not be ended", str(error))

    def test_a_thread_that_spins_lets_the_others_on(self) -> None:
        """Whoever waits for a flag without a wait is interrupted in time."""
        state = {"ready": False}

        def spin() -> None:
            while not state["ready"]:
                pass

        interleave(
            spin,
            lambda: state.update(ready=True),
            setup=lambda: state.update(ready=False),
            runs=20,
            seed=1,
        )

    def test_cleanups_of_ended_threads_run(self) -> None:
        """A deadlock unwinds: `finally` and `with` do what they are there for."""
        done: list[str] = []
        first, second = threading.Lock(), threading.Lock()
        forwards, backwards = crossing(first, second)

        def guarded(function: Any) -> None:
            try:
                function()
            finally:
                done.append("cleaned up")

        failing_run(
            interleave,
            functools.partial(guarded, forwards),
            functools.partial(guarded, backwards),
            setup=done.clear,
        )
        self.assertEqual(["cleaned up"] * 2, done)
        self.assertFalse(first.locked() or second.locked())

    def test_threads_that_wait_are_ended_without_a_word(self) -> None:
        """Though they leave `with condition` without the lock, which is another's by then."""
        told: list[Any] = []
        hook, threading.excepthook = threading.excepthook, told.append
        self.addCleanup(setattr, threading, "excepthook", hook)
        for make in (threading.Condition, lambda: threading.Condition(threading.Lock())):
            state: dict[str, Any] = {}

            def setup(state: dict[str, Any] = state, make: Any = make) -> None:
                state["condition"] = make()

            def wait(state: dict[str, Any] = state) -> None:
                with state["condition"]:
                    while True:
                        state["condition"].wait()

            def fail(state: dict[str, Any] = state, wait: Any = wait) -> None:
                for _ in range(2):
                    threading.Thread(target=wait).start()
                with state["condition"]:
                    state["condition"].notify_all()
                raise ValueError("fails")

            for seed in range(30):
                error = failing_run(interleave, fail, wait, setup=setup, seed=seed, runs=1)
                self.assertIsInstance(error.__cause__, ValueError)
        self.assertEqual([], told)

    def test_an_error_of_a_thread_that_a_function_starts_fails_the_run(self) -> None:
        """It would be lost on the screen, without a seed."""

        def start() -> None:
            thread = threading.Thread(target=lambda: {}["missing"], name="started")
            thread.start()
            thread.join()

        error = failing_run(interleave, start, lambda: None, seed=1)
        self.assertIn("failed: started raised KeyError: 'missing'\n", str(error))
        self.assertIsInstance(error.__cause__, KeyError)

    def test_a_thread_that_nobody_joins_is_waited_for(self) -> None:
        """As a program does at its end, if it is no daemon, which it is not by default."""
        done: list[str] = []
        daemons: set[bool] = set()

        def start() -> None:
            thread = threading.Thread(target=work)
            daemons.update((thread.daemon, threading.current_thread().daemon))
            thread.start()
            threading.Thread(target=idle, daemon=True).start()

        def work() -> None:
            daemons.add(threading.current_thread().daemon)
            time.sleep(5)
            done.append("worked")

        def idle() -> None:
            time.sleep(10)
            done.append("never")

        interleave(
            *(start, start),
            setup=done.clear,
            check=lambda: self.assertEqual(["worked", "worked"], done),
            runs=20,
            seed=1,
        )
        self.assertEqual({False}, daemons)

    def test_the_trace_function_of_the_caller_stays(self) -> None:
        """Its own and that of new threads, such as a debugger or coverage set."""

        def tracer(frame: Any, event: str, argument: Any) -> Any:
            return None

        before = sys.gettrace()
        after: list[Any] = []
        sys.settrace(tracer)
        threading.settrace(tracer)
        try:
            lost_update(seed=1)
            self.assertIs(tracer, sys.gettrace())
            thread = threading.Thread(target=lambda: after.append(sys.gettrace()))
            thread.start()
            thread.join(60)
        finally:
            threading.settrace(before)  # type: ignore[arg-type]
            sys.settrace(before)
        self.assertEqual([tracer], after)

    def test_threads_that_functions_start_take_part(self) -> None:
        """An update that is lost between them is found and replayed."""
        account = Account()

        def start_two() -> None:
            threads = [threading.Thread(target=account.deposit, name=f"t{n}") for n in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        def run(**options: Any) -> Any:
            return failing_run(
                interleave,
                start_two,
                setup=lambda: vars(account).update(balance=0),
                check=lambda: account.balance == 2,
                **options,
            )

        error = run(seed=1)
        self.assertIn("t1", str(error))
        self.assertEqual(error.schedule, run(seed=error.seed, runs=1).schedule)

    def test_calls_of_several_threads_follow_one_another(self) -> None:
        """What is exchanged is the whole process's."""
        found = in_threads(4, lambda number: lost_update(seed=number * 1000))
        self.assertEqual(4, len(found))
        for error in found:
            self.assertIsInstance(error, InterleavingError)

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork here")
    @unittest.skipIf(sys.version_info >= (3, 12), "Python 3.12 warns of a fork beside threads")
    def test_a_function_may_fork(self) -> None:
        """The child has nobody to take turns with, and its locks work."""
        lock = threading.Lock()
        codes: list[int] = []

        def fork() -> None:
            pid = os.fork()
            if not pid:
                with lock:
                    os._exit(7)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        interleave(fork, lambda: None, runs=5, seed=1)
        self.assertEqual([7] * 5, codes)

    def test_ctrl_c_ends_a_run(self) -> None:
        """It comes out as it is, no thread is left, and what was taken over is put back."""
        script = """
import os, signal, threading, time
from itf import interleave
signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup has it ignored
real = time.sleep
def loop():
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        pass
try:
    interleave(loop, lambda: None, runs=1)
except KeyboardInterrupt:
    print("interrupted", threading.active_count(), time.sleep is real)
"""
        result = run_script(script)
        self.assertEqual(("interrupted 1 True\n", ""), (result.stdout, result.stderr))


if __name__ == "__main__":
    unittest.main()
