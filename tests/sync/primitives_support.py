"""Helpers for the tests of the shared objects: forked children, and a check of what is left."""

from __future__ import annotations

import gc
import itertools
import os
import random
import signal
import sys
import threading
import time
import traceback
import unittest
from collections.abc import Callable
from typing import Any

from itf.sync.deadlock import waits
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from tests.support import fork, full_tests

__all__ = [
    "DEADLINE",
    "STEPS",
    "PrimitivesTestCase",
    "act_at",
    "die",
    "linger",
    "sample",
    "stop_myself",
]

# Seconds that a test waits for anything; only a failure takes so long.
DEADLINE = 20.0

# The steps of using a lock, by what happens to its semaphore.
STEPS = ["before acquire", "after acquire", "before release", "after release"]


def die() -> None:
    """Kill this process by SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop_myself() -> None:
    """Stop this process until another one sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def linger() -> None:
    """Wait until the test kills this process."""
    threading.Event().wait(DEADLINE)


def descriptors() -> dict[str, str]:
    """Return the open descriptors of this process that belong to shared objects."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # that of the listing itself
    return {
        number: name
        for number, name in found.items()
        # A fault plan of another test opens its page when a process is forked.
        if "itf-" in name and "itf-fault-page" not in name
    }


def act_at(step: str, action: Callable[[], object], lock: SharedLock) -> None:
    """Make this process do something at a step of a lock's use.

    Args:
        step: One of `STEPS`.
        action: What to do, for example `die`.
        lock: The lock.
    """
    attempt, post = lock._try_semaphore, lock._post_semaphore

    def acquire(*args: Any) -> bool:
        if step == "before acquire":
            action()
        acquired: bool = attempt(*args)
        if acquired and step == "after acquire":
            action()
        return acquired

    def release() -> None:
        if step == "before release":
            action()
        post()
        if step == "after release":
            action()

    lock._try_semaphore, lock._post_semaphore = acquire, release


def sample(steps: int, few: int) -> list[int]:
    """Return the numbers from 1 to ``steps``; a few of them, unless the tests run whole."""
    numbers = range(1, steps + 1)
    if full_tests() or steps <= few:
        return list(numbers)
    return sorted(random.sample(numbers, few))


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class PrimitivesTestCase(unittest.TestCase):
    """A test with a member table; afterwards no child, descriptor or name in /dev/shm is left."""

    def setUp(self) -> None:
        gc.collect()
        self._before = descriptors()
        self._shm = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
        self._children: set[int] = set()
        self.table = MemberTable()
        self.addCleanup(self._look_at_what_is_left)
        self.addCleanup(self.table.close)
        self.addCleanup(self.end_children)

    def _look_at_what_is_left(self) -> None:
        gc.collect()
        self.assertEqual({}, {k: v for k, v in descriptors().items() if k not in self._before})
        if self._shm:
            mine = [name for name in os.listdir("/dev/shm") if name not in self._shm]
            self.assertEqual([], [name for name in mine if str(os.getpid()) in name])

    def fork(self, function: Callable[..., object], *args: Any) -> int:
        """Call a function in a forked child; returns its pid."""
        pid = fork()
        if not pid:
            code = 1
            try:
                function(*args)
                code = 0
            except BaseException:  # noqa: BLE001 - printed, and told by the exit code
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(code)
        self._children.add(pid)
        return pid

    def join(self, pid: int) -> int:
        """Wait for the end of a child; returns its exit code, negative for a signal."""
        deadline = time.monotonic() + DEADLINE
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._children.discard(pid)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                self.fail(f"child {pid} does not end")
            time.sleep(0.0005)

    def await_death(self, pid: int) -> None:
        """Wait until a child has died, and leave it a zombie."""
        found = None
        deadline = time.monotonic() + DEADLINE
        while found is None:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            self.assertLess(time.monotonic(), deadline, f"child {pid} does not end")

    def await_stop(self, pid: int) -> None:
        """Wait until a child has stopped itself."""
        deadline = time.monotonic() + DEADLINE
        while os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is None:
            self.assertLess(time.monotonic(), deadline, f"child {pid} does not stop")

    def kill(self, pid: int) -> None:
        """Kill a child and wait for its end."""
        os.kill(pid, signal.SIGKILL)
        self.join(pid)

    def leave_dead_waiter(self, lock: SharedLock) -> None:
        """Have a process die in its sleep on the semaphore of a lock, which is held elsewhere."""

        def wait() -> None:
            # The first attempt is the one without a wait.
            calls = itertools.count(1)
            act_at("before acquire", lambda: die() if next(calls) == 2 else None, lock)
            lock.acquire()

        self.assertEqual(-9, self.join(self.fork(wait)))

    def end_children(self) -> None:
        """Kill the children that still run."""
        for pid in list(self._children):
            self.kill(pid)

    def eventually(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.0005)

    def await_waiting_or_death(self, label: str, pid: int, count: int = 1) -> None:
        """Wait until so many threads are known to wait for something, or a child has died."""
        self.eventually(
            lambda: (
                [wait.waits_for for wait in waits(self.table)].count(label) >= count
                or os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            ),
            f"{count} do not wait for {label}",
        )

    def await_waiting(self, label: str, count: int = 1) -> None:
        """Wait until so many threads are known to wait for something."""
        self.eventually(
            lambda: [wait.waits_for for wait in waits(self.table)].count(label) >= count,
            f"{count} do not wait for {label}",
        )
