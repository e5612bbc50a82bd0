from __future__ import annotations

import os
import string
import sys
import types
import unittest
from unittest import mock

from itf.faults.targets import Reference, reference_to
from tests.faults import program


class ReferenceTest(unittest.TestCase):
    """The name by which another process finds the target of a plan."""

    def test_modules_classes_and_global_objects(self) -> None:
        """A reference to each of these resolves to the same object."""
        for target, expected in (
            (string, ("string", "")),
            (os.path, (os.path.__name__, "")),
            (program.Store, ("tests.faults.program", "Store")),
            (program.STORE, ("tests.faults.program", "STORE")),
            (str, ("builtins", "str")),
        ):
            with self.subTest(target):
                reference = reference_to(target)
                self.assertEqual(expected, reference)
                self.assertIs(target, Reference(*expected).resolve())

    def test_a_module_under_another_name(self) -> None:
        """A module is found by its name in `sys.modules`."""
        module = types.ModuleType("itf_called_so")
        self.assertIsNone(reference_to(module))
        with mock.patch.dict(sys.modules, itf_known_as=module):
            self.assertEqual(("itf_known_as", ""), reference_to(module))

    def test_what_has_none(self) -> None:
        """Local classes and objects have no reference."""

        class Local:
            pass

        for target in (Local, Local()):
            self.assertIsNone(reference_to(target))

    def test_a_class_that_another_has_taken_the_name_of(self) -> None:
        """A class whose name now leads to another class has no reference."""
        kept = program.Store
        with mock.patch.object(program, "Store", type("Store", (), {})):
            self.assertIsNone(reference_to(kept))
        self.assertEqual(("tests.faults.program", "Store"), reference_to(kept))

    def test_modules_that_load_at_their_first_use(self) -> None:
        """Searching for an object loads no lazy module."""

        class Lazy(types.ModuleType):
            def __getattribute__(self, name: str) -> object:
                raise AssertionError(f"{name} was asked for")

        with mock.patch.dict(sys.modules, {"a_lazy_one": Lazy("a_lazy_one")}):
            self.assertIsNone(reference_to(object()))
