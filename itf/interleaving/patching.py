"""Replace names of threading, queue and time, and locks in objects, and restore them."""

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

from itf._private import logging_handlers, pool_shutdown_locks
from itf.interleaving import primitives, time_patches
from itf.interleaving.condition import Condition
from itf.interleaving.references import references_of, swap_item
from itf.interleaving.simple_queue import SimpleQueue
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

# Most objects of one walk, to bound its time.  A lock beyond this limit stays real; a thread
# that blocks on it counts as blocked outside.
_MAX_OBJECTS: Final = 20_000

# Types whose instances hold no references to follow.
_ATOMS: Final = (
    type(None), bool, int, float, complex, str, bytes, bytearray, range, slice
)  # fmt: skip

_OWN: Final = (primitives.Lock, SimpleQueue)


class _OrderedSet(dict[Any, None]):
    """Replacement for a set: the order of a set of threads differs between runs."""

    def add(self, item: Any) -> None:
        self[item] = None


class Patcher:
    """Replaces locks, queues and clocks, and restores them.

    Functions and classes of `threading`, `queue` and `time` are replaced in their modules,
    and in modules of the user that imported them by name.  Locks, conditions and
    queues that exist already are replaced where the functions of the run can reach
    them: in closures, globals, defaults, attributes, lists and dicts.

    Args:
        scope: Decides which modules and classes are user code.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        pairs: list[tuple[Any, Any]] = [
            (threading.Lock, primitives.Lock),
            (threading.RLock, primitives.RLock),
            (threading.Condition, Condition),
            (queue.SimpleQueue, SimpleQueue),
            (time.sleep, time_patches.sleep(scope.has_frame)),
            *((real, time_patches.clock(real, scope.has_frame)) for real in _CLOCKS),
        ]
        self._replacements = {id(real): replacement for real, replacement in pairs}
        self._reals = {id(replacement): real for real, replacement in pairs}
        self._clocks = {id(real) for real in _CLOCKS}

    def patch_modules(self) -> ExitStack:
        """Replace the names in modules; return a stack that restores them."""
        # A lazy import that is resolved during a run would get the replacements.
        resolve_modules("itf", "logging", *primitives.BUILT_ON)
        undo = ExitStack()
        undo.callback(self._restore_imported, {*sys.modules}, _lazy_names_of_modules())
        # Only the public names: threading's own private names for the C locks stay real.
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
        """Restore the real objects in names that were imported during the patch.

        Args:
            known: Names of the modules that were loaded before the patch.
            lazy: Names that were lazy imports before the patch, each with its namespace.
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
        """Replace locks that the standard library holds while it calls user code."""
        lock_names: list[tuple[dict[str, Any], str]] = []
        pools = sys.modules.get("concurrent.futures.thread")
        if pools is not None:
            # A pool holds this lock while it starts a thread, which may get the turn at once.
            lock_names += pool_shutdown_locks(pools)
            # A pool iterates over a set of its threads to join them.
            vars(pools)["set"] = _OrderedSet
            undo.callback(vars(pools).pop, "set", None)
        logging = sys.modules.get("logging")
        if logging is not None:
            # A handler holds its lock while it calls __str__ of the arguments of a message.
            lock_names += [(vars(handler), "lock") for handler in logging_handlers(logging)]
        for names, name in lock_names:
            real = names.get(name)
            replacement = primitives.replacement_for(real, name)
            if replacement is not real:
                swap_item(names, name, real, replacement)
                undo.callback(swap_item, names, name, replacement, real)

    def patch_objects(self, functions: Iterable[Any]) -> ExitStack:
        """Replace locks that the functions can reach; return a stack that restores them."""
        return _ObjectWalk(self._scope, self._replacements).walk(functions)


def _lazy_names_of_modules() -> list[tuple[dict[str, Any], str]]:
    modules = [m for m in [*sys.modules.values()] if isinstance(m, types.ModuleType)]
    return [(vars(module), name) for module in modules for name in lazy_names(vars(module))]


class _ObjectWalk:
    """One breadth-first walk over the objects that functions can reach."""

    def __init__(self, scope: Scope, replacements: dict[int, Any]) -> None:
        self._scope = scope
        self._replacements = replacements
        self._undo = ExitStack()
        self._seen: dict[int, Any] = {}
        # One replacement for each lock, also if several objects refer to the lock.  The lock
        # is stored with it, so that no new object gets the same id.
        self._locks: dict[int, tuple[Any, Any]] = {}
        self._known: dict[type, bool] = {}

    def walk(self, functions: Iterable[Any]) -> ExitStack:
        """Replace the locks that are found; return a stack that restores them."""
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
        """Return the replacement for a value; None if there is none."""
        kind = type(value)
        if issubclass(kind, primitives.Lock):
            value.add_name(name)
        if issubclass(kind, (*_ATOMS, *_OWN)):
            return None
        if kind in _LOCK_TYPES:
            return self._lock(value, name)
        if kind is _REAL_QUEUE:
            return SimpleQueue(value, name)
        if kind is types.BuiltinMethodType:
            if type(value.__self__) in _LOCK_TYPES:
                # A condition stores the bound methods of its lock as attributes.
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
        condition.__class__ = Condition
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
