"""Reconstruction of pickled functions and classes in the new process.

The pickles of `itf.workers.pickling.pickler` name the functions of this module, and
loading a pickle calls them.  A function or class is made empty first and filled
later, because it may refer to itself.
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

# For each reconstructed class, the id of the original class in the parent process.
_origins: IdentityMap[int] = IdentityMap()


def module_namespace(name: str) -> dict[str, Any]:
    """Import a module, and return its globals."""
    return importlib.import_module(name).__dict__


def make_namespace(name: str, file: str | None) -> dict[str, Any]:
    """Return the globals of a new module, in place of one that cannot be imported here.

    A new ``__main__`` becomes the ``__main__`` of this process, because objects that
    a worker puts into a queue refer to their classes by that name.
    """
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = builtins
    if file is not None:
        module.__file__ = file
    if name == "__main__":
        sys.modules[name] = module
    else:
        sys.modules.setdefault(name, module)
    # Python clears the globals of a module that is collected.  The functions refer to the
    # globals only, so the globals keep the module alive.
    module.__dict__["__itf_module__"] = module
    return module.__dict__


def make_cell() -> types.CellType:
    """Return an empty closure cell; `fill_function` fills it."""
    return types.CellType()


def make_function(
    code: bytes, name: str, namespace: dict[str, Any], cells: tuple[types.CellType, ...]
) -> types.FunctionType:
    """Return a function with code and cells; `fill_function` sets its other attributes."""
    # Safe: the code comes from the parent process.
    loaded = marshal.loads(code)  # noqa: S302
    return types.FunctionType(loaded, namespace, name, None, cells or None)


def fill_function(function: types.FunctionType, state: tuple[Any, ...]) -> None:
    """Set a function's attributes, the contents of its cells, and the globals it uses."""
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
    """Return a class with its bases; `fill_class` sets its attributes."""
    made: type = kind(name, bases, namespace)
    _origins.set(made, origin)
    _publish(made)
    return made


def fill_class(made: type, attributes: Mapping[str, Any]) -> None:
    """Set the methods and attributes of a class."""
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
    """Return a complete enumeration; Python does not allow to add members later."""

    def fill(namespace: dict[str, Any]) -> None:
        for key, value in (*attributes.items(), *members.items()):
            namespace[key] = value

    made = types.new_class(name, bases, {}, fill)
    _origins.set(made, origin)
    _publish(made)
    return made


def _publish(made: type) -> None:
    """Bind a class of ``__main__`` there by its name, so that `pickle` can find the class."""
    main = sys.modules.get("__main__")
    if made.__module__ == "__main__" and "." not in made.__qualname__ and main is not None:
        main.__dict__.setdefault(made.__qualname__, made)


def origin_of(known: type) -> int:
    """Return the id that a class has in the parent process.

    In a forked process this is the class's own id, because the class existed before
    the fork.
    """
    origin = _origins.get(known)
    return id(known) if origin is None else origin


def find_class(base: type, module: str, qualname: str, origin: int) -> type:
    """Return the class of this process that a worker has pickled by reference.

    Args:
        base: A base class that both processes can import.
        module: Name of the class's module.
        qualname: Qualified name of the class.
        origin: Id of the class in this process, if it was made here.

    Raises:
        WorkerError: This process has no such class, for example because the worker
            has made it.
    """
    # The search visits classes of the user, and must not run their code.  Therefore it
    # calls no `==` or `hash` of a metaclass, and reads no computed attribute.
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
    """Return a function with an empty `functools.lru_cache`."""
    made: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return made


def make_cached_property(
    function: Callable[[Any], Any], name: str
) -> functools.cached_property[Any]:
    """Return a cached property with its name, which a class sets only if it is made with it."""
    made = functools.cached_property(function)
    made.__set_name__(object, name)
    return made


def make_sentinel(name: str, module: str) -> Any:
    """Return a new sentinel, in place of one that cannot be imported here."""
    made: Any = vars(builtins)["sentinel"](name)
    made.__module__ = module
    return made


def make_forward_reference(text: str, module: Any, is_class: bool) -> ForwardRef:
    """Return a forward reference of an annotation."""
    return ForwardRef(text, module=module, is_class=is_class)


def itself(value: Any) -> Any:
    """Return the argument; a pickled lazy import is loaded as a call of this function."""
    return value


def make_case(cls: type[unittest.TestCase], method_name: str) -> unittest.TestCase:
    """Return a TestCase without calling its own ``__init__``, which may need other arguments."""
    import unittest

    case = cls.__new__(cls)
    asynchronous = issubclass(cls, unittest.IsolatedAsyncioTestCase)
    base = unittest.IsolatedAsyncioTestCase if asynchronous else unittest.TestCase
    base.__init__(case, method_name)
    return case
