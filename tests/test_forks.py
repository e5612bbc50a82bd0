"""Locks that a forked child finds free."""

from __future__ import annotations

import gc
import os
import signal
import threading
import unittest
import warnings
from collections.abc import Callable

from itf.forks import lock_of
from itf.interfaces.resource_tracking import ResourceTracker

# A child that hangs is ended by SIGALRM, and fails its test.
DEADLINE = 20


def run_in_fork(work: Callable[[], None]) -> int:
    """Run a function in a forked child that must end by a deadline; return its wait status."""
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside other threads, which is the point here.
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


class LockOfTest(unittest.TestCase):
    def test_an_object_has_one_lock(self) -> None:
        """The same object gets the same lock, another object or attribute another."""
        owner = Owner()
        self.assertIs(lock_of(owner), lock_of(owner))
        self.assertIsNot(lock_of(owner), lock_of(owner, "other"))
        self.assertIsNot(lock_of(owner), lock_of(Owner()))

    def test_a_thread_may_take_it_again(self) -> None:
        """A ``__del__`` that comes back while this very thread holds the lock goes on."""
        owner = Owner()
        with lock_of(owner):
            self.assertTrue(lock_of(owner).acquire(blocking=False))
            lock_of(owner).release()

    def test_it_keeps_no_owner_alive(self) -> None:
        """What has a lock dies as if it had none."""
        import weakref

        owner = Owner()
        lock_of(owner)
        alive = weakref.ref(owner)
        del owner
        gc.collect()
        self.assertIsNone(alive())


@unittest.skipUnless(hasattr(os, "fork"), "this platform has no fork")
class ForkTest(unittest.TestCase):
    def holding(self, owner: object, work: Callable[[], None]) -> int:
        """Fork and work while another thread holds the lock of ``owner``."""
        held, end = threading.Event(), threading.Event()

        def hold() -> None:
            with lock_of(owner):
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
        """The thread that held it is not there to give it back."""
        owner = Owner()
        self.assertEqual(0, self.holding(owner, lambda: lock_of(owner).acquire() and None))

    def test_a_lock_held_by_the_thread_that_forks_can_be_given_back(self) -> None:
        """The child leaves the ``with`` that its parent entered, and takes the lock again."""
        owner = Owner()

        def work() -> None:
            pass

        with lock_of(owner):
            status = run_in_fork(work)
        self.assertEqual(0, status)
        self.assertTrue(lock_of(owner).acquire(blocking=False))
        lock_of(owner).release()

    def test_a_tracker_works_in_a_child_forked_while_it_was_busy(self) -> None:
        """Resources are tracked and released in the child, with what the parent knew."""
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

    def test_a_child_of_a_half_done_change_can_go_on(self) -> None:
        """What another thread had half in the ledger at the fork can be released."""
        tracker = ResourceTracker()
        tracker.track_resource("m", "lock", "r")
        del tracker._itf_ledger.unreleased_of["m"]

        def work() -> None:
            tracker.release_resource("r")
            tracker.assert_no_leaks()

        self.assertEqual(0, run_in_fork(work))
