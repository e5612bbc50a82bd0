"""The references that an object holds to others, and functions that replace a reference."""

from __future__ import annotations

import builtins
import functools
import threading
import types
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

from itf.lazy_imports import is_lazy, resolved_item

__all__ = ["Reference", "references_of", "swap_item"]

__unittest = True

# The object referred to, a name for reports, and a function swap(old, new).  It replaces the
# reference if it still refers to `old`.  The function is None if the reference is read-only.
Reference = tuple[Any, str, Callable[[Any, Any], None] | None]

# A builtin since Python 3.15, not derived from dict.
_FROZEN_DICT: Final[type] = getattr(builtins, "frozendict", dict)

_IsUserCode = Callable[[type | types.ModuleType], bool]

# Modules of the standard library whose classes keep locks in attributes.
_BUILT_ON_LOCKS = ("threading", "queue", "concurrent.futures")


def references_of(found: Any, is_user_code: _IsUserCode) -> Iterator[Reference]:  # noqa: PLR0912 - one branch for each type
    """Yield the references that an object holds.

    Args:
        found: Any object.
        is_user_code: Returns whether a class or a module is user code; others are skipped.
    """
    # Not isinstance: `__class__` of a mock with a spec is another class.
    kind = type(found)
    if issubclass(kind, types.FunctionType):
        yield from _of_function(found)
    elif issubclass(kind, types.MethodType):
        yield found.__self__, "", None
        yield found.__func__, "", None
    elif issubclass(kind, functools.partial):
        yield from _of_partial(found)
    elif issubclass(kind, types.ModuleType):
        if is_user_code(found):
            yield from _of_names(vars(found), f"{found.__name__}.")
    elif issubclass(kind, type):
        if is_user_code(found):
            yield from _of_class(found)
    elif issubclass(kind, staticmethod | classmethod):
        yield found.__func__, "", None
    elif issubclass(kind, property):
        for function in (found.fget, found.fset, found.fdel):
            yield function, "", None
    elif issubclass(kind, dict):
        yield from _of_items(found)
    elif issubclass(kind, list):
        for index, value in enumerate(found):
            yield value, f"[{index}]", functools.partial(_swap_in_list, found)
    elif issubclass(kind, tuple | set | frozenset | deque):
        for value in [*found]:
            yield value, "", None
    elif issubclass(kind, _FROZEN_DICT):
        for value in [*found.values()]:
            yield value, "", None
    else:
        yield from _of_object(found, is_user_code)


def _of_function(function: types.FunctionType) -> Iterator[Reference]:
    code = function.__code__
    name = function.__qualname__
    for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # not bound yet
            continue
        yield value, f"{variable!r} of {name}", functools.partial(_swap_cell, cell)
    for index, value in enumerate(function.__defaults__ or ()):
        swap = functools.partial(_swap_default, function, index)
        yield value, f"default {index + 1} of {name}", swap
    yield from _of_items(function.__kwdefaults__ or {})
    yield getattr(function, "__wrapped__", None), "", None
    names = function.__globals__
    used = {*_names_in(code)}
    for variable in _names_in(code):
        if variable in names:
            value = resolved_item(names, variable)
            if is_lazy(value):
                continue
            if isinstance(value, types.ModuleType):
                _resolve_used(value, used)
            swap = functools.partial(swap_item, names, variable)
            yield value, f"{names.get('__name__', '')}.{variable}", swap


def _resolve_used(module: types.ModuleType, used: set[str]) -> None:
    """Resolve those lazy imports of a module that a function may use as its attributes.

    Other lazy imports stay unresolved: no code of the run needs them.
    """
    for name in sorted(used & vars(module).keys()):
        resolved_item(vars(module), name)


def _of_object(found: Any, is_user_code: _IsUserCode) -> Iterator[Reference]:
    kind = type(found)
    is_built_on_locks = kind.__module__.startswith(_BUILT_ON_LOCKS) or issubclass(
        kind, (threading.Condition, functools.cached_property)
    )
    if not is_user_code(kind) and (not is_built_on_locks or issubclass(kind, threading.Thread)):
        return
    yield kind, "", None
    attributes = getattr(found, "__dict__", None)
    if isinstance(attributes, dict):
        for slot in _of_names(attributes, f"{kind.__name__}."):
            # The private locks of a Thread, by which it starts and ends, stay real.
            if not (issubclass(kind, threading.Thread) and "._" in slot[1]):
                yield slot
    for name in _slot_names(kind):
        try:
            value = object.__getattribute__(found, name)
        except AttributeError:  # not set yet
            continue
        yield value, f"{kind.__name__}.{name}", functools.partial(_swap_slot, found, name)


def _of_class(kind: type) -> Iterator[Reference]:
    for name, value in [*vars(kind).items()]:
        yield value, f"{kind.__name__}.{name}", functools.partial(_swap_in_class, kind, name)
    yield kind.__bases__, "", None


def _of_partial(found: functools.partial[Any]) -> Iterator[Reference]:
    yield found.func, "", None
    for index, value in enumerate(found.args):
        yield value, f"argument {index + 1}", functools.partial(_swap_argument, found, index)
    yield from _of_items(found.keywords)


def _of_names(names: dict[str, Any], prefix: str) -> Iterator[Reference]:
    for name, value in [*names.items()]:
        if is_lazy(value):
            continue
        yield value, f"{prefix}{name}", functools.partial(swap_item, names, name)


def _of_items(items: dict[Any, Any]) -> Iterator[Reference]:
    for key, value in [*items.items()]:
        name = f"[{key!r}]" if isinstance(key, str | int) else "[...]"
        yield value, name, functools.partial(swap_item, items, key)


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def _slot_names(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        for name, value in vars(base).items():
            if isinstance(value, types.MemberDescriptorType):
                yield name


def swap_item(items: MutableMapping[Any, Any], key: Any, old: Any, new: Any) -> None:
    """Replace the value of a key, unless other code has replaced the old value already."""
    if items.get(key) is old:
        items[key] = new


def _swap_in_list(items: list[Any], old: Any, new: Any) -> None:
    # The index may have changed since the walk.
    for index, value in enumerate(items):
        if value is old:
            items[index] = new


def _swap_cell(cell: types.CellType, old: Any, new: Any) -> None:
    try:
        if cell.cell_contents is old:
            cell.cell_contents = new
    except ValueError:  # the variable was deleted in the meantime
        return


def _swap_in_class(kind: type, name: str, old: Any, new: Any) -> None:
    if vars(kind).get(name) is old:
        setattr(kind, name, new)


def _swap_slot(found: Any, name: str, old: Any, new: Any) -> None:
    # Not setattr: __setattr__ of a frozen dataclass raises.
    if getattr(found, name, None) is old:
        object.__setattr__(found, name, new)


def _swap_default(function: types.FunctionType, index: int, old: Any, new: Any) -> None:
    defaults = [*(function.__defaults__ or ())]
    if index < len(defaults) and defaults[index] is old:
        defaults[index] = new
        function.__defaults__ = tuple(defaults)


def _swap_argument(found: functools.partial[Any], index: int, old: Any, new: Any) -> None:
    arguments = [*found.args]
    if arguments[index] is old:
        arguments[index] = new
        # The only way to change the arguments of a partial; copy and pickle use it.
        found.__setstate__(  # type: ignore[attr-defined]
            (found.func, tuple(arguments), found.keywords, vars(found))
        )
