"""Install the plans that a process with a fresh interpreter has received."""

from __future__ import annotations

import copy
import pickle
import sys
import types

# Bound at import, so that a fault injected into one of these does not break itf itself.
from os import getpid, write
from typing import Any, Final

from itf.descriptors import receive
from itf.faults.applied_plan import AppliedPlan
from itf.faults.patched_attribute import install, patched_attribute_of
from itf.faults.process_start import SentFault
from itf.faults.process_transfer import follow_processes
from itf.faults.shared_count import encode_line
from itf.faults.targets import Reference
from itf.safe_repr import safe_str

__all__ = ["arrive", "finish", "function_of", "install_faults", "install_on_object"]

__unittest = True

# Errors of imports or of user classes. A failed transfer must not end the process.
_FAILURES: Final = (Exception, SystemExit)


class _Arrival:
    """The plans that came with this process, installed once its object is unpickled.

    Not earlier: a module imported for the object must keep the original functions that
    it imports by ``from``, as it would in a forked process.
    """

    def __init__(self) -> None:
        # Kept open until the end: if unpickling a plan fails, another object may still need its
        # page.
        self.descriptors: list[Any] = []
        self.waiting: list[tuple[Any, SentFault, AppliedPlan]] = []

    def load(self, fault: SentFault) -> None:
        """Find the target of a plan, and unpickle the plan."""
        self.descriptors.append(receive(fault.handle))
        try:
            target = Reference(*fault.target or ()).resolve()
            applied = _unpickle_plan(fault)
        except _FAILURES as error:
            _report(fault, error)
        else:
            self.waiting.append((target, fault, applied))

    def install(self, target: Any = None, name: str = "") -> None:
        """Install the plans on one attribute, or all plans."""
        waiting, self.waiting = self.waiting, []
        for target_of, fault, applied in waiting:
            if name and not (target_of is target and fault.name == name):
                self.waiting.append((target_of, fault, applied))
                continue
            try:
                install(target_of, fault.name, applied)
                _update_main_globals(target_of, fault.name)
            except _FAILURES as error:
                _report(fault, error)


# One for each process object that is being unpickled.
_arrivals: list[_Arrival] = []


def arrive(faults: list[tuple[Any, ...]]) -> None:
    """Receive the plans that were sent to this process."""
    arrival = _Arrival()
    _arrivals.append(arrival)
    follow_processes()
    for fault in faults:
        arrival.load(SentFault(*fault))


def finish() -> None:
    """Install the received plans; called when the process object is unpickled."""
    while _arrivals:
        _arrivals[-1].install()
        _arrivals.pop()


def function_of(target: Any, name: str, is_original: bool) -> Any:
    """Return a function of a module or class, with its plans or the original."""
    if is_original:
        attribute = patched_attribute_of(target, name)
        return getattr(target, name) if attribute is None else attribute.original
    for arrival in _arrivals:
        arrival.install(target, name)
    return getattr(target, name)


def install_on_object(target: Any, name: str, own: tuple[Any, ...], faults: list[Any]) -> Any:
    """Install plans on a function of an object, and return that function.

    Args:
        target: The object; its state may not be restored yet.
        name: The name of the function.
        own: The function in the object's own ``__dict__``, if it has one.
        faults: The plans, from `process_transfer`.
    """
    if own:
        target.__dict__[name] = own[0]
    install_faults(target, faults)
    return getattr(target, name)


def install_faults(target: Any, faults: list[Any]) -> list[AppliedPlan]:
    """Install the plans that were sent with an object, and return them."""
    applied_plans = []
    for fault in faults:
        if len(fault) == len(SentFault._fields):
            sent = SentFault(*fault)
            descriptor = receive(sent.handle)
            for arrival in _arrivals:
                arrival.descriptors.append(descriptor)
            try:
                applied = _unpickle_plan(sent)
                install(target, sent.name, applied)
            except _FAILURES as error:
                _report(sent, error)
                continue
        else:
            # copy.copy() of an object: the plan still belongs to the original.
            name, applied = fault[0], copy.copy(fault[1])
            install(target, name, applied)
        applied_plans.append(applied)
    if applied_plans:
        follow_processes()
    return applied_plans


def _update_main_globals(target: Any, name: str) -> None:
    """Update a script's functions after a function of the script was replaced.

    multiprocessing runs the script again, and its module gets a copy of the globals
    that the functions use.
    """
    if target is not sys.modules.get("__mp_main__"):
        return
    names = vars(target)
    owners = [names, *(vars(value) for value in names.values() if isinstance(value, type))]
    for value in [value for owner in owners for value in owner.values()]:
        if isinstance(value, types.FunctionType) and value.__module__ == "__mp_main__":
            value.__globals__[name] = names[name]


def _unpickle_plan(fault: SentFault) -> AppliedPlan:
    # The pickle comes from the process that started this one, over a private pipe.
    applied: AppliedPlan = pickle.loads(fault.applied)  # noqa: S301
    return applied


def _report(fault: SentFault, error: BaseException) -> None:
    """Report to the process of the test that a plan could not be installed here."""
    reason = f"it fails there with {type(error).__name__}: {safe_str(error)}"
    message = f"{fault.head}{getpid()}{fault.tail}{reason}"
    write(fault.handle.detach(), encode_line(message))
