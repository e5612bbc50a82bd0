"""A program under test, which starts processes of its own: what they call."""

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
    """An object with a function that may have faults."""

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
    """Return the number of calls that were hit, in a list."""
    return [count_hits(times)]


class Manager(BaseManager):
    """A manager with a server that makes calls."""


Manager.register("hits", callable=hits, proxytype=ListProxy)


class Heir(Store):
    """A class that has its methods from another."""


STORE = Store()


def number() -> int:
    """Return a number."""
    return 1


def count_hits(times: int) -> int:
    """Call a function that may have faults, and return how many calls were hit."""
    return [string.capwords("x") for _ in range(times)].count("hit")


def exit_with_hits(times: int) -> None:
    """End the process with the number of calls that were hit."""
    sys.exit(count_hits(times))


def record_hits(times: int, connection: Any) -> None:
    """Send the number of calls that were hit."""
    with connection:
        connection.send(count_hits(times))


def call_imported() -> None:
    """End the process with 1 if the function that was imported by name is hit."""
    sys.exit(imported_before("x") == "hit")


def die_after(times: int) -> None:
    """Call the function so often, and end the process by SIGKILL."""
    count_hits(times)
    os.kill(os.getpid(), signal.SIGKILL)


def in_grandchild(method: str, times: int) -> None:
    """End the process with what a process that it starts ends with."""
    process = multiprocessing.get_context(method).Process(target=exit_with_hits, args=(times,))
    process.start()
    process.join()
    sys.exit(process.exitcode)


def read_store(store: Store) -> None:
    """End the process with 1 if reading is hit."""
    sys.exit(store.read() == "hit")


def read_global() -> None:
    """End the process with 1 if reading the program's own store is hit."""
    sys.exit(STORE.read() == "hit")


def generate() -> Generator[str]:
    """Yield something."""
    yield "generated"


async def async_read() -> str:
    """Return something."""
    return "read"


@contextlib.contextmanager
def managed() -> Generator[str]:
    """Give something."""
    yield "managed"


def read_all() -> list[Any]:
    """Return what each kind of function gives."""
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
