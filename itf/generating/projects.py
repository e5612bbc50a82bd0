"""A project: a tree of modules that import one another, and really run."""

from __future__ import annotations

import keyword
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

__all__ = ["PROJECT_LANGUAGES", "check_package_name", "plan_project"]

__unittest = True

# Of names that are keywords in no language.
_FOLDERS: Final = ("core", "data", "net", "store", "tools", "views")
_MODULES: Final = ("cache", "config", "events", "parser", "queue", "report", "schema", "worker")

# A folder for about so many files, as in projects that people write.
_FILES_A_FOLDER: Final = 8

# Few enough to be read, enough for a graph in which much depends on much.
_MOST_IMPORTS: Final = 3


class _Module(NamedTuple):
    """A file of the project.  A folder's own comes before all that is in the folder."""

    package: str
    number: int
    folder: tuple[str, ...]
    name: str
    """Without a suffix; empty for the folder's own file."""
    imports: tuple[_Module, ...]
    """All of them of lower numbers, so that there is no circle."""
    inner: list[str]
    """What is in the folder, if it is the folder's own file."""

    @property
    def path(self) -> tuple[str, ...]:
        return (*self.folder, self.name) if self.name else self.folder

    def total(self, own: str = "NUMBER") -> str:
        return " + ".join([own, *(f"NUMBER_{other.number}" for other in self.imports)])


class _Language(NamedTuple):
    top: str
    """The name of the project's own file."""
    own: str
    """The name of a folder's own file."""
    suffix: str
    render: Callable[[_Module], str]

    def path_of(self, module: _Module) -> tuple[str, ...]:
        own = self.own if module.folder else self.top
        return (*module.folder, (module.name or own) + self.suffix)


def plan_project(
    package: str, files: int, depth: int, seed: int, language: str
) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Yield the files of a project: the parts of the path in the project's folder, and the text.

    The same arguments give the same project, in every version of Python.

    Args:
        package: The name of the project's folder.
        files: How many files, at least 1.
        depth: How many folders deep below the project's at most, and at least
            if the files are enough.
        seed: Chooses one project among all of this size.
        language: One of `PROJECT_LANGUAGES`.
    """
    kind = PROJECT_LANGUAGES[language]
    for module in _modules(package, files, depth, seed):
        yield kind.path_of(module), kind.render(module).encode()


def check_package_name(name: str) -> None:
    """Refuse a name that `import` does not take.

    Raises:
        ValueError: It is no identifier, or a keyword.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is not a name that Python can import; give an identifier")


def _modules(package: str, files: int, depth: int, seed: int) -> list[_Module]:
    # Of all that a Random has, random() alone gives the same in every version.
    number = random.Random(seed).random

    def below(end: int) -> int:
        return int(number() * end)

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
        # First of all as deep as it goes, then here and there.
        deepest = len(folders) <= depth
        above = folders[-1 if deepest else below(len(folders))]
        if deepest or (len(above.folder) < depth and below(_FILES_A_FOLDER) == 0):
            name = f"{_FOLDERS[below(len(_FOLDERS))]}_{len(modules)}"
            folders.append(add((*above.folder, name), ""))
        else:
            name = f"{_MODULES[below(len(_MODULES))]}_{len(modules)}"
            add(above.folder, name)
        above.inner.append(name)
    return modules


def _python(module: _Module) -> str:
    n = module.number
    imports, numbers = [], []
    for other in module.imports:
        source = ".".join((module.package, *other.path))
        name = f"NUMBER_{other.number}"
        # Each of the ways to import that there are, in turn.
        match (n + other.number) % 3:
            case 0:
                imports.append(f"import {source} as module_{other.number}")
                numbers.append(f"{name} = module_{other.number}.NUMBER")
            case 1:
                imports.append(f"from {source} import NUMBER as {name}")
            case _:
                # One dot is the module's own folder, each further one the folder above.
                source = "." * (len(module.folder) + 1) + ".".join(other.path)
                imports.append(f"from {source} import NUMBER as {name}")
    return f'''"""Module {n} of a generated project."""

{_block(imports)}{_lines(numbers)}NUMBER = {n}


def total_{n}():
    """Return {n} and the numbers of what is imported."""
    return {module.total()}


class Thing{n}:
    """Has the number {n}."""

    number = NUMBER
'''


def _javascript(module: _Module) -> str:
    n = module.number
    up = "../" * len(module.folder) or "./"
    block = _block(
        f'const {{ NUMBER: NUMBER_{other.number} }} = require("{up}{_way(other, "javascript")}");'
        for other in module.imports
    )
    return f"""// Module {n} of a generated project.
"use strict";

{block}const NUMBER = {n};

function total_{n}() {{
  return {module.total()};
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
    block = _block(f"pub mod {name};" for name in module.inner)
    block += _block(
        f"use {'::'.join(('crate', *other.path))}::NUMBER as NUMBER_{other.number};"
        for other in module.imports
    )
    return f"""//! Module {n} of a generated project.

{block}pub const NUMBER: i64 = {n};

pub fn total_{n}() -> i64 {{
    {module.total()}
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
    block = _block(f'#include "{up}{_way(other, "c")}"' for other in module.imports)
    return f"""/* Module {n} of a generated project. */
#ifndef MODULE_{n}
#define MODULE_{n}

{block}#define NUMBER_{n} {n}L

static inline long total_{n}(void)
{{
    return {module.total(f"NUMBER_{n}")};
}}

struct thing_{n} {{
    long number;
}};

#endif /* MODULE_{n} */
"""


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _block(lines: Iterable[str]) -> str:
    """Return lines with an empty one after them, if there are any."""
    text = _lines(lines)
    return f"{text}\n" if text else ""


def _way(module: _Module, language: str) -> str:
    return "/".join(PROJECT_LANGUAGES[language].path_of(module))


PROJECT_LANGUAGES: Final = {
    "python": _Language("__init__", "__init__", ".py", _python),
    "javascript": _Language("index", "index", ".js", _javascript),
    "rust": _Language("lib", "mod", ".rs", _rust),
    "c": _Language("index", "index", ".h", _c),
}
"""By language, how a module of it is called and what is in it."""
