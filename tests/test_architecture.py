"""Rules for imports, ``__all__``, docstrings and the cost of an import."""

from __future__ import annotations

import ast
import configparser
import doctest
import importlib
import pathlib
import pkgutil
import subprocess
import sys
import unittest

import itf

PACKAGE = pathlib.Path(itf.__file__).parent
MODULES = ["itf", *(info.name for info in pkgutil.walk_packages([str(PACKAGE)], "itf."))]

# A module may import from lower layers and from its own folder.
LAYERS = [
    ["itf.__main__"],
    ["itf.runner"],
    ["itf.report"],
    ["itf.async_case"],
    ["itf.async_test_run"],
    ["itf.case"],
    ["itf.test_run"],
    ["itf.teardown_checks"],
    ["itf.fixtures"],
    [
        "itf.interfaces",
        "itf.workers",
        "itf.leaks",
        "itf.faults",
        "itf.event_loops",
        "itf.file_generation",
        "itf.mock_tree_sitter",
        "itf.performance",
        "itf.interleaving",
    ],
    ["itf.sync"],
    ["itf.timeline"],
    ["itf.event_text"],
    ["itf.await_chain", "itf.tracebacks"],
    ["itf.descriptors", "itf.signatures"],
    ["itf.linux_proc"],
    ["itf.formats"],
    ["itf.fork_safety"],
    ["itf.exception_notes", "itf.validation"],
    ["itf.safe_repr"],
    ["itf.exceptions", "itf.file_lock", "itf.gil", "itf.lazy_imports", "itf._lazy_names"],
    ["itf._private"],
]


# Standard library modules missing in the oldest Python; imported where they exist.
LATER_MODULES = {"annotationlib"}  # 3.14

# Imports that close a circle.  An entry goes with its circle; no new entry is added.
KNOWN_CIRCLES: dict[str, set[str]] = {"itf.workers.base": {"itf.workers.worker"}}

# Names with an underscore that Python documents; any module may use them.
DOCUMENTED_NAMES = {
    "_asdict",
    "_current_frames",
    "_exit",
    "_fields",
    "_getframe",
    "_make",
    "_pytest",  # the package of pytest
    "_replace",
}

# Private names of the standard library outside itf._private, by module.  An entry goes when
# its name moves there; no new entry is added.
PRIVATE_NAMES_ELSEWHERE: dict[str, set[str]] = {
    "itf.leaks.creation_tracing": {"_interpreters", "_thread"},
    "itf.leaks.growth.growth_check": {"_clear_internal_caches", "_clear_type_cache"},
    "itf.leaks.probes.environment": {"_create_environ", "_data"},
    "itf.leaks.probes.errors": {"_warn_unawaited_coroutine"},
    "itf.leaks.probes.interpreters": {"_interpreters"},
    "itf.leaks.probes.names": {
        "_RandomNameSequence",
        "_args",
        "_finalizer_registry",
        "_multiprocessing",
        "_posixshmem",
    },
    "itf.leaks.probes.tasks": {"_asyncgens", "_default_executor"},
    "itf.leaks.probes.threads": {"_args", "_kwargs"},
    "itf.leaks.quick": {"_data", "_locale"},
    "itf.workers.forking": {"_launch"},
    "itf.workers.pickling.pickler": {"_abc_impl", "_class_cleanups"},
    "itf.workers.pickling.reducers": {"_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR"},
    "itf.workers.processes": {"_Popen", "_args", "_kwargs", "_popen"},
    "itf.workers.threads": {"_args", "_kwargs"},
}


def unit_of(module: str) -> str:
    """Return the folder or file of the layout that a module belongs to."""
    return ".".join(module.split(".")[:2])


def layer_of(unit: str) -> int:
    """Return the index of a unit's layer, 0 at the top."""
    for number, units in enumerate(LAYERS):
        if unit in units:
            return number
    raise AssertionError(f"{unit} has no place in the layout; give it one in LAYERS")


def tree_of(module: str) -> ast.Module:
    """Parse a module."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree: ast.Module) -> set[str]:
    """Return the modules that a syntax tree imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module or "")
    return found


def modules_imported_by(tree: ast.Module) -> set[str]:
    """Return the modules of itf that a syntax tree imports, with ``from package import module``."""
    found = imports_of(tree) & {*MODULES}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            modules = {f"{node.module}.{alias.name}" for alias in node.names} & {*MODULES}
            if len(modules) == len(node.names):
                found.discard(node.module or "")
            found |= modules
    return found


def modules_in_circles(imports: dict[str, set[str]]) -> set[str]:
    """Return the modules that import each other, directly or through others."""
    left = {module: {*others} for module, others in imports.items()}
    while True:
        imported = set().union(*left.values())
        # A module that imports no module that is left is in no circle, and one that no
        # module imports neither.
        for module in [m for m in left if not left[m] & left.keys() or m not in imported]:
            del left[module]
            break
        else:
            return {*left}


def names_defined_in(tree: ast.Module) -> set[str]:
    """Return the names that a module gives to variables, attributes, functions and classes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value) in ("self", "cls")
        ):
            found.add(node.attr)
    return found


def private_names_in(tree: ast.Module, own: set[str]) -> set[str]:
    """Return the private names of the standard library that a syntax tree uses.

    Args:
        tree: The module.
        own: Names that itf itself defines.  Other attributes with an underscore belong to
            the standard library, as do all such attributes of imported modules.
    """
    found: set[str] = set()
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if is_private(alias.name)}
            imported |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] != "itf":
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if is_private(name)}
            imported |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            # The name of a module, or of an attribute that is accessed by its name.
            if node.value.isidentifier() and node.value not in own:
                found |= private_attribute(node, node.value, imported, own)
        elif isinstance(node, ast.Attribute):
            found |= private_attribute(node.value, node.attr, imported, own)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "hasattr", "setattr", "delattr")
            and isinstance(node.args[1], ast.Constant)
        ):
            found |= private_attribute(node.args[0], str(node.args[1].value), imported, own)
    return found


def private_attribute(owner: ast.expr, name: str, imported: set[str], own: set[str]) -> set[str]:
    """Return ``{name}`` if an attribute is a private name of the standard library."""
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    is_imported = isinstance(owner, ast.Name) and owner.id in imported
    is_own = name in own or name.startswith("_itf_")
    return {name} if is_private(name) and (is_imported or not is_own) else set()


def is_private(name: str) -> bool:
    """Return whether a part of a dotted name begins with one underscore and is undocumented."""
    return any(
        part.startswith("_") and not part.startswith("__") and part not in DOCUMENTED_NAMES
        for part in name.split(".")
    )


class ImportsTest(unittest.TestCase):
    """Imports point downwards, and only to the standard library."""

    def test_no_import_points_up(self) -> None:
        """A module imports only from lower layers and from its own folder."""
        for module in MODULES:
            if module == "itf":
                continue  # itf/__init__.py names everything, and imports at first use
            unit = unit_of(module)
            for name in imports_of(tree_of(module)):
                if name.partition(".")[0] != "itf":
                    continue
                with self.subTest(f"{module} imports {name}"):
                    other = unit_of(name)
                    self.assertTrue(other == unit or layer_of(unit) < layer_of(other))

    def test_no_circles(self) -> None:
        """No two modules import each other, directly or through others.

        Imports inside functions and under TYPE_CHECKING count.  Only itf/__init__.py is
        excepted, whose table names everything.
        """
        imports = {
            module: modules_imported_by(tree_of(module)) for module in MODULES if module != "itf"
        }
        for module, names in KNOWN_CIRCLES.items():
            self.assertLessEqual(names, imports[module], "no circle any more: remove the entry")
            imports[module] -= names
        self.assertEqual([], sorted(modules_in_circles(imports)))

    def test_how_circles_are_found(self) -> None:
        """A circle of any length is found, without the modules that import its modules."""
        imports = {"a": {"b", "d"}, "b": {"c"}, "c": {"b"}, "d": set()}
        self.assertEqual({"b", "c"}, modules_in_circles(imports))
        self.assertEqual(set(), modules_in_circles(imports | {"c": {"d"}}))
        source = "def f():\n from itf import exceptions\n from itf.timeline import Timeline"
        self.assertEqual({"itf.exceptions", "itf.timeline"}, modules_imported_by(ast.parse(source)))

    def test_a_report_is_a_function_of_recorded_events(self) -> None:
        """itf.report, if it exists, imports only formats and exceptions."""
        for module in MODULES:
            if unit_of(module) == "itf.report":
                own = {n for n in map(unit_of, imports_of(tree_of(module))) if n[:4] == "itf."}
                self.assertLessEqual(own, {"itf.report", "itf.formats", "itf.exceptions"})

    def test_only_the_standard_library_is_imported(self) -> None:
        """itf and its tests import nothing else."""
        allowed = {*sys.stdlib_module_names, *LATER_MODULES, "itf", "tests"}
        paths = [*PACKAGE.rglob("*.py"), *pathlib.Path(__file__).parent.rglob("*.py")]
        self.assertGreater(len(paths), len(MODULES))
        for path in paths:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            relative = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]
            for node in relative:
                node.level, node.module = 0, "tests"
            with self.subTest(path.name):
                top = {name.partition(".")[0] for name in imports_of(tree)}
                self.assertLessEqual(top, allowed)

    def test_import_itf_is_cheap(self) -> None:
        """Importing itf, and a first test, import neither multiprocessing nor asyncio nor json."""
        script = """
import sys
import itf
heavy = {"multiprocessing", "asyncio", "json"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
class Case(itf.IntegrationTestCase):
    def test(self, temp_workspace, thread_safe_counter):
        self.on_config_change("key", 1, 2)
Case("test").debug()
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
        subprocess.run(
            [sys.executable, "-S", "-c", script], cwd=PACKAGE.parent, timeout=60, check=True
        )


class PrivateNamesTest(unittest.TestCase):
    """Private names of the standard library are used in itf._private alone."""

    def test_only_one_module_uses_them(self) -> None:
        """Each other module uses none, apart from those that have not moved yet."""
        trees = {module: tree_of(module) for module in MODULES}
        own = set().union(*map(names_defined_in, trees.values()))
        used = {module: private_names_in(tree, own) for module, tree in trees.items()}
        self.assertGreater(len(used.pop("itf._private")), 3)
        self.assertEqual(
            PRIVATE_NAMES_ELSEWHERE, {module: names for module, names in used.items() if names}
        )

    def test_each_function_has_its_tests(self) -> None:
        """tests/test_private.py has a class for each function of itf._private."""
        source = pathlib.Path(__file__).with_name("test_private.py").read_text(encoding="utf-8")
        for node in tree_of("itf._private").body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                with self.subTest(node.name):
                    self.assertIn(f"_private.{node.name}(", source)
                    docstring = ast.get_docstring(node) or ""
                    self.assertRegex(docstring, r"\nNames?: ")
                    self.assertIn("\nFallback: ", docstring)

    def test_how_private_names_are_found(self) -> None:
        """As a module, as a name from a module, as an attribute, and in a string."""
        for source, expected in (
            ("import _thread", {"_thread"}),
            ("import a._b as c", {"a._b"}),
            ("from a import _b", {"a._b"}),
            ("import os\nos._exit(0)", set()),
            ("import os\nos.path._get_sep('')", {"_get_sep"}),
            ("from a import b as c\nc._own", {"_own"}),
            ("import sys\ngetattr(sys, '_git')", {"_git"}),
            ("loop._selector", {"_selector"}),
            ("setattr(loop, '_selector', 1)", {"_selector"}),
            ("sys.modules.get('_signal')", {"_signal"}),
            ("from itf import _private\nself._own.x\ncase._itf_run\nos.__doc__", set()),
        ):
            with self.subTest(source):
                self.assertEqual(expected, private_names_in(ast.parse(source), {"_own"}))


class NamesTest(unittest.TestCase):
    """``__all__``, lazy names and docstrings are complete."""

    def test_all_is_what_is_there(self) -> None:
        """`__all__` lists exactly the public classes and functions of a module."""
        for module in MODULES:
            if module == "itf" or PACKAGE.parent.joinpath(*module.split(".")).is_dir():
                continue  # itf/__init__.py is tested below; those of packages only have comments
            with self.subTest(module):
                loaded = importlib.import_module(module)
                names = loaded.__all__
                self.assertEqual(sorted(set(names)), sorted(names))
                for name in names:
                    self.assertTrue(hasattr(loaded, name), name)
                defined = {
                    node.name
                    for node in tree_of(module).body
                    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                    and not node.name.startswith("_")
                }
                self.assertEqual(set(), defined - set(names))

    def test_packages_export_what_type_checkers_see(self) -> None:
        """The lazy names, `__all__`, `dir()` and the imports for type checkers agree."""
        for package in ("itf", "itf.fixtures", "itf.interfaces"):
            loaded = importlib.import_module(package)
            seen = {
                alias.asname: node.module
                for node in ast.walk(tree_of(package))
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
                if alias.asname
            }
            with self.subTest(package):
                self.assertEqual(sorted(seen), sorted(loaded.__all__))
                for name, module in seen.items():
                    defined = getattr(importlib.import_module(str(module)), name)
                    self.assertIs(defined, getattr(loaded, name))
                self.assertLessEqual(set(loaded.__all__), set(dir(loaded)))

    def test_names_can_be_imported_from_the_packages(self) -> None:
        """All fixtures are in itf.fixtures, all interfaces in itf.interfaces."""
        import itf.fixtures
        import itf.interfaces

        self.assertLessEqual(
            {"temp_workspace", "TempWorkspace", "fixture", "Fixture"}, {*itf.fixtures.__all__}
        )
        self.assertEqual(
            ["ConfigChangeObserver", "ErrorPropagationMixin", "ResourceTracker"],
            itf.interfaces.__all__,
        )
        self.assertIs(itf.fixtures.temp_workspace, itf.temp_workspace)

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        """An unknown name raises AttributeError, as in any module."""
        with self.assertRaisesRegex(AttributeError, "module 'itf' has no attribute 'nothing'"):
            _ = itf.nothing
        with self.assertRaisesRegex(ImportError, "cannot import name 'nothing'"):
            from itf.fixtures import nothing  # noqa: F401

    def test_every_public_name_is_documented(self) -> None:
        """Every public class and function has its own docstring."""
        for name in itf.__all__:
            value = getattr(itf, name)
            if isinstance(value, type) or callable(value):
                with self.subTest(name):
                    self.assertTrue((value.__doc__ or "").strip())

    def test_frames_of_itf_are_marked(self) -> None:
        """Every module sets `__unittest`, by which unittest and pytest hide its frames."""
        for module in MODULES:
            names = {n.name for n in ast.walk(tree_of(module)) if isinstance(n, ast.FunctionDef)}
            if module != "itf" and names:
                with self.subTest(module):
                    self.assertIs(True, vars(importlib.import_module(module)).get("__unittest"))

    def test_setup_cfg_names_every_package(self) -> None:
        """setup.cfg lists every package; others would be missing in the wheel."""
        path = PACKAGE.parent / "setup.cfg"
        if not path.exists():
            self.skipTest("the package is installed; its setup.cfg is not")
        config = configparser.ConfigParser()
        config.read(path, encoding="utf-8")
        packages = {m for m in MODULES if (PACKAGE.parent.joinpath(*m.split("."))).is_dir()}
        self.assertEqual(packages, set(config["options"]["packages"].split()))


def load_tests(
    loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None
) -> unittest.TestSuite:
    """Add the examples of all docstrings as tests."""
    found = 0
    for module in MODULES:
        loaded = importlib.import_module(module)
        examples = doctest.DocTestFinder(exclude_empty=True).find(loaded)
        if any(example.examples for example in examples):
            found += 1
            tests.addTest(doctest.DocTestSuite(loaded))
    if found < 10:
        raise AssertionError(f"only {found} modules have examples that run")
    return tests


if __name__ == "__main__":
    unittest.main()
