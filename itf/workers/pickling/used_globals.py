"""The globals that a function uses, and which of them have changed since the import."""

from __future__ import annotations

import ast
import contextlib
import dis
import importlib
import importlib.machinery
import sys
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from itf.workers.pickling.identity import IdentityMap

__all__ = [
    "LAZY_IMPORT",
    "can_be_imported",
    "changed_globals",
    "is_bound_to",
    "is_importable",
    "resolved",
    "used_globals",
    "used_submodules",
]

__unittest = True

LAZY_IMPORT: Final[type | None] = getattr(types, "LazyImportType", None)
"""Type of the placeholder that ``lazy import`` binds until the name is used (Python 3.15)."""

_GLOBAL_OPERATIONS: Final = frozenset(
    {
        "LOAD_GLOBAL",
        "LOAD_NAME",
        "LOAD_FROM_DICT_OR_GLOBALS",
        "STORE_GLOBAL",
        "DELETE_GLOBAL",
    }
)

# Cache of `used_globals`.  Reading the bytecode takes about 3 µs an instruction, and many
# workers often have the same target.
_used: weakref.WeakKeyDictionary[types.CodeType, frozenset[str]] = weakref.WeakKeyDictionary()
_imported: IdentityMap[bool] = IdentityMap()
_sources: IdentityMap[_Source] = IdentityMap()


def used_globals(code: types.CodeType) -> frozenset[str]:
    """Return the names of the globals that a code object and its nested ones use."""
    found = _used.get(code)
    if found is None:
        names = {
            instruction.argval
            for instruction in dis.get_instructions(code)
            if instruction.opname in _GLOBAL_OPERATIONS
        }
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                names |= used_globals(constant)
        found = _used[code] = frozenset(names)
    return found


def used_submodules(code: types.CodeType, captured: Mapping[str, Any]) -> list[str]:
    """Return the submodules that a function uses through a package, such as ``xml.dom``.

    ``import xml.dom`` binds the name ``xml`` only.  A process that imports ``xml``
    alone cannot use ``xml.dom``.
    """
    packages = [
        value.__name__
        for value in captured.values()
        if isinstance(value, types.ModuleType) and hasattr(value, "__path__")
    ]
    names = _all_names(code) if packages else set()
    found = []
    for package in packages:
        for name in sorted(names):
            submodule = f"{package}.{name}"
            _import_lazy(submodule)
            if submodule in sys.modules and can_be_imported(submodule):
                found.append(submodule)
                packages.append(submodule)  # a submodule may be a package with submodules
    return found


def _import_lazy(name: str) -> None:
    """Import a module if a lazy import of Python 3.15 names the module or a submodule of it."""
    promised = getattr(sys, "lazy_modules", ())
    if name in sys.modules or not any(f"{lazy}.".startswith(f"{name}.") for lazy in promised):
        return
    # An import that fails here fails again in the worker, at the line that uses it.
    with contextlib.suppress(Exception):
        importlib.import_module(name)


def _all_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _all_names(constant)
    return names


def can_be_imported(name: str) -> bool:
    """Return whether importing this name in a new process gives the same module."""
    module = sys.modules.get(name)
    if name == "__main__" or not isinstance(module, types.ModuleType):
        return False
    known = _imported.get(module)
    if known is None:
        known = _find(name, module)
        _imported.set(module, known)
    return known


def _find(name: str, module: types.ModuleType) -> bool:
    top, _, _ = name.partition(".")
    if top in sys.stdlib_module_names or top == "itf":
        return True
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    parent, _, _ = name.rpartition(".")
    path = None
    if parent:
        if not can_be_imported(parent) and not _is_namespace(parent):
            return False
        path = getattr(sys.modules.get(parent), "__path__", None)
    spec = importlib.machinery.PathFinder.find_spec(name, path)
    return spec is not None and spec.origin == file


def _is_namespace(name: str) -> bool:
    """Return whether a module is a namespace package, a folder without ``__init__.py``."""
    module = sys.modules.get(name)
    return hasattr(module, "__path__") and getattr(module, "__file__", None) is None


def is_importable(value: Any) -> bool:
    """Return whether a new process can import this function or class by its qualified name."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if not isinstance(module, str) or "<" in name:
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            return False
    return found is value and can_be_imported(module)


def is_bound_to(value: Any, module: Any, name: Any) -> bool:
    """Return whether a new process can import the module, and it binds the name to the value."""
    if not isinstance(module, str) or not isinstance(name, str):
        return False
    return getattr(sys.modules.get(module), name, None) is value and can_be_imported(module)


def resolved(value: Any) -> Any:
    """Return the object that a lazy import stands for; the lazy import itself if that fails.

    Python resolves a lazy import when code uses the global, but not when the dict of
    the module is read.
    """
    if LAZY_IMPORT is None or type(value) is not LAZY_IMPORT:
        return value
    try:
        return cast(Any, value).resolve()
    except Exception:  # noqa: BLE001 - an import may fail in any way; pickling reports the failure
        return value


def changed_globals(function: types.FunctionType) -> Iterator[str]:
    """Yield the names of globals that differ from what a fresh import of the module gives.

    Only certain differences are reported.  A module may compute a global in a way
    that only another import could repeat.
    """
    module = sys.modules.get(str(function.__globals__.get("__name__")))
    if not isinstance(module, types.ModuleType):
        return
    for name in sorted(used_globals(function.__code__)):
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        # The usual cases need no source: a module, or a function or class under its own name.
        if isinstance(value, types.ModuleType):
            continue
        if LAZY_IMPORT is not None and type(value) is LAZY_IMPORT:
            continue  # never used, and therefore never changed
        if getattr(value, "__name__", None) == name and is_importable(value):
            continue
        source = _sources.get(module)
        if source is None:
            source = _Source(module)
            _sources.set(module, source)
        if source.contradicts(name, value):
            yield name


class _Source:
    """The bindings of globals in the source of a module.

    The fields hold the nodes that bind each name, the functions by name, and the names
    that code uses at import, which may therefore be changed after their binding.
    """

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module.__name__
        self._bindings: dict[str, list[ast.AST | None]] = {}
        self._functions: dict[str, ast.AST] = {}
        self._touched: set[str] = set()
        try:
            with open(module.__file__ or "", "rb") as file:
                tree = ast.parse(file.read())
        except (OSError, SyntaxError, ValueError):
            return
        self._read(tree.body)
        self._follow()

    def _read(self, body: list[ast.stmt]) -> None:
        for statement in body:
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    self._bind(statement.name, statement)
                    self._functions[statement.name] = statement
                    self._touched |= _names(*_run_at_import(statement))
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._bind(name, value)
                    self._touched |= _names(value)
                case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                    self._bind(name, value)
                    self._touched |= _names(value)
                case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                    for alias in aliases:
                        self._bind(alias.asname or alias.name.partition(".")[0], statement)
                case _:
                    # A loop, condition or unpacking: the value cannot be known from the source.
                    for node in ast.walk(statement):
                        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                            self._bind(node.id, None)
                        elif isinstance(
                            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
                        ):
                            self._bind(node.name, None)
                        elif isinstance(node, ast.alias):
                            self._bind(node.asname or node.name.partition(".")[0], None)
                    self._touched |= _names(statement)

    def _bind(self, name: str, node: ast.AST | None) -> None:
        self._bindings.setdefault(name, []).append(node)

    def _follow(self) -> None:
        """Add the names that functions use which may have run at import."""
        waiting = list(self._touched)
        for name in waiting:
            if name in self._functions:
                new = _names(self._functions[name]) - self._touched
                self._touched |= new
                waiting.extend(new)

    def contradicts(self, name: str, value: Any) -> bool:
        """Return whether a fresh import certainly gives another value."""
        nodes = self._bindings.get(name)
        if nodes is None or len(nodes) != 1 or nodes[0] is None:
            return False
        match nodes[0]:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() as definition:
                # True for a function that was replaced, for example by a mock.
                own = (
                    getattr(value, "__module__", None) == self._module
                    and getattr(value, "__qualname__", None) == name
                )
                return not own and not definition.decorator_list
            case ast.ImportFrom(module=origin, level=0, names=aliases):
                return self._import_differs(origin, aliases, name, value)
            case ast.expr() as expression:
                return self._literal_differs(expression, name, value)
        return False

    def _literal_differs(self, expression: ast.expr, name: str, value: Any) -> bool:
        try:
            literal = ast.literal_eval(expression)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return False
        if isinstance(literal, list | dict | set) and name in self._touched:
            return False  # code that ran at import may have changed the container
        try:
            return type(literal) is not type(value) or bool(literal != value)
        except Exception:  # noqa: BLE001 - a user's __eq__ inside a container may fail in any way
            return True

    def _import_differs(
        self, origin: str | None, aliases: list[ast.alias], name: str, value: Any
    ) -> bool:
        module = sys.modules.get(origin or "")
        for alias in aliases:
            if (alias.asname or alias.name) == name and hasattr(module, alias.name):
                return getattr(module, alias.name) is not value
        return False


def _run_at_import(statement: ast.stmt) -> list[ast.AST]:
    """Return the parts of a definition that run when it is executed, not when it is called."""
    match statement:
        case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args):
            defaults = [node for node in (*args.defaults, *args.kw_defaults) if node is not None]
            return [*statement.decorator_list, *defaults]
        case ast.ClassDef():
            inner = [part for part in statement.body if not isinstance(part, ast.FunctionDef)]
            return [*statement.decorator_list, *statement.bases, *inner]
    return []


def _names(*nodes: ast.AST) -> set[str]:
    return {
        found.id
        for node in nodes
        for found in ast.walk(node)
        if isinstance(found, ast.Name) and isinstance(found.ctx, ast.Load)
    }
