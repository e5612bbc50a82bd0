"""Something that happens just before, or just after, a chosen call to the system."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

__all__ = ["Calls", "happening_at"]

# All that the generator asks the system for, by way of a name.
_NAMES = (
    "chmod", "link", "mkdir", "open", "readlink", "replace", "rmdir", "stat", "symlink",
    "truncate", "unlink", "write",
)  # fmt: skip


class Calls:
    """How many calls there were."""

    def __init__(self) -> None:
        self.count = 0


@contextlib.contextmanager
def happening_at(
    number: int, action: Callable[[], object], *, after: bool = False
) -> Iterator[Calls]:
    """Do something just before the call of this number, counted from 0, or after it."""
    calls = Calls()

    def hooked(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            now = calls.count == number
            calls.count += 1
            if now and not after:
                with unhooked():
                    action()
            result = function(*args, **kwargs)
            if now and after:
                with unhooked():
                    action()
            return result

        return call

    originals = {name: getattr(os, name) for name in _NAMES}

    @contextlib.contextmanager
    def unhooked() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name, function in originals.items():
                stack.enter_context(mock.patch.object(os, name, function))
            yield

    with contextlib.ExitStack() as stack:
        for name, function in originals.items():
            wrapper = hooked(function)
            stack.enter_context(mock.patch.object(os, name, wrapper))
            for supports in (os.supports_fd, os.supports_dir_fd):
                if function in supports:
                    supports.add(wrapper)
                    stack.callback(supports.discard, wrapper)
        yield calls
