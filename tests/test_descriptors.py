"""Tests of Descriptor: closed exactly once, also at interpreter exit, and sent to processes."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import sys
import unittest
from multiprocessing.context import set_spawning_popen
from typing import Any
from unittest import mock

from itf import descriptors
from itf.descriptors import Descriptor, anonymous_file, handle_for_child, receive
from tests.support import is_open
from tests.workers.worker_support import run_script

SCRIPT = """
import os, sys
from itf.descriptors import Descriptor
kept = Descriptor(os.dup(1))
sys.kept = kept
print("end")
"""


class DescriptorTest(unittest.TestCase):
    """Closing of descriptors."""

    def test_a_descriptor_is_closed_once(self) -> None:
        """A second close() does nothing, also if another file has the same number by then."""
        file = anonymous_file("itf-test")
        number = file.number
        file.close()
        self.assertFalse(is_open(number))
        again = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, again)
        file.close()
        del file
        self.assertTrue(is_open(again))

    def test_a_file_without_a_name_where_there_is_no_memfd(self) -> None:
        """Without memfd, the file is a temporary file whose name is removed."""
        with mock.patch.object(os, "memfd_create", create=True):
            del os.memfd_create  # type: ignore[attr-defined]
            file = anonymous_file("itf-test", 10)
        self.addCleanup(file.close)
        status = os.fstat(file.number)
        self.assertEqual((0, 10), (status.st_nlink, status.st_size))

    def test_a_descriptor_that_other_code_closed(self) -> None:
        """Deleting the object raises no error and prints no warning."""
        file = anonymous_file("itf-test")
        os.close(file.number)
        with mock.patch.object(sys, "unraisablehook") as hook:
            del file
        self.assertEqual([], hook.mock_calls)

    def test_deletion_without_module_globals(self) -> None:
        """The descriptor is closed even if all module globals are None (interpreter exit)."""
        number = os.dup(0)
        file = Descriptor(number)
        with (
            mock.patch.object(sys, "unraisablehook") as hook,
            mock.patch.dict(vars(descriptors), clear=True),
        ):
            del file
        self.assertEqual([], hook.mock_calls)
        self.assertFalse(is_open(number))

    @unittest.skipUnless(sys.version_info >= (3, 15), "lazy imports came with Python 3.15")
    def test_when_python_ends_and_all_imports_are_lazy(self) -> None:
        """At interpreter exit, nothing is printed except the output of the script."""
        self.assertEqual("end\n", run_script("-X", "lazy_imports=all", "-c", SCRIPT))


class Popen:
    """Substitute for the Popen object of multiprocessing during a start."""

    def __init__(self) -> None:
        self.passed: list[int] = []

    def duplicate_for_child(self, number: int) -> int:
        """Record a descriptor that is duplicated for the process."""
        self.passed.append(number)
        return number

    class DupFd:
        """Substitute for multiprocessing's picklable handle."""

        def __init__(self, number: int) -> None:
            self.number = number

        def detach(self) -> int:
            """Return the number of the descriptor in the new process."""
            return self.number


class TransferTest(unittest.TestCase):
    """Transfer of descriptors to a new process."""

    def test_sent_twice_to_one_process(self) -> None:
        """Two pickles for one process transfer a descriptor once, and give the same object."""
        file = anonymous_file("itf-test")
        popen = Popen()
        set_spawning_popen(popen)
        self.addCleanup(set_spawning_popen, None)
        first, second = pickle.dumps(file), pickle.dumps(file)
        self.assertIs(handle_for_child(file.number), handle_for_child(file.number))
        self.assertEqual([file.number], popen.passed)
        number = file.number
        file.number = -1  # keep it open: the received object owns it now
        received = [pickle.loads(first), pickle.loads(second)]
        self.assertIs(received[0], received[1])
        received.clear()
        gc.collect()
        self.assertFalse(is_open(number))

    def test_a_reused_number(self) -> None:
        """A closed descriptor is not returned for a new one with the same number."""
        file = anonymous_file("itf-test")
        kept = receive(Popen.DupFd(file.number))
        number, file.number = file.number, -1
        kept.close()
        other = receive(Popen.DupFd(number))
        self.assertIsNot(kept, other)
        self.assertEqual(number, other.number)
        other.number = -1

    def test_two_in_the_arguments_of_a_process(self) -> None:
        """A real process receives two descriptors, with spawn and with forkserver."""
        for method in multiprocessing.get_all_start_methods():
            file, other = anonymous_file("itf-test"), anonymous_file("itf-test")
            os.write(file.number, b"a")
            process = multiprocessing.get_context(method).Process(
                target=_exit_with_sizes, args=(file, [other, file])
            )
            with self.subTest(method):
                process.start()
                process.join(30.0)
                self.assertEqual(102, process.exitcode)
            process.close()


def _exit_with_sizes(file: Descriptor, more: list[Any]) -> None:
    sizes = [os.fstat(each.number).st_size for each in (file, *more)]
    raise SystemExit(100 * (sizes[0] == sizes[2]) + sum(sizes))


if __name__ == "__main__":
    unittest.main()
