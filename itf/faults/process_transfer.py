"""Plans sent to processes that the program starts by `multiprocessing`.

A forked process inherits the plans.  A process with a fresh interpreter receives
them in front of the process object, which is the first object that it unpickles
once it can import modules.  As long as a plan is installed, `Process.start` records
which process is being started, and the pickler of `multiprocessing` asks `_reduce`
about each object.  A plan that cannot be sent is left out, so that `start` behaves
as without itf.  The failed transfer is reported to the plan and fails the test at
its end.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import types
from collections.abc import Callable, Generator
from typing import Any, Final

from itf.faults.patched_attribute import PatchedAttribute, active_attributes
from itf.faults.process_start import ProcessStart, starting
from itf.faults.targets import Reference, reference_to
from itf.fork_safety import fork_safe_lock

__all__ = ["can_be_sent", "faults_on", "follow_processes", "stop_following"]

__unittest = True

# Pickled in place of a function that has or had plans. `m` and `p` name the module or
# class, `n` the function, `o` is true for the original without plans. The fallback serves
# processes without itf.
_FUNCTION: Final = """(
    lambda t:
        s.function_of(t, n, o)
        if (s := __import__("sys").modules.get("itf.faults.process_arrival")) else getattr(t, n)
)(__import__("operator").attrgetter(p)(i(m)) if p else i(m))"""

# Pickled in place of a function of an object that has plans: `t` is the object, `n` the
# name.
_METHOD: Final = """(
    __import__("itf.faults.process_arrival", fromlist=["*"]).install_on_object(t, n, own, faults)
    if __import__("importlib.util").util.find_spec("itf") else own[0] if own else getattr(t, n)
)"""


def _reduce(value: Any, pickler: Any) -> Any:
    """Return how multiprocessing's pickler pickles an object; NotImplemented for the default."""
    start = starting.now
    if start is not None and value is start.process:
        return NotImplemented if start.is_helper else start.reduce(pickler)
    for attribute in active_attributes():
        if value is attribute.wrapper:
            return _reduce_wrapper(attribute)
        if value is attribute.original:
            by_name = Reference(str(_text(value, "__module__")), str(_text(value, "__qualname__")))
            return NotImplemented if by_name.leads_to(value) else _reduce_function(attribute, True)
    return NotImplemented


def _text(value: Any, name: str) -> Any:
    return getattr(value, name, None) or "?"


def _reduce_wrapper(attribute: PatchedAttribute) -> Any:
    target = attribute.target
    if isinstance(target, types.ModuleType | type):
        return _reduce_function(attribute, False)
    own = (attribute.own,) if attribute.has_own else ()
    names = {"t": target, "n": attribute.name, "own": own, "faults": _sent_faults(attribute)}
    return (eval, (_METHOD, names))


def _reduce_function(attribute: PatchedAttribute, is_original: bool) -> Any:
    reference = reference_to(attribute.target)
    if reference is None or not attribute.is_function:
        return NotImplemented
    names = {
        "i": importlib.import_module,
        "m": reference.module,
        "p": reference.path,
        "n": attribute.name,
        "o": is_original,
    }
    return (eval, (_FUNCTION, names))


def _sent_faults(attribute: PatchedAttribute) -> list[Any]:
    """Return the plans on an attribute of an object, to be sent with that object."""
    start = starting.now
    if start is None:
        # No process is being started: the sender gets the error of a plan that cannot be pickled.
        return [(attribute.name, applied) for applied in attribute.applied_plans]
    if start.is_helper:
        return []
    return [tuple(fault) for fault in start.faults_of(attribute, None)]


def faults_on(target: Any) -> list[Any]:
    """Return the plans on an object, for `process_arrival.install_faults`."""
    attributes = [attribute for attribute in active_attributes() if attribute.target is target]
    return [fault for attribute in attributes for fault in _sent_faults(attribute)]


def can_be_sent(value: Any) -> bool:
    """Return whether a value can be pickled for the process that is being started."""
    if starting.now is None:
        return True  # not during a start: sending it raises if it cannot be pickled
    from multiprocessing.reduction import ForkingPickler

    try:
        ForkingPickler.dumps(value)
    except Exception:  # noqa: BLE001 - whatever a user's __reduce__ raises
        return False
    return True


class _Hooks:
    """The replacements in multiprocessing while plans are installed; owner of their lock."""

    undo: Callable[[], None] | None = None


_hooks = _Hooks()


def follow_processes() -> None:
    """Send the plans of this process to each process it starts; idempotent."""
    with fork_safe_lock(_hooks):
        if _hooks.undo is None:
            _hooks.undo = _install()


def stop_following() -> None:
    """Undo `follow_processes` if no plan is installed."""
    with fork_safe_lock(_hooks):
        undo = _hooks.undo
        if undo is not None and not active_attributes():
            _hooks.undo = None
            undo()


def _install() -> Callable[[], None]:
    from multiprocessing.process import BaseProcess
    from multiprocessing.reduction import ForkingPickler

    stack = contextlib.ExitStack()
    stack.enter_context(_replaced(BaseProcess, "start", _make_start))
    stack.enter_context(_replaced(ForkingPickler, "reducer_override", _make_reducer))
    return stack.close


@contextlib.contextmanager
def _replaced(owner: type, name: str, wrap: Callable[[Any], Callable[..., Any]]) -> Generator[None]:
    """Replace a method of a class; keep a replacement that other code has made since."""
    before = vars(owner).get(name)
    replacement = wrap(before)
    setattr(owner, name, replacement)
    yield
    if vars(owner).get(name) is not replacement:
        return
    if before is None:
        delattr(owner, name)
    else:
        setattr(owner, name, before)


def _make_reducer(before: Any) -> Callable[..., Any]:
    def reducer_override(self: Any, value: Any) -> Any:
        reduced = _reduce(value, self)
        if reduced is NotImplemented and before is not None:
            return before(self, value)
        return reduced

    return reducer_override


def _make_start(real: Any) -> Callable[..., Any]:
    @functools.wraps(real)
    def start(self: Any) -> Any:
        outer = starting.now
        is_known = outer is not None and outer.process is self
        if is_known or _is_itf_worker(self) or not active_attributes():
            return real(self)
        this = starting.now = ProcessStart(self, sys._getframe(1))
        try:
            result = real(self)
        finally:
            starting.now = outer
        this.report()
        return result

    return start


def _is_itf_worker(process: Any) -> bool:
    """Return whether a process is a worker of itf, which receives plans with its target."""
    return any(base.__module__.partition(".")[0] == "itf" for base in type(process).__mro__)
