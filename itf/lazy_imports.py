"""Names that ``lazy import`` (Python 3.15) leaves unresolved: found, and resolved."""

from __future__ import annotations

import sys
import types
from typing import Any, Final

__all__ = ["is_lazy", "lazy_names", "resolve_modules", "resolved_item"]

__unittest = True

# The type of what stands in a namespace until the name is first used; None before 3.15.
_LAZY: Final[Any] = getattr(types, "LazyImportType", None)


def is_lazy(value: object) -> bool:
    """Return whether a value is a lazy import that nobody has used yet.

    A function or a ``vars(module)`` sees such an object; a global name never does.
    """
    return _LAZY is not None and type(value) is _LAZY


def lazy_names(names: dict[str, Any]) -> list[str]:
    """Return the names in a namespace that are lazy imports."""
    if _LAZY is None:
        return []
    return [name for name, value in [*names.items()] if type(value) is _LAZY]


def resolved_item(names: dict[str, Any], name: str) -> Any:
    """Return the value of a name, and put it in the place of a lazy import.

    The lazy import stays if it cannot be imported, whatever the module raises:
    code that uses the name gets that error.
    """
    value = names[name]
    if not is_lazy(value):
        return value
    try:
        imported = value.resolve()
    except Exception:  # noqa: BLE001 - the user's module may raise anything when it is imported
        return value
    # Unless another thread has put something else there meanwhile.
    if names.get(name) is value:
        names[name] = imported
    return names.get(name)


def resolve_modules(*packages: str) -> None:
    """Resolve the lazy imports of all modules of some packages that are loaded.

    Modules of the same packages that are loaded by this are resolved, too.  A
    function that exchanges what `threading` or `time` have calls this before:
    a module of itf that was loaded later would take the exchanged objects for
    the real ones.
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
