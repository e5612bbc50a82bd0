"""Record locks on bytes of a file."""

from __future__ import annotations

import errno
import os
import tempfile
import unittest
from unittest import mock

from itf import file_lock
from itf.file_lock import try_lock_byte, unlock_byte
from tests.support import run_script

_BYTE = 7

# A process that tries to lock the byte of argv[1], shared or not, and prints the result.
_TRY = """
import os, sys
from itf.file_lock import try_lock_byte
file = os.open(sys.argv[1], os.O_RDWR)
print(try_lock_byte(file, 7), try_lock_byte(file, 7, shared=True), try_lock_byte(file, 8))
"""


class LockByteTest(unittest.TestCase):
    """`try_lock_byte` and `unlock_byte`, seen by another process."""

    def setUp(self) -> None:
        self.file, self.path = tempfile.mkstemp()
        self.addCleanup(os.unlink, self.path)
        self.addCleanup(os.close, self.file)

    def results(self) -> str:
        """Return what another process gets: exclusive, shared, and exclusive on the next byte."""
        return run_script(_TRY, self.path).stdout.strip()

    def test_a_locked_byte_excludes_other_processes(self) -> None:
        """Another process can lock neither exclusively nor shared, but any other byte."""
        self.assertTrue(try_lock_byte(self.file, _BYTE))
        self.assertEqual("False False True", self.results())

    def test_a_shared_lock_admits_shared_locks(self) -> None:
        """Another process can lock the byte shared, and not exclusively."""
        self.assertTrue(try_lock_byte(self.file, _BYTE, shared=True))
        self.assertEqual("False True True", self.results())

    def test_an_unlocked_byte_is_free(self) -> None:
        """After `unlock_byte` another process can lock the byte; a second call does nothing."""
        self.assertTrue(try_lock_byte(self.file, _BYTE))
        unlock_byte(self.file, _BYTE)
        unlock_byte(self.file, _BYTE)
        self.assertEqual("True True True", self.results())

    def test_the_same_process_gets_the_lock_again(self) -> None:
        """A record lock belongs to the process, so a second attempt succeeds."""
        self.assertTrue(try_lock_byte(self.file, _BYTE))
        self.assertTrue(try_lock_byte(self.file, _BYTE))

    def test_the_lock_of_a_dead_process_is_free(self) -> None:
        """The kernel releases the lock of a process that was killed by SIGKILL."""
        killed = run_script(
            _TRY + "print('locked', flush=True)\nos.kill(os.getpid(), 9)", self.path
        )
        self.assertIn("locked", killed.stdout)
        self.assertEqual(-9, killed.returncode)
        self.assertTrue(try_lock_byte(self.file, _BYTE))

    def test_both_error_codes_of_a_held_lock(self) -> None:
        """EAGAIN and EACCES mean that another process holds the lock, by platform."""
        for code in (errno.EAGAIN, errno.EACCES):
            with (
                self.subTest(errno.errorcode[code]),
                mock.patch.object(file_lock, "lockf", side_effect=OSError(code, "held")),
            ):
                self.assertFalse(try_lock_byte(self.file, _BYTE))

    def test_other_errors_are_raised(self) -> None:
        """A closed descriptor, and a file system without record locks, are errors."""
        closed = os.dup(self.file)
        os.close(closed)
        with self.assertRaises(OSError) as caught:
            try_lock_byte(closed, _BYTE)
        self.assertEqual(errno.EBADF, caught.exception.errno)
        unsupported = OSError(errno.ENOLCK, "no locks available")
        with (
            mock.patch.object(file_lock, "lockf", side_effect=unsupported),
            self.assertRaises(OSError) as caught,
        ):
            try_lock_byte(self.file, _BYTE)
        self.assertIs(unsupported, caught.exception)


if __name__ == "__main__":
    unittest.main()
