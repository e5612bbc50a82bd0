"""Runs a function just before or after the n-th call of a function of `os`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

__all__ = ["Calls", "run_at_call"]

# Functions of `os` with which the file generator reads and changes the file system.
_NAMES = (
    "chmod", "link", "lstat", "mkdir", "open", "readlink", "replace", "rmdir", "stat", "symlink",
    "truncate", "unlink", "write",
)  # fmt: skip


class Calls:
    """Counter of the calls so far."""

    def __init__(self) -> None:
        self.count = 0


@contextlib.contextmanager
def run_at_call(
    number: int, action: Callable[[], object], *, after: bool = False
) -> Iterator[Calls]:
    """Run an action just before, or after, the call with a number.

    Args:
        number: Number of the call, counted from 0 over all functions in `_NAMES`.
        action: Function to run; it may raise.
        after: Whether it runs after the call.

    Yields:
        The counter of the calls.
    """
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
