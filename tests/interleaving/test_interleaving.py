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
    """Interleave two deposits without a lock, and return the error."""
    account = Account()

    def setup() -> None:
        account.balance = 0

    def check() -> None:
        if account.balance != 2:
            raise AssertionError(f"balance is {account.balance}")

    return failing_run(
        interleave, account.deposit, account.deposit, setup=setup, check=check, **options
    )


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
            "import sys; from tests.interleaving.test_interleaving import lost_update\n"
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


class ReportTest(unittest.TestCase):
    def test_the_message_has_seed_run_replay_and_turns(self) -> None:
        """The message has the failure, the call that replays it, and the turns."""
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
        """The message has the last 20 turns; the attribute `schedule` has all."""
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
        """The message names the thread; the traceback of the cause has no frame of itf."""

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

    def test_waits_without_a_cycle_can_be_a_deadlock(self) -> None:
        """A condition without notify, and a lock of a thread that ended, are deadlocks."""
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

    def test_a_lock_acquired_twice_is_a_deadlock(self) -> None:
        """Acquiring a Lock twice is a cycle of one thread; the lock is free afterwards."""
        lock = threading.Lock()

        def twice() -> None:
            lock.acquire()
            lock.acquire()

        error = failing_run(interleave, twice)
        self.assertEqual(("twice-1", "twice-1"), error.circle)
        self.assertIn("which it holds itself", str(error))
        self.assertFalse(lock.locked())


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


class ArgumentsTest(unittest.TestCase):
    def test_wrong_arguments_raise_errors(self) -> None:
        """Wrong arguments raise an error with the value and a remedy."""

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

    def test_nested_calls_raise_errors(self) -> None:
        """interleave raises an error in functions and in setup of another interleave."""

        def nested() -> None:
            interleave(print)

        error = failing_run(interleave, nested)
        self.assertIsInstance(error.__cause__, RuntimeError)
        self.assertIn("called by a function that interleave runs", str(error.__cause__))
        with self.assertRaisesRegex(RuntimeError, "called by setup or check of another"):
            interleave(lambda: None, setup=nested)

    def test_an_error_of_setup_is_raised_unchanged(self) -> None:
        """An error of setup is raised unchanged, with a note that has the seed."""
        with self.assertRaises(KeyError) as caught:
            interleave(lambda: None, setup=lambda: {}["key"], seed=4)
        self.assertEqual(
            ["in setup of run 1 of 200 of interleave, seed 4"], caught.exception.__notes__
        )


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


class EndTest(unittest.TestCase):
    """interleave always ends, and no thread outlives it."""

    def setUp(self) -> None:
        self.threads = set(threading.enumerate())

    def tearDown(self) -> None:
        self.assertEqual(self.threads, set(threading.enumerate()))

    def test_a_function_blocked_in_c_is_reported(self) -> None:
        """A timeout error reports where a thread is blocked in C; it ends with its call."""
        ours, theirs = socket.socketpair()
        try:
            error = failing_run(interleave, lambda: ours.recv(1), lambda: None, timeout=0.5, seed=1)
            self.assertIsInstance(error, InterleavingTimeoutError)
            self.assertIn("the run did not end within 0.5 s:\n", str(error))
            self.assertRegex(
                str(error),
                r"lambda-1 \(.*\) is at \S+test_interleaving\.py:\d+ in ",
            )
            self.assertIn("could not be ended: lambda-1", str(error))
        finally:
            (blocked,) = [t for t in threading.enumerate() if t.name == "lambda-1"]
            theirs.send(b"x")
            blocked.join(60)
            ours.close()
            theirs.close()

    def test_a_wait_for_a_socket_is_no_failure(self) -> None:
        """Waiting for a socket delays a run, and does not fail it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            interleave(lambda: ours.recv(1), lambda: theirs.send(b"x"), runs=5, seed=1)

    def test_an_endless_loop_is_ended(self) -> None:
        """An endless loop with an empty body is ended at the timeout."""

        def loop() -> None:
            while True:
                pass

        error = failing_run(interleave, loop, lambda: None, timeout=0.2, seed=1)
        self.assertIsInstance(error, InterleavingTimeoutError)
        self.assertNotIn("could not be ended", str(error))

    def test_a_polling_thread_is_preempted(self) -> None:
        """A thread that polls a flag in a loop is preempted, so that another can set it."""
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
        """After a deadlock, `finally` and `with` of the threads run."""
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

    def test_waiting_threads_are_unwound_silently(self) -> None:
        """Threads in Condition.wait are unwound without an error.

        They leave `with condition` without owning its lock.
        """
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
        """An exception in a thread that a function starts fails the run."""

        def start() -> None:
            thread = threading.Thread(target=lambda: {}["missing"], name="started")
            thread.start()
            thread.join()

        error = failing_run(interleave, start, lambda: None, seed=1)
        self.assertIn("failed: started raised KeyError: 'missing'\n", str(error))
        self.assertIsInstance(error.__cause__, KeyError)

    def test_a_run_waits_for_non_daemon_threads(self) -> None:
        """A run waits for started threads that are no daemons, also without join."""
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
        """sys.settrace and threading.settrace have the same functions after a call."""

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
        """A lost update between threads that a function starts is found and replayed."""
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

    def test_concurrent_calls_are_serialized(self) -> None:
        """Concurrent calls of interleave run one after the other."""
        found = in_threads(4, lambda number: lost_update(seed=number * 1000))
        self.assertEqual(4, len(found))
        for error in found:
            self.assertIsInstance(error, InterleavingError)

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork here")
    @unittest.skipIf(sys.version_info >= (3, 12), "Python 3.12 warns of a fork beside threads")
    def test_a_function_may_fork(self) -> None:
        """A child that a function forks runs without the scheduler, and its locks work."""
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
        """KeyboardInterrupt is raised unchanged, no thread is left, patches are undone."""
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
