"""Tests of the annotations of functions and classes that are pickled by value."""

from __future__ import annotations

import sys
import threading
import typing
import unittest
from typing import Any, ClassVar

from itf.workers.pickling.annotations import sendable_annotations
from tests.workers.worker_support import METHODS, WorkerTestCase

LAZY = sys.version_info >= (3, 14)

# FORWARD is a name that does not exist, in quotation marks where Python evaluates it.
SOURCE = """
import dataclasses
import enum
import pathlib
import threading
import typing

def make():
    class Node:
        name: str
        next: 'Node'
        path: pathlib.Path
        known: list[int] | None
        hidden: FORWARD

    @dataclasses.dataclass
    class Point:
        x: int
        hidden: FORWARD = None
        more: list[int] = dataclasses.field(default_factory=list)

    class Pair(typing.NamedTuple):
        left: int
        right: dict[str, int] = {}

    class Colour(enum.Enum):
        RED = 1
        shade: int

    def function(one: int, two: FORWARD, *, three: typing.Optional[str] = None) -> Node:
        pass

    def read():
        import inspect
        owners = Node, Point, Pair, Colour, function
        fields = [field.type for field in dataclasses.fields(Point)]
        return [dict(inspect.get_annotations(owner)) for owner in owners], fields

    return read, Node
"""


def made(future: bool) -> tuple[Any, type]:
    """Return the function that reads annotations, and a class that they name."""
    head = "from __future__ import annotations\n" if future else ""
    source = head + SOURCE.replace("FORWARD", "Hidden" if LAZY or future else "'Hidden'")
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<annotated>", "exec", dont_inherit=True), space)
    read, node = space["make"]()
    return read, node


class TravelTest(WorkerTestCase):
    """What a worker reads, however it was started."""

    maxDiff = None
    # A forked worker has the objects themselves, with Python's own laziness.
    spawning: ClassVar = [method for method in METHODS if method != "fork"]

    def test_values(self) -> None:
        """Types are sent as types, a local class as itself, an undefined name as text."""
        import pathlib

        for method in self.spawning:
            with self.subTest(method):
                read, node = made(future=False)
                annotations, fields = self.started(read, method=method).result()
                self.assertEqual(
                    [
                        {
                            "name": str,
                            "next": "Node",
                            "path": pathlib.Path,
                            "known": list[int] | None,
                            "hidden": "Hidden",
                        },
                        {"x": int, "hidden": "Hidden", "more": list[int]},
                        {"left": int, "right": dict[str, int]},
                        {"shade": int},
                        {"one": int, "two": "Hidden", "three": str | None, "return": node},
                    ],
                    [self.plain(one) for one in annotations],
                )
                self.assertEqual([int, "Hidden", list[int]], [self.text(one) for one in fields])

    def test_texts(self) -> None:
        """With the future import, all annotations are texts."""
        for method in self.spawning:
            with self.subTest(method):
                read, _ = made(future=True)
                here, fields = read()
                there, their_fields = self.started(read, method=method).result()
                self.assertEqual(list(map(self.plain, here)), list(map(self.plain, there)))
                self.assertEqual(fields, their_fields)
                self.assertEqual("'Node'", there[0]["next"])
                self.assertEqual("list[int] | None", there[0]["known"])

    def plain(self, annotations: dict[str, Any]) -> dict[str, Any]:
        return {name: self.text(value) for name, value in annotations.items()}

    @staticmethod
    def text(value: Any) -> Any:
        return value.__forward_arg__ if isinstance(value, typing.ForwardRef) else value

    def test_nothing_fails_for_an_annotation(self) -> None:
        """An annotation whose value cannot be sent is sent as text."""
        lock = threading.Lock()

        class Holder:
            held = lock

        Typed = typing.TypeVar("Typed")

        def work(one: Any, two: Any, three: Any) -> Any:
            return work.__annotations__

        work.__annotations__ = {"one": lock, "two": Holder, "three": list[Typed]}  # type: ignore[valid-type]
        for method in self.spawning:
            with self.subTest(method):
                there = self.started(work, 1, 2, 3, method=method).result()
                self.assertRegex(there["one"], "lock object")
                self.assertEqual(f"{__name__}.{Holder.__qualname__}", there["two"])
                self.assertEqual("list[~Typed]", there["three"])

    def test_classes_whose_annotations_name_one_another(self) -> None:
        """Classes whose annotations form a circle are sent as values."""

        class First: ...

        class Second: ...

        First.__annotations__ = {"other": Second, "own": list[First]}
        Second.__annotations__ = {"other": First}

        def work() -> Any:
            same = First.__annotations__["own"].__args__[0] is First
            return First.__annotations__, Second.__annotations__, same

        for method in METHODS:
            with self.subTest(method):
                first, second, same = self.started(work, method=method).result()
                self.assertEqual({"other": Second, "own": list[First]}, first)
                self.assertEqual({"other": First}, second)
                self.assertTrue(same)

    def test_the_class_after_the_next_decides(self) -> None:
        """Classes that name one another are texts if one of them cannot be sent."""
        lock = threading.Lock()

        class First: ...

        class Second:
            held = lock

        First.__annotations__ = {"other": Second}
        Second.__annotations__ = {"other": First}

        def work() -> Any:
            return First.__annotations__

        for method in self.spawning:
            with self.subTest(method):
                there = self.started(work, method=method).result()
                self.assertEqual({"other": f"{__name__}.{Second.__qualname__}"}, there)


class SendableTest(unittest.TestCase):
    """What is read of a function or class."""

    @unittest.skipUnless(LAZY, "before Python 3.14 annotations are evaluated by def")
    def test_an_annotation_that_raises(self) -> None:
        """Its text is sent; without a text, no annotation is sent."""
        source = "def function(one: int, two: fail(1)): pass\ndef broken(one: 1 / 0): pass"
        space: dict[str, Any] = {"fail": chr(0).index}
        exec(compile(source, "<lazy>", "exec", dont_inherit=True), space)
        self.assertEqual(
            {"one": int, "two": "fail(1)"},
            sendable_annotations(space["function"], bool),
        )
        self.assertEqual({}, sendable_annotations(space["broken"], bool))


if __name__ == "__main__":
    unittest.main()
