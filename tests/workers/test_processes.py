from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import unittest

from itf.exceptions import WorkerError
from itf.workers.processes import default_context, process_class

DEADLINE = 30


def fail():
    raise KeyError("k")


def start_a_worker(away):
    worker = process_class(default_context())(target=fail, name="w")
    worker.start()
    away.send((repr(worker.exception(DEADLINE)), multiprocessing.current_process().daemon))
    worker.release()


class WorkerProcessTest(unittest.TestCase):
    def make(self, target, *args, method="fork"):
        worker = process_class(multiprocessing.get_context(method))(
            target=target, args=args, name="w"
        )
        self.addCleanup(worker.release)
        return worker

    def test_it_is_a_process_of_its_context(self):
        """multiprocessing's own class, under every start method."""
        for method in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context(method)
            self.assertTrue(issubclass(process_class(context), context.Process))

    @unittest.skipUnless(sys.platform == "linux", "what Linux has")
    def test_local_functions_need_fork(self):
        """The default on Linux is fork."""
        self.assertEqual("fork", default_context().get_start_method())

    def test_an_error_comes_home_under_spawn(self):
        """A process object can be sent to a new interpreter."""
        worker = self.make(fail, method="spawn")
        worker.start()
        self.assertIsInstance(worker.exception(DEADLINE), KeyError)

    def test_a_daemonic_process_may_start_one(self):
        """Parallel runners run tests in daemonic processes; it is daemonic again after that."""
        for method in multiprocessing.get_all_start_methods():
            with self.subTest(method):
                context = multiprocessing.get_context(method)
                home, away = context.Pipe(duplex=False)
                process = context.Process(target=start_a_worker, args=(away,), daemon=True)
                process.start()
                away.close()
                self.assertTrue(home.poll(DEADLINE))
                self.assertEqual(("KeyError('k')", True), home.recv())
                process.join(DEADLINE)
                home.close()
                process.close()

    def test_what_it_holds_is_given_back(self):
        """After release no descriptor is left, and the outcome is still known."""
        before = len(os.listdir("/proc/self/fd"))
        worker = self.make(fail)
        worker.start()
        worker.join(DEADLINE)
        worker.release()
        self.assertEqual(before, len(os.listdir("/proc/self/fd")))
        self.assertIsInstance(worker.exception(), KeyError)
        self.assertEqual(1, worker.exitcode)

    def test_asked_to_end_it_did_not_fail(self):
        """terminate and kill by the test are no failure."""
        for name in ("terminate", "kill"):
            with self.subTest(name):
                worker = self.make(signal.pause)
                worker.start()
                getattr(worker, name)()
                self.assertIsNone(worker.exception(DEADLINE))

    def test_a_start_that_fails_leaves_nothing(self):
        """A target that spawn cannot send: an error, no descriptor, and no process."""
        before = len(os.listdir("/proc/self/fd"))
        worker = self.make(lambda: None, method="spawn")
        with self.assertRaises(Exception):  # noqa: B017 - pickle's own, another in each version
            worker.start()
        self.assertIsNone(worker.pid)
        self.assertLessEqual(len(os.listdir("/proc/self/fd")) - before, 1)  # the resource tracker's

    def test_a_retired_one_does_not_start(self):
        """Its environment has ended."""
        worker = self.make(int)
        worker.retire()
        with self.assertRaisesRegex(WorkerError, "^worker 'w' cannot start: "):
            worker.start()
