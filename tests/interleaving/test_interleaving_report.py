from __future__ import annotations

import sys
import threading
import unittest

from itf import (
    InterleavingDeadlockError,
    interleave,
)
from tests.interleaving.programs import (
    failing_run,
    lost_update,
)


class ReportTest(unittest.TestCase):
    def test_the_message_has_seed_run_replay_and_turns(self) -> None:
        """The message has the failure, the call that replays it, and the turns."""
        error = lost_update(seed=3)
        head, replay, heading, *turns = str(error).splitlines()
        self.assertEqual(
            f"run {error.run} of 200 failed: check raised AssertionError: balance is 1", head
        )
        version = ".".join(map(str, sys.version_info[:3]))
        self.assertEqual(
            f"replay: interleave(..., seed={error.seed}, runs=1), the same under Python {version}",
            replay,
        )
        self.assertEqual(f"the turns that led to it (last {len(turns)} of {len(turns)}):", heading)
        self.assertEqual([f"  {line}" for line in error.schedule], turns)
        self.assertRegex(turns[-1], r"  deposit-[12]  ran to its end$")
        self.assertRegex(
            "\n".join(turns),
            r"deposit-[12]  ran to \S+programs\.py:\d+ in Account\.deposit, "
            r"before [A-Z_]+.*:  self\.balance \+= 1",
        )

    def test_only_the_last_turns_are_shown(self) -> None:
        """The message has the last 20 turns; the attribute `schedule` has all."""
        counter = iter(range(10_000))
        lock = threading.Lock()

        def count() -> None:
            for _ in range(500):
                with lock:
                    next(counter)

        error = failing_run(interleave, count, count, check=lambda: False, seed=5)
        self.assertGreater(len(error.schedule), 20)
        self.assertIn(f"(last 20 of {len(error.schedule)})", str(error))
        self.assertEqual(23, len(str(error).splitlines()))

    def test_an_exception_of_a_function_is_the_cause(self) -> None:
        """The message names the thread; the traceback of the cause has no frame of itf."""

        def fails() -> None:
            raise ValueError("no luck")

        error = failing_run(interleave, fails, lambda: None, seed=8)
        self.assertIn("run 1 of 200 failed: fails-1 raised ValueError: no luck\n", str(error))
        self.assertEqual(8, error.seed)
        self.assertIsInstance(error.__cause__, ValueError)
        names = []
        entry = error.__cause__.__traceback__
        while entry is not None:
            names.append(entry.tb_frame.f_code.co_name)
            entry = entry.tb_next
        self.assertEqual(["fails"], names)

    def test_waits_without_a_cycle_can_be_a_deadlock(self) -> None:
        """A condition without notify, and a lock of a thread that ended, are deadlocks."""
        condition = threading.Condition()

        def wait() -> None:
            with condition:
                condition.wait()

        error = failing_run(interleave, wait)
        self.assertIsInstance(error, InterleavingDeadlockError)
        self.assertEqual((), error.circle)
        self.assertRegex(
            str(error),
            r"no thread can continue\n  wait-1 waits for Condition 'condition' of \S+wait,\n",
        )
        lock = threading.Lock()

        def keep() -> None:
            lock.acquire()

        error = failing_run(interleave, keep, keep)
        lock.release()
        self.assertRegex(str(error), r"held by keep-\d, which has ended,")

    def test_a_lock_acquired_twice_is_a_deadlock(self) -> None:
        """Acquiring a Lock twice is a cycle of one thread; the lock is free afterwards."""
        lock = threading.Lock()

        def twice() -> None:
            lock.acquire()
            lock.acquire()

        error = failing_run(interleave, twice)
        self.assertEqual(("twice-1", "twice-1"), error.circle)
        self.assertIn("which it holds itself", str(error))
        self.assertFalse(lock.locked())


if __name__ == "__main__":
    unittest.main()
