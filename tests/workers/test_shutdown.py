"""Tests of shutdown: workers and all their descendants end, whatever they do to avoid it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

from itf.linux_proc import children, subreaper
from itf.workers import orphans, parent_death
from itf.workers.base import WorkerContext
from itf.workers.processes import new_process
from itf.workers.shutdown import GRACE, close_context, processes_of, stop_processes
from tests.support import fork
from tests.workers.worker_support import (
    DEADLINE,
    METHODS,
    ROOT,
    WorkerTestCase,
    eventually,
    leftovers,
    own_descriptors,
)


def is_gone(pid: int) -> bool:
    """Say whether there is no such process, or only its status is left."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class StoppingTest(WorkerTestCase):
    """One grace for all, and nothing is left."""

    def pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        # Closed before the look at what is left, which was registered first.
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        return reading, writing

    def test_eight_that_ignore_sigterm(self) -> None:
        """All workers have ended after at most 1.2 times the grace period."""
        reading, writing = self.pipe()

        def ignore() -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(writing, b"x")
            threading.Event().wait(DEADLINE)

        workers = [self.started(ignore, method="fork") for _ in range(8)]
        count = 0
        while count < 8:
            count += len(os.read(reading, 8))
        began = time.monotonic()
        self.assertEqual([], stop_processes(workers))
        self.close()
        took = time.monotonic() - began
        self.assertGreaterEqual(took, GRACE)
        self.assertLess(took, 1.2 * GRACE)
        self.assertEqual([-9] * 8, [worker.exitcode for worker in workers])

    def test_who_listens_is_not_killed(self) -> None:
        """A worker can handle SIGTERM and end by itself, also if it was paused."""
        for method in METHODS:
            for pause in (False, True):
                with self.subTest(method=method, pause=pause):
                    reading, writing = self.pipe()

                    def listen(fd: int = writing) -> None:
                        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
                        print_to = fd
                        with contextlib.suppress(OSError):
                            os.write(print_to, b"x")
                        threading.Event().wait(DEADLINE)

                    worker = self.process(listen, method=method)
                    worker.start()
                    if method == "fork":
                        os.read(reading, 1)
                    else:
                        self.assertTrue(eventually(lambda w=worker: w.has_begun))
                    if pause:
                        worker.pause()
                    stop_processes([worker])
                    self.assertIn(worker.exitcode, (0, -15))

    def test_grandchildren_and_orphans_are_found(self) -> None:
        """Descendants in other sessions, without descriptors or environment, are killed."""

        def leave(path: str) -> None:
            pids = []
            sleeper = subprocess.Popen(["sleep", "60"], env={}, start_new_session=True)
            pids.append(sleeper.pid)
            reading, writing = os.pipe()
            if os.fork() == 0:
                os.setsid()
                pid = os.fork()
                if pid:
                    os.write(writing, str(pid).encode())
                    os._exit(0)
                os.closerange(0, 100)
                while True:
                    signal.pause()
            os.wait()
            pids.append(int(os.read(reading, 20)))
            pathlib.Path(path).write_text(" ".join(map(str, pids)))
            os._exit(0)  # without a word about the sleeper

        mine = subprocess.Popen(["sleep", "60"])
        try:
            for method in METHODS:
                with self.subTest(method):
                    worker_context = self.worker_context = WorkerContext(DEADLINE)
                    path = f"/tmp/itf-orphans-{os.getpid()}"
                    worker = self.started(leave, path, method=method)
                    worker.join()
                    pids = list(map(int, pathlib.Path(path).read_text().split()))
                    os.unlink(path)
                    self.assertEqual(2, len(pids))
                    self.assertTrue(set(pids) <= set(close_context(worker_context)))
                    self.assertTrue(all(map(is_gone, pids)))
            self.assertIsNone(mine.poll(), "a child of the test itself was killed")
        finally:
            mine.kill()
            mine.wait()

    def test_a_worker_that_has_workers(self) -> None:
        """The workers of a worker end when this worker is killed."""
        reading, writing = self.pipe()

        def outer() -> None:
            worker_context = WorkerContext()
            worker = new_process(
                worker_context,
                threading.Event().wait,
                (DEADLINE,),
                name="inner",
                start_method="fork",
            )
            worker.start()
            os.write(writing, str(worker.pid).encode())
            threading.Event().wait(DEADLINE)

        worker = self.started(outer, method="fork")
        inner = int(os.read(reading, 20))
        worker.kill()
        worker.join()
        self.assertTrue(eventually(lambda: is_gone(inner)))
        self.close()
        self.assertNotIn(inner, children())

    def test_the_subreaper_is_put_back(self) -> None:
        """This process is a subreaper while worker processes may exist, and not afterwards."""
        self.assertEqual(0, subreaper._get())
        other = WorkerContext()
        other.child_setup()
        self.started(int).join()
        self.assertEqual(1, subreaper._get())
        close_context(other)
        self.assertEqual(1, subreaper._get())
        self.close()
        self.assertEqual(0, subreaper._get())

    def test_fifty_environments_leave_nothing(self) -> None:
        """No descriptor and no process is left, under any start method."""
        before = own_descriptors()
        for number in range(50):
            worker_context = WorkerContext(DEADLINE)
            for method in METHODS if number % 10 == 0 else ("fork", "forkserver"):
                worker = new_process(worker_context, int, name=method, start_method=method)
                worker.start()
            stop_processes(processes_of(worker_context))
            close_context(worker_context)
        self.assertEqual(before, own_descriptors())

    def test_without_the_kernel_marks(self) -> None:
        """Where the mark cannot be set, the worker leads a process group, which is killed."""
        reading, writing = self.pipe()

        def leave() -> None:
            pid = os.fork()
            if pid == 0:
                threading.Event().wait(DEADLINE)
            os.write(writing, str(pid).encode())

        # Such a system has no subreaper either.
        with (
            mock.patch.object(orphans.sys, "platform", "other"),
            mock.patch("itf.linux_proc._prctl", lambda *_: 0),
        ):
            worker = self.started(leave, method="fork")
            pid = int(os.read(reading, 20))
            worker.join()
            self.assertEqual([], close_context(self.worker_context))
        self.assertTrue(eventually(lambda: is_gone(pid)))


SCRIPT = """
import os, sys, threading
from itf.workers.base import WorkerContext
from itf.workers.processes import new_process

def outlive(writing):
    os.write(writing.fileno(), b"%d " % os.getpid())
    if os.fork() == 0:
        os.write(writing.fileno(), b"%d " % os.getpid())
    threading.Event().wait(60)

import multiprocessing
reading, writing = multiprocessing.Pipe(duplex=False)
context = WorkerContext()

def begin():
    for number in range(2):
        new_process(context, outlive, (writing,), name="w", start_method=sys.argv[1]).start()

# Started by a thread that ends: that must not be taken for the end of the process.
thread = threading.Thread(target=begin)
thread.start()
thread.join()
pids = b""
while pids.count(b" ") < 4:
    pids += os.read(reading.fileno(), 100)
os.write(1, pids + b"\\n")
import time; time.sleep(60)
"""


class ParentKilledTest(unittest.TestCase):
    """If this process is killed, its workers are gone within a second."""

    def check(self, method: str, *options: str) -> None:
        before = leftovers()
        # multiprocessing's own directory of a process that is killed stays behind.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        with subprocess.Popen(
            [sys.executable, *options, "-c", SCRIPT, method],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": folder.name},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            pids = list(map(int, process.stdout.readline().split()))
            self.assertEqual(4, len(pids))
            self.assertFalse(any(map(is_gone, pids)))
            process.kill()
            process.wait()
            self.assertTrue(eventually(lambda: all(map(is_gone, pids)), 1.0), pids)
        self.assertEqual(before, leftovers())

    def test_workers_go_with_their_parent(self) -> None:
        """Workers and their forked children die with the parent, without a thread in them."""
        for method in METHODS:
            with self.subTest(method):
                self.check(method)

    def test_the_thread_that_does_it_elsewhere(self) -> None:
        """Where the kernel does not send the signal, a thread detects the end of the pipe."""
        reading, writing = os.pipe()
        pid = fork()
        if pid == 0:
            os.close(writing)
            with mock.patch.object(parent_death, "_IS_LINUX", False):
                parent_death.die_with_parent(parent_death.Descriptor(os.dup(reading)))
            threading.Event().wait(DEADLINE)
            os._exit(0)
        os.close(reading)
        os.close(writing)
        self.assertEqual(-9, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    unittest.main()
