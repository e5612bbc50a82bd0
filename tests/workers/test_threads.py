"""Worker threads give results and errors as worker processes do."""

from __future__ import annotations

import sys
import threading
import unittest

from itf.exceptions import WorkerError, WorkerTimeoutError
from itf.workers.shutdown import wait_for_threads
from itf.workers.threads import new_thread
from tests.workers.worker_support import DEADLINE, WorkerTestCase


class ThreadTest(WorkerTestCase):
    """`result()`, `exception()`, deadlines."""

    def test_result_and_error(self) -> None:
        """`result` returns the value, or raises the error with a note on worker and module."""
        self.assertEqual(3, self.thread(lambda: 3).result())
        worker = self.thread(lambda: 1 / 0, name="t1")
        with self.assertRaises(ZeroDivisionError) as caught:
            worker.result()
        self.assertEqual(
            [f"in worker 't1' (a thread), raised in {__name__}"], caught.exception.__notes__
        )
        self.assertIs(caught.exception, worker.exception())
        self.assertEqual(__name__, worker.failed_in[0])

    def test_it_is_a_thread(self) -> None:
        """A worker thread has the methods of `threading.Thread`."""
        worker = self.thread(threading.current_thread)
        self.assertIsInstance(worker, threading.Thread)
        self.assertIs(worker, worker.result())
        worker.join()
        self.assertFalse(worker.is_alive())

    def test_sys_exit(self) -> None:
        """`sys.exit` without a code is a normal end."""
        self.assertIsNone(self.thread(sys.exit).result())
        text = self.message_of(WorkerError, self.thread(sys.exit, "why", name="t2").result)
        self.assertEqual("worker 't2' called sys.exit('why')", text)

    def test_unseen_failures(self) -> None:
        """A failure is unretrieved until `result` or `exception` is called."""
        worker = self.thread(lambda: 1 / 0)
        worker.join()
        self.assertIsInstance(worker.unretrieved_exception(), ZeroDivisionError)
        worker.exception()
        self.assertIsNone(worker.unretrieved_exception())

    def test_deadlines(self) -> None:
        """A timeout of `result` reports all threads; `join` with a timeout returns."""
        gate = threading.Event()

        def stuck_here() -> None:
            gate.wait(DEADLINE)

        worker = self.thread(stuck_here, name="t3")
        text = self.message_of(WorkerTimeoutError, lambda: worker.result(timeout=0.05))
        self.assertTrue(text.startswith("worker 't3' is still running after 0.05 s, in result()\n"))
        self.assertIn("in stuck_here", text)
        worker.join(0.01)
        self.worker_context.default_timeout = 0.01
        self.message_of(WorkerTimeoutError, worker.join)
        self.assertEqual([worker], wait_for_threads([worker], 0.01))
        gate.set()

    def test_bad_input(self) -> None:
        """Starting twice, joining before the start, and wrong arguments are errors."""
        worker = new_thread(self.worker_context, int, name="t4")
        self.assertEqual(
            "join(): worker 't4' was not started; call start() first",
            self.message_of(WorkerError, worker.join),
        )
        worker.start()
        self.assertEqual(
            "worker 't4' was started before; make a new one",
            self.message_of(WorkerError, worker.start),
        )
        with self.assertRaisesRegex(TypeError, "^worker 't5' cannot call <lambda>"):
            new_thread(self.worker_context, lambda: 0, (1,), name="t5")


if __name__ == "__main__":
    unittest.main()
