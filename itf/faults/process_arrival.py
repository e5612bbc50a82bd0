"""The faults of a test, where they arrive: in a process that the program has started."""

from __future__ import annotations

import copy
import pickle
import sys
import types

# By names of our own: a test that has these fail, or counts their calls, means its own.
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

# Whatever an import, or a class of the user, raises; a process does not end because of a fault.
_FAILURES: Final = (Exception, SystemExit)


class _Arrival:
    """The faults that came with this process; they are put in once its object is unpickled.

    Not before: a module that is imported for that keeps the function that it
    imports by ``from``, as it would in a forked process.
    """

    def __init__(self) -> None:
        # Held until the end: the page of a plan that fails to be unpickled
        # may be needed for another object.
        self.descriptors: list[Any] = []
        self.waiting: list[tuple[Any, SentFault, AppliedPlan]] = []

    def load(self, fault: SentFault) -> None:
        """Find the target and unpickle the plan."""
        self.descriptors.append(receive(fault.handle))
        try:
            target = Reference(*fault.target or ()).resolve()
            applied = _unpickle_plan(fault)
        except _FAILURES as error:
            _report(fault, error)
        else:
            self.waiting.append((target, fault, applied))

    def install(self, target: Any = None, name: str = "") -> None:
        """Put in the faults at one place, or all of them."""
        waiting, self.waiting = self.waiting, []
        for target_of, fault, applied in waiting:
            if name and not (target_of is target and fault.name == name):
                self.waiting.append((target_of, fault, applied))
                continue
            try:
                install(target_of, fault.name, applied)
                _put_in_main_globals(target_of, fault.name)
            except _FAILURES as error:
                _report(fault, error)


# Those whose process object is being unpickled.
_arrivals: list[_Arrival] = []


def arrive(faults: list[tuple[Any, ...]]) -> None:
    """Take the faults that were sent to this process."""
    arrival = _Arrival()
    _arrivals.append(arrival)
    follow_processes()
    for fault in faults:
        arrival.load(SentFault(*fault))


def finish() -> None:
    """Put in the faults that have arrived: the process object is unpickled."""
    while _arrivals:
        _arrivals[-1].install()
        _arrivals.pop()


def function_of(target: Any, name: str, is_original: bool) -> Any:
    """Return a function of a module or class, with the faults that it has, or without any."""
    if is_original:
        attribute = patched_attribute_of(target, name)
        return getattr(target, name) if attribute is None else attribute.original
    for arrival in _arrivals:
        arrival.install(target, name)
    return getattr(target, name)


def install_on_object(target: Any, name: str, own: tuple[Any, ...], faults: list[Any]) -> Any:
    """Put faults into a function of an object, and return that.

    Args:
        target: The object; its state may still be missing.
        name: The name of the function.
        own: The function that the object has itself, if it has one.
        faults: What `process_transfer` has sent.
    """
    if own:
        target.__dict__[name] = own[0]
    install_faults(target, faults)
    return getattr(target, name)


def install_faults(target: Any, faults: list[Any]) -> list[AppliedPlan]:
    """Put the faults that were sent with an object into it, and return them."""
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
            # By `copy`, it is still that of another object.
            name, applied = fault[0], copy.copy(fault[1])
            install(target, name, applied)
        applied_plans.append(applied)
    if applied_plans:
        follow_processes()
    return applied_plans


def _put_in_main_globals(target: Any, name: str) -> None:
    """Have the functions of a script find what the script's module has under a name.

    multiprocessing runs the script again, and gives its module a copy of the
    globals that the functions have.
    """
    if target is not sys.modules.get("__mp_main__"):
        return
    names = vars(target)
    owners = [names, *(vars(value) for value in names.values() if isinstance(value, type))]
    for value in [value for owner in owners for value in owner.values()]:
        if isinstance(value, types.FunctionType) and value.__module__ == "__mp_main__":
            value.__globals__[name] = names[name]


def _unpickle_plan(fault: SentFault) -> AppliedPlan:
    # From the process that started this one, over a pipe of its own.
    applied: AppliedPlan = pickle.loads(fault.applied)  # noqa: S301
    return applied


def _report(fault: SentFault, error: BaseException) -> None:
    """Tell the process of the test that this one has not got a fault."""
    reason = f"it fails there with {type(error).__name__}: {safe_str(error)}"
    message = f"{fault.head}{getpid()}{fault.tail}{reason}"
    write(fault.handle.detach(), encode_line(message))
