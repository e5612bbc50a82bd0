from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
import unittest

from itf import linux_proc
from tests.support import is_open


@unittest.skipUnless(sys.platform == "linux", "/proc is Linux's")
class ProcessFactsTest(unittest.TestCase):
    """Facts about a running process, a zombie, and a process that does not exist."""

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program that prints a line when it is ready; it ends when stdin is closed."""
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        process.stdout.readline()
        return process

    def test_a_process_with_a_child(self) -> None:
        """Command, state, parent, children and descendants of a running process."""
        shell = self.start("sh", "-c", "sleep 30 & echo there; cat > /dev/null; kill $!")
        (child,) = linux_proc.children(shell.pid)[:1]
        self.assertIn(shell.pid, linux_proc.children())
        self.assertIn(child, linux_proc.descendants_of(os.getpid()))
        self.assertEqual(os.getpid(), linux_proc.parent_of(shell.pid))
        self.assertEqual(shell.pid, linux_proc.parent_of(child))
        self.assertTrue(linux_proc.command_of(shell.pid).startswith("sh -c sleep 30 & echo there"))
        self.assertIn(linux_proc.state_of(shell.pid), ("S", "R", "D"))

    def test_a_zombie_and_a_reaped_process(self) -> None:
        """A process that has ended is a zombie until it is reaped; then nothing is known."""
        child = os.fork()
        if child == 0:
            os._exit(3)
        self.assertTrue(linux_proc.wait_for_end(child, 30))
        self.assertEqual("Z", linux_proc.state_of(child))
        self.assertTrue(linux_proc.reap(child, time.monotonic() + 30))
        self.assertEqual("", linux_proc.state_of(child))
        self.assertEqual(0, linux_proc.parent_of(child))
        self.assertEqual("?", linux_proc.command_of(child))
        self.assertEqual([], linux_proc.children(child))
        self.assertTrue(linux_proc.wait_for_end(child, 0))

    def test_a_process_that_does_not_end(self) -> None:
        """The wait ends at its timeout and reaps nothing."""
        shell = self.start("sh", "-c", "echo there; cat > /dev/null")
        self.assertFalse(linux_proc.reap(shell.pid, time.monotonic()))
        self.assertIsNone(shell.poll())

    def test_no_file_descriptor_is_left(self) -> None:
        """Without a free descriptor the wait still notices whether the process has ended."""
        shell = self.start("sh", "-c", "echo there; read line")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Use all descriptors below the limit, so that /proc cannot be opened either.
        limit = max(map(int, os.listdir("/proc/self/fd")))
        taken = [os.dup(0) for number in range(3, limit) if not is_open(number)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            self.assertRaises(OSError, os.dup, 0)
            self.assertFalse(linux_proc.wait_for_end(shell.pid, 0.01))
            shell.kill()
            self.assertTrue(linux_proc.wait_for_end(shell.pid, 30))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for number in taken:
                os.close(number)
        self.assertEqual(-signal.SIGKILL, shell.wait())

    def test_a_command_line_is_bounded_and_printable(self) -> None:
        """A command line is shortened, and unprintable characters become spaces."""
        script = "echo there; cat > /dev/null"
        process = self.start("sh", "-c", script, f"\n\x1b[31m{'x' * 1000}")
        command = linux_proc.command_of(process.pid)
        self.assertLessEqual(len(command), 200)
        self.assertTrue(command.isprintable())
        self.assertTrue(command.endswith("..."))


@unittest.skipUnless(sys.platform == "linux", "prctl is Linux's")
class SubreaperTest(unittest.TestCase):
    def test_nested_use(self) -> None:
        """The flag is set until the last user releases it, and then has its old value."""
        switch = linux_proc.Subreaper()
        before = switch._get()
        switch.acquire()
        switch.acquire()
        self.assertEqual(1, switch._get())
        switch.release()
        self.assertEqual(1, switch._get())
        switch.release()
        self.assertEqual(before, switch._get())
        switch.release()  # one release too many changes nothing
        self.assertEqual(before, switch._get())


if __name__ == "__main__":
    unittest.main()
