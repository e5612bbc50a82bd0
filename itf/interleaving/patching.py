"""What of threading, queue and time is taken over for a while, and put back."""

from __future__ import annotations

import queue
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Final

from itf.interleaving import primitives, time_patches
from itf.interleaving.references import references_of, swap_item
from itf.interleaving.tracing import Scope
from itf.lazy_imports import lazy_names, resolve_modules

__all__ = ["Patcher"]

__unittest = True

_REAL_CONDITION: Final = threading.Condition
_REAL_QUEUE: Final = queue.SimpleQueue
_LOCK_TYPES: Final = (type(threading.Lock()), type(threading.RLock()))
_CLOCKS: Final = (
    time.monotonic,
    time.monotonic_ns,
    time.perf_counter,
    time.perf_counter_ns,
    time.time,
    time.time_ns,
)

# Nobody keeps more objects than this around a lock that threads fight for; what
# lies further away is used as it is, and waited for as if it were outside.
_MAX_OBJECTS: Final = 20_000

# Where `concurrent.futures.thread` keeps the lock; a name that is not there is passed over.
_POOLS_LOCK: Final = "_global_shutdown_lock"

# What has nothing in it.
_ATOMS: Final = (
    type(None), bool, int, float, complex, str, bytes, bytearray, range, slice
)  # fmt: skip

_OWN: Final = (primitives.Lock, primitives.SimpleQueue)


def _log_handlers(logging: Any) -> list[Any]:
    """Return all handlers of `logging`; those of loggers, where it keeps no list of all."""
    references = getattr(logging, "_handlerList", None)
    if references is not None:
        return [handler for reference in [*references] if (handler := reference()) is not None]
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return [handler for logger in loggers for handler in getattr(logger, "handlers", ())]


class _OrderedSet(dict[Any, None]):
    """Stands in for a set: one has another order in every run."""

    def add(self, item: Any) -> None:
        self[item] = None


class Patcher:
    """The exchange of the real things for those that stand in for them.

    The functions and classes of `threading`, `queue` and `time` are exchanged
    in their modules and wherever the user's modules have them by a name of
    their own.  Locks, conditions and queues that were made before are exchanged
    where they are kept, from the functions on: in closures, globals, defaults,
    attributes, lists and dicts.

    Args:
        scope: Which modules and classes are the user's.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        pairs: list[tuple[Any, Any]] = [
            (threading.Lock, primitives.Lock),
            (threading.RLock, primitives.RLock),
            (threading.Condition, primitives.Condition),
            (queue.SimpleQueue, primitives.SimpleQueue),
            (time.sleep, time_patches.sleep(scope.has_frame)),
            *((real, time_patches.clock(real, scope.has_frame)) for real in _CLOCKS),
        ]
        self._replacements = {id(real): replacement for real, replacement in pairs}
        self._reals = {id(replacement): real for real, replacement in pairs}
        self._clocks = {id(real) for real in _CLOCKS}

    def patch_modules(self) -> ExitStack:
        """Exchange what modules have, and return what puts it back."""
        # Else these modules would find the exchanged objects when they are first used.
        resolve_modules("itf", "logging", *primitives.BUILT_ON)
        undo = ExitStack()
        undo.callback(self._restore_imported, {*sys.modules}, _lazy_names_of_modules())
        # threading knows the lock of the C level by a private name, too, which is let alone.
        for name in ("Lock", "RLock", "Condition"):
            self._exchange(undo, threading, name)
        self._exchange(undo, queue, "SimpleQueue")
        for name in [*vars(time)]:
            self._exchange(undo, time, name)
        for module in (threading, queue):
            for name, value in [*vars(module).items()]:
                if id(value) in self._clocks:
                    self._exchange(undo, module, name)
        self._exchange_locks(undo)
        for module in [*sys.modules.values()]:
            if isinstance(module, types.ModuleType) and self._scope.has_module(module):
                for name in [*vars(module)]:
                    self._exchange(undo, module, name)
        for name, replacement in (("start", time_patches.start), ("join", time_patches.join)):
            undo.callback(setattr, threading.Thread, name, getattr(threading.Thread, name))
            setattr(threading.Thread, name, replacement)
        return undo

    def _exchange(self, undo: ExitStack, module: types.ModuleType, name: str) -> None:
        real = vars(module)[name]
        replacement = self._replacements.get(id(real))
        if replacement is not None:
            swap_item(vars(module), name, real, replacement)
            undo.callback(swap_item, vars(module), name, replacement, real)

    def _restore_imported(self, known: set[str], lazy: list[tuple[dict[str, Any], str]]) -> None:
        """Put the real objects into names that were imported while they were exchanged.

        Args:
            known: The names of the modules that were loaded before.
            lazy: The names that were lazy imports before, each with its namespace.
        """
        imported = [
            (vars(module), name)
            for module_name, module in [*sys.modules.items()]
            if module_name not in known and isinstance(module, types.ModuleType)
            for name in [*vars(module)]
        ]
        for names, name in [*imported, *lazy]:
            value = names.get(name)
            real = self._reals.get(id(value))
            if real is not None:
                swap_item(names, name, value, real)

    def _exchange_locks(self, undo: ExitStack) -> None:
        """Exchange the locks of the standard library under which the user's code may run."""
        keepers: list[tuple[dict[str, Any], str]] = []
        pools = sys.modules.get("concurrent.futures.thread")
        if pools is not None:
            # Held while a pool starts a thread, which then may be its turn.
            keepers.append((vars(pools), _POOLS_LOCK))
            # What it joins its threads in the order of.
            vars(pools)["set"] = _OrderedSet
            undo.callback(vars(pools).pop, "set", None)
        logging = sys.modules.get("logging")
        if logging is not None:
            # Held while a handler asks the objects of a message for their text.
            keepers += [(vars(handler), "lock") for handler in _log_handlers(logging)]
        for names, name in keepers:
            real = names.get(name)
            replacement = primitives.replacement_for(real, name)
            if replacement is not real:
                swap_item(names, name, real, replacement)
                undo.callback(swap_item, names, name, replacement, real)

    def patch_objects(self, functions: Iterable[Any]) -> ExitStack:
        """Exchange what the functions can reach, and return what puts it back."""
        return _ObjectWalk(self._scope, self._replacements).walk(functions)


def _lazy_names_of_modules() -> list[tuple[dict[str, Any], str]]:
    modules = [m for m in [*sys.modules.values()] if isinstance(m, types.ModuleType)]
    return [(vars(module), name) for module in modules for name in lazy_names(vars(module))]


class _ObjectWalk:
    """One walk over the objects that functions can reach."""

    def __init__(self, scope: Scope, replacements: dict[int, Any]) -> None:
        self._scope = scope
        self._replacements = replacements
        self._undo = ExitStack()
        self._seen: dict[int, Any] = {}
        # One stand-in for each lock, however many hold it; the lock is kept
        # beside it, so that its id stays its own.
        self._locks: dict[int, tuple[Any, Any]] = {}
        self._known: dict[type, bool] = {}

    def walk(self, functions: Iterable[Any]) -> ExitStack:
        """Exchange what is found, and return what puts it back."""
        waiting: deque[Any] = deque(functions)
        while waiting and len(self._seen) < _MAX_OBJECTS:
            found = waiting.popleft()
            if issubclass(type(found), _ATOMS) or id(found) in self._seen:
                continue
            self._seen[id(found)] = found
            for value, name, swap in [*references_of(found, self._is_user_code)]:
                replacement = None if swap is None else self._replacement(value, name)
                if swap is None or replacement is None:
                    waiting.append(value)
                    continue
                swap(value, replacement)
                self._undo.callback(swap, replacement, value)
        return self._undo

    def _replacement(self, value: Any, name: str) -> Any:
        """Return what stands in for a value; None if nothing does."""
        kind = type(value)
        if issubclass(kind, primitives.Lock):
            value.call(name)
        if issubclass(kind, (*_ATOMS, *_OWN)):
            return None
        if kind in _LOCK_TYPES:
            return self._lock(value, name)
        if kind is _REAL_QUEUE:
            return primitives.SimpleQueue(value, name)
        if kind is types.BuiltinMethodType:
            if type(value.__self__) in _LOCK_TYPES:
                # How a condition keeps its lock's methods.
                return getattr(self._lock(value.__self__, name), value.__name__, None)
            return self._replacements.get(id(value))
        if kind is _REAL_CONDITION:
            self._replace_condition(value, name)
        return self._replacements.get(id(value)) if callable(value) else None

    def _lock(self, lock: Any, name: str) -> Any:
        known = self._locks.get(id(lock))
        if known is None:
            known = self._locks[id(lock)] = (lock, primitives.replacement_for(lock, name))
        return known[1]

    def _replace_condition(self, condition: Any, name: str) -> None:
        condition.__class__ = primitives.Condition
        condition._itf_name = f"Condition {name}"

        def restore() -> None:
            condition.__class__ = _REAL_CONDITION
            condition.__dict__.pop("_itf_name", None)
            condition.__dict__.pop("_itf_waiting", None)

        self._undo.callback(restore)

    def _is_user_code(self, found: type | types.ModuleType) -> bool:
        if isinstance(found, types.ModuleType):
            return self._scope.has_module(found)
        known = self._known.get(found)
        if known is None:
            module = sys.modules.get(found.__module__)
            known = module is not None and self._scope.has_module(module)
            self._known[found] = known
        return known
