from __future__ import annotations

import types
import unittest
from collections.abc import AsyncIterator, Generator
from typing import Any

from itf.await_chain import await_chain


@types.coroutine
def suspend() -> Generator[None, None, None]:
    yield


async def inner() -> None:
    await suspend()


async def outer() -> None:
    await inner()


async def numbers() -> AsyncIterator[int]:
    await inner()
    yield 1


def names(awaitable: Any) -> list[str]:
    return [frame.f_code.co_name for frame in await_chain(awaitable)]


class AwaitChainTest(unittest.TestCase):
    """await_chain yields the frames of a suspended coroutine, the outermost first."""

    def test_coroutines_and_generators(self) -> None:
        """A chain of two coroutines and a generator-based coroutine has three frames."""
        coroutine = outer()
        coroutine.send(None)
        self.addCleanup(coroutine.close)
        self.assertEqual(["outer", "inner", "suspend"], names(coroutine))

    def test_asynchronous_generator(self) -> None:
        """The chain of an asynchronous generator continues with what the generator awaits."""
        generator: Any = numbers()
        step = generator.asend(None)
        step.send(None)
        self.assertEqual(["numbers", "inner", "suspend"], names(generator))
        with self.assertRaises(StopIteration):
            step.send(None)

    def test_coroutine_that_has_not_started(self) -> None:
        """A coroutine that has not started has one frame."""
        coroutine = outer()
        self.addCleanup(coroutine.close)
        self.assertEqual(["outer"], names(coroutine))

    def test_objects_without_frames(self) -> None:
        """A closed coroutine, None and any other object have no frames."""
        coroutine = outer()
        coroutine.close()
        for awaitable in (coroutine, None, object()):
            self.assertEqual([], names(awaitable))


if __name__ == "__main__":
    unittest.main()
