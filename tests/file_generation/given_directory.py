"""A file generator in a directory that each test gets, and the methods that write one file."""

from __future__ import annotations

import pathlib
import tempfile
import unittest
from collections.abc import Callable

from itf import TestFileGenerator, test_file_generator as file_generator

__all__ = ["WRITE_FILE", "GivenDirectoryTestCase"]

WRITE_FILE: dict[str, Callable[[TestFileGenerator, str], object]] = {
    "create_file": lambda files, name: files.create_file(name, "new" * 1000),
    "create_large_file": lambda files, name: files.create_large_file(name, units=100),
    "create_error_file": lambda files, name: files.create_error_file(name, "binary"),
    "create_sparse": lambda files, name: files.create_sparse(name, 1, {0: b"a", 9: b"b"}),
}
"""Methods that write one file, by their names; each gets the generator and the file's name."""


class GivenDirectoryTestCase(unittest.TestCase):
    """Base class: `files` writes into the directory `root`."""

    def setUp(self) -> None:
        given = tempfile.TemporaryDirectory()
        self.addCleanup(given.cleanup)
        self.root = pathlib.Path(given.name).resolve()
        self.files = file_generator(self.root)
        self.files.setUp()
        self.addCleanup(self.files.tearDown)
