"""Tests of types that `pickle` cannot send: sentinels, lazy imports, forward references."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import pathlib
import tempfile
import textwrap
import types
import typing
import unittest
from typing import Any

from itf.exceptions import WorkerPicklingError
from itf.workers.pickling import reducers
from itf.workers.pickling.pickler import pickling_error
from itf.workers.pickling.used_globals import LAZY_IMPORT, resolved
from tests.workers.worker_support import METHODS, WorkerTestCase, run_script

make_sentinel: Any = getattr(builtins, "sentinel", None)

NOTHING: Any = make_sentinel("NOTHING") if make_sentinel else None

with_sentinels = unittest.skipUnless(make_sentinel, "sentinels came with Python 3.15")
with_lazy_imports = unittest.skipUnless(LAZY_IMPORT, "lazy imports came with Python 3.15")


class SentinelTest(WorkerTestCase):
    """What is known by identity alone."""

    def test_the_markers_of_dataclasses(self) -> None:
        """The markers are identical in a worker and in its result."""

        def work(missing: Any, only: Any) -> Any:
            same = missing is dataclasses.MISSING and only is dataclasses.KW_ONLY
            return same, dataclasses.MISSING, dataclasses.KW_ONLY

        for method in METHODS:
            with self.subTest(method):
                worker = self.started(work, dataclasses.MISSING, dataclasses.KW_ONLY, method=method)
                same, missing, only = worker.result()
                self.assertTrue(same)
                self.assertIs(dataclasses.MISSING, missing)
                self.assertIs(dataclasses.KW_ONLY, only)

    def test_each_marker_is_known(self) -> None:
        """The field kinds, private names of dataclasses, are markers too."""
        for name in ("MISSING", "KW_ONLY", "_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR"):
            with self.subTest(name):
                reduce = reducers.reducer_of(getattr(dataclasses, name))
                assert reduce is not None
                function, args = reduce(getattr(dataclasses, name))
                self.assertIs(getattr(dataclasses, name), function(*args))

    @with_sentinels
    def test_one_that_can_be_imported(self) -> None:
        """A sentinel that can be imported is identical in the worker and in its result."""

        def work(passed: Any, default: Any = NOTHING) -> Any:
            return passed is NOTHING is default, passed

        for method in METHODS:
            with self.subTest(method):
                self.assertEqual(
                    (True, NOTHING), self.started(work, NOTHING, method=method).result()
                )

    @with_sentinels
    def test_a_local_one(self) -> None:
        """A local sentinel is one object in the worker, with its name and module."""
        local = make_sentinel("local")

        def work(passed: Any, default: Any = local) -> Any:
            return passed is local is default, repr(passed), passed.__module__

        for method in METHODS:
            with self.subTest(method):
                self.assertEqual(
                    (True, "local", __name__), self.started(work, local, method=method).result()
                )

    @with_sentinels
    def test_a_local_one_does_not_come_home(self) -> None:
        """It cannot be a result, as a copy would not be identical; the error has its name."""
        local = make_sentinel("local")
        for method in METHODS:
            with self.subTest(method):
                error = self.started(lambda: [local], method=method).exception()
                self.assertIsInstance(error, WorkerPicklingError)
                self.assertRegex(
                    str(error),
                    r"\(sentinel\).* to the parent process; "
                    rf".*not found as {__name__}\.local.*; make it",
                )

    @with_sentinels
    def test_one_of_a_script(self) -> None:
        """A sentinel of ``__main__`` can be a result, because it has a name there."""
        script = """
            from itf import parallel_test_environment

            NOTHING = sentinel("NOTHING")

            def work(passed):
                return passed is NOTHING, passed

            for method in ("fork", "forkserver", "spawn"):
                with parallel_test_environment(method) as env:
                    worker = env.create_worker_process(work, (NOTHING,))
                    worker.start()
                    same, returned = worker.result()
                    print(same, returned is NOTHING)
        """
        self.assertEqual("True True\n" * 3, run_script("-c", textwrap.dedent(script)))

    def test_a_reason_is_never_empty(self) -> None:
        """An error without a message is described by its type."""

        class Wordless:
            def __reduce__(self) -> Any:
                raise KeyError

        for method in METHODS:
            if method == "fork":
                continue
            text = self.message_of(
                WorkerPicklingError,
                lambda method=method: self.started(len, Wordless(), method=method),
            )
            self.assertIn("; it raised KeyError; make it there", text)


LAZY_MODULE = """
lazy import json
lazy import xml.dom.minidom
lazy from os import path as system_path
lazy from itf_lazy_helper import double
lazy import itf_lazy_missing

def use():
    parsed = xml.dom.minidom.parseString("<a/>").documentElement.tagName
    return json.dumps([1]), system_path.basename("a/b"), double(2), parsed

def broken():
    return itf_lazy_missing
"""

# A script, and so none of its functions can be imported.
LAZY_SCRIPT = """
from itf import parallel_test_environment
{module}

for method in ("fork", "forkserver", "spawn"):
    with parallel_test_environment(method) as env:
        worker = env.create_worker_process(use)
        worker.start()
        print(worker.result())
        if method != "fork":
            try:
                env.create_worker_process(broken, name="b").start()
            except Exception as error:
                print(error)
"""


class LazyImportTest(WorkerTestCase):
    """A global that nobody has used yet is imported and then sent."""

    def script(self, *options: str, source: str, **files: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                pathlib.Path(folder, f"{name}.py").write_text(text, encoding="utf-8")
            main = pathlib.Path(folder, "script.py")
            main.write_text(source, encoding="utf-8")
            return run_script(*options, str(main), timeout=60)

    @with_lazy_imports
    def test_in_a_script(self) -> None:
        """Modules, submodules and functions are sent; a failing import is named."""
        printed = self.script(
            source=LAZY_SCRIPT.format(module=LAZY_MODULE),
            itf_lazy_helper="def double(number):\n    return 2 * number\n",
        )
        result = "('[1]', 'b', 4, 'a')"
        lines = printed.splitlines()
        self.assertEqual([result] * 3, [lines[0], lines[1], lines[3]], printed)
        for refusal in (lines[2], lines[4]):
            self.assertRegex(
                refusal,
                r"^cannot send 'itf_lazy_missing' \(.*\), "
                r"a global used by broken at script\.py:\d+, "
                r"to a new process; No module named 'itf_lazy_missing'; make it there",
            )

    @with_lazy_imports
    def test_with_all_imports_lazy(self) -> None:
        """The same module without a word about lazy imports, and the option of the interpreter."""
        module = LAZY_MODULE.replace("lazy ", "").replace("import itf_lazy_missing", "")
        source = LAZY_SCRIPT.format(module=module).replace("if method", "if False and method")
        printed = self.script(
            "-X",
            "lazy_imports=all",
            source=source,
            itf_lazy_helper="def double(number):\n    return 2 * number\n",
        )
        self.assertEqual("('[1]', 'b', 4, 'a')\n" * 3, printed)

    @with_lazy_imports
    def test_what_a_lazy_import_stands_for(self) -> None:
        """The result is the module, or the lazy import if the module does not exist."""
        space: dict[str, Any] = {"__name__": __name__}
        exec("lazy import colorsys\nlazy import itf_lazy_missing", space)
        colours, missing = space["colorsys"], space["itf_lazy_missing"]
        # Python resolves it where code names it; in the dict it stands as it is.
        found = dict.get(space, "colorsys")
        self.assertIsInstance(resolved(colours), types.ModuleType)
        self.assertIsInstance(resolved(found), types.ModuleType)
        self.assertIs(missing, resolved(missing))
        self.assertIsInstance(pickling_error(missing), ImportError)
        self.assertEqual(5, resolved(5))


class KindsTest(unittest.TestCase):
    """What itf knows of Python's kinds of objects, and a new Python may have more of."""

    def test_what_python_puts_into_a_class(self) -> None:
        """Names in a class that are neither made anew nor sent by value are looked at.

        A new one belongs into `itf.workers.pickling.pickler._MADE_BY_PYTHON` if Python
        makes it for the new class as well.
        """
        from itf.workers.pickling import pickler as shipping

        class Plain:
            """It has all that a class statement can have."""

            own: int = 1

            def method(self) -> int:
                self.other = 1
                return self.other

        class Abstract(contextlib.AbstractContextManager[None]): ...

        known = {"own", "method", "__doc__", "__module__", "__qualname__", "__exit__"}
        known |= {"__orig_bases__", "__parameters__", "__annotations__"}
        for kind in (Plain, Abstract):
            with self.subTest(kind):
                self.assertEqual(set(), vars(kind).keys() - known - shipping._MADE_BY_PYTHON)

    def test_forward_references(self) -> None:
        """Forward references have the attributes that the reducer reads."""
        reduce = reducers.reducer_of(typing.ForwardRef("Name", module="os", is_class=True))
        assert reduce is not None
        function, args = reduce(typing.ForwardRef("Name", module="os", is_class=True))
        self.assertEqual(("Name", "os", True), args)
        self.assertEqual(typing.ForwardRef("Name", module="os", is_class=True), function(*args))

    def test_names_that_a_function_looks_for(self) -> None:
        """Every opcode that names something is known to look among globals, or not to.

        A new one that does belongs into `itf.workers.pickling.used_globals._GLOBAL_OPERATIONS`.
        """
        import dis

        from itf.workers.pickling.used_globals import _GLOBAL_OPERATIONS

        elsewhere = {
            "DELETE_ATTR",
            "DELETE_NAME",
            "IMPORT_FROM",
            "IMPORT_NAME",
            "LOAD_ATTR",
            "LOAD_FROM_DICT_OR_DEREF",
            "LOAD_METHOD",
            "LOAD_SUPER_ATTR",
            "LOAD_SUPER_METHOD",
            "LOAD_ZERO_SUPER_ATTR",
            "LOAD_ZERO_SUPER_METHOD",
            "STORE_ATTR",
            "STORE_NAME",
        }
        named = {dis.opname[number] for number in dis.hasname}
        # The same again, while somebody watches the code.
        plain = {name.removeprefix("INSTRUMENTED_") for name in named}
        self.assertEqual(set(), plain - elsewhere - _GLOBAL_OPERATIONS)


if __name__ == "__main__":
    unittest.main()
