"""Search for and resolution of lazy imports (``lazy import``, Python 3.15, PEP 810)."""

from __future__ import annotations

import sys
import types
from typing import Any, Final

__all__ = ["is_lazy", "lazy_names", "resolve_modules", "resolved_item"]

__unittest = True

# Type of the placeholder in a namespace until the first use of the name; None before 3.15.
_LAZY: Final[Any] = getattr(types, "LazyImportType", None)


def is_lazy(value: object) -> bool:
    """Return whether a value is the placeholder of a lazy import.

    ``vars(module)`` can contain placeholders.  Reading a global name never returns
    one, because Python resolves the import first.
    """
    return _LAZY is not None and type(value) is _LAZY


def lazy_names(names: dict[str, Any]) -> list[str]:
    """Return the names in a namespace whose lazy imports are not resolved."""
    if _LAZY is None:
        return []
    return [name for name, value in [*names.items()] if type(value) is _LAZY]


def resolved_item(names: dict[str, Any], name: str) -> Any:
    """Return the value of a name, after resolving a lazy import.

    The module replaces the placeholder in the namespace.  If the import raises,
    the placeholder stays, so that code that uses the name gets the error.
    """
    value = names[name]
    if not is_lazy(value):
        return value
    try:
        imported = value.resolve()
    except Exception:  # noqa: BLE001 - a user's module can raise anything during its import
        return value
    # Another thread may have assigned another value during the import.
    if names.get(name) is value:
        names[name] = imported
    return names.get(name)


def resolve_modules(*packages: str) -> None:
    """Resolve the lazy imports in all loaded modules of the given packages.

    This includes modules of these packages that the resolution itself loads.  Code
    that patches `threading` or `time` calls this first.  Otherwise, a module of itf
    that is loaded later would import the patched objects instead of the real ones.
    """
    if _LAZY is None:
        return
    seen: set[str] = set()
    while True:
        names = {name for name in [*sys.modules] if name not in seen and _is_in(name, packages)}
        if not names:
            return
        seen |= names
        for module in [sys.modules.get(name) for name in names]:
            if isinstance(module, types.ModuleType):
                for name in lazy_names(vars(module)):
                    resolved_item(vars(module), name)


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
