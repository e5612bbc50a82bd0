"""Tests of forking: no exception during a fork leaves an unknown child process."""

from __future__ import annotations

import errno
import os
import sys
import threading
import unittest
import warnings
from multiprocessing import popen_fork
from unittest import mock

from itf.workers import forking
from itf.workers.forking import fork
from tests.workers.worker_support import DEADLINE, METHODS, WorkerTestCase, own_children

TEXT = "is multi-threaded, use of fork"


def raising(error: BaseException) -> object:
    """Return an `os.fork` that raises in the parent, when the child is there."""
    original = os.fork

    def forking_and_raising() -> int:
        if original() == 0:
            return 0
        raise error

    return mock.patch.object(os, "fork", forking_and_raising)


class ThreadedTestCase(WorkerTestCase):
    """With a second thread in this process."""

    def setUp(self) -> None:
        super().setUp()
        gate = threading.Event()
        other = threading.Thread(target=gate.wait, args=(DEADLINE,))
        other.start()
        self.addCleanup(other.join)
        self.addCleanup(gate.set)


@unittest.skipUnless("fork" in METHODS, "this system does not fork")
class BesideThreadsTest(ThreadedTestCase):
    """A worker that the test has asked to be forked."""

    def test_where_warnings_are_errors(self) -> None:
        """The worker starts, and no other child exists."""
        before = own_children()
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("error")
            worker = self.started(lambda: 5, method="fork")
            self.assertEqual({worker.pid}, own_children().keys() - before.keys())
            self.assertEqual(5, worker.result())
        # Python 3.12 to 3.14 lose the warning where it is an error.
        if sys.version_info >= (3, 15):
            self.assertEqual([DeprecationWarning], [one.category for one in shown])
            self.assertIn(TEXT, str(shown[0].message))
            self.assertTrue(shown[0].filename.endswith("worker_support.py"), shown[0].filename)

    def test_where_warnings_are_shown_or_ignored(self) -> None:
        """Python's own behaviour is unchanged."""
        for action, count in (("always", int(sys.version_info >= (3, 12))), ("ignore", 0)):
            with self.subTest(action), warnings.catch_warnings(record=True) as shown:
                warnings.simplefilter(action)  # type: ignore[arg-type]
                self.assertEqual(5, self.started(lambda: 5, method="fork").result())
                self.assertEqual(count, sum(TEXT in str(one.message) for one in shown))


@unittest.skipUnless("fork" in METHODS, "this system does not fork")
class RaisingForkTest(WorkerTestCase):
    """A fork that raises in the parent when the child is there, on any Python."""

    def test_a_warning(self) -> None:
        """The warning is shown, and the worker is known."""
        with (
            raising(DeprecationWarning("beside threads")),
            warnings.catch_warnings(record=True) as shown,
        ):
            worker = self.started(lambda: 5, method="fork")
        self.assertEqual(["beside threads"], [str(one.message) for one in shown])
        self.assertEqual(5, worker.result())

    def test_an_exception_of_a_signal_handler(self) -> None:
        """The exception is raised, and the child was killed."""
        before = own_children()
        with raising(KeyboardInterrupt()):
            worker = self.process(lambda: 5, method="fork")
            self.assertRaises(KeyboardInterrupt, worker.start)
        self.assertEqual(before, own_children())

    def test_a_fork_that_fails(self) -> None:
        """An OSError is raised, and also a warning of an audit hook, before any fork."""
        for error in (OSError(errno.EAGAIN, "no more processes"), UserWarning("of a hook")):
            with self.subTest(error), mock.patch.object(os, "fork", side_effect=error):
                self.assertRaises(type(error), fork)
                self.assertRaises(type(error), self.process(int, method="fork").start)

    def test_the_child_goes_on(self) -> None:
        """The child gets 0, the parent its pid, and no descriptor is left open in either."""
        before = sorted(os.listdir("/proc/self/fd"))
        pid = fork()
        if pid == 0:
            # Python closes that of its resource tracker in a child.
            os._exit(bool({*os.listdir("/proc/self/fd")}.difference(before)))
        self.assertEqual((pid, 0), os.waitpid(pid, 0))
        self.assertEqual(before, sorted(os.listdir("/proc/self/fd")))


@unittest.skipUnless("fork" in METHODS, "this system does not fork")
class PrivateNameTest(unittest.TestCase):
    """`multiprocessing.popen_fork.Popen._launch`, of which itf uses the code."""

    def test_it_forks_by_os_fork(self) -> None:
        """The code uses these global names, so that `fork` can be replaced."""
        code = popen_fork.Popen._launch.__code__  # type: ignore[attr-defined]
        self.assertLess({"os", "fork", "pipe"}, set(code.co_names))
        self.assertEqual((), code.co_freevars)
        made = forking._launch_with(forking._ForkingOs())
        self.assertIs(code, made.__code__)  # type: ignore[attr-defined]

    def test_where_it_is_another_thing(self) -> None:
        """A `_launch` that is no Python function is used unchanged."""

        class Popen:
            def _launch(self, process: object) -> None: ...

        with mock.patch.object(popen_fork, "Popen", Popen):
            made = forking._launch_with(forking._ForkingOs())
            self.assertIs(Popen._launch, made)


if __name__ == "__main__":
    unittest.main()
