"""A project: a tree of modules that import one another, and really run."""

from __future__ import annotations

import keyword
import random
from collections.abc import Callable, Iterator
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

    number: int
    folder: tuple[str, ...]
    name: str
    """Without a suffix; empty for the folder's own file."""
    imports: tuple[_Module, ...]
    """All of them of lower numbers, so that there is no circle."""

    @property
    def path(self) -> tuple[str, ...]:
        return (*self.folder, self.name) if self.name else self.folder


def plan_project(
    package: str, files: int, depth: int, seed: int, language: str
) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Yield the files of a project: the parts of its path below the project's folder, and its text.

    The same arguments give the same project, in every version of Python.

    Args:
        package: The name of the project's folder.
        files: How many files, at least 1.
        depth: How many folders deep below the project's at most, and at least
            if the files are enough.
        seed: Chooses one project among all of this size.
        language: One of `PROJECT_LANGUAGES`.
    """
    modules = _modules(files, depth, seed)
    render = PROJECT_LANGUAGES[language]
    inner: dict[tuple[str, ...], list[str]] = {}
    for module in modules[1:]:
        *folder, name = module.path
        inner.setdefault(tuple(folder), []).append(name)
    for module in modules:
        yield render(package, module, [] if module.name else inner.get(module.folder, []))


def check_package_name(name: str) -> None:
    """Refuse a name that `import` does not take.

    Raises:
        ValueError: It is no identifier, or a keyword.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is not a name that Python can import; give an identifier")


def _modules(files: int, depth: int, seed: int) -> list[_Module]:
    # Of all that a Random has, random() alone gives the same in every version.
    number = random.Random(seed).random  # not for secrets

    def below(end: int) -> int:
        return int(number() * end)

    modules: list[_Module] = []
    folders: list[tuple[str, ...]] = []

    def add(folder: tuple[str, ...], name: str) -> None:
        count = len(modules)
        chosen = sorted({below(count) for _ in range(below(_MOST_IMPORTS + 1))}) if count else []
        imports = tuple(modules[other] for other in chosen)
        modules.append(_Module(count, folder, name, imports))

    def add_folder(above: tuple[str, ...], word: str) -> None:
        folders.append((*above, f"{word}_{len(modules)}"))
        add(folders[-1], "")

    folders.append(())
    add((), "")
    while len(modules) < files:
        word = _FOLDERS[below(len(_FOLDERS))]
        above = folders[below(len(folders))]
        if len(folders) <= depth:
            add_folder(folders[-1], word)  # first of all, as deep as it goes
        elif len(above) < depth and below(_FILES_A_FOLDER) == 0:
            add_folder(above, word)
        else:
            add(above, f"{_MODULES[below(len(_MODULES))]}_{len(modules)}")
    return modules


def _total(module: _Module, own: str = "NUMBER") -> str:
    return " + ".join([own, *(f"NUMBER_{other.number}" for other in module.imports)])


def _python(package: str, module: _Module, inner: list[str]) -> tuple[tuple[str, ...], bytes]:
    n = module.number
    lines = [f'"""Module {n} of a generated project."""', ""]
    for other in module.imports:
        # Each of the ways to import that there are, in turn.
        source = ".".join((package, *other.path))
        if (n + other.number) % 3 == 0:
            lines.append(f"import {source} as module_{other.number}")
            lines.append(f"NUMBER_{other.number} = module_{other.number}.NUMBER")
        elif (n + other.number) % 3 == 1:
            lines.append(f"from {source} import NUMBER as NUMBER_{other.number}")
        else:
            # One dot is the module's own folder, each further one the folder above.
            up = "." * (len(module.folder) + 1)
            way = ".".join(other.path)
            lines.append(f"from {up}{way} import NUMBER as NUMBER_{other.number}")
    lines += ["", f"NUMBER = {n}", "", "", f"def total_{n}():"]
    lines += [
        f'    """Return {n} and the numbers of what is imported."""',
        f"    return {_total(module)}",
    ]
    lines += [
        "",
        "",
        f"class Thing{n}:",
        f'    """Has the number {n}."""',
        "",
        "    number = NUMBER",
    ]
    name = (*module.folder, f"{module.name or '__init__'}.py")
    return name, ("\n".join(lines) + "\n").encode()


def _javascript(package: str, module: _Module, inner: list[str]) -> tuple[tuple[str, ...], bytes]:
    n = module.number
    lines = [f"// Module {n} of a generated project.", '"use strict";', ""]
    up = "../" * len(module.folder) or "./"
    for other in module.imports:
        way = "/".join((*other.folder, f"{other.name or 'index'}.js"))
        lines.append(f'const {{ NUMBER: NUMBER_{other.number} }} = require("{up}{way}");')
    lines += [
        "",
        f"const NUMBER = {n};",
        "",
        f"function total_{n}() {{",
        f"  return {_total(module)};",
        "}",
    ]
    lines += ["", f"class Thing{n} {{", "  number() {", "    return NUMBER;", "  }", "}"]
    lines += ["", f"module.exports = {{ NUMBER, total_{n}, Thing{n} }};"]
    name = (*module.folder, f"{module.name or 'index'}.js")
    return name, ("\n".join(lines) + "\n").encode()


def _rust(package: str, module: _Module, inner: list[str]) -> tuple[tuple[str, ...], bytes]:
    n = module.number
    lines = [f"//! Module {n} of a generated project.", ""]
    lines += [f"pub mod {name};" for name in inner]
    for other in module.imports:
        way = "::".join(("crate", *other.path, "NUMBER"))
        lines.append(f"use {way} as NUMBER_{other.number};")
    lines += ["", f"pub const NUMBER: i64 = {n};", "", f"pub fn total_{n}() -> i64 {{"]
    lines += [f"    {_total(module)}", "}", "", f"pub struct Thing{n};", "", f"impl Thing{n} {{"]
    lines += ["    pub fn number(&self) -> i64 {", "        NUMBER", "    }", "}"]
    own = "mod.rs" if module.folder else "lib.rs"
    name = (*module.folder, f"{module.name}.rs" if module.name else own)
    return name, ("\n".join(lines) + "\n").encode()


def _c(package: str, module: _Module, inner: list[str]) -> tuple[tuple[str, ...], bytes]:
    n = module.number
    guard = f"MODULE_{n}"
    lines = [
        f"/* Module {n} of a generated project. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
    ]
    up = "../" * len(module.folder)
    for other in module.imports:
        way = "/".join((*other.folder, f"{other.name or 'index'}.h"))
        lines.append(f'#include "{up}{way}"')
    lines += ["", f"#define NUMBER_{n} {n}L", "", f"static inline long total_{n}(void)", "{"]
    lines += [f"    return {_total(module, f'NUMBER_{n}')};", "}", ""]
    lines += [f"struct thing_{n} {{", "    long number;", "};", "", f"#endif /* {guard} */"]
    name = (*module.folder, f"{module.name or 'index'}.h")
    return name, ("\n".join(lines) + "\n").encode()


PROJECT_LANGUAGES: Final[
    dict[str, Callable[[str, _Module, list[str]], tuple[tuple[str, ...], bytes]]]
] = {"python": _python, "javascript": _javascript, "rust": _rust, "c": _c}
"""By language, what writes a module of it."""
