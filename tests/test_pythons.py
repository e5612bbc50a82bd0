"""Python versions that itf supports: the error on older ones, the advice for a newer one."""

from __future__ import annotations

import ast
import configparser
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

import itf
from tests.support import run_script

OLDEST = (3, 11)
# The newest Python on which all tests have been run.
NEWEST = (3, 15)

ROOT = pathlib.Path(itf.__file__).parents[1]

# Files to check before NEWEST is raised, by path, with the reason.
PLACES = {
    "itf/interleaving/opcodes.py": "classes of opcodes; tests/interleaving/test_opcodes.py",
    "itf/lazy_imports.py": "lazy imports; tests/test_lazy_imports.py",
    "itf/_private.py": "private names of the standard library; tests/test_private.py",
    "itf/mock_tree_sitter": "new syntax of the language",
    "itf/leaks": "settings and texts of Python that leak detection reads",
    "itf/workers": "start methods, and how functions and classes are pickled",
    "setup.cfg": "the classifiers",
    "README.md": "the Pythons and the limits that it names",
}

# Syntax that Python 2.7 does not read, apart from what `ast` says of versions.
NEW_NODES = (
    ast.AnnAssign,
    ast.AsyncFunctionDef,
    ast.Await,
    ast.JoinedStr,
    ast.NamedExpr,
    ast.Nonlocal,
    ast.Starred,
    ast.YieldFrom,
    ast.Match,
)


def advice(version: tuple[int, ...]) -> str:
    """Return what to do for a Python that is newer than NEWEST."""
    known, new = (".".join(map(str, numbers[:2])) for numbers in (NEWEST, version))
    places = "\n".join(f"  {path}: {why}" for path, why in PLACES.items())
    return (
        f"these tests know Python up to {known}, and this is {new}; itf works on it as far as "
        f"the other tests say. Read What's New in Python {new} for these places:\n{places}\n"
        f"add Python {new} to .ci/run, run .ci/run, and .ci/run --all if it has it; when all "
        "tests pass, set NEWEST in tests/test_pythons.py"
    )


def old_pythons() -> list[str]:
    """Return the interpreters older than OLDEST that are on this machine."""
    names = ["python2.7", *(f"python3.{minor}" for minor in range(4, OLDEST[1]))]
    found = [path for name in names if (path := shutil.which(name))]
    # Beside the one that runs here, as pyenv has them; and where pyenv has them by default.
    roots = {pathlib.Path(sys.executable).resolve().parents[2]}
    roots.add(pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions")
    for root in roots:
        found += [str(path) for name in names for path in root.glob(f"*/bin/{name}")]
    return sorted(set(found))


class NewerTest(unittest.TestCase):
    """On a Python newer than NEWEST, one test fails with advice."""

    def test_this_python_is_known(self) -> None:
        """On a newer Python, the failure lists the files to check."""
        if sys.version_info[:2] > NEWEST:
            self.fail(advice(sys.version_info))

    def test_the_advice_names_places_that_exist(self) -> None:
        """The advice names existing files, the new version, and how to run all tests on it."""
        text = advice((3, 16, 0))
        for path in PLACES:
            with self.subTest(path):
                self.assertIn(f"  {path}: ", text)
                if (ROOT / "setup.cfg").exists():  # else the package is installed
                    self.assertTrue((ROOT / path).exists())
        self.assertIn("up to 3.15, and this is 3.16", text)
        self.assertIn(".ci/run", text)

    @unittest.skipIf(sys.version_info[:2] < NEWEST, "an older Python lacks names of a newer one")
    def test_itf_works_on_a_newer_one(self) -> None:
        """itf works on a Python whose version number is greater than NEWEST."""
        script = """
import sys
sys.version_info = (3, sys.version_info[1] + 1, 0, "final", 0)
import asyncio, unittest
from itf import AsyncIntegrationTestCase, interleave
class Case(AsyncIntegrationTestCase):
    async def test(self, temp_workspace):
        await asyncio.sleep(0)
result = unittest.TestResult()
Case("test").run(result)
interleave(int, int, runs=2)
print(result.testsRun, result.errors, result.failures)
"""
        result = run_script(script)
        self.assertEqual(("1 [] []\n", ""), (result.stdout, result.stderr))

    def test_setup_cfg_names_the_versions(self) -> None:
        """setup.cfg requires OLDEST, and has a classifier for each version."""
        path = ROOT / "setup.cfg"
        if not path.exists():
            self.skipTest("the package is installed; its setup.cfg is not")
        config = configparser.ConfigParser()
        config.read(path, encoding="utf-8")
        self.assertEqual(">=3.11", config["options"]["python_requires"])
        classifiers = config["metadata"]["classifiers"].split("\n")
        prefix = "Programming Language :: Python :: 3."
        named = [line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)]
        minors = range(OLDEST[1], NEWEST[1] + 1)
        self.assertEqual([str(minor) for minor in minors], named)


class OlderTest(unittest.TestCase):
    """On an older Python, `import itf` raises an ImportError that names the required version."""

    def test_an_old_python_can_read_the_file(self) -> None:
        """itf/__init__.py has only syntax of Python 2.7, so that an old Python can compile it."""
        path = pathlib.Path(itf.__file__)
        tree = ast.parse(path.read_bytes(), feature_version=(3, 4))
        path.read_text(encoding="ascii")
        for node in ast.walk(tree):
            self.assertNotIsInstance(node, NEW_NODES)
            if isinstance(node, ast.ImportFrom):
                self.assertNotEqual("__future__", node.module)
            if isinstance(node, ast.FunctionDef):
                self.assertIsNone(node.returns)
            if isinstance(node, ast.arg):
                self.assertIsNone(node.annotation)

    def test_the_check_comes_first(self) -> None:
        """The check of the version is before all imports except that of sys."""
        tree = ast.parse(pathlib.Path(itf.__file__).read_bytes())
        kinds = [type(node) for node in tree.body[:3]]
        self.assertEqual([ast.Expr, ast.Import, ast.If], kinds)

    def test_the_error(self) -> None:
        """The error names the required version and the version of this Python."""
        script = """
import sys
sys.version_info = {version}
try:
    import itf
except ImportError as error:
    print(error)
else:
    print("imported")
"""
        for version, expected in (
            ((3, 9, 18, "final", 0), "itf needs Python 3.11 or newer; this is 3.9.18"),
            ((3, 10, 0, "final", 0), "itf needs Python 3.11 or newer; this is 3.10.0"),
            ((3, 11, 0, "final", 0), "imported"),
        ):
            with self.subTest(version):
                result = run_script(script.format(version=version))
                self.assertEqual((f"{expected}\n", ""), (result.stdout, result.stderr))

    def test_on_the_old_pythons_of_this_machine(self) -> None:
        """The last line of the output of each older Python is the error."""
        versions = "import sys; sys.stdout.write('.'.join(map(str, sys.version_info[:3])))"
        # A command that pyenv puts on the path fails if pyenv has that version disabled.
        results = {python: self.run_old(python, versions) for python in old_pythons()}
        found = {
            python: result.stdout for python, result in results.items() if result.returncode == 0
        }
        if not found:
            self.skipTest("this machine has no Python older than 3.11")
        for python, version in found.items():
            with self.subTest(python):
                self.assertEqual(
                    f"ImportError: itf needs Python 3.11 or newer; this is {version}",
                    self.run_old(python, "import itf").stderr.splitlines()[-1],
                )

    def run_old(self, python: str, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-B", "-c", script],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


if __name__ == "__main__":
    unittest.main()
