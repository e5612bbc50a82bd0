from __future__ import annotations

import ast
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import unittest
from typing import Any

from itf import test_file_generator as file_generator
from itf.file_generation.projects import PROJECT_LANGUAGES
from tests.file_generation.language_checks import (
    LANGUAGES,
    has_tool,
    problem_of,
    structural_problem,
)
from tests.support import tool_environment

# SHA-256 of a project of 60 files, depth 3 and seed 5, by language.  They prove that
# all versions of Python generate the same files.  Update them when you change
# what a project contains.
_DIGESTS = {
    "python": "24e9a8356d0a3c36",
    "javascript": "61b41e4ef96c7cd2",
    "rust": "06970386fa9dd128",
    "c": "8b6989d90ac7db0f",
}

# Script that imports every module in a given order and prints the total of each.
_IMPORT_ALL = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
totals = {}
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    number = module.NUMBER
    totals[name] = [number, getattr(module, f"total_{number}")(),
                    getattr(module, f"Thing{number}").number]
print(json.dumps(totals))
"""


def contents(project: pathlib.Path) -> dict[str, bytes]:
    """Return the content of all files of a project, by relative path."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in sorted(project.rglob("*"))
        if path.is_file()
    }


def numbers_imported(source: bytes) -> list[int]:
    """Return the numbers of the modules that a module adds to its own."""
    # The first function of a module returns the total.
    total = re.findall(rb"return (NUMBER\b.*)", source)[0]
    return [int(number) for number in re.findall(rb"NUMBER_(\d+)", total)]


class ProjectTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.files = file_generator()
        self.files.setUp()
        self.addCleanup(self.files.tearDown)

    def output_of(self, *command: str | os.PathLike[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.files.workspace / "output",
            env={**tool_environment(), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        self.assertEqual(("", 0), (done.stderr, done.returncode))
        return done.stdout


class PythonProjectTest(ProjectTestCase):
    """Projects in Python, the default language."""

    def test_a_thousand_modules(self) -> None:
        """The project has 1,000 files in up to four levels of folders; all compile."""
        project = self.files.create_project()
        files = contents(project)
        self.assertEqual((1000, "project"), (len(files), project.name))
        self.assertEqual({1, 2, 3, 4, 5}, {name.count("/") + 1 for name in files})
        for name, source in files.items():
            compile(source, name, "exec")
        folders = {str(pathlib.PurePath(name).parent) for name in files}
        self.assertEqual(
            folders, {str(pathlib.PurePath(n).parent) for n in files if "__init__" in n}
        )
        self.assertLess(1000 / 16, len(folders))

    def check_totals(self, project: pathlib.Path, order: int) -> None:
        files = contents(project)
        names = {
            ".".join((project.name, *pathlib.PurePath(name).with_suffix("").parts)).removesuffix(
                ".__init__"
            ): source
            for name, source in files.items()
        }
        modules = sorted(names)[::order]
        output = self.output_of(
            sys.executable, "-W", "error", "-c", _IMPORT_ALL, project.parent, *modules
        )
        totals = ast.literal_eval(output)
        self.assertEqual(list(range(len(files))), sorted(total[0] for total in totals.values()))
        imports = 0
        for name, (number, total, thing) in totals.items():
            others = numbers_imported(names[name])
            self.assertEqual((number + sum(others), number), (total, thing), name)
            self.assertTrue(all(other < number for other in others), "a circle")
            imports += len(others)
        self.assertGreater(imports, len(files), "they hardly import one another")

    def test_all_of_it_can_be_imported(self) -> None:
        """All modules can be imported, in both orders, and each total is the sum of its imports."""
        project = self.files.create_project("sub/package", files=200, depth=3, seed=7)
        for order in (1, -1):
            self.check_totals(project, order)

    def test_each_module_can_be_imported_first(self) -> None:
        """Each module can be the first import of a process, so there are no circular imports."""
        project = self.files.create_project(files=40, depth=3, seed=3)
        script = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for first in sys.argv[2:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "project"]:
        del sys.modules[name]
    importlib.import_module(first)
"""
        modules = [
            ".".join(("project", *pathlib.PurePath(name).with_suffix("").parts))
            for name in contents(project)
        ]
        self.output_of(sys.executable, "-c", script, project.parent, *modules)

    def test_all_forms_of_import_occur(self) -> None:
        """The modules use absolute imports, relative imports, and imports of modules."""
        text = b"\n".join(contents(self.files.create_project(files=100)).values())
        for pattern in (
            rb"(?m)^from project\.[\w.]+ import NUMBER",
            rb"(?m)^from \.+[\w.]* import NUMBER",
            rb"(?m)^import project\.[\w.]+ as module_",
        ):
            self.assertRegex(text, pattern)


class EveryProjectTest(ProjectTestCase):
    """Properties of projects in all languages."""

    def test_files_and_depth(self) -> None:
        """The number of files is exact; the depth is reached if there are enough files."""
        for language in PROJECT_LANGUAGES:
            for files, depth in (
                (1, 0),
                (1, 9),
                (2, 0),
                (2, 1),
                (7, 3),
                (50, 0),
                (50, 1),
                (60, 20),
            ):
                name = f"p_{language}_{files}_{depth}"
                with self.subTest(name):
                    project = self.files.create_project(
                        name, files=files, depth=depth, language=language
                    )
                    found = contents(project)
                    self.assertEqual(files, len(found))
                    self.assertEqual(min(depth, files - 1), max(n.count("/") for n in found))

    def test_the_same_arguments_give_the_same_files(self) -> None:
        """Files are the same in every version of Python, byte for byte; another seed differs."""
        digests = {}
        for language in PROJECT_LANGUAGES:
            projects = []
            for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
                path = self.files.create_project(
                    f"{folder}/{language}", files=60, depth=3, seed=seed, language=language
                )
                projects.append(contents(path))
            self.assertEqual(projects[0], projects[1])
            self.assertNotEqual(projects[0].keys(), projects[2].keys())
            digests[language] = hashlib.sha256(repr(projects[0]).encode()).hexdigest()[:16]
        self.assertEqual(_DIGESTS, digests)

    def test_valid_in_its_language(self) -> None:
        """Each file is valid source code."""
        for language in LANGUAGES:
            project = self.files.create_project(language, files=30, depth=3, language=language)
            for name, source in contents(project).items():
                with self.subTest(language, name=name):
                    self.assertIsNone(structural_problem(source))

    def test_javascript_runs(self) -> None:
        """Node can load every module, and each total is the sum of its imports."""
        self.run_if_installed("javascript")
        project = self.files.create_project(files=60, depth=3, language="javascript")
        script = """
            for (const name of process.argv.slice(1)) {
              const module = require(name);
              const total = module[`total_${module.NUMBER}`]();
              const thing = new module[`Thing${module.NUMBER}`]();
              // One string: node colours numbers and booleans where FORCE_COLOR is set.
              console.log([name, total, thing.number() === module.NUMBER].join(" "));
            }
        """
        files = contents(project)
        names = [str(project / name) for name in files]
        for line in self.output_of("node", "-e", script, *names).splitlines():
            name, total, same = line.split()
            source = files[str(pathlib.Path(name).relative_to(project))]
            own = int(re.findall(rb"const NUMBER = (\d+)", source)[0])
            self.assertEqual((own + sum(numbers_imported(source)), "true"), (int(total), same))

    def run_if_installed(self, language: str) -> None:
        if not has_tool(language):
            self.skipTest(f"the compiler of {language} is not installed")

    def test_rust_compiles(self) -> None:
        """rustc compiles the whole crate."""
        self.run_if_installed("rust")
        project = self.files.create_project(files=60, depth=3, language="rust")
        self.output_of(
            "rustc", "--edition=2021", "--crate-type=lib", "--emit=metadata", project / "lib.rs"
        )
        # Prove that rustc read every file: without one of them it fails.
        inner = next(path for path in sorted(project.rglob("*.rs")) if path.name != "lib.rs")
        inner.unlink()
        self.assertIsNotNone(problem_of(project / "lib.rs", "rust"))

    def test_c_compiles(self) -> None:
        """Each header compiles by itself without warnings."""
        self.run_if_installed("c")
        project = self.files.create_project(files=60, depth=3, language="c")
        headers = sorted(project.rglob("*.h"))
        self.assertEqual(60, len(headers))
        for header in headers:
            source = self.files.create_file("main.c", f'#include "{header}"\n')
            self.output_of("cc", "-fsyntax-only", "-Wall", "-Werror", source)


class ArgumentsTest(ProjectTestCase):
    def test_wrong_arguments_are_refused(self) -> None:
        """Wrong numbers, names that Python cannot import, and names in use raise an error."""
        self.files.create_file("taken", "")
        no_name = "{} is not a name that Python can import; give an identifier that is no keyword"
        languages = "python, javascript, rust, c"
        cases: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"files": 0}, ValueError, "files must be at least 1, got 0"),
            ({"files": 1.0}, TypeError, "files must be an int, got 1.0"),
            ({"depth": -1}, ValueError, "depth must be at least 0, got -1"),
            ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
            ({"seed": None}, TypeError, "seed must be an int, got None"),
            ({"language": "go"}, ValueError, f"unknown language 'go'; choose one of {languages}"),
            ({"name": "my-project"}, ValueError, no_name.format("'my-project'")),
            ({"name": "x/class"}, ValueError, no_name.format("'class'")),
        ]
        for arguments, kind, text in cases:
            with self.subTest(text), self.assertRaises(kind) as caught:
                self.files.create_project(**arguments)
            self.assertEqual(text, str(caught.exception))
        with self.assertRaises(FileExistsError) as caught:
            self.files.create_project("taken")
        self.assertEqual(
            f"[Errno 17] this name is in use; choose another: '{self.files.workspace / 'taken'}'",
            str(caught.exception),
        )
        self.assertFalse((self.files.workspace / "project").exists())
        self.files.create_project("my-project", files=1, language="rust")


if __name__ == "__main__":
    unittest.main()
