from __future__ import annotations

import dis
import itertools
import sys
import unittest
from collections.abc import Callable
from types import FrameType
from typing import Any
from unittest import mock

from itf.interleaving import opcodes
from itf.interleaving.current import current_run
from itf.interleaving.interleaving_report import _instruction
from itf.interleaving.managed_thread import Location
from itf.interleaving.opcodes import switch_points_of, unknown_opcodes
from itf.interleaving.tracing import Scope, make_tracer

ADVICE = """Python {version} has opcodes that itf/interleaving/opcodes.py does not classify:
  {names}.
Read what each does in CPython's Python/bytecodes.c, and add its name
  to _LOCAL_BY_NAME, if it accesses the frame's own stack and local variables only,
  to _PLAIN_JUMPS, if it is a jump that calls no code and tests no object except None,
  to INTERNAL, if no code object has it, or if it is a part of another instruction,
  to SHARED, if it reads or writes anything else, or may call code.
Until then interleave may preempt a thread before each of them.  This is safe, but makes
runs longer, so that faults are found later. Then run
  python -m unittest tests.interleaving.test_opcodes"""


def function_of(lines: list[str], names: dict[str, Any] | None = None) -> Callable[[], Any]:
    """Return a function with these lines as its body and these globals."""
    space: dict[str, Any] = {"__name__": __name__, **(names or {})}
    body = "\n".join(f"    {line}" for line in lines)
    exec(f"def function():\n{body}\n", space)
    function: Callable[[], Any] = space["function"]
    return function


class Steps:
    """A fake scheduler that records the offsets of one thread's steps."""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    def current(self) -> Steps:
        return self

    def step(self, managed: object, frame: FrameType, offset: int) -> None:
        self.offsets.append(offset)


def steps_of(function: Callable[[], Any]) -> list[int]:
    """Return the offsets of the switch points that a call of a function reaches."""
    steps = Steps()
    tracer = make_tracer(Scope([function.__code__]))
    tracer.start()
    current_run.scheduler = steps  # type: ignore[assignment]
    try:
        tracer.trace_call(function)
    finally:
        current_run.scheduler = None
        tracer.stop()
    return steps.offsets


class KnownTest(unittest.TestCase):
    def test_every_opcode_of_this_python_is_classified(self) -> None:
        """Each opcode of this Python is in a class; the message explains how to add one."""
        version = ".".join(map(str, sys.version_info[:3]))
        names = ", ".join(unknown_opcodes())
        self.assertEqual("", names, "\n" + ADVICE.format(version=version, names=names))

    def test_no_opcode_is_in_two_classes(self) -> None:
        """The classes of opcodes are disjoint."""
        classes = [opcodes.LOCAL, opcodes._PLAIN_JUMPS, opcodes.SHARED, opcodes.INTERNAL]
        for first, second in itertools.combinations(classes, 2):
            self.assertEqual(frozenset(), first & second)

    def test_unknown_opcodes_are_found(self) -> None:
        """Unknown opcodes are reported; pseudo-instructions and instrumented opcodes are not."""
        new = {"FUTURE": 254, "ANOTHER": 253, "PSEUDO": 300, "INSTRUMENTED_FUTURE": 252}
        with mock.patch.object(dis, "opmap", {**dis.opmap, **new}):
            self.assertEqual(["ANOTHER", "FUTURE"], unknown_opcodes())

    def test_an_unknown_opcode_is_a_switch_point(self) -> None:
        """A thread may be preempted before an opcode that is in no class."""
        function = function_of(["a = 1", "return a"])
        self.assertEqual(frozenset(), switch_points_of(function.__code__))
        for name in sorted({i.opname for i in dis.get_instructions(function)}):
            with self.subTest(name), mock.patch.object(
                opcodes, "_NO_SWITCH", opcodes._NO_SWITCH - {name}
            ):  # fmt: skip
                self.assertLess(0, len(switch_points_of(function.__code__)))

    def test_a_cell_is_shared(self) -> None:
        """LOAD_DEREF is shared, although it is in `dis.haslocal` since Python 3.14."""
        self.assertIn("LOAD_DEREF", opcodes.SHARED)
        self.assertNotIn("LOAD_DEREF", opcodes.LOCAL)

        def outer() -> Callable[[], int]:
            value = 1

            def inner() -> int:
                return value

            return inner

        self.assertEqual(1, len(switch_points_of(outer().__code__)))


class CountTest(unittest.TestCase):
    def test_similar_number_of_switch_points_on_each_python(self) -> None:
        """The number of switch points of a source is similar on all Pythons."""
        plain = function_of(
            [
                "total = 0",
                "for number in range(200):",
                "    total += number",
                "    if total > 5:",
                "        total -= 1",
                "return total",
            ]
        )
        self.assertIn(len(switch_points_of(plain.__code__)), range(8, 12))
        mixed = function_of(
            [
                "with lock:",
                "    if a and not b: self.x = items[a]",
                "for k, v in items.items():",
                "    if k is None: continue",
                "    elif k == 3: break",
                "    self.total[k] = v",
                "try:",
                "    print(f'{k!r} {v:>4}', *items)",
                "except (ValueError, KeyError) as e:",
                "    raise RuntimeError from e",
                "while a < 10 and b: a += 1",
                "return k, v",
            ]
        )
        self.assertIn(len(switch_points_of(mixed.__code__)), range(52, 59))

    def test_similar_number_of_steps_on_each_python(self) -> None:
        """Each round of a loop takes a similar number of steps on all Pythons."""
        function = function_of(["for _ in range(200): n = _", "return n"])
        self.assertIn(len(steps_of(function)), range(400, 407))
        counting = function_of(["n = 0", "while n < 200: n += 1"])
        self.assertIn(len(steps_of(counting)) // 200, (3, 4))

    def test_a_with_block_has_few_switch_points(self) -> None:
        """A `with` block has few switch points: lookup, enter, exit, and the error path."""
        function = function_of(["with lock: pass"])
        self.assertIn(len(switch_points_of(function.__code__)), range(3, 8))


class LoopTest(unittest.TestCase):
    def test_every_loop_has_a_switch_point(self) -> None:
        """Each jump backwards is a switch point, so that an endless loop can be ended."""
        for lines in (
            ["while True: pass"],
            ["a = 1", "while a is not None: pass"],
            ["a = None", "while True:", "    if a is None: continue"],
            ["a = b = 1", "while True:", *["    a = b"] * 400],
            ["for _ in (): pass"],
        ):
            with self.subTest(lines[:3]):
                code = function_of(lines).__code__
                points = switch_points_of(code)
                back = [
                    i.offset
                    for i in dis.get_instructions(code)
                    if i.opcode in (*dis.hasjrel, *dis.hasjabs) and i.argval <= i.offset
                ]
                self.assertLess(0, len(back))
                for offset in back:
                    # The jump may have EXTENDED_ARG prefixes before it.
                    self.assertTrue(points & {*range(offset - 6, offset + 1)})


class ExtendedTest(unittest.TestCase):
    def function(self) -> Callable[[], Any]:
        """Return a function with so many names that an instruction has an EXTENDED_ARG."""
        names = {f"name_{number}": number for number in range(300)}
        return function_of([*names, "return name_299"], names)

    def test_each_switch_point_is_traced(self) -> None:
        """All switch points are traced, also before instructions with EXTENDED_ARG."""
        function = self.function()
        offsets = steps_of(function)
        self.assertEqual(301, len(offsets))
        self.assertEqual(switch_points_of(function.__code__), {*offsets})

    def test_a_jump_back_over_a_long_body(self) -> None:
        """A jump backwards with EXTENDED_ARG is traced in each round of the loop."""
        function = function_of(["a = 1", "for _ in range(3):", *["    b = a"] * 400])
        offsets = steps_of(function)
        self.assertEqual(switch_points_of(function.__code__), {*offsets})
        # range, its call, iter; four times FOR_ITER; three jumps back.
        self.assertEqual(10, len(offsets))

    def test_a_report_names_the_instruction(self) -> None:
        """The report names the instruction, not its EXTENDED_ARG prefix."""
        code = self.function().__code__
        described = [
            _instruction(Location(code, 1, offset)) for offset in sorted(switch_points_of(code))
        ]
        self.assertEqual([f"LOAD_GLOBAL name_{n}" for n in (*range(300), 299)], described)


if __name__ == "__main__":
    unittest.main()
