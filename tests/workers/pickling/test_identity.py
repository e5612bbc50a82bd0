"""Tests that classes are compared by identity, without ``==`` and ``hash`` of a metaclass."""

from __future__ import annotations

import gc
import sys
import types
import unittest
import warnings
from typing import Any

from itf.safe_repr import safe_repr
from itf.sync.serialization import dumps
from itf.workers.pickling.diagnosis import advice_for
from itf.workers.pickling.identity import IdentityMap
from itf.workers.pickling.used_globals import can_be_imported
from tests.workers.worker_support import METHODS, WorkerTestCase

touched: list[str] = []


class Touchy(type):
    """A metaclass whose classes have no hash, and whose ``==`` is noticed."""

    def __eq__(cls, other: object) -> bool:
        touched.append("==")
        raise RuntimeError("== was called")

    __hash__ = None  # type: ignore[assignment]


class Deprecated(type):
    """A metaclass as that of `typing._UnionGenericAlias`: each use is a warning."""

    def __eq__(cls, other: object) -> bool:
        touched.append("==")
        warnings.warn("== is deprecated", DeprecationWarning, stacklevel=2)
        return True

    def __hash__(cls) -> int:
        touched.append("hash")
        warnings.warn("hash is deprecated", DeprecationWarning, stacklevel=2)
        return 1

    def __getattribute__(cls, name: str) -> Any:
        touched.append(name)
        raise RuntimeError(f"{name} was read")


class Unhashable(metaclass=Touchy):
    """What a result may hold."""

    def __init__(self, number: int = 0) -> None:
        self.number = number


def without_module() -> type:
    """Return a class that has no ``__module__``, as code gets it whose globals have no name."""
    namespace: dict[str, Any] = {}
    exec("made = type('Nameless', (), {})", namespace)
    made: type = namespace["made"]
    if hasattr(made, "__module__"):
        raise AssertionError(f"{made} has a module")
    return made


class IdentityTest(WorkerTestCase):
    """Results come home beside classes that cannot be compared or hashed."""

    def setUp(self) -> None:
        super().setUp()
        # In the process while each test runs, wherever a search begins.
        self.classes = [Touchy("First", (), {}), Deprecated("Second", (), {}), without_module()]
        touched.clear()

    def tearDown(self) -> None:
        self.assertEqual([], touched)

    def test_a_local_class_comes_home(self) -> None:
        """The class is found among all classes, without calling code of the others."""

        class Local:
            def __init__(self, number: int) -> None:
                self.number = number

        def work(number: int) -> Any:
            return Local(number), Local

        for method in METHODS:
            with self.subTest(method), warnings.catch_warnings():
                warnings.simplefilter("error")
                made, kind = self.started(work, 5, method=method).result()
                self.assertIs(Local, kind)
                self.assertIs(Local, type(made))
                self.assertEqual(5, made.number)

    def test_a_class_without_a_hash_is_sent(self) -> None:
        """The class and its objects are sent in both directions, importable or local."""
        Local = Touchy("Local", (Unhashable,), {"__module__": __name__, "__qualname__": "f.Local"})

        def work(one: Any, other: Any) -> Any:
            return one.number, other, type(one), Unhashable(3), Local(4)

        for method in METHODS:
            with self.subTest(method):
                number, other, kind, made, local = self.started(
                    work, Local(1), Unhashable(2), method=method
                ).result()
                self.assertEqual((1, 2, 3, 4), (number, other.number, made.number, local.number))
                self.assertIs(Local, kind)
                self.assertIs(Local, type(local))
                self.assertIs(Unhashable, type(made))

    def test_the_text_of_such_an_object(self) -> None:
        """Messages can describe it, although `reprlib` compares and hashes classes."""
        self.assertIn("Unhashable", safe_repr(Unhashable()))

    def test_advice_for_such_a_class(self) -> None:
        """`advice_for` is called for every pickled object, so any class must be possible."""
        for _ in range(2):
            self.assertIsNone(advice_for(Unhashable))

    def test_a_message_of_such_a_class(self) -> None:
        """A queue accepts or refuses it as `pickle` does, with the same error."""
        with self.assertRaisesRegex(TypeError, "unhashable type: 'Touchy'"):
            dumps(Unhashable())

    def test_a_module_without_a_hash(self) -> None:
        """An object in place of a module may define ``==``."""

        class Module(types.ModuleType):
            def __eq__(self, other: object) -> bool:
                touched.append("== of the module")
                return True

            __hash__ = None  # type: ignore[assignment]

        sys.modules["itf_test_module"] = Module("itf_test_module")
        self.addCleanup(sys.modules.pop, "itf_test_module")
        for _ in range(2):
            self.assertFalse(can_be_imported("itf_test_module"))


class IdentityMapTest(unittest.TestCase):
    """What holds the values."""

    def test_values_are_found_by_identity(self) -> None:
        """Keys are not compared by ``==``; a missing key gives None."""
        numbers: IdentityMap[int] = IdentityMap()
        one, other = Unhashable, Touchy("Other", (), {})
        numbers.set(one, 1)
        numbers.set(one, 2)
        self.assertEqual(2, numbers.get(one))
        self.assertIsNone(numbers.get(other))

    def test_a_key_is_let_go(self) -> None:
        """A key that is collected is removed with its value."""
        numbers: IdentityMap[int] = IdentityMap()
        for number in range(10):
            numbers.set(Touchy("Gone", (), {}), number)
        gc.collect()
        self.assertEqual(0, len(numbers))


if __name__ == "__main__":
    unittest.main()
