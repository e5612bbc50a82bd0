"""Which process a thread waits for, or works on, without a look into what it runs."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import FrameType
from typing import Any
from unittest import mock

from itf.leaks.probes import threads
from itf.leaks.probes.threads import blocked_on

TIMEOUT = 30

HAS_NUMBERS = sys.platform == "linux" and os.uname().machine in threads._WAIT_CALLS


@contextlib.contextmanager
def running(
    end: Callable[[], object], target: Callable[..., object], *args: object, **kwargs: object
) -> Iterator[threading.Thread]:
    """Run a function in a thread, until it is made to end."""
    thread = threading.Thread(target=target, args=args, kwargs=kwargs)
    thread.start()
    try:
        yield thread
    finally:
        end()
        thread.join(TIMEOUT)


@unittest.skipUnless(sys.platform == "linux", "child processes are seen on Linux")
class BlockedOnTest(unittest.TestCase):
    """The process is found, and no other one."""

    def setUp(self) -> None:
        self.process = subprocess.Popen(["sleep", str(TIMEOUT)])
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.pids = frozenset((self.process.pid,))

    @unittest.skipUnless(HAS_NUMBERS, "no system call is known by its number here")
    def test_what_a_thread_waits_for_in_the_kernel(self) -> None:
        """The kernel says so, wherever the thread has the number from."""
        pid = 0

        def wait4() -> None:
            os.waitpid(pid, 0)

        def waitid() -> None:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        for target in (waitid, wait4):
            process = subprocess.Popen(["sleep", str(TIMEOUT)])
            self.addCleanup(process.wait)
            pid = process.pid
            with self.subTest(target.__name__), running(process.kill, target) as thread:
                self.wait_until_blocked(thread)
                self.assertEqual(pid, threads._waited_for(thread.native_id))
                self.assertEqual(pid, blocked_on(thread, frozenset((pid, os.getpid()))))
                self.assertIsNone(blocked_on(thread, frozenset((os.getpid(),))))

    def wait_until_blocked(self, thread: threading.Thread) -> None:
        """Wait until a thread is in a system call that waits for a process."""
        call = pathlib.Path(f"/proc/self/task/{thread.native_id}/syscall")
        numbers = threads._WAIT_CALLS[os.uname().machine]
        deadline = time.monotonic() + TIMEOUT
        while call.read_text().split()[0] not in numbers and time.monotonic() < deadline:
            """It is on its way."""

    def test_what_a_thread_was_started_with(self) -> None:
        """A method, a closure, an argument: on this Python, under private names."""
        process = self.process
        stop = threading.Event()

        def closure() -> None:
            stop.wait(TIMEOUT if process.pid else 0)

        def given(other: object) -> None:
            stop.wait(TIMEOUT)

        class Owner:
            pid = process.pid

            def method(self) -> None:
                stop.wait(TIMEOUT)

        ways: dict[str, Callable[..., contextlib.AbstractContextManager[threading.Thread]]] = {
            "method": functools.partial(running, stop.set, Owner().method),
            "closure": functools.partial(running, stop.set, closure),
            "by place": functools.partial(running, stop.set, given, process),
            "by name": functools.partial(running, stop.set, given, other=process),
        }
        for name, run in ways.items():
            stop.clear()
            with self.subTest(name), run() as thread:
                self.assertEqual(process.pid, blocked_on(thread, self.pids))
                self.assertIsNone(blocked_on(thread, frozenset((os.getpid(),))))
        stop.clear()
        with running(stop.set, given, process) as thread, mock.patch.dict(vars(thread)):
            for private in ("_target", "_args", "_kwargs"):
                del vars(thread)[private]
            self.assertIsNone(blocked_on(thread, self.pids))

    def test_the_thread_of_a_pool(self) -> None:
        """It works on every process that the pool has."""
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            self.assertEqual(8, pool.submit(pow, 2, 3).result(TIMEOUT))
            (pid,) = pool._processes
            found = [blocked_on(thread, frozenset((pid,))) for thread in threading.enumerate()]
            self.assertEqual(1, found.count(pid))

    def test_threads_that_run_meanwhile_are_left_alone(self) -> None:
        """Between any two lines of the look, the other thread runs on; its frames are not read."""
        turns = threading.Condition()
        taken = 0
        stop = False

        def work(process: object) -> None:
            nonlocal taken
            while not stop:
                local = [object() for _ in range(10)]
                with turns:
                    taken += len(local)
                    turns.notify_all()

        def let_it_run(frame: FrameType, event: str, arg: Any) -> Any:
            if frame.f_code.co_filename != threads.__file__:
                return None
            with turns:
                before = taken
                turns.wait_for(lambda: taken > before, TIMEOUT)
            return let_it_run

        def end() -> None:
            nonlocal stop
            stop = True

        with (
            running(end, work, self.process) as thread,
            mock.patch("sys._current_frames", side_effect=AssertionError("frames were asked for")),
        ):
            before, tracer = taken, sys.gettrace()
            sys.settrace(let_it_run)
            try:
                found = blocked_on(thread, self.pids)
            finally:
                sys.settrace(tracer)
            self.assertEqual(self.process.pid, found)
            self.assertGreater(taken, before)

    def test_a_thread_that_is_no_more_or_not_yet(self) -> None:
        """It waits for nothing; nor does one that nobody knows."""
        thread = threading.Thread(target=int)
        self.assertIsNone(blocked_on(thread, self.pids))
        thread.start()
        thread.join()
        self.assertIsNone(blocked_on(thread, self.pids))
        self.assertIsNone(blocked_on(None, self.pids))


if __name__ == "__main__":
    unittest.main()
