"""What is said of types and containers that grow: how much, an example, and who holds it."""

from __future__ import annotations

import gc
import itertools
import sys
import types
from collections import deque
from typing import Any, Final

from itf.leaks.finalizer_warnings import type_name
from itf.safe_repr import safe_repr

__all__ = ["Grown", "report"]

__unittest = True

# More of them are symptoms of the same leak.
_MOST_TOLD: Final = 8
_MOST_HOLDERS: Final = 3

# What a person reads of one object in the middle of a sentence.
_MAX_SHOWN: Final = 120


class Grown:
    """Something that grew in every round.

    Attributes:
        steps: By how much in each round.
        example: The newest object of a type, or the container; None for memory blocks.
        kind: The type; None for a container or memory blocks.
        length: Of a container, by now.
    """

    __slots__ = ("example", "kind", "length", "steps")

    def __init__(
        self, steps: tuple[int, ...], example: object, kind: type | None = None, length: int = 0
    ) -> None:
        self.steps = steps
        self.example = example
        self.kind = kind
        self.length = length


def report(grown: list[Grown], when: str) -> str:
    """Return the text on all that grew, the user's own types first."""
    kinds = [each for each in grown if each.kind is not None]
    containers = [each for each in grown if each.kind is None and each.example is not None]
    counts = [_count(len(kinds), "type"), _count(len(containers), "container")]
    what = " and ".join(filter(None, counts)) or "memory blocks"
    kinds.sort(key=lambda each: (_is_pythons(each.kind), -min(each.steps)))
    told = [*map(_tell_kind, kinds[:_MOST_TOLD]), *map(_tell_container, containers[:_MOST_TOLD])]
    left_out = [*kinds[_MOST_TOLD:], *containers[_MOST_TOLD:]]
    if left_out:
        names = {type_name(each.kind or type(each.example)) for each in left_out}
        told.append(f"and {len(left_out)} more: {', '.join(sorted(names))}")
    if not told:
        told = [
            f"memory blocks: {_step(grown[0].steps)} each round, of objects that the collector "
            "does not track (numbers, strings, bytes, plain object()s) or of C code"
        ]
    advice = "let go of what each call makes, or raise `warmup` if it only fills a cache"
    return "\n  ".join([f"{what} grew in {when}; {advice}:", *told])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}" if number else ""


def _is_pythons(kind: type | None) -> bool:
    top = str(getattr(kind, "__module__", "")).partition(".")[0]
    return top in sys.stdlib_module_names


def _step(steps: tuple[int, ...]) -> str:
    least, most = min(steps), max(steps)
    return f"+{least}" if least == most else f"+{least} to +{most}"


def _tell_kind(grown: Grown) -> str:
    name = type_name(grown.kind or type(grown.example))
    said = f"{name}: {_step(grown.steps)} each round"
    if grown.example is None:
        return said
    return f"{said}; the newest: {_shown(grown.example)}, {_held(grown.example)}"


def _tell_container(grown: Grown) -> str:
    thing: Any = grown.example
    what = "items" if max(grown.steps) > 1 else "item"
    said = f"a {type_name(type(thing))}: {_step(grown.steps)} {what} each round, {grown.length} now"
    # The base class's own: no method of a user's is called.
    if isinstance(thing, list):
        said = f"{said}; the last: {_shown(list.__getitem__(thing, -1))}"
    elif isinstance(thing, deque):
        said = f"{said}; the last: {_shown(deque.__getitem__(thing, -1))}"
    elif isinstance(thing, dict):
        key = next(dict.__reversed__(thing))
        said = f"{said}; the last: {_shown({key: dict.__getitem__(thing, key)})}"
    return f"{said}; {_held(thing)}"


def _shown(thing: object) -> str:
    text = safe_repr(thing)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def _held(thing: object) -> str:
    """Say what refers to an object, one step far."""
    holders = list(itertools.filterfalse(_is_passing, gc.get_referrers(thing)))
    if not holders:
        return "held by nothing that the collector knows: C code, or a frame that runs"
    # No comprehension, in which Python 3.11 refers to the object by a cell.
    told = list(map(_tell_holder, holders[:_MOST_HOLDERS], itertools.repeat(thing)))
    if len(holders) > len(told):
        told.append(f"{len(holders) - len(told)} more")
    return f"held by {' and '.join(told)}"


def _is_passing(holder: object) -> bool:
    """Say whether a referrer is a frame, or of our own making."""
    return isinstance(holder, types.FrameType | Grown)


def _tell_holder(holder: Any, thing: object) -> str:
    if isinstance(holder, types.CellType):
        return _tell_cell(holder)
    if type(holder) is dict:
        name = next((key for key, value in holder.items() if value is thing), None)
        return _tell_dict(holder, name)
    names = getattr(holder, "__dict__", None)
    if type(names) is dict:
        for name, value in names.items():
            if value is thing:
                return f"attribute {name!r} of {_shown(holder)}"
    if isinstance(holder, list | tuple | set | frozenset | deque):
        return f"a {type_name(type(holder))} of {_count(len(holder), 'item')}"
    return _shown(holder)


def _tell_dict(holder: dict[Any, Any], name: object) -> str:
    module = sys.modules.get(str(holder.get("__name__")))
    if module is not None and vars(module) is holder:
        return f"global {name!r} of {module.__name__}"
    for owner in gc.get_referrers(holder):
        if not _is_passing(owner) and getattr(owner, "__dict__", None) is holder:
            return f"attribute {name!r} of {_shown(owner)}"
    under = "as a key" if name is None else f"under {_shown(name)}"
    return f"a dict of {_count(len(holder), 'item')}, {under}"


def _tell_cell(cell: types.CellType) -> str:
    """Say which variable of which function a cell is."""
    closures = [each for each in gc.get_referrers(cell) if type(each) is tuple]
    for closure in closures:
        for function in gc.get_referrers(closure):
            if isinstance(function, types.FunctionType) and function.__closure__ is closure:
                code = function.__code__
                for name, each in itertools.zip_longest(code.co_freevars, closure):
                    if each is cell:
                        return f"variable {name!r} that {function.__qualname__} closes over"
    return "a variable that a function closes over"
