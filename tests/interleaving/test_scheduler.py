from __future__ import annotations

import functools
import os
import socket
import sys
import threading
import time
import unittest
from typing import Any

from itf import (
    InterleavingError,
    InterleavingTimeoutError,
    interleave,
)
from tests.interleaving.programs import (
    Account,
    crossing,
    failing_run,
    lost_update,
)
from tests.support import in_threads, run_script


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
                r"lambda-1 \(.*\) is at \S+test_scheduler\.py:\d+ in ",
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
        reported: list[Any] = []
        hook, threading.excepthook = threading.excepthook, reported.append
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
        self.assertEqual([], reported)

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
