"""Tests of the exceptions of itf."""

from __future__ import annotations

import pickle
import unittest

from itf import exceptions


class ExceptionsTest(unittest.TestCase):
    def test_every_class_is_an_itf_error_and_a_fitting_standard_one(self) -> None:
        """Each exception derives from ItfError and from a fitting standard exception."""
        for name in exceptions.__all__:
            self.assertTrue(issubclass(getattr(exceptions, name), exceptions.ItfError), name)
        self.assertTrue(issubclass(exceptions.FormatError, ValueError))
        self.assertTrue(issubclass(exceptions.TaskTimeoutError, TimeoutError))
        self.assertTrue(issubclass(exceptions.WorkspaceError, OSError))

    def test_errors_carry_their_objects_also_between_processes(self) -> None:
        """Message and attributes are the same after pickling."""
        for error, attributes in (
            (exceptions.ConfigCycleError("m", ["a", "b", "a"]), {"keys": ("a", "b", "a")}),
            (
                exceptions.ResourceError("m", "id", "mod"),
                {"resource_id": "id", "owner_module": "mod"},
            ),
            (exceptions.WorkspaceError("m", ["f"]), {"leftovers": ("f",)}),
            (
                exceptions.InterleavingDeadlockError("m", 7, 2, ["turn"], ["a", "a"]),
                {"seed": 7, "run": 2, "schedule": ("turn",), "circle": ("a", "a")},
            ),
            (exceptions.WorkerError("m", "w1"), {"worker": "w1"}),
        ):
            with self.subTest(error=type(error)):
                again = pickle.loads(pickle.dumps(error))
                self.assertEqual("m", str(again))
                for name, value in attributes.items():
                    self.assertEqual(value, getattr(again, name))
