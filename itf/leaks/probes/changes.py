"""A setting of the process that is not what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from itf.safe_repr import safe_repr

__all__ = ["Change", "Setting", "object_text"]

__unittest = True


class Change(NamedTuple):
    """A setting that is not what it was.

    Attributes:
        name: What it is called, in ``leak_ignore`` too.
        before: What it was, as text.
        after: What it is, as text.
        restore: Makes it what it was.
    """

    name: str
    before: str
    after: str
    restore: Callable[[], object]


class Setting(Protocol):
    """A setting, or a group of them."""

    def read(self) -> Any:
        """Return what it is now: something that is equal as long as nothing has changed."""

    def changes(self, before: Any, after: Any) -> Iterable[Change]:
        """Tell what has changed between two readings."""


def object_text(value: object) -> str:
    """Name a function or a class by where it is; show anything else."""
    name = getattr(value, "__qualname__", None)
    module = getattr(value, "__module__", None)
    if isinstance(name, str) and isinstance(module, str) and not isinstance(value, type):
        return f"{module}.{name}"
    return safe_repr(value)
