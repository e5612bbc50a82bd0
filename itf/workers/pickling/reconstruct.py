"""What `shipping` sends, made anew in the new process.

Every function here is named in a pickle and called while it is loaded.  A
function or class is made empty first and filled later, so that it may refer
to itself.
"""

from __future__ import annotations

import abc
import builtins
import functools
import importlib
import marshal
import sys
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ForwardRef

from itf.exceptions import WorkerError
from itf.workers.pickling.identity import IdentityMap, module_and_name

if TYPE_CHECKING:
    import unittest

__all__ = [
    "fill_class",
    "fill_function",
    "find_class",
    "itself",
    "make_cached_function",
    "make_cached_property",
    "make_case",
    "make_cell",
    "make_class",
    "make_enum",
    "make_forward_reference",
    "make_function",
    "make_namespace",
    "make_sentinel",
    "module_namespace",
    "origin_of",
]

__unittest = True

# Which class of the process that sent it a class stands for, by the id it has there.
_origins: IdentityMap[int] = IdentityMap()


def module_namespace(name: str) -> dict[str, Any]:
    """Return the globals of a module, imported here."""
    return importlib.import_module(name).__dict__


def make_namespace(name: str, file: str | None) -> dict[str, Any]:
    """Make the globals of a module that cannot be imported here.

    Those of ``__main__`` become this process's ``__main__``: what a worker
    puts into a queue names its class by that.
    """
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = builtins
    if file is not None:
        module.__file__ = file
    if name == "__main__":
        sys.modules[name] = module
    else:
        sys.modules.setdefault(name, module)
    # A module that is let go takes its globals with it; the functions keep only the dict.
    module.__dict__["__itf_module__"] = module
    return module.__dict__


def make_cell() -> types.CellType:
    """Make an empty cell; `fill_function` fills it."""
    return types.CellType()


def make_function(
    code: bytes, name: str, namespace: dict[str, Any], cells: tuple[types.CellType, ...]
) -> types.FunctionType:
    """Make a function that has its code and its cells, and nothing else yet."""
    # Only ever from the process that started this one.
    loaded = marshal.loads(code)  # noqa: S302
    return types.FunctionType(loaded, namespace, name, None, cells or None)


def fill_function(function: types.FunctionType, state: tuple[Any, ...]) -> None:
    """Give a function what it refers to: cells, defaults, globals."""
    attributes, own, contents, captured, submodules = state
    for name, value in attributes.items():
        setattr(function, name, value)
    function.__dict__.update(own)
    for cell, content in zip(function.__closure__ or (), contents, strict=True):
        if content:
            cell.cell_contents = content[0]
    function.__globals__.update(captured)
    for name in submodules:
        importlib.import_module(name)


def make_class(
    kind: type, name: str, bases: tuple[Any, ...], namespace: dict[str, Any], origin: int
) -> type:
    """Make a class that has its bases, and nothing else yet."""
    made: type = kind(name, bases, namespace)
    _origins.set(made, origin)
    _publish(made)
    return made


def fill_class(made: type, attributes: Mapping[str, Any]) -> None:
    """Give a class its methods and attributes."""
    for name, value in attributes.items():
        type.__setattr__(made, name, value)
    abc.update_abstractmethods(made)


def make_enum(
    name: str,
    bases: tuple[Any, ...],
    members: Mapping[str, Any],
    attributes: Mapping[str, Any],
    origin: int,
) -> type:
    """Make an enumeration whole: its members cannot be added later."""

    def fill(namespace: dict[str, Any]) -> None:
        for key, value in (*attributes.items(), *members.items()):
            namespace[key] = value

    made = types.new_class(name, bases, {}, fill)
    _origins.set(made, origin)
    _publish(made)
    return made


def _publish(made: type) -> None:
    """Let a class of ``__main__`` be found there by its name."""
    main = sys.modules.get("__main__")
    if made.__module__ == "__main__" and "." not in made.__qualname__ and main is not None:
        main.__dict__.setdefault(made.__qualname__, made)


def origin_of(known: type) -> int:
    """Return the id by which the process that started this one knows a class.

    In a forked process that is its own: the class was there before the fork.
    """
    origin = _origins.get(known)
    return id(known) if origin is None else origin


def find_class(base: type, module: str, qualname: str, origin: int) -> type:
    """Find the class that another process means, among the subclasses of one that both have.

    Raises:
        WorkerError: There is none (any more): it was made in the other process.
    """
    # All classes of the process may come by: nothing of theirs is called, no
    # metaclass's `==` or `hash`, and no attribute that it computes.
    waiting, seen = [base], {id(base)}
    alike: list[type] = []
    for kind in waiting:
        known: type
        for known in type.__subclasses__(kind):
            if id(known) in seen:
                continue
            seen.add(id(known))
            waiting.append(known)
            if module_and_name(known) == (module, qualname):
                if id(known) == origin:
                    return known
                alike.append(known)
    if len(alike) == 1:
        return alike[0]
    raise WorkerError(f"this process has no class {qualname!r} of module {module!r}")


def make_cached_function(
    function: Callable[..., Any], parameters: dict[str, Any]
) -> Callable[..., Any]:
    """Make a function with a cache of its own, empty."""
    made: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return made


def make_cached_property(
    function: Callable[[Any], Any], name: str
) -> functools.cached_property[Any]:
    """Make a cached property of a class that is being filled."""
    made = functools.cached_property(function)
    made.__set_name__(object, name)
    return made


def make_sentinel(name: str, module: str) -> Any:
    """Make a sentinel that cannot be imported here."""
    made: Any = vars(builtins)["sentinel"](name)
    made.__module__ = module
    return made


def make_forward_reference(text: str, module: Any, is_class: bool) -> ForwardRef:
    """Make a reference to what an annotation names."""
    return ForwardRef(text, module=module, is_class=is_class)


def itself(value: Any) -> Any:
    """Return a value: what a lazy import stands for."""
    return value


def make_case(cls: type[unittest.TestCase], method_name: str) -> unittest.TestCase:
    """Make a TestCase without its own ``__init__``, which may want other arguments."""
    import unittest

    case = cls.__new__(cls)
    asynchronous = issubclass(cls, unittest.IsolatedAsyncioTestCase)
    base = unittest.IsolatedAsyncioTestCase if asynchronous else unittest.TestCase
    base.__init__(case, method_name)
    return case
