"""Targets of fault injection: their attributes, and names by which other processes find them."""

from __future__ import annotations

import difflib
import importlib
import operator
import sys
import types
from typing import Any, Final, NamedTuple

from itf.exceptions import FaultInjectionError
from itf.safe_repr import safe_repr

__all__ = ["Reference", "find", "is_imported", "label_of", "namespace", "reference_to"]

__unittest = True

_MISSING: Final = object()

# The placeholder that `lazy import` (Python 3.15) keeps in a module until the name is
# used.
_LAZY: Final[type | tuple[()]] = getattr(types, "LazyImportType", ())


class Reference(NamedTuple):
    """The name by which every process finds a module, a class or a global object.

    Attributes:
        module: The name of the module.
        path: The attributes from the module to the target, joined by dots; empty if
            the target is the module.
    """

    module: str
    path: str

    def resolve(self) -> Any:
        """Import the module, and return the target.

        Raises:
            ImportError: This process has no such module.
            AttributeError: The module has no such attribute.
        """
        module = importlib.import_module(self.module)
        return operator.attrgetter(self.path)(module) if self.path else module

    def leads_to(self, value: Any) -> bool:
        """Return whether this process has a value under that name, without an import."""
        found: Any = sys.modules.get(self.module)
        for part in self.path.split("."):
            found = getattr(found, part, None)
        return found is value


def reference_to(target: Any) -> Reference | None:
    """Return the name by which another process finds a target; None if it has none."""
    if isinstance(target, types.ModuleType):
        names = (target.__name__, *sys.modules)
        found = next((name for name in names if sys.modules.get(name) is target), None)
        return None if found is None else Reference(found, "")
    if isinstance(target, type):
        reference = Reference(target.__module__, target.__qualname__)
        if reference.leads_to(target):
            return reference
    for name, module in list(sys.modules.items()):
        if not isinstance(module, types.ModuleType):
            continue
        # Bypasses the module's own __getattribute__, which may import the module
        # (importlib.util.LazyLoader does).
        names = object.__getattribute__(module, "__dict__")
        for attribute, value in list(names.items()):
            # Compared by identity, because the == of an object may have any effect.
            if value is target and isinstance(attribute, str) and attribute.isidentifier():
                return Reference(name, attribute)
    return None


def is_imported(target: Any) -> bool:
    """Return whether a new process finds a module or class by importing it."""
    found = sys.modules.get(getattr(target, "__module__", getattr(target, "__name__", "")))
    if found is None or found.__name__ == "__main__" or getattr(found, "__spec__", None) is None:
        return False
    if not isinstance(target, type):
        return found is target
    return Reference(target.__module__, target.__qualname__).leads_to(target)


def namespace(target: Any) -> Any:
    """Return the target's own attributes, by name."""
    return getattr(target, "__dict__", {})


def find(target: Any, name: str) -> Any:
    """Return an attribute without binding: a method as a function, a property as itself."""
    classes = target.__mro__ if isinstance(target, type) else type(target).__mro__
    places = classes if isinstance(target, type) else (target, *classes)
    for place in places:
        if name in namespace(place):
            kept = namespace(place)[name]
            # Attribute access carries out a lazy import.
            return getattr(place, name) if _LAZY and isinstance(kept, _LAZY) else kept
    # A __getattr__ of the module or object may create the attribute.
    found = _MISSING if isinstance(target, type) else getattr(target, name, _MISSING)
    if found is not _MISSING:
        return found
    meta = next((kind for kind in type(target).__mro__ if name in vars(kind)), type)
    if meta is not type:
        raise FaultInjectionError(
            f"{name!r} of {_name(target)} is a method of its metaclass; inject into that: "
            f"inject_faults({meta.__qualname__}, {name!r}, plan)"
        )
    close = difflib.get_close_matches(name, dir(target), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise AttributeError(f"{_name(target)} has no attribute {name!r}{hint}", name=name, obj=target)


def _name(target: Any) -> str:
    if isinstance(target, types.ModuleType):
        return target.__name__
    if isinstance(target, type):
        return f"{target.__module__}.{target.__qualname__}"
    return safe_repr(target)


def label_of(target: Any, name: str) -> str:
    """Return the name of an attribute in messages, such as ``shop.cache.load``."""
    if isinstance(target, types.ModuleType | type):
        return f"{_name(target)}.{name}"
    return f"{_name(type(target))}.{name}"
