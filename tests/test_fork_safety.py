"""Fork safety: hooks around os.fork, and locks that are free in a forked child."""

from __future__ import annotations

import gc
import os
import signal
import threading
import unittest
import unittest.mock
import warnings
from collections.abc import Callable

from itf.fork_safety import after_fork_in_child, around_fork, current_pid, fork_safe_lock
from itf.interfaces.resource_tracking import ResourceTracker
from tests.support import run_script

# Seconds after which SIGALRM kills a child that does not end.
DEADLINE = 20


def run_in_fork(work: Callable[[], None]) -> int:
    """Run a function in a forked child, and return the child's wait status.

    A child that does not end is killed by SIGALRM after `DEADLINE` seconds.
    """
    with warnings.catch_warnings():
        # Since 3.12 Python warns about a fork while other threads run; the tests need that.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(DEADLINE)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


class Owner:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def acquire(lock: threading.RLock) -> None:
    """Acquire a lock, or raise TimeoutError."""
    if not lock.acquire(timeout=DEADLINE):
        raise TimeoutError("the lock is not free")


class LockOfTest(unittest.TestCase):
    def test_an_object_has_one_lock(self) -> None:
        """An object has one lock for each attribute name; other objects have other locks."""
        owner = Owner()
        self.assertIs(fork_safe_lock(owner), fork_safe_lock(owner))
        self.assertIsNot(fork_safe_lock(owner), fork_safe_lock(owner, "other"))
        self.assertIsNot(fork_safe_lock(owner), fork_safe_lock(Owner()))

    def test_the_lock_is_reentrant(self) -> None:
        """The thread that holds the lock can acquire it again, as a ``__del__`` may have to."""
        owner = Owner()
        with fork_safe_lock(owner):
            self.assertTrue(fork_safe_lock(owner).acquire(blocking=False))
            fork_safe_lock(owner).release()

    def test_the_owner_is_not_kept_alive(self) -> None:
        """An object with a lock is freed when its last reference is gone."""
        import weakref

        owner = Owner()
        fork_safe_lock(owner)
        alive = weakref.ref(owner)
        del owner
        gc.collect()
        self.assertIsNone(alive())


@unittest.skipUnless(hasattr(os, "fork"), "this platform has no fork")
class ForkTest(unittest.TestCase):
    def holding(self, owner: object, work: Callable[[], None]) -> int:
        """Fork and run a function in the child, while another thread holds the owner's lock."""
        held, end = threading.Event(), threading.Event()

        def hold() -> None:
            with fork_safe_lock(owner):
                held.set()
                end.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            self.assertTrue(held.wait(60))
            return run_in_fork(work)
        finally:
            end.set()
            thread.join(60)

    def test_a_lock_held_by_another_thread_is_free_in_the_child(self) -> None:
        """The child can acquire a lock that another thread of the parent held during the fork."""
        owner = Owner()
        self.assertEqual(0, self.holding(owner, lambda: acquire(fork_safe_lock(owner))))

    def test_a_lock_held_by_the_forking_thread(self) -> None:
        """A child forked inside `with lock` can acquire the lock, and so can the parent."""
        owner = Owner()

        with fork_safe_lock(owner):
            status = run_in_fork(lambda: acquire(fork_safe_lock(owner)))
        self.assertEqual(0, status)
        self.assertTrue(fork_safe_lock(owner).acquire(blocking=False))
        fork_safe_lock(owner).release()

    def test_a_resource_tracker_in_a_child(self) -> None:
        """A tracker whose lock was held during the fork works in the child."""
        tracker = ResourceTracker()
        tracker.track_resource("m", "lock", "parent's")

        def work() -> None:
            tracker.track_resource("m", "lock", "child's")
            tracker.release_resource("child's")
            tracker.release_resource("parent's")
            tracker.assert_no_leaks()

        self.assertEqual(0, self.holding(tracker._itf_ledger, work))
        self.assertEqual("active", tracker.get_resource_state("parent's"))
        self.assertIsNone(tracker.get_resource_state("child's"))

    def test_a_half_finished_change_in_a_child(self) -> None:
        """A change that another thread had half finished at the fork does not break the child."""
        tracker = ResourceTracker()
        tracker.track_resource("m", "lock", "r")
        del tracker._itf_ledger.unreleased_of["m"]

        def work() -> None:
            tracker.release_resource("r")
            tracker.assert_no_leaks()

        self.assertEqual(0, run_in_fork(work))


@unittest.skipUnless(hasattr(os, "fork"), "this platform has no fork")
class HooksTest(unittest.TestCase):
    """`after_fork_in_child`, `around_fork` and `current_pid`.

    Registrations cannot be undone, so the hooks run in a process of their own.
    """

    def output_of(self, script: str) -> list[str]:
        done = run_script(
            "import os, sys, warnings\n"
            "from itf.fork_safety import after_fork_in_child, around_fork, current_pid\n"
            "log = []\n"
            f"{script}\n"
            "sys.stdout.flush()\n"
            "pid = os.fork()\n"
            "if pid:\n"
            "    os.waitpid(pid, 0)\n"
            "print('parent' if pid else 'child', *log, current_pid() == os.getpid())\n"
            "sys.stdout.flush()\n"
            "os._exit(0)\n"
        )
        self.error = done.stderr
        return sorted(done.stdout.splitlines())

    def test_order(self) -> None:
        """Hooks in the child run in the order of registration, those before the fork in reverse."""
        lines = self.output_of(
            "for n in (1, 2):\n"
            "    around_fork(before=lambda n=n: log.append(f'before{n}'),\n"
            "                after_in_parent=lambda n=n: log.append(f'parent{n}'),\n"
            "                after_in_child=lambda n=n: log.append(f'child{n}'))\n"
        )
        self.assertEqual(
            [
                "child before2 before1 child1 child2 True",
                "parent before2 before1 parent1 parent2 True",
            ],
            lines,
        )
        self.assertEqual("", self.error)

    def test_decorator(self) -> None:
        """after_fork_in_child returns the function, and the function runs in the child alone."""
        lines = self.output_of(
            "@after_fork_in_child\n"
            "def renew():\n"
            "    log.append('renewed')\n"
            "log.append(renew.__name__)\n"
        )
        self.assertEqual(["child renew renewed True", "parent renew True"], lines)

    def test_an_exception_does_not_stop_the_others(self) -> None:
        """An exception in a hook is printed, and the next hook runs."""
        lines = self.output_of(
            "after_fork_in_child(lambda: 1 / 0)\nafter_fork_in_child(lambda: log.append('next'))\n"
        )
        self.assertEqual(["child next True", "parent True"], lines)
        self.assertIn("ZeroDivisionError", self.error)

    def test_systems_without_fork(self) -> None:
        """Where os.register_at_fork does not exist, registration does nothing."""
        function = unittest.mock.Mock()
        with unittest.mock.patch.object(os, "register_at_fork"):
            del os.register_at_fork
            self.assertIs(function, after_fork_in_child(function))
            around_fork(before=function)
        function.assert_not_called()

    def test_current_pid(self) -> None:
        """It is the id of this process; the tests above check it in a child."""
        self.assertEqual(os.getpid(), current_pid())


if __name__ == "__main__":
    unittest.main()
