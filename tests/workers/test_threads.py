from __future__ import annotations

import gc
import threading
import unittest
import weakref

from itf.exceptions import WorkerError
from itf.workers.threads import WorkerThread, describe_thread

DEADLINE = 30


class WorkerThreadTest(unittest.TestCase):
    def failure_of(self, target):
        worker = WorkerThread(target=target, name="w", daemon=True)
        worker.start()
        return worker.exception(DEADLINE)

    def test_an_error_is_kept_with_a_note(self):
        """The very exception, and the worker's name."""
        error = KeyError("k")

        def work():
            raise error

        self.assertIs(error, self.failure_of(work))
        self.assertEqual(["in worker 'w'"], error.__notes__)

    def test_what_is_no_exception_is_kept_too(self):
        """A KeyboardInterrupt is not printed by Python's hook, but kept."""

        def work():
            raise KeyboardInterrupt

        self.assertIsInstance(self.failure_of(work), KeyboardInterrupt)

    def test_system_exit_is_silent(self):
        """As in any other thread."""

        def work():
            raise SystemExit(3)

        self.assertIsNone(self.failure_of(work))

    def test_a_failed_thread_is_freed(self):
        """Nothing of itf keeps it, its error or the locals of its target alive."""

        class Held:
            pass

        seen = []

        def work():
            held = Held()
            seen.append(weakref.ref(held))
            raise ValueError(type(held))

        self.failure_of(work)
        gc.collect()
        self.assertIsNone(seen[0]())

    def test_one_that_still_runs_has_no_outcome(self):
        """exception() with a short timeout names it."""
        go = threading.Event()
        worker = WorkerThread(target=go.wait, args=(DEADLINE,), name="w", daemon=True)
        worker.start()
        self.assertIsNone(worker.unseen_failure())
        with self.assertRaisesRegex(TimeoutError, "^worker 'w' is still running after 0.01 s$"):
            worker.exception(0.01)
        go.set()
        worker.join(DEADLINE)

    def test_a_retired_one_does_not_start(self):
        """Its environment has ended."""
        worker = WorkerThread(target=int, name="w")
        worker.retire()
        with self.assertRaisesRegex(WorkerError, "^worker 'w' cannot start: "):
            worker.start()

    def test_a_thread_that_has_ended_is_nowhere(self):
        """describe_thread does not fail on it."""
        worker = WorkerThread(target=int, name="w")
        worker.start()
        worker.join(DEADLINE)
        self.assertEqual("'w' (about to end)", describe_thread(worker))
