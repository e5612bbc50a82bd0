"""Reducers for the types that `pickle` cannot pickle, one function for each type."""

from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import importlib
import sys
import types
from collections.abc import Callable
from typing import Any, Final, ForwardRef

from itf.workers.pickling import reconstruct
from itf.workers.pickling.used_globals import LAZY_IMPORT, is_importable

__all__ = [
    "SENTINEL",
    "content_of",
    "is_hashable",
    "reduce_case",
    "reduce_enum",
    "reduce_singleton_type",
    "reducer_of",
]

__unittest = True

_Reduced = tuple[Any, ...]

SENTINEL: Final[type | None] = getattr(builtins, "sentinel", None)
"""Type of sentinels since Python 3.15, also of `dataclasses.MISSING`; None before."""


def is_hashable(kind: type) -> bool:
    """Return whether a class can be the key of a dict; its metaclass may prevent that."""
    if type(kind).__hash__ is type.__hash__:
        return True
    try:
        hash(kind)
    except Exception:  # noqa: BLE001 - a user's metaclass may do anything
        return False
    return True


def content_of(cell: types.CellType) -> tuple[Any, ...]:
    """Return the content of a cell in a tuple; an empty tuple for an empty cell."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _reduce_cell(_: types.CellType) -> _Reduced:
    # The content is pickled with the state of the functions that use the cell, because
    # the cell of a recursive function contains this function.
    return (reconstruct.make_cell, ())


def _reduce_method(method: types.MethodType) -> _Reduced:
    # `pickle` uses the method's name, which differs from the attribute's name for a
    # private method (name mangling).
    return (types.MethodType, (method.__func__, method.__self__))


def _reduce_module(module: types.ModuleType) -> _Reduced:
    return (importlib.import_module, (module.__name__,))


def _reduce_property(value: property) -> _Reduced:
    return (property, (value.fget, value.fset, value.fdel, value.__doc__))


def _reduce_cached_property(value: functools.cached_property[Any]) -> _Reduced:
    return (reconstruct.make_cached_property, (value.func, value.attrname))


def _reduce_wrapped(value: Any) -> _Reduced:
    return (type(value), (value.__func__,))


def _reduce_cached_function(value: Any) -> Any:
    if is_importable(value):
        return NotImplemented
    return (reconstruct.make_cached_function, (value.__wrapped__, value.cache_parameters()))


def _reduce_proxy(value: types.MappingProxyType[Any, Any]) -> _Reduced:
    return (types.MappingProxyType, (dict(value),))


def _reduce_forward_reference(value: ForwardRef) -> _Reduced:
    about = value.__forward_arg__, value.__forward_module__, value.__forward_is_class__
    return (reconstruct.make_forward_reference, about)


def _reduce_lazy_import(value: Any) -> _Reduced:
    # Python 3.15 leaves this placeholder in a module's globals until the name is used.
    return (reconstruct.itself, (value.resolve(),))


def reduce_singleton_type(kind: type) -> Any:
    """Return how to pickle a type such as NoneType, which has no name in `builtins`."""
    for name in vars(types):
        if getattr(types, name) is kind:
            return (getattr, (types, name))
    return NotImplemented


def reduce_enum(kind: type[enum.Enum], annotations: dict[str, Any]) -> _Reduced:
    """Return how to pickle an enumeration by value, all at once: members cannot be added later."""
    members = {name: member.value for name, member in kind.__members__.items()}
    attributes = {
        name: value
        for name, value in kind.__dict__.items()
        if name in ("__module__", "__qualname__", "__doc__", "__str__", "__repr__")
        or (
            name not in members
            and not name.startswith("_")
            and callable(getattr(value, "__get__", None))
        )
    }
    attributes["__qualname__"] = kind.__qualname__
    if annotations:
        attributes["__annotations__"] = annotations
    origin = reconstruct.origin_of(kind)
    return (reconstruct.make_enum, (kind.__name__, kind.__bases__, members, attributes, origin))


def reduce_case(case: Any) -> _Reduced:
    """Return how to pickle a TestCase, without the attributes that unittest sets on it."""
    unittest = sys.modules["unittest"]
    method = unittest.TestCase.id(case).rpartition(".")[2]
    fresh = reconstruct.make_case(type(case), method)
    state = {key: value for key, value in case.__dict__.items() if key not in fresh.__dict__}
    return (reconstruct.make_case, (type(case), method), state)


def reducer_of(value: Any) -> Callable[[Any], Any] | None:
    """Return the reducer for a value; None if this module has none."""
    if id(value) in _MARKERS:
        return _reduce_marker
    return _REDUCERS.get(id(type(value)))


def _reduce_marker(value: Any) -> _Reduced:
    return (getattr, (dataclasses, _MARKERS[id(value)]))


# Markers of `dataclasses` by id.  Their type alone is not enough: in Python 3.15 it is
# the type of all sentinels.
_MARKERS: Final = {
    id(getattr(dataclasses, name)): name
    for name in ("MISSING", "KW_ONLY", "_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR")
    if hasattr(dataclasses, name)
}

# Reducers by the id of the type, because a class of the user may have no hash.
_REDUCERS: Final[dict[int, Callable[[Any], Any]]] = {
    id(types.CellType): _reduce_cell,
    id(types.MethodType): _reduce_method,
    id(types.ModuleType): _reduce_module,
    id(types.MappingProxyType): _reduce_proxy,
    id(property): _reduce_property,
    id(functools.cached_property): _reduce_cached_property,
    id(staticmethod): _reduce_wrapped,
    id(classmethod): _reduce_wrapped,
    id(type(functools.lru_cache(lambda: None))): _reduce_cached_function,
    id(ForwardRef): _reduce_forward_reference,
}
if LAZY_IMPORT is not None:
    _REDUCERS[id(LAZY_IMPORT)] = _reduce_lazy_import
