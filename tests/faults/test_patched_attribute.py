from __future__ import annotations

import functools
import gc
import importlib
import pathlib
import re
import string
import sys
import tempfile
import textwrap
import types
import unittest
import weakref
from typing import Any
from unittest import mock

from itf import FaultInjectionError, FaultPlan, InjectedFaultError, inject_faults
from tests.support import run_script


class Meta(type):
    def read(cls) -> str:
        return "real"


class Made(metaclass=Meta):
    """A class with a constructor, but no ``__new__``."""

    __slots__ = ("__dict__", "__weakref__", "kept")

    def __init__(self, value: int) -> None:
        self.value = value

    def double(self) -> int:
        return 2 * self.value


class MadeByNew:
    """A class with a ``__new__``, but no constructor."""

    value: int

    def __new__(cls, value: int) -> MadeByNew:
        made = super().__new__(cls)
        made.value = value
        return made


class Bare:
    """A class with neither."""


class ConstructorTest(unittest.TestCase):
    def test_a_constructor_that_is_that_of_object(self) -> None:
        """A plan on an inherited object.__init__ keeps the check of the arguments."""
        with inject_faults(MadeByNew, "__init__", FaultPlan.nth_call(2)):
            self.assertEqual(1, MadeByNew(1).value)
            with self.assertRaises(InjectedFaultError):
                MadeByNew(2)
        self.assertEqual(3, MadeByNew(3).value)
        with (
            inject_faults(Bare, "__init__", FaultPlan.nth_call(9)),
            self.assertRaisesRegex(TypeError, r"^Bare\(\) takes no arguments$"),
        ):
            Bare(1)  # type: ignore[call-arg]
        self.assertIsInstance(Bare(), Bare)

    def test_a_new_that_is_that_of_object(self) -> None:
        """A plan on object.__new__ is refused, because it could not be undone."""
        with self.assertRaises(FaultInjectionError) as caught:
            inject_faults(Made, "__new__", FaultPlan.nth_call(9)).start()
        self.assertEqual(
            f"{__name__}.Made.__new__ is that of object; inject into its constructor: "
            "inject_faults(Made, '__init__', plan)",
            str(caught.exception),
        )
        self.assertEqual(1, Made(1).value)


class PlaceTest(unittest.TestCase):
    def test_where_it_has_to_be_injected_instead(self) -> None:
        """An attribute that cannot be replaced raises an error that names the right target."""
        evaluated = []

        class Cached:
            @functools.cached_property
            def value(self) -> int:
                evaluated.append(1)
                return 1

            def __repr__(self) -> str:
                return "<cached>"

        made = Made(1)
        made.kept = made.double  # type: ignore[attr-defined]
        cached = f"{type(self).__qualname__}.test_where_it_has_to_be_injected_instead.<locals>"
        for target, name, text in (
            (
                Made,
                "read",
                f"'read' of {__name__}.Made is a method of its metaclass; inject into that: "
                "inject_faults(Meta, 'read', plan)",
            ),
            (
                made,
                "kept",
                f"'kept' of {made!r} is kept in a slot; inject into the module or class that its "
                "function is from",
            ),
            (
                Cached(),
                "value",
                "'value' of <cached> is a cached_property of its class; inject into that: "
                f"inject_faults({cached}.Cached, 'value', plan)",
            ),
        ):
            with self.subTest(text), self.assertRaisesRegex(FaultInjectionError, re.escape(text)):
                inject_faults(target, name, FaultPlan.always()).start()
        self.assertEqual([], evaluated)
        with inject_faults(Meta, "read", FaultPlan.always(returns="fault")):
            self.assertEqual("fault", Made.read())
        self.assertEqual("real", Made.read())

    def test_a_patch_between_two_injections(self) -> None:
        """Two injections with a patch in between can be undone in any order."""
        module = types.SimpleNamespace(function=lambda: "real")
        original = module.function
        below = inject_faults(module, "function", FaultPlan.always(returns="below"))
        above = inject_faults(module, "function", FaultPlan.always(returns="above"))
        patch = mock.patch.object(module, "function", lambda: "patched")
        below.start()
        patch.start()
        above.start()
        seen = [module.function()]
        for undo in (above.undo, patch.stop, below.undo):
            undo()
            seen.append(module.function())
        self.assertEqual(["above", "patched", "below", "real"], seen)
        self.assertIs(original, module.function)

    def test_other_code_has_restored_it(self) -> None:
        """If other code restored the target before `undo`, no reference to the target is kept."""
        gone: list[str] = []
        target = Made(1)
        weakref.finalize(target, gone.append, "target")
        with inject_faults(target, "double", FaultPlan.always(returns=0)):
            self.assertEqual(0, target.double())
            del target.double
        self.assertEqual(2, target.double())
        del target
        gc.collect()
        self.assertEqual(["target"], gone)


if __name__ == "__main__":
    unittest.main()


@unittest.skipUnless(hasattr(types, "LazyImportType"), "lazy imports are new in Python 3.15")
class LazyImportTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name, "itf_lazy_program.py")
        path.write_text("lazy from string import capwords\nlazy import json\n", encoding="utf-8")
        with mock.patch.object(sys, "path", [folder.name, *sys.path]):
            importlib.invalidate_caches()
            self.program: Any = importlib.import_module("itf_lazy_program")
        self.addCleanup(sys.modules.pop, "itf_lazy_program")

    def test_a_name_that_is_imported_lazily(self) -> None:
        """A lazy import is carried out; its function is replaced and restored."""
        with inject_faults(self.program, "capwords", FaultPlan.always(returns="fault")):
            self.assertEqual("fault", self.program.capwords("a"))
            self.assertEqual("A", string.capwords("a"))
        self.assertIs(string.capwords, self.program.capwords)

    def test_a_module_that_is_imported_lazily(self) -> None:
        """A lazily imported module is refused as a module, which is no function."""
        with self.assertRaisesRegex(FaultInjectionError, "<module 'json'.*, which is no function"):
            inject_faults(self.program, "json", FaultPlan.always()).start()

    def test_all_imports_lazy(self) -> None:
        """With all imports of itf lazy, a fault works, reaches a process, and is undone."""
        script = """
            import multiprocessing, string
            from itf import FaultPlan, inject_faults
            from tests.faults import program

            if __name__ == "__main__":
                plan = FaultPlan.every(2, returns="hit")
                with inject_faults(string, "capwords", plan):
                    program.count_hits(2)
                    for method in multiprocessing.get_all_start_methods():
                        process = multiprocessing.get_context(method).Process(
                            target=program.exit_with_hits, args=(2,)
                        )
                        process.start()
                        process.join()
                        print(process.exitcode, plan.calls)
        """
        done = run_script(textwrap.dedent(script), PYTHON_LAZY_IMPORTS="all")
        self.assertEqual(("1 4\n1 6\n1 8\n", ""), (done.stdout, done.stderr))
