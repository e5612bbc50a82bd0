"""Tests of worker processes: start methods, the multiprocessing interface, wrong arguments."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import threading
import unittest
from typing import Any

from itf.exceptions import WorkerDiedError, WorkerError
from itf.workers.base import WorkerContext
from itf.workers.processes import new_process, process_class
from itf.workers.shutdown import close_context
from tests.support import is_open
from tests.workers.worker_support import (
    DEADLINE,
    METHODS,
    ROOT,
    WorkerTestCase,
    idle,
    run_script,
)


def threads_now() -> int:
    return len(os.listdir("/proc/self/task"))


class InterruptOneTest(WorkerTestCase):
    """Ctrl-C for one worker, as `multiprocessing` has it since Python 3.14."""

    def test_how_it_ends_is_no_failure(self) -> None:
        """The worker gets a KeyboardInterrupt; `result` raises its error."""
        # A runner may have been started with Ctrl-C ignored, which workers would inherit.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        for method in METHODS:
            with self.subTest(method):
                begun = multiprocessing.get_context("spawn").Event()

                def work(begun: Any = begun) -> None:
                    begun.set()
                    idle()

                worker = self.started(work, method=method)
                self.assertTrue(begun.wait(DEADLINE))
                worker.interrupt()
                self.assertIsNone(worker.exception())
                with self.assertRaisesRegex(WorkerDiedError, "was ended by KeyboardInterrupt"):
                    worker.result()
                worker.interrupt()  # as terminate() of one that has ended: nothing

    def test_before_the_start(self) -> None:
        """The error says that `start` has to be called first."""
        with self.assertRaisesRegex(WorkerError, r"^interrupt\(\): worker 'w' was not started"):
            self.process(idle).interrupt()


class StartMethodTest(WorkerTestCase):
    """How a process is started."""

    def test_auto_forks_while_there_is_one_thread(self) -> None:
        """With a second thread, "auto" is forkserver, also if it started after `create`."""
        self.assertEqual("ForkWorkerProcess", type(self.started(int)).__name__)
        waiting = self.process(lambda: 6)
        gate = threading.Event()
        other = threading.Thread(target=gate.wait, args=(DEADLINE,))
        other.start()
        try:
            worker = self.started(lambda: 5)
            self.assertEqual("ForkserverWorkerProcess", type(worker).__name__)
            waiting.start()
            self.assertEqual("ForkserverWorkerProcess", type(waiting).__name__)
            self.assertEqual((5, 6), (worker.result(), waiting.result()))
        finally:
            gate.set()
            other.join()
        self.assertEqual("ForkWorkerProcess", type(self.started(int)).__name__)

    def test_no_thread_is_added_to_this_process(self) -> None:
        """No start method and no result starts a thread in the test's process."""
        for method in METHODS:
            worker = self.started(lambda: b"x" * 1_000_000, method=method)
            self.assertEqual(1, threads_now())
            worker.result()
            self.assertEqual(1, threads_now())

    def test_no_thread_is_added_to_the_worker(self) -> None:
        """A worker has one thread, and can fork workers itself."""
        for method in METHODS:
            self.assertEqual(1, self.started(threads_now, method=method).result())

    def test_an_unknown_method(self) -> None:
        """The error names the start methods of this platform."""
        self.assertEqual(
            "this platform cannot start processes by 'thread'; choose 'auto' or one of "
            "fork, forkserver, spawn",
            self.message_of(WorkerError, lambda: self.process(int, method="thread")),
        )

    def test_the_objects_people_know(self) -> None:
        """A worker is a process of its context, with its sentinel, daemon flag and methods."""
        for method in METHODS:
            with self.subTest(method):
                context: Any = multiprocessing.get_context(method)
                worker = self.process(idle, method=method)
                self.assertIsInstance(worker, context.Process)
                worker.daemon = True
                worker.start()
                self.assertIn(worker, multiprocessing.active_children())
                worker.terminate()
                ready = multiprocessing.connection.wait([worker.sentinel], DEADLINE)
                self.assertEqual([worker.sentinel], ready)
                worker.join()
                self.assertNotIn(worker, multiprocessing.active_children())

    def test_started_by_a_thread_that_ends(self) -> None:
        """The worker does not end with the thread that has started it."""
        for method in METHODS:
            with self.subTest(method):
                reading, writing = os.pipe()
                context = multiprocessing.get_context("spawn")
                go = context.Event()
                worker = self.process(lambda e=go: e.wait(DEADLINE), method=method)
                with contextlib.ExitStack() as stack:
                    if method == "fork" and sys.version_info >= (3, 12):
                        stack.enter_context(self.assertWarns(DeprecationWarning))
                    thread = threading.Thread(target=worker.start)
                    thread.start()
                    thread.join()
                os.close(reading)
                os.close(writing)
                self.assertTrue(worker.is_alive())
                go.set()
                self.assertIs(True, worker.result())

    def test_from_many_threads_at_once(self) -> None:
        """Each worker gets its own result."""
        results: dict[int, Any] = {}

        def begin(number: int) -> None:
            worker = self.started(lambda: number, name=f"w{number}")
            results[number] = worker.result()

        threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual({number: number for number in range(8)}, results)

    def test_a_worker_starts_processes_itself(self) -> None:
        """A worker can start processes of multiprocessing, and workers of a context."""

        def outer(method: str) -> list[Any]:
            plain = multiprocessing.get_context("fork").Process(target=os._exit, args=(3,))
            plain.start()
            plain.join()
            worker_context = WorkerContext()
            inner = new_process(worker_context, lambda: 4, name="inner", start_method=method)
            inner.start()
            value = inner.result(DEADLINE)
            close_context(worker_context)
            return [plain.exitcode, value]

        for method in METHODS:
            for inner in METHODS:
                with self.subTest(f"{inner} in {method}"):
                    self.assertEqual([3, 4], self.started(outer, inner, method=method).result())

    def test_in_a_daemon(self) -> None:
        """A daemonic process can have workers; some parallel runners use such processes."""

        def outer() -> object:
            worker_context = WorkerContext(DEADLINE)
            inner = new_process(worker_context, int, ("7",), name="inner")
            inner.start()
            value = inner.result()
            close_context(worker_context)
            return value

        worker = self.process(outer)
        worker.daemon = True
        worker.start()
        self.assertEqual(7, worker.result())

    def test_too_few_descriptors(self) -> None:
        """The error is raised before anything was started, and no pipe is left open."""
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for method in METHODS:
            with self.subTest(method):
                self.process(int, method=method).start()  # what is made once is there
                free = [number for number in range(1000) if not is_open(number)]
                # Enough for what the worker is born with, and for one pipe.
                resource.setrlimit(resource.RLIMIT_NOFILE, (free[7], hard))
                try:
                    text = self.message_of(WorkerError, self.process(int, method=method).start)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                self.assertEqual(
                    "worker 'w' cannot start: Too many open files; 9 descriptors are needed for it",
                    text,
                )
                worker = self.started(int, method=method)
                self.assertEqual(0, worker.result(DEADLINE))

    def test_hooks_run_first(self) -> None:
        """The worker calls the environment's hooks before the target."""
        seen: list[str] = []
        for method in METHODS:
            with self.subTest(method):
                self.worker_context.hooks = [lambda: seen.append("hook")]
                self.assertEqual(["hook"], self.started(lambda: seen, method=method).result())
                seen.clear()


class SteeringTest(WorkerTestCase):
    """`pause`, `resume`, `kill`."""

    def test_pause_and_resume(self) -> None:
        """A paused worker does nothing until it is resumed."""
        for method in METHODS:
            with self.subTest(method):
                worker = self.started(sum, [1, 2], method=method)
                if worker.is_alive():
                    with contextlib.suppress(ProcessLookupError):
                        worker.pause()
                        worker.resume()
                self.assertEqual(3, worker.result())

    def test_after_the_end(self) -> None:
        """Pausing an ended worker is an error that names it; killing it is no error."""
        worker = self.started(int, name="w1")
        worker.join()
        worker.kill()
        self.assertEqual(
            "pause(): worker 'w1' has ended", self.message_of(WorkerError, worker.pause)
        )
        fresh = self.process(int, name="w2")
        self.assertEqual(
            "kill(): worker 'w2' was not started; call start() first",
            self.message_of(WorkerError, fresh.kill),
        )


class BadInputTest(WorkerTestCase):
    """Nonsense is refused here, before any process starts, and names the worker."""

    def test_arguments_that_do_not_fit(self) -> None:
        """The message has the function's signature and the arguments."""

        def work(first: int, second: int) -> None:
            pass

        cases: list[tuple[Any, Any, str]] = [
            ((1,), {}, "missing a required argument: 'second'"),
            ((1, 2, 3), {}, "too many positional arguments"),
            ((1, 2), {"third": 3}, "got an unexpected keyword argument 'third'"),
        ]
        for args, kwargs, problem in cases:
            with self.subTest(problem):
                text = self.message_of(
                    TypeError,
                    lambda args=args, kwargs=kwargs: new_process(
                        self.worker_context, work, args, kwargs, name="w1"
                    ),
                )
                self.assertEqual(
                    "worker 'w1' cannot call work(first, second) "
                    f"with args={args} and kwargs={kwargs}: {problem}",
                    text,
                )
        self.assertEqual([], self.worker_context.workers)

    def test_a_target_that_is_no_function(self) -> None:
        """The error says to pass the function without calling it."""
        text = self.message_of(TypeError, lambda: self.process(42, name="w1"))  # type: ignore[arg-type]
        self.assertEqual(
            "the target of worker 'w1' is a function, got 42; "
            "pass it without calling it, and its arguments as args",
            text,
        )
        for args in (5, "text"):
            with self.assertRaisesRegex(TypeError, r"^the args of worker 'w1' are a tuple, got "):
                new_process(self.worker_context, print, args, name="w1")  # type: ignore[arg-type]

    def test_out_of_turn(self) -> None:
        """Starting twice, joining before the start, and starting after the end are errors."""
        worker = self.process(int, name="w1")
        for action in ("join", "result", "exception"):
            self.assertEqual(
                f"{action}(): worker 'w1' was not started; call start() first",
                self.message_of(WorkerError, getattr(worker, action)),
            )
        worker.start()
        text = "worker 'w1' was started before; make a new one"
        self.assertEqual(text, self.message_of(WorkerError, worker.start))
        worker.join()
        self.assertEqual(text, self.message_of(WorkerError, worker.start))
        late = self.process(int, name="w2")
        self.close()
        self.assertEqual(text, self.message_of(WorkerError, worker.start))
        self.assertEqual(
            "worker 'w2' cannot start: its environment is closed; start workers inside the `with`",
            self.message_of(WorkerError, late.start),
        )
        self.assertIsNone(late.pid)
        self.assertIsNone(late.exitcode)


class InterruptTest(unittest.TestCase):
    """Ctrl-C ends all of it."""

    def test_ctrl_c(self) -> None:
        """KeyboardInterrupt ends the wait; the workers end, and none of them prints."""
        script = f"""if 1:
            import threading, signal, os
            from itf.workers.base import WorkerContext
            from itf.workers.processes import new_process
            from itf.workers.shutdown import close_context, stop_processes
            signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup has it ignored
            context = WorkerContext()
            def idle():
                threading.Event().wait(60)
            workers = [
                new_process(context, idle, name=m, start_method=m)
                for m in {METHODS}
            ]
            for worker in workers:
                worker.start()
            while not all("in idle" in worker.stacks() for worker in workers):
                pass
            try:
                print("ready", flush=True)
                workers[0].result()
            except KeyboardInterrupt:
                print("interrupted")
            stop_processes(workers)
            close_context(context)
            print([worker.is_alive() for worker in workers])
        """
        with subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        ) as process:
            assert process.stdout is not None
            self.addCleanup(process.kill)
            self.assertEqual("ready\n", process.stdout.readline())
            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=DEADLINE)
        self.assertEqual("interrupted\n[False, False, False]\n", output)


class WithoutCareTest(unittest.TestCase):
    """What happens to those who do not clean up."""

    def test_nothing_is_left_by_a_script_that_just_ends(self) -> None:
        """The workers have ended, and no leaked semaphore is reported."""
        script = f"""if 1:
            import os
            from itf.workers.base import WorkerContext
            from itf.workers.processes import new_process
            context = WorkerContext()
            for method in {METHODS}:
                worker = new_process(context, os.getpid, name=method, start_method=method)
                worker.start()
                worker.result()
            print("done")
        """
        self.assertEqual("done\n", run_script("-c", script))
        self.assertFalse(list(pathlib.Path("/dev/shm").glob("itf-results*")))

    def test_the_class_is_found_by_its_name(self) -> None:
        """spawn pickles a process object by the name of its class."""
        for method in METHODS:
            self.assertEqual("itf.workers.processes", process_class(method).__module__)


if __name__ == "__main__":
    unittest.main()
