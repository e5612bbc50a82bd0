"""Descriptors are closed once, and at the latest with their objects, also when Python ends."""

from __future__ import annotations

import os
import sys
import unittest
from unittest import mock

from itf import descriptors
from itf.descriptors import Descriptor, anonymous_file
from itf.workers import arena
from itf.workers.arena import AnonymousFile
from tests.support import is_open
from tests.workers.worker_support import run_script

SCRIPT = """
import os, sys
from itf.descriptors import Descriptor
from itf.workers.arena import AnonymousFile
kept = Descriptor(os.dup(1)), AnonymousFile(os.dup(1))
sys.kept = kept
print("end")
"""


class DescriptorTest(unittest.TestCase):
    """What owns a descriptor."""

    def test_it_is_closed_once(self) -> None:
        """By `close`; a second one does nothing, also if the number is another's by then."""
        file = anonymous_file("itf-test")
        number = file.number
        file.close()
        self.assertFalse(is_open(number))
        again = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, again)
        file.close()
        del file
        self.assertTrue(is_open(again))

    def test_one_that_somebody_else_has_closed(self) -> None:
        """Its object goes without a word."""
        file = anonymous_file("itf-test")
        os.close(file.number)
        with mock.patch.object(sys, "unraisablehook") as hook:
            del file
        self.assertEqual([], hook.mock_calls)

    def test_when_the_modules_are_gone(self) -> None:
        """It is closed with its object all the same."""
        for module, kind in ((descriptors, Descriptor), (arena, AnonymousFile)):
            with self.subTest(kind.__name__):
                number = os.dup(0)
                file = kind(number)
                with (
                    mock.patch.object(sys, "unraisablehook") as hook,
                    mock.patch.dict(vars(module), clear=True),
                ):
                    del file
                self.assertEqual([], hook.mock_calls)
                self.assertFalse(is_open(number))

    @unittest.skipUnless(sys.version_info >= (3, 15), "lazy imports came with Python 3.15")
    def test_when_python_ends_and_all_imports_are_lazy(self) -> None:
        """Nothing is printed but what the script prints."""
        self.assertEqual("end\n", run_script("-X", "lazy_imports=all", "-c", SCRIPT))


if __name__ == "__main__":
    unittest.main()
