"""Tests of stack dumps and hang reports, for workers in every state."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
import time
import unittest

from itf.workers.hang_report import describe_worker, describe_workers
from itf.workers.kernel_threads import process_state
from itf.workers.stack_dump import stacks_of_this_process
from tests.workers.worker_support import DEADLINE, METHODS, WorkerTestCase, eventually, idle


class StacksTest(WorkerTestCase):
    """The stacks of a worker process."""

    def test_each_thread_of_a_worker(self) -> None:
        """The report has both threads of a waiting worker, under any start method."""

        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)

        def arrive(method: str, who: str) -> None:
            os.close(os.open(f"{folder_name}/{method}-{who}", os.O_CREAT))

        def in_a_thread(method: str) -> None:
            arrive(method, "thread")
            threading.Event().wait(DEADLINE)

        def stuck_here(method: str) -> None:
            threading.Thread(target=in_a_thread, args=(method,), daemon=True).start()
            arrive(method, "main")
            threading.Event().wait(DEADLINE)

        folder_name = folder.name
        for number, method in enumerate(METHODS, 1):
            with self.subTest(method):
                worker = self.started(stuck_here, method, method=method, name="w6")
                self.assertTrue(
                    eventually(lambda n=2 * number: len(os.listdir(folder_name)) == n, DEADLINE)
                )
                # In the first line of it or the second: starting a thread waits, too.
                where = r'test_stack_dump\.py", line \d+ in stuck_here'
                self.assertTrue(
                    eventually(
                        lambda w=worker, place=where: (
                            "in in_a_thread" in (stacks := w.stacks())
                            and re.search(place, stacks) is not None
                        )
                    )
                )
                text = describe_worker(worker)
                self.assertTrue(text.startswith(f"worker 'w6' (pid {worker.pid}): running\n"))
                self.assertEqual(2, text.count("most recent call first"), text)
                self.assertRegex(text, where)
                # Neither itf's own frames nor, in a forked worker, those of the test.
                self.assertNotIn("workers/processes.py", text)
                self.assertNotIn("in test_each_thread_of_a_worker", text)
                self.assertNotIn("multiprocessing", text)

    def test_a_paused_one(self) -> None:
        """A paused worker is reported as paused; after `resume` its stacks are reported."""
        worker = self.started(idle, name="w7")
        self.assertTrue(eventually(lambda: worker.has_begun))
        worker.pause()
        self.assertTrue(eventually(lambda: process_state(worker.pid or 0) == "paused"))
        self.assertEqual(f"worker 'w7' (pid {worker.pid}): paused", describe_worker(worker))
        worker.resume()
        self.assertIn("most recent call first", describe_worker(worker))

    def test_one_that_has_become_another_program(self) -> None:
        """After exec no handler exists, and a signal would kill the process."""
        worker = self.started(lambda: os.execvp("sleep", ["sleep", "60"]), name="w8")
        pid = worker.pid or 0

        def has_become_another() -> bool:
            with open(f"/proc/{pid}/comm") as file:
                return file.read() == "sleep\n"

        self.assertTrue(eventually(has_become_another))
        self.assertEqual(
            f"worker 'w8' (pid {pid}): running; it did not return its stacks",
            describe_worker(worker),
        )
        self.assertTrue(worker.is_alive())

    def test_one_that_is_starting(self) -> None:
        """A worker that has not begun is reported as starting, and not harmed."""
        worker = self.process(idle, method="spawn", name="w9")
        worker.start()
        text = describe_worker(worker)
        if not worker.has_begun:
            self.assertEqual(f"worker 'w9' (pid {worker.pid}): starting", text)
        self.assertTrue(eventually(lambda: worker.has_begun))
        self.assertIn("most recent call first", describe_worker(worker))

    def test_many_times(self) -> None:
        """A hundred requests do not disturb a worker."""

        def work() -> int:
            total = 0
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                total += 1
                time.sleep(0.0001)
            return total

        worker = self.started(work)
        self.assertTrue(eventually(lambda: worker.has_begun))
        for _ in range(100):
            if worker.is_alive():
                worker.stacks()
        self.assertGreater(worker.result(), 0)

    def test_a_worker_that_blocks_signals(self) -> None:
        """The worker does not answer, and the request ends within its time."""

        def work() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            threading.Event().wait(DEADLINE)

        worker = self.started(work)
        self.assertTrue(eventually(lambda: worker.has_begun))
        self.assertTrue(
            eventually(lambda: "did not return its stacks" in describe_worker(worker)), worker.pid
        )
        worker.kill()


class OwnStacksTest(WorkerTestCase):
    """The stacks of this process's threads."""

    def test_all_threads_without_itf(self) -> None:
        """The test's thread and a worker thread are reported by name, innermost frame first."""
        gate = threading.Event()

        def stuck_thread() -> None:
            gate.wait(DEADLINE)

        worker = self.thread(stuck_thread, name="pump")
        text = describe_workers([worker])
        gate.set()
        self.assertRegex(text, r"^worker 'pump' \(a thread\): running, at .*threading\.py:\d+ in ")
        self.assertIn(f"thread 'MainThread' of this process (pid {os.getpid()}):\n", text)
        self.assertIn("thread 'pump' of this process", text)
        self.assertIn("in stuck_thread", text)
        self.assertIn("in test_all_threads_without_itf", text)
        self.assertNotIn("hang_report.py", text)
        self.assertNotIn('stack_dump.py", line', text.replace("test_stack_dump.py", ""))

    def test_without_workers(self) -> None:
        """Without workers, the report is that of this process."""
        self.assertTrue(stacks_of_this_process().startswith("thread 'MainThread' of this process"))


if __name__ == "__main__":
    unittest.main()
