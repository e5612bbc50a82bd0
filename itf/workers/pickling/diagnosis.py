"""Diagnosis of pickling errors: which value cannot be sent, where it is used, what to do."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from itf.exceptions import WorkerPicklingError
from itf.safe_repr import safe_repr, safe_str
from itf.workers.pickling.identity import IdentityMap, module_and_name
from itf.workers.pickling.used_globals import is_importable, resolved, used_globals

__all__ = ["Place", "Refusal", "advice_for", "find_unpicklable", "place_of_function"]

__unittest = True

# Advice by type, for objects that belong to one process.  Types are named by module and
# name, so that this list imports nothing.  A socket could be sent, but then two processes
# would read from one stream.
_ADVICE: Final = {
    "_thread.lock": "share env.create_shared_lock(name) instead",
    "_thread.RLock": "share env.create_shared_lock(name) instead",
    "threading._RLock": "share env.create_shared_lock(name) instead",
    "threading.Condition": "share env.create_shared_lock(name) or env.create_event(name) instead",
    "threading.Semaphore": "share env.create_semaphore(name, value) instead",
    "threading.Event": "share env.create_event(name) instead",
    "threading.Barrier": "share env.create_barrier(name, parties) instead",
    "threading.Thread": "a thread stays in its process; start it there",
    "_thread._local": "make it there",
    "queue.Queue": "share env.create_queue(name) instead",
    "_queue.SimpleQueue": "share env.create_queue(name) instead",
    "_io._IOBase": "pass its path and open it there",
    "tempfile._TemporaryFileWrapper": "pass its path and open it there",
    "mmap.mmap": "share env.create_shared_memory(name, size) instead",
    "socket.socket": "pass its address and connect there",
    "ssl.SSLSocket": "pass its address and connect there",
    "sqlite3.Connection": "pass the path of the database and connect there",
    "types.GeneratorType": "pass what makes it, or a list of its items",
    "types.CoroutineType": "pass the function, and run it there",
    "types.AsyncGeneratorType": "pass the function, and run it there",
    "types.FrameType": "pass what you need of it as text",
    "types.TracebackType": "pass what you need of it as text",
    "multiprocessing.process.BaseProcess": "share a queue or an event with it instead",
    "multiprocessing.pool.Pool": "make it there",
    "subprocess.Popen": "pass its pid",
    "concurrent.futures._base.Executor": "make it there",
    "concurrent.futures._base.Future": "pass its result",
    "asyncio.events.AbstractEventLoop": "run one there",
    "asyncio.futures.Future": "pass its result",
    "_contextvars.Context": "set the variables there",
    "builtins.memoryview": "pass bytes of it",
}

_FORK_ADVICE: Final = (
    "it was made for forked processes; use the environment's own, or make it "
    'with multiprocessing.get_context("spawn")'
)

# Levels of nesting that are searched.  A user would not recognize the name of a deeper value.
_MAX_DEPTH: Final = 12


class Place(NamedTuple):
    """A value with its name, and a text that says what holds it."""

    name: str
    value: Any
    holder: str


class Refusal(Exception):  # noqa: N818 - it never leaves the pickler
    """Raised inside the pickler for a value that must not be sent to another process."""

    def __init__(self, value: Any) -> None:
        super().__init__(f"a {type(value).__qualname__} belongs to one process")
        self.value = value


def advice_for(kind: type) -> str | None:
    """Return what to do instead of sending a value of this type; None if it may be sent."""
    known = _known.get(kind)
    if known is None:
        known = (_find_advice(kind),)
        _known.set(kind, known)
    return known[0]


def _find_advice(kind: type) -> str | None:
    for base in kind.__mro__:
        module, name = module_and_name(base)
        advice = _ADVICE.get(f"{module}.{name}")
        if advice is None and module == "builtins":
            public = next((n for n in _TYPES if getattr(types, n) is base), "")
            advice = _ADVICE.get(f"types.{public}")
        if advice is not None:
            return advice
    return None


# Cache of `advice_for`, which is called for every pickled object.
_known: IdentityMap[tuple[str | None]] = IdentityMap()

_TYPES: Final = [name.partition(".")[2] for name in _ADVICE if name.startswith("types.")]


def find_unpicklable(
    worker: str,
    places: Iterable[Place],
    error: Exception,
    pickles: Callable[[Any], Exception | None],
    where: str = "to a new process",
) -> WorkerPicklingError:
    """Return the error that names the value which cannot be pickled.

    Args:
        worker: The worker's name.
        places: The values that were to be sent.
        error: The error that pickling all of them raised.
        pickles: Function that returns the error of pickling one value, or None.
        where: The destination, for the message.
    """
    culprit: Place | None = None
    seen: set[int] = set()
    for _ in range(_MAX_DEPTH):
        for place in places:
            if id(place.value) in seen:
                continue
            seen.add(id(place.value))
            failure = pickles(place.value)
            if failure is not None:
                culprit, error = place, failure
                break
        else:
            break
        places = _inside(culprit)
    if culprit is None:
        return WorkerPicklingError(
            f"cannot send what worker {worker!r} needs {where}: {_reason(error)}", worker
        )
    kind = type(culprit.value)
    module, name = module_and_name(kind)
    what = name if module in (None, "builtins") else f"{module}.{name}"
    return WorkerPicklingError(
        f"cannot send {culprit.name!r} ({what}), {culprit.holder}, {where}; {_advice(kind, error)}",
        worker,
        culprit.name,
    )


def _advice(kind: type, error: Exception) -> str:
    advice = advice_for(kind)
    if advice is not None:
        return advice
    if "fork context" in str(error):
        return _FORK_ADVICE
    return f"{_reason(error)}; make it there, or pass what it is made of"


def _reason(error: Exception) -> str:
    return safe_str(error) or f"it raised {type(error).__qualname__}"


def _inside(place: Place) -> Iterator[Place]:
    """Yield the parts of a value that a user has names for."""
    name, value, holder = place
    # The user has no names for the parts of multiprocessing's and itf's own objects.
    owner = (module_and_name(type(value))[0] or "").partition(".")[0]
    if advice_for(type(value)) is not None or owner in ("multiprocessing", "itf"):
        return
    match value:
        case types.FunctionType():
            yield from _inside_function(value)
        case types.MethodType():
            bound = f"to which {value.__qualname__} is bound"
            yield Place(_self_name(value), value.__self__, bound)
            yield Place(name, value.__func__, holder)
        case functools.partial():
            yield Place(name, value.func, holder)
            yield Place(f"{name}.args", value.args, holder)
            yield Place(f"{name}.keywords", value.keywords, holder)
        case dict():
            for key, item in list(value.items()):
                yield Place(f"{name}[{safe_repr(key)}]", item, holder)
                yield Place(f"a key of {name}", key, holder)
        case list() | tuple() | set() | frozenset():
            for position, item in enumerate(list(value)):
                yield Place(f"{name}[{position}]", item, holder)
        case type():
            yield from _inside_class(value, holder)
        case _:
            yield Place(type(value).__qualname__, type(value), holder)
            for key, item in list(getattr(value, "__dict__", {}).items()):
                yield Place(f"{name}.{key}", item, holder)


def _inside_class(kind: type, holder: str) -> Iterator[Place]:
    if not is_importable(kind):
        for key, item in list(vars(kind).items()):
            yield Place(f"{kind.__qualname__}.{key}", getattr(item, "__func__", item), holder)


def place_of_function(function: Any) -> str:
    """Return the name and location of a function, as ``name at file:line``."""
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    name = getattr(function, "__name__", None) or safe_repr(function)
    if code is None:
        return str(name)
    file = code.co_filename
    if not file.startswith("<"):
        file = os.path.basename(file)
    return f"{name} at {file}:{code.co_firstlineno}"


def _inside_function(function: types.FunctionType) -> Iterator[Place]:
    code = function.__code__
    where = place_of_function(function)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        yield Place(name, content, f"captured by {where}")
    defaults = function.__defaults__ or ()
    first = code.co_argcount - len(defaults)
    for position, value in enumerate(defaults):
        yield Place(code.co_varnames[first + position], value, f"a default of {where}")
    for name, value in (function.__kwdefaults__ or {}).items():
        yield Place(name, value, f"a default of {where}")
    for name in sorted(used_globals(code)):
        if name in function.__globals__:
            yield Place(name, resolved(function.__globals__[name]), f"a global used by {where}")
    for name, value in function.__dict__.items():
        yield Place(f"{function.__name__}.{name}", value, f"an attribute of {where}")


def _self_name(method: types.MethodType) -> str:
    code = getattr(method.__func__, "__code__", None)
    return code.co_varnames[0] if code is not None and code.co_argcount else "self"
