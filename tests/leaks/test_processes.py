from __future__ import annotations

import os
import subprocess
import sys
import threading
import unittest
from typing import Any

from itf import IntegrationTestCase, leak_guard
from itf.linux_proc import state_of, wait_for_end
from tests.support import run_method

TIMEOUT = 30


def orphan_that_reads(number: int) -> int:
    """Start a process that becomes an orphan at once, and ends with what it reads; give its pid."""
    shell = subprocess.run(
        ["sh", "-c", "exec 3<&0; cat <&3 >/dev/null 2>&1 & echo $!"],
        stdin=number,
        stdout=subprocess.PIPE,
        check=True,
    )
    return int(shell.stdout)


@unittest.skipUnless(sys.platform == "linux", "elsewhere no orphan comes to this process")
class OrphansTest(unittest.TestCase):
    """Orphans that come to this process, and end by themselves, are nobody's to wait for."""

    def test_one_that_ends_is_no_leak_of_a_test_that_forks(self) -> None:
        """It was there before the fork, and did not come of it."""
        orphans: list[int] = []

        class Case(IntegrationTestCase):
            leak_grace = 0

            def test(self) -> None:
                reading, writing = os.pipe()
                orphans.append(orphan_that_reads(reading))
                os.close(reading)
                child = os.fork()
                if child == 0:
                    os._exit(0)
                os.waitpid(child, 0)
                os.close(writing)
                wait_for_end(orphans[0], TIMEOUT)

        self.assertEqual([], run_method(Case).failures)
        self.assertEqual("", state_of(orphans[0]))

    def test_a_child_that_another_thread_starts_is_left_to_it(self) -> None:
        """It may have ended before anybody could note whose it is."""
        stop, seen = threading.Event(), threading.Event()

        def start() -> None:
            pid = os.posix_spawnp("true", ["true"], os.environ)
            wait_for_end(pid, TIMEOUT)
            seen.set()
            stop.wait(TIMEOUT)
            statuses.append(os.waitpid(pid, 0) == (pid, 0))

        statuses: list[bool] = []
        thread = threading.Thread(target=start)
        try:
            with leak_guard(grace=0, ignore=["threads"]):
                thread.start()
                seen.wait(TIMEOUT)
        finally:
            stop.set()
            thread.join()
        self.assertEqual([True], statuses)

    def test_a_child_of_the_class_is_left_to_the_class(self) -> None:
        """It ends in a test; the class, which has started it, wants its status."""
        ended: list[Any] = []

        class Case(IntegrationTestCase):
            child: int
            writing: int

            @classmethod
            def setUpClass(cls) -> None:
                reading, cls.writing = os.pipe()
                actions = [(os.POSIX_SPAWN_DUP2, reading, 0)]
                cls.child = os.posix_spawnp("cat", ["cat"], os.environ, file_actions=actions)
                os.close(reading)

            @classmethod
            def tearDownClass(cls) -> None:
                ended.append(os.waitpid(cls.child, 0) == (cls.child, 0))

            def test(self) -> None:
                os.close(self.writing)
                wait_for_end(self.child, TIMEOUT)

        result = unittest.TestResult()
        unittest.TestLoader().loadTestsFromTestCase(Case).run(result)
        self.assertEqual([], result.failures + result.errors)
        self.assertEqual([True], ended)


@unittest.skipUnless(sys.platform == "linux", "what is looked at is Linux's")
class EndedTest(unittest.TestCase):
    """Processes that have ended, and that nobody waited for."""

    def test_one_is_told_whatever_other_threads_run(self) -> None:
        """It is known to be no orphan by the object that stands for it."""
        stop = threading.Event()
        other = threading.Thread(target=stop.wait, args=(TIMEOUT,))
        kept: list[Any] = []

        class Popen(subprocess.Popen[bytes]):
            """As some make one."""

        class Case(IntegrationTestCase):
            leak_grace = 0

            def test(self) -> None:
                kept.append(Popen(["true"]))
                wait_for_end(kept[0].pid, TIMEOUT)

        other.start()
        try:
            ((_, text),) = run_method(Case).failures
        finally:
            stop.set()
            other.join()
        self.assertIn("(true), has ended, and nobody waited for it", text)
        self.assertEqual(0, kept[0].returncode)


if __name__ == "__main__":
    unittest.main()
