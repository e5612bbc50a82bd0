"""A program under test: functions that it calls in processes of its own."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import string
import sys
from collections.abc import Generator
from multiprocessing.managers import BaseManager, ListProxy
from string import capwords as imported_before
from typing import Any

__all__ = [
    "STORE",
    "AwkwardError",
    "Heir",
    "Manager",
    "Store",
    "async_read",
    "call_imported",
    "count_hits",
    "die_after",
    "exit_with_hits",
    "generate",
    "in_grandchild",
    "managed",
    "number",
    "read_all",
    "read_global",
    "read_store",
    "record_hits",
]


class AwkwardError(Exception):
    """An error that can be pickled, but not unpickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class Store:
    """A class whose functions the tests inject faults into."""

    def read(self) -> str:
        """Return what is stored."""
        return "stored"

    @staticmethod
    def size() -> int:
        """Return how much is stored."""
        return 1

    @classmethod
    def kind(cls) -> str:
        """Return the name of the class."""
        return cls.__name__

    @property
    def first(self) -> str:
        """What was stored first."""
        return "first"


def hits(times: int) -> list[int]:
    """Return a list of the number of calls that were hit."""
    return [count_hits(times)]


class Manager(BaseManager):
    """A manager whose server makes calls."""


Manager.register("hits", callable=hits, proxytype=ListProxy)


class Heir(Store):
    """A class that inherits its methods."""


STORE = Store()


def number() -> int:
    """Return a number."""
    return 1


def count_hits(times: int) -> int:
    """Call the function under test, and return how many calls were hit."""
    return [string.capwords("x") for _ in range(times)].count("hit")


def exit_with_hits(times: int) -> None:
    """Exit with the number of calls that were hit."""
    sys.exit(count_hits(times))


def record_hits(times: int, connection: Any) -> None:
    """Send the number of calls that were hit."""
    with connection:
        connection.send(count_hits(times))


def call_imported() -> None:
    """Exit with 1 if the function imported by ``from`` is hit."""
    sys.exit(imported_before("x") == "hit")


def die_after(times: int) -> None:
    """Make that many calls, then end this process by SIGKILL."""
    count_hits(times)
    os.kill(os.getpid(), signal.SIGKILL)


def in_grandchild(method: str, times: int) -> None:
    """Exit with the exit code of a child process."""
    process = multiprocessing.get_context(method).Process(target=exit_with_hits, args=(times,))
    process.start()
    process.join()
    sys.exit(process.exitcode)


def read_store(store: Store) -> None:
    """Exit with 1 if the call of ``read`` is hit."""
    sys.exit(store.read() == "hit")


def read_global() -> None:
    """Exit with 1 if the call of ``read`` on the global store is hit."""
    sys.exit(STORE.read() == "hit")


def generate() -> Generator[str]:
    """Yield a value."""
    yield "generated"


async def async_read() -> str:
    """Return a value."""
    return "read"


@contextlib.contextmanager
def managed() -> Generator[str]:
    """Yield a value as a context manager."""
    yield "managed"


def read_all() -> list[Any]:
    """Return the results of each kind of function."""
    with managed() as value:
        return [
            Store().read(),
            Store.size(),
            Store.kind(),
            Store().first,
            *generate(),
            asyncio.run(async_read()),
            value,
        ]
