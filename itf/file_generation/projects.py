"""Projects: trees of modules that import one another and run without errors."""

from __future__ import annotations

import keyword
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

__all__ = ["PROJECT_LANGUAGES", "check_package_name", "plan_project"]

__unittest = True

# Name parts of folders and modules; none is a keyword in one of the languages.
_FOLDERS: Final = ("core", "data", "net", "store", "tools", "views")
_MODULES: Final = ("cache", "config", "events", "parser", "queue", "report", "schema", "worker")

# Average number of files in a folder, a usual number in real projects.
_FILES_PER_FOLDER: Final = 8

# Largest number of imports in a module.  With 3, most modules depend on many
# others indirectly, and a module stays short.
_MOST_IMPORTS: Final = 3


class _Module(NamedTuple):
    """A module of the project.

    A folder is a module too: its source is the index file of the folder, such
    as ``__init__.py``.  That file comes before the other files of the folder.
    """

    package: str
    number: int
    folder: tuple[str, ...]
    name: str
    """File name without suffix; empty for the index file of a folder."""
    imports: tuple[_Module, ...]
    """Imported modules.  Their numbers are lower, so there are no circular imports."""
    children: list[str]
    """Names of the modules in the folder, if this is the index file of a folder."""

    @property
    def path(self) -> tuple[str, ...]:
        """Path components from the project's folder, without suffix."""
        return (*self.folder, self.name) if self.name else self.folder

    def sum_expression(self, own: str = "NUMBER") -> str:
        """Return source text that adds this module's number and those of its imports."""
        return " + ".join([own, *(f"NUMBER_{other.number}" for other in self.imports)])


class _Language(NamedTuple):
    """How a language names and writes its modules."""

    root_index: str
    """Name of the index file of the project's folder, without suffix."""
    folder_index: str
    """Name of the index file of any other folder, without suffix."""
    suffix: str
    render: Callable[[_Module], str]
    """Function that returns the source text of a module."""

    def path_of(self, module: _Module) -> tuple[str, ...]:
        """Return the path components of a module's file, from the project's folder."""
        index = self.folder_index if module.folder else self.root_index
        return (*module.folder, (module.name or index) + self.suffix)


def plan_project(
    package: str, files: int, depth: int, seed: int, language: str
) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Yield path components (from the project's folder) and content of each file of a project.

    The same arguments give the same project in every version of Python.

    Args:
        package: Name of the project's folder.
        files: Number of files, at least 1.
        depth: Number of levels of folders below the project's folder.  It is
            reached if there are more files than levels, and never exceeded.
        seed: Selects one of the projects of this size.
        language: One of `PROJECT_LANGUAGES`.
    """
    kind = PROJECT_LANGUAGES[language]
    for module in _modules(package, files, depth, seed):
        yield kind.path_of(module), kind.render(module).encode()


def check_package_name(name: str) -> None:
    """Raise the error for a name that Python's ``import`` does not accept.

    Raises:
        ValueError: The name is not an identifier, or it is a keyword.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(
            f"{name!r} is not a name that Python can import; give an identifier that is no keyword"
        )


def _modules(package: str, files: int, depth: int, seed: int) -> list[_Module]:
    # Only the method random() returns the same numbers in every version of Python.
    random_number = random.Random(seed).random

    def below(end: int) -> int:
        return int(random_number() * end)

    modules: list[_Module] = []
    folders: list[_Module] = []

    def add(folder: tuple[str, ...], name: str) -> _Module:
        count = len(modules)
        chosen = sorted({below(count) for _ in range(below(_MOST_IMPORTS + 1) if count else 0)})
        imports = tuple(modules[other] for other in chosen)
        modules.append(_Module(package, count, folder, name, imports, []))
        return modules[-1]

    folders.append(add((), ""))
    while len(modules) < files:
        # First one folder inside the other until the depth is reached; after
        # that, files and folders in randomly chosen folders.
        nest = len(folders) <= depth
        parent = folders[-1 if nest else below(len(folders))]
        if nest or (len(parent.folder) < depth and below(_FILES_PER_FOLDER) == 0):
            name = f"{_FOLDERS[below(len(_FOLDERS))]}_{len(modules)}"
            folders.append(add((*parent.folder, name), ""))
        else:
            name = f"{_MODULES[below(len(_MODULES))]}_{len(modules)}"
            add(parent.folder, name)
        parent.children.append(name)
    return modules


def _python(module: _Module) -> str:
    n = module.number
    imports, numbers = [], []
    for other in module.imports:
        source = ".".join((module.package, *other.path))
        name = f"NUMBER_{other.number}"
        # Use the three forms of the import statement in turn.
        match (n + other.number) % 3:
            case 0:
                imports.append(f"import {source} as module_{other.number}")
                numbers.append(f"{name} = module_{other.number}.NUMBER")
            case 1:
                imports.append(f"from {source} import NUMBER as {name}")
            case _:
                # One dot means the module's own folder, each further dot one folder up.
                source = "." * (len(module.folder) + 1) + ".".join(other.path)
                imports.append(f"from {source} import NUMBER as {name}")
    return f'''"""Module {n} of a generated project."""

{_block(imports)}{_lines(numbers)}NUMBER = {n}


def total_{n}():
    """Return {n} and the numbers of what is imported."""
    return {module.sum_expression()}


class Thing{n}:
    """Has the number {n}."""

    number = NUMBER
'''


def _javascript(module: _Module) -> str:
    n = module.number
    up = "../" * len(module.folder) or "./"
    block = _block(
        f'const {{ NUMBER: NUMBER_{other.number} }} = require("{up}{_file_path(other, "javascript")}");'  # noqa: E501
        for other in module.imports
    )
    return f"""// Module {n} of a generated project.
"use strict";

{block}const NUMBER = {n};

function total_{n}() {{
  return {module.sum_expression()};
}}

class Thing{n} {{
  number() {{
    return NUMBER;
  }}
}}

module.exports = {{ NUMBER, total_{n}, Thing{n} }};
"""


def _rust(module: _Module) -> str:
    n = module.number
    block = _block(f"pub mod {name};" for name in module.children)
    block += _block(
        f"use {'::'.join(('crate', *other.path))}::NUMBER as NUMBER_{other.number};"
        for other in module.imports
    )
    return f"""//! Module {n} of a generated project.

{block}pub const NUMBER: i64 = {n};

pub fn total_{n}() -> i64 {{
    {module.sum_expression()}
}}

pub struct Thing{n};

impl Thing{n} {{
    pub fn number(&self) -> i64 {{
        NUMBER
    }}
}}
"""


def _c(module: _Module) -> str:
    n = module.number
    up = "../" * len(module.folder)
    block = _block(f'#include "{up}{_file_path(other, "c")}"' for other in module.imports)
    return f"""/* Module {n} of a generated project. */
#ifndef MODULE_{n}
#define MODULE_{n}

{block}#define NUMBER_{n} {n}L

static inline long total_{n}(void)
{{
    return {module.sum_expression(f"NUMBER_{n}")};
}}

struct thing_{n} {{
    long number;
}};

#endif /* MODULE_{n} */
"""


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _block(lines: Iterable[str]) -> str:
    """Return lines followed by an empty line; nothing if there are no lines."""
    text = _lines(lines)
    return f"{text}\n" if text else ""


def _file_path(module: _Module, language: str) -> str:
    return "/".join(PROJECT_LANGUAGES[language].path_of(module))


PROJECT_LANGUAGES: Final = {
    "python": _Language("__init__", "__init__", ".py", _python),
    "javascript": _Language("index", "index", ".js", _javascript),
    "rust": _Language("lib", "mod", ".rs", _rust),
    "c": _Language("index", "index", ".h", _c),
}
"""File names and source text of modules, by language."""
