"""Small programs with and without faults, as a user would have them."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Account", "AccountWithLock", "Slotted", "crossing", "failing_run", "global_lock"]

global_lock = threading.Lock()


class Account:
    """It loses an update if it is interrupted between reading and writing."""

    def __init__(self) -> None:
        self.balance = 0

    def deposit(self) -> None:
        self.balance += 1


@dataclasses.dataclass
class AccountWithLock:
    """It loses none; its lock comes from a factory that no module names."""

    lock: Any = dataclasses.field(default_factory=threading.Lock)
    queue: Any = dataclasses.field(default_factory=queue.SimpleQueue)
    balance: int = 0

    def deposit(self) -> None:
        with self.lock:
            self.balance += 1


class Slotted:
    """Its lock stands in a slot."""

    __slots__ = ("lock", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value = 0

    def add(self) -> None:
        with self.lock:
            self.value += 1


def crossing(first: Any, second: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return two functions that take two locks in opposite orders."""

    def forwards() -> None:
        with first, second:
            return

    def backwards() -> None:
        with second, first:
            return

    return forwards, backwards


def failing_run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the error of an interleave that must fail."""
    from itf import InterleavingError

    try:
        function(*args, **kwargs)
    except InterleavingError as error:
        return error
    raise AssertionError("no interleaving failed")
