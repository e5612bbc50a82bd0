"""Tests of results: the parent gets a worker's result or error, however the worker ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import unittest
from typing import Any, NoReturn

from itf.exceptions import WorkerDiedError, WorkerError, WorkerPicklingError, WorkerTimeoutError
from tests.workers.worker_support import DEADLINE, METHODS, WorkerTestCase, run_script


class BadToLoadError(Exception):
    """An exception that can be pickled and not unpickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class BadToSendError(Exception):
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("not me")


class BrokenStrError(Exception):
    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")


class ResultTest(WorkerTestCase):
    """`result()` is what the target returned."""

    def test_a_value_of_any_size(self) -> None:
        """The test gets None, a nested structure, and a value of 100 MB."""
        for method in METHODS:
            with self.subTest(method):
                self.assertIsNone(self.started(int.__init__, 1, method=method).result())
                value = {"a": [1, (2, "x")]}
                self.assertEqual(value, self.started(dict, value, method=method).result())
                worker = self.started(lambda: b"x" * 100_000_000, method=method)
                self.assertEqual(100_000_000, len(worker.result()))
                worker.join()
                self.assertEqual(0, worker.exitcode)

    def test_it_stays_readable(self) -> None:
        """Result, pid, name and exit code are readable after the end; `join` is no error."""
        workers = [self.started(lambda: 5, method=method, name=method) for method in METHODS]
        pids = [worker.pid for worker in workers]
        for worker in workers:
            worker.join()
        self.close()
        for worker, method, pid in zip(workers, METHODS, pids, strict=True):
            self.assertEqual(5, worker.result())
            self.assertEqual((method, pid, 0), (worker.name, worker.pid, worker.exitcode))
            self.assertIs(False, worker.is_alive())
            worker.join()
            worker.close()
            self.assertIn(method, repr(worker))

    def test_a_value_that_cannot_be_sent(self) -> None:
        """The error names the value, its type, and the function that returned it."""

        def work() -> Any:
            return [1, threading.Lock()]

        for method in METHODS:
            with self.subTest(method):
                text = self.message_of(
                    WorkerPicklingError, self.started(work, method=method).result
                )
                line = work.__code__.co_firstlineno
                self.assertEqual(
                    f"cannot send 'result[1]' (_thread.lock), returned by work at "
                    f"test_results.py:{line}, to the parent process; "
                    "share env.create_shared_lock(name) instead",
                    text,
                )

    def test_output_of_a_worker_is_left_alone_and_flushed(self) -> None:
        """The worker's output appears, but no traceback of an error that the test gets."""
        script = f"""if 1:
            from itf.workers.base import WorkerContext
            from itf.workers.processes import new_process
            from itf.workers.shutdown import close_context
            def work():
                print("printed", end="")
                raise ValueError("told at home")
            context = WorkerContext()
            for method in {METHODS}:
                worker = new_process(context, work, name="w", start_method=method)
                worker.start()
                print(f"[{{worker.exception(30)!r}}]", flush=True)
            close_context(context)
        """
        expected = "printed[ValueError('told at home')]\n" * len(METHODS)
        self.assertEqual(expected, run_script("-c", script))


class ErrorTest(WorkerTestCase):
    """`result()` raises what the target raised."""

    def test_the_error_itself_with_its_remote_traceback(self) -> None:
        """The cause is the traceback as text; the notes name worker, pid and module."""

        def work() -> None:
            error = KeyError("missing")
            error.add_note("a note of its own")
            raise error from ZeroDivisionError("below")

        for method in METHODS:
            with self.subTest(method):
                worker = self.started(work, method=method, name="w3")
                with self.assertRaises(KeyError) as caught:
                    worker.result()
                error = caught.exception
                self.assertEqual(("missing",), error.args)
                self.assertEqual(
                    [
                        "a note of its own",
                        f"in worker 'w3' (pid {worker.pid}), raised in {__name__}",
                    ],
                    error.__notes__,
                )
                text = str(error.__cause__)
                self.assertIn("ZeroDivisionError: below", text)
                self.assertIn('test_results.py", line', text)
                self.assertIn("in work\n", text)
                self.assertNotIn("processes.py", text)
                self.assertIs(error, worker.exception())
                self.assertEqual(__name__, worker.failed_in[0])
                self.assertEqual(1, worker.exitcode)

    def test_errors_that_cannot_be_brought_back(self) -> None:
        """Errors that cannot be unpickled become a WorkerError with type, message and text."""

        def work(kind: Any, *args: Any) -> None:
            raise kind(*args)

        def made_there() -> None:
            class LocalError(Exception):
                pass

            raise LocalError("x")

        cases: list[tuple[Any, tuple[Any, ...], str]] = [
            (work, (BadToLoadError, 1, 2), "BadToLoadError: 1 and 2"),
            (work, (BadToSendError, "x"), "BadToSendError: x"),
            (work, (BrokenStrError,), "BrokenStrError: <exception str() failed: RuntimeError>"),
            (
                made_there,
                (),
                "ErrorTest.test_errors_that_cannot_be_brought_back.<locals>."
                "made_there.<locals>.LocalError: x",
            ),
        ]
        for method in METHODS:
            for target, args, description in cases:
                with self.subTest(method=method, case=description):
                    error = self.started(target, *args, method=method).exception()
                    if "BrokenStr" in description:
                        self.assertIsInstance(error, BrokenStrError)
                        continue
                    self.assertIs(WorkerError, type(error))
                    self.assertEqual(f"worker 'w' raised {description}", str(error))
                    self.assertIn("Traceback (most recent call last):", str(error.__cause__))

    def test_groups_and_base_exceptions(self) -> None:
        """A group stays complete; an error that would end the run becomes a WorkerDiedError."""

        def group() -> None:
            raise ExceptionGroup("two", [ValueError(1), TypeError(2)])

        def interrupted() -> None:
            raise KeyboardInterrupt

        for method in METHODS:
            with self.subTest(method):
                error = self.started(group, method=method).exception()
                assert isinstance(error, ExceptionGroup)
                self.assertEqual([ValueError, TypeError], [type(e) for e in error.exceptions])
                text = self.message_of(
                    WorkerDiedError, self.started(interrupted, method=method).result
                )
                self.assertRegex(text, r"^worker 'w' \(pid \d+\) was ended by KeyboardInterrupt: $")

    def test_sys_exit(self) -> None:
        """`sys.exit` without a code is a normal end; with a code it is a death, with its line."""
        for method in METHODS:
            with self.subTest(method):
                self.assertIsNone(self.started(sys.exit, method=method).result())
                self.assertIsNone(self.started(sys.exit, 0, method=method).result())
                worker = self.started(lambda: sys.exit(3), method=method)
                with self.assertRaises(WorkerDiedError) as caught:
                    worker.result()
                self.assertRegex(
                    str(caught.exception),
                    r"^worker 'w' \(pid \d+\) ended with exit code 3: it called sys\.exit\(3\) at "
                    r".*test_results\.py:\d+ in .*<lambda>$",
                )
                self.assertEqual((3, None), (caught.exception.exitcode, caught.exception.signal))


class DeathTest(WorkerTestCase):
    """A worker that dies without a word is told at once."""

    def test_killed_and_exited(self) -> None:
        """The error has the exit code, and the name of the signal."""

        def die(number: int) -> None:
            os.kill(os.getpid(), number)
            threading.Event().wait(DEADLINE)

        for method in METHODS:
            with self.subTest(method):
                worker = self.started(die, signal.SIGKILL, method=method, name="w4")
                with self.assertRaises(WorkerDiedError) as caught:
                    worker.result()
                self.assertEqual(
                    f"worker 'w4' (pid {worker.pid}) was killed by SIGKILL", str(caught.exception)
                )
                self.assertEqual(
                    (-9, "SIGKILL"), (caught.exception.exitcode, caught.exception.signal)
                )
                worker = self.started(os._exit, 7, method=method)
                text = self.message_of(WorkerDiedError, worker.result)
                self.assertEqual(f"worker 'w' (pid {worker.pid}) ended with exit code 7", text)

    def test_it_is_told_within_50_ms(self) -> None:
        """The death is detected although a child of the process keeps its pipes open."""
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()

        def die() -> None:
            if os.fork() == 0:
                time.sleep(DEADLINE)
            there.send(time.monotonic())
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            for method in METHODS:
                with self.subTest(method):
                    worker = self.started(die, method=method)
                    with self.assertRaises(WorkerDiedError):
                        worker.result()
                    told = time.monotonic()
                    self.assertLess(told - here.recv(), 0.05)
            self.assertEqual(len(METHODS), len(self.close()))
        finally:
            here.close()
            there.close()

    def test_a_death_after_the_return_is_told(self) -> None:
        """A worker that is killed during its shutdown has failed."""

        def work() -> int:
            import atexit
            from multiprocessing import util

            del atexit
            util.Finalize(None, os.kill, (os.getpid(), signal.SIGKILL), exitpriority=1)
            return 3

        worker = self.started(work)
        self.assertRegex(
            self.message_of(WorkerDiedError, worker.result),
            r"was killed by SIGKILL after it had returned$",
        )

    def test_its_status_taken_by_somebody_else(self) -> None:
        """A worker counts as ended if the test has waited for all children itself."""
        gate_read, gate_write = os.pipe()
        worker = self.started(lambda: os.read(gate_read, 1) and 4, method="fork")
        os.write(gate_write, b"x")
        os.waitpid(worker.pid or 0, 0)
        self.assertEqual(4, worker.result(5))
        os.close(gate_read)
        os.close(gate_write)


class UnseenFailureTest(WorkerTestCase):
    """A failure that nobody looked at is kept for the environment."""

    def test_it_is_unseen_until_somebody_looks(self) -> None:
        """`result`, `exception` and `exitcode` retrieve an error; `is_alive` does not."""
        for look in (lambda w: w.exception(), lambda w: w.exitcode):
            worker = self.started(lambda: 1 / 0)
            self.assertIsNone(worker.unretrieved_exception() if worker.is_alive() else None)
            worker.join()
            self.assertIs(False, worker.is_alive())
            self.assertIsInstance(worker.unretrieved_exception(), ZeroDivisionError)
            look(worker)
            self.assertIsNone(worker.unretrieved_exception())

    def test_what_the_test_asked_for_is_no_failure(self) -> None:
        """A worker killed by the test has no failure, unless it failed before."""
        for end in ("terminate", "kill"):
            worker = self.started(threading.Event().wait, DEADLINE)
            getattr(worker, end)()
            self.assertIsNone(worker.exception())
            self.assertIsNone(worker.unretrieved_exception())
            self.assertRegex(
                self.message_of(WorkerDiedError, worker.result), r"SIG\w+, as the test asked$"
            )
        worker = self.started(lambda: 1 / 0)
        worker.join()
        worker.kill()
        self.assertIsInstance(worker.unretrieved_exception(), ZeroDivisionError)


class DeadlineTest(WorkerTestCase):
    """Every wait for a worker has an end."""

    def test_result_out_of_time(self) -> None:
        """`result` raises a WorkerTimeoutError with the worker's stacks."""
        gate_read, gate_write = os.pipe()

        def stuck_here() -> None:
            os.read(gate_read, 1)

        worker = self.started(stuck_here, method="fork", name="w5")
        for wait in (worker.result, worker.exception):
            text = self.message_of(WorkerTimeoutError, lambda wait=wait: wait(timeout=0.3))
            self.assertTrue(
                text.startswith(
                    f"worker 'w5' is still running after 0.3 s, in {wait.__name__}()\n"
                    f"worker 'w5' (pid {worker.pid}): running\n"
                ),
                text,
            )
            self.assertIn("in stuck_here", text)
            self.assertIn("thread 'MainThread' of this process", text)
        worker.join(timeout=0.01)
        self.worker_context.default_timeout = 0.01
        with self.assertRaises(WorkerTimeoutError):
            worker.join()
        with self.assertRaises(TimeoutError):
            worker.result()
        os.close(gate_read)
        os.close(gate_write)


if __name__ == "__main__":
    unittest.main()
