"""Which types grow when a function is called again and again."""

from __future__ import annotations

import array
import contextlib
import functools
import gc
import inspect
import linecache
import operator
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from types import ModuleType
from typing import Any, Final, NoReturn

from itf.exception_notes import add_note
from itf.gil import warn_without_gil
from itf.leaks.gc_check import collect, heap_is_frozen
from itf.leaks.growth.growth_report import Grown, report
from itf.leaks.probes.names import names
from itf.safe_repr import safe_repr

__all__ = ["assert_no_growth"]

__unittest = True

# Two rounds can grow by chance; in one there is nothing to compare.
_FEWEST_ROUNDS: Final = 2

# What grew in the first series is looked at again, more closely, for so many
# rounds: they have to grow as well.
_ROUNDS_AGAIN: Final = 5

# Where other threads run, each of these rounds is compared with one in which
# they run alone: as long as a call takes, but within these bounds (seconds).
# Each of a few threads gets a turn in the lesser; the greater is waited for
# only where something seems to grow.
_SHORTEST_CONTROL: Final = 0.01
_LONGEST_CONTROL: Final = 0.5

# How much more than other threads grow by themselves a function must let grow.
_ABOVE_CONTROL: Final = 2

_LRU_CACHE: Final[Any] = type(functools.lru_cache(int))

# Their own length: no __len__ of a user's is called.
_CONTAINERS: Final[dict[type, Callable[[Any], int]]] = {
    list: list.__len__,
    dict: dict.__len__,
    set: set.__len__,
    deque: deque.__len__,
    bytearray: bytearray.__len__,
    array.array: array.array.__len__,
    _LRU_CACHE: lambda cache: _LRU_CACHE.cache_info(cache).currsize,
}

# The collector does not track these, or not while they hold nothing that it
# tracks; they are found through what refers to them.
_UNTRACKED: Final = (dict, bytearray, array.array)


def assert_no_growth(
    function: Callable[[], object], rounds: int = 20, *, warmup: int = 5, msg: str | None = None
) -> None:
    """Check that a function leaves no more behind each time it is called.

    It is called ``warmup + rounds`` times, with a collection after each.  A
    type grows if every single round after the warm-up left more of its objects
    than there were before (the rule of CPython's own ``regrtest -R``); so does
    a container that got longer, and the number of memory blocks.  What seems to
    grow is looked at again in a few more rounds (five, or fewer if ``rounds``
    is), in which caches that have a bound, or are Python's own, are emptied, and
    what other threads do by themselves is subtracted.

    What it cannot see: a string, or a buffer inside an object of C (`io.BytesIO`,
    `mmap`), that gets longer; memory that C code takes without Python's
    allocator; what grows less often than every round; and what grows less than
    it is changed by other threads at the same time.

    Args:
        function: Takes no argument.
        rounds: How many calls are compared, at least 2.
        warmup: How many calls come before, which may fill caches.
        msg: Said after the report.

    Raises:
        AssertionError: Something grows; with the types, how many each round, an
            example, and what refers to it.
        TypeError: ``function`` is not callable, or calling it runs nothing
            (it is a coroutine or generator function); a number is not an int.
        ValueError: ``rounds`` is below 2, or ``warmup`` below 0.
        Exception: Whatever the function raises, with the round in a note.

    Example:
        >>> assert_no_growth(lambda: [object() for _ in range(100)])
        >>> class Request: ...
        >>> seen = []
        >>> assert_no_growth(lambda: seen.append(Request()))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        AssertionError: 1 type and 1 container grew in each of 25 rounds ...

    Thread safety: one call at a time; another at the same time may hide what grows.
    """
    warn_without_gil()
    _check_function(function)
    rounds, warmup = _number("rounds", rounds, _FEWEST_ROUNDS), _number("warmup", warmup, 0)
    caller = _Caller(function, rounds, warmup)
    again = min(rounds, _ROUNDS_AGAIN)
    with _whole_heap():
        for _ in range(warmup):
            caller.call()
        suspects = _first_series(caller, rounds)
        if not suspects:
            return
        grown = _second_series(caller, suspects, again)
        # Nothing of ours is to be among what refers to what grew.
        del suspects
        if not grown:
            return
        text = report(grown, f"each of {rounds + again} rounds after {warmup} of warm-up")
    raise AssertionError(text if msg is None else f"{text}\n{msg}")


class _Caller:
    """Calls the function, and knows how often and how long."""

    def __init__(self, function: Callable[[], object], rounds: int, warmup: int) -> None:
        self.function = function
        self.rounds = rounds
        self.warmup = warmup
        self.calls = 0
        self.longest = 0.0

    def call(self) -> None:
        self.calls += 1
        start = time.perf_counter()
        try:
            result = self.function()
        except BaseException as error:
            add_note(error, f"in {self._round()} of assert_no_growth")
            raise
        self.longest = max(self.longest, time.perf_counter() - start)
        if inspect.iscoroutine(result):
            result.close()
            _refuse(self.function, "returned a coroutine, which nobody ran")

    def _round(self) -> str:
        after = self.calls - self.warmup
        if after <= 0:
            return f"round {self.calls} of {self.warmup} of the warm-up"
        if after <= self.rounds:
            return f"round {after} of {self.rounds}"
        return f"round {after - self.rounds} after the {self.rounds} that grew"


class _Suspects:
    """What grew in the first series, and the caches that did."""

    def __init__(self, kinds: Iterable[type], blocks: bool, lengths: dict[int, int], rounds: int):
        self.kinds = tuple(kinds)
        self.blocks = blocks
        self.containers: list[Any] = []
        self.caches: list[Any] = []
        for thing, length in _containers():
            if thing is lengths:
                continue  # filled by assert_no_growth itself; since 3.14 every dict is tracked
            more = length - lengths.get(id(thing), length)
            if type(thing) is _LRU_CACHE:
                if more > 0 and _LRU_CACHE.cache_info(thing).maxsize is not None:
                    self.caches.append(thing)
            elif more >= rounds:
                self.containers.append(thing)

    def __bool__(self) -> bool:
        return bool(self.kinds or self.containers or self.blocks)


def _first_series(caller: _Caller, rounds: int) -> _Suspects:
    """Run the rounds on a frozen heap, where a collection costs next to nothing."""
    kinds: dict[type, int] | None = None
    # In an array, where a number is no object that would be counted with the next.
    blocks = array.array("q", [0])
    blocks_grow = True
    collect()
    lengths = {id(thing): length for thing, length in _containers()}
    gc.freeze()
    try:
        before = Counter(map(type, gc.get_objects()))
        for _ in range(rounds):
            blocks[0] = _blocks()
            caller.call()
            blocks[0] = _blocks() - blocks[0]
            blocks_grow = blocks_grow and blocks[0] > 0
            now = Counter(map(type, gc.get_objects()))
            kinds = {
                kind: count
                for kind, count in now.items()
                if count > before[kind] and (kinds is None or kind in kinds)
            }
            before = now
    finally:
        gc.unfreeze()
    return _Suspects(kinds or (), blocks_grow, lengths, rounds)


def _second_series(caller: _Caller, suspects: _Suspects, rounds: int) -> list[Grown]:
    """Run more rounds, on the whole heap, and return what of the suspects really grows."""
    # What the calls added, round by round, and other threads between them; as
    # in the first series, nothing that is counted may be kept.
    none = array.array("q")
    called, alone = [none] * rounds, [none] * rounds
    threads = len(sys._current_frames()) > 1
    registries = _warning_registries()
    known: set[int] = set()
    for number in range(rounds):
        if threads:
            pause = min(max(caller.longest, _SHORTEST_CONTROL), _LONGEST_CONTROL)
            alone[number] = _added(suspects, registries, time.sleep, pause)
        if number == rounds - 1:
            known = {id(thing) for thing in gc.get_objects() if type(thing) in suspects.kinds}
        called[number] = _added(suspects, registries, caller.call)
    columns = list(zip(*called, strict=True))
    controls = list(zip(*alone, strict=True)) if threads else [()] * len(columns)
    grows = [_grows(*both) for both in zip(columns, controls, strict=True)]
    places = iter(zip(columns, grows, strict=True))
    grown: list[Grown] = []
    for kind, (steps, does) in zip(suspects.kinds, places, strict=False):
        if does:
            grown.append(Grown(steps, _newest(kind, known), kind))
    for thing, (steps, does) in zip(suspects.containers, places, strict=False):
        if does:
            grown.append(Grown(steps, thing, length=_length(thing)))
    if not grown and suspects.blocks and grows[-1]:
        grown.append(Grown(columns[-1], None))
    return grown


def _added(
    suspects: _Suspects,
    registries: list[tuple[dict[Any, Any], set[Any]]],
    function: Callable[..., object],
    *args: object,
) -> array.array[int]:
    """Call a function, and return how much it adds to each kind, each container, and blocks."""
    # Who walks the stack has Python make a frame object of this call, which lasts
    # as long as the call does: it is made now.
    sys._getframe()
    added = array.array("q", bytes(8 * (len(suspects.kinds) + len(suspects.containers) + 1)))
    _settle(suspects, registries)
    added[-1] = _blocks()
    _count(suspects, added, -1)
    function(*args)
    _settle(suspects, registries)
    added[-1] = _blocks() - added[-1]
    _count(suspects, added, 1)
    return added


def _count(suspects: _Suspects, counts: array.array[int], sign: int) -> None:
    """Add or subtract how many there are of each kind, and how long each container is."""
    kinds = Counter(map(type, gc.get_objects()))
    now = [*(kinds[kind] for kind in suspects.kinds), *map(_length, suspects.containers)]
    for place, count in enumerate(now):
        counts[place] += sign * count


def _blocks() -> int:
    """Return the number of memory blocks in use, without those in free lists."""
    collect()
    return sys.getallocatedblocks()


def _grows(called: tuple[int, ...], alone: tuple[int, ...]) -> bool:
    """Say whether every round grew, and not because other threads make it grow anyway."""
    return min(called) >= 1 and min(called) > _ABOVE_CONTROL * max(alone, default=0)


def _newest(kind: type, known: set[int]) -> Any:
    """Return an object of a kind that was not there before the last round, if there is one."""
    things = [thing for thing in gc.get_objects() if type(thing) is kind]
    new = [thing for thing in things if id(thing) not in known]
    return (new or things or [None])[-1]


def _settle(suspects: _Suspects, registries: list[tuple[dict[Any, Any], set[Any]]]) -> None:
    """Empty what fills once and no more: caches with a bound, and Python's own."""
    for cache in suspects.caches:
        _LRU_CACHE.cache_clear(cache)
    names.forget_gone()
    re.purge()
    linecache.clearcache()
    _clear_lookups()
    for registry, keys in registries:
        for key in registry.keys() - keys:
            registry.pop(key, None)


def _clear_lookups() -> None:
    """Empty the interpreter's cache of attributes looked up on types.

    It keeps some thousands of names, such as those that ``getattr(thing, "x" +
    name)`` makes anew each time.  Both functions are documented, for those who
    hunt leaks; where neither is there, the cache is left as it is.
    """
    for name in ("_clear_internal_caches", "_clear_type_cache"):
        if clear := getattr(sys, name, None):
            clear()
            return


def _warning_registries() -> list[tuple[dict[Any, Any], set[Any]]]:
    """Return what each module notes of warnings shown, and what is noted by now."""
    found = []
    for module in list(sys.modules.values()):
        registry = getattr(module, "__dict__", {}).get("__warningregistry__")
        if type(registry) is dict:
            found.append((registry, set(registry)))
    return found


def _containers() -> Generator[tuple[Any, int]]:
    """Walk all containers of Python's that can be reached, each with its length."""
    things = gc.get_objects()
    # Not kept from call to call: a class that nobody uses any more is to go.
    functions: dict[type, Callable[[Any], int] | None] = {}
    for thing in things:
        kind = type(thing)
        if kind not in functions:
            functions[kind] = _length_function(kind)
        if function := functions[kind]:
            yield thing, function(thing)
    # Not of modules, whose dicts are among the things anyway: before 3.12.6 and
    # 3.13.0, that of `_asyncio` shows memory that it has freed (gh-122695).
    holders = [thing for thing in things if type(thing) is not ModuleType]
    seen = set()
    for thing in gc.get_referents(*holders):
        if type(thing) in _UNTRACKED and not gc.is_tracked(thing) and id(thing) not in seen:
            seen.add(id(thing))
            yield thing, _length(thing)


def _length(thing: Any) -> int:
    function = _length_function(type(thing))
    return function(thing) if function else 0


def _length_function(kind: type) -> Callable[[Any], int] | None:
    for base in kind.__mro__:
        if base in _CONTAINERS:
            return _CONTAINERS[base]
    return None


@contextlib.contextmanager
def _whole_heap() -> Generator[None]:
    """Let go what the user had frozen, and freeze it again at the end, with all that is alive."""
    user_froze = heap_is_frozen()
    if user_froze:
        gc.unfreeze()
    try:
        yield
    finally:
        if user_froze:
            collect()
            gc.freeze()


def _check_function(function: Callable[[], object]) -> None:
    if not callable(function):
        raise TypeError(
            f"assert_no_growth needs a function to call, not {safe_repr(function)}; "
            "pass the function itself, or lambda: f(x)"
        )
    for code in (function, getattr(function, "__call__", None)):  # noqa: B004 - its code is looked at
        if inspect.iscoroutinefunction(code):
            _refuse(function, "is a coroutine function: calling it runs nothing")
        if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
            _refuse(function, "is a generator function: calling it runs nothing")


def _refuse(function: Callable[[], object], what: str) -> NoReturn:
    name = getattr(function, "__qualname__", None) or safe_repr(function)
    raise TypeError(
        f"{name} {what}; pass a function that runs it, such as lambda: asyncio.run(f()) "
        "or lambda: list(f())"
    )


def _number(name: str, value: object, least: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} is a number of calls, not {safe_repr(value)}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number
