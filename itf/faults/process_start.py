"""One start of a process by `multiprocessing`, and the faults that go with it."""

from __future__ import annotations

import os
import pickle
import threading
import types
from types import FrameType
from typing import Any, Final, NamedTuple

from itf.descriptors import handle_for_child
from itf.exceptions import ItfError
from itf.faults.applied_plan import AppliedPlan
from itf.faults.base_plan import BasePlan
from itf.faults.patched_attribute import PatchedAttribute, active_attributes, disable_all
from itf.faults.targets import Reference, reference_to
from itf.safe_repr import safe_repr, safe_str
from itf.tracebacks import module_of

__all__ = ["ProcessStart", "SentFault", "starting"]

__unittest = True

# By whom a process is started in somebody else's name.
_SKIPPED_PACKAGES: Final = ("itf", "multiprocessing", "concurrent", "threading")

# multiprocessing passes 256 descriptors at most, and the program has some of its own.
_MAX_PLANS: Final = 100

# Runs in the new process, where itf may be missing: `faults` is a list of SentFault.
_ARRIVE: Final = """
try:
    from itf.faults.process_arrival import arrive
    arrive(faults)
except (Exception, SystemExit) as error:
    import os
    reason = " ".join(f"itf does not work there: {type(error).__name__}: {error}".split())
    for handle, head, tail, *_ in faults:
        line = f"\\n{head}{os.getpid()}{tail}{reason}\\n"
        os.write(handle.detach(), line.encode(errors="backslashreplace"))
"""

# Its value is the process; by then the modules are imported that have to do with its target.
_PROCESS: Final = """(
    process,
    (s := __import__("sys").modules.get("itf.faults.process_arrival")) and s.finish(),
)[0]"""


class SentFault(NamedTuple):
    """A plan at one place, on its way to another process.

    Attributes:
        handle: Brings the descriptor of the plan's page.
        head: How a message to the page begins, up to the id of the process.
        tail: How it goes on after that, up to the reason.
        target: The name of the module, class or global object, None if the
            receiver knows the target.
        name: The name of the function.
        applied: The plan there, pickled.
    """

    handle: Any
    head: str
    tail: str
    target: tuple[str, ...] | None
    name: str
    applied: bytes


class ProcessStart:
    """One call of `Process.start`.

    Attributes:
        process: The process.
        is_helper: Whether it serves multiprocessing itself, and gets no faults.
        was_forked: Whether it was forked, so that it has all faults.
    """

    def __init__(self, process: Any, caller: FrameType) -> None:
        self.process = process
        self.is_helper = module_of(caller) == "multiprocessing.managers"
        self.was_forked = False
        self._was_sent = False
        self._process_only = _ProcessOnly()
        self._where = _start_location(caller)
        self._lost: list[tuple[BasePlan, str, str]] = []
        self._being_pickled: list[AppliedPlan] = []
        self._count = 0

    def reduce(self, pickler: Any) -> Any:
        """Say how the process is pickled: after its faults, which are put in after it."""
        if self._was_sent:
            # It is among its own arguments: there it is what is being unpickled.
            return (eval, ("process", {"process": self._process_only}))
        reduce = pickler.dispatch_table.get(type(self.process))
        made = (
            reduce(self.process) if reduce else self.process.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        )
        if not isinstance(made, tuple):
            return made
        self._was_sent = True
        faults = [fault for attribute in active_attributes() for fault in self._by_name(attribute)]
        function, arguments, *rest = made
        # Pickle has a rule for objects that are made by `copyreg.__newobj__`: not these.
        call = (eval, ("function(*arguments)", {"function": function, "arguments": arguments}))
        self._process_only.made = (*call, *rest)
        # In this order they are pickled, and unpickled.
        return (
            eval,
            (_PROCESS, {"faults": _RunOnUnpickling(faults), "process": self._process_only}),
        )

    def _by_name(self, attribute: PatchedAttribute) -> list[SentFault]:
        """Return the plans of a attribute that the process finds by its name."""
        target = attribute.target
        try:
            reference = reference_to(target)
        except Exception as error:  # noqa: BLE001 - a module may be any object
            for applied in attribute.applied_plans:
                reason = f"{type(error).__name__}: {safe_str(error)}"
                self._record_failed_transfer(
                    applied, f"{safe_repr(target)} was looked for in all modules ({reason})"
                )
            return []
        if reference is not None:
            return self.faults_of(attribute, reference)
        if isinstance(target, types.ModuleType | type):
            for applied in attribute.applied_plans:
                self._record_failed_transfer(
                    applied,
                    f"no module has {safe_repr(target)} under its name, so that another process "
                    "cannot find it; define it at the top level of a module",
                )
        return []  # an object takes its faults along where it is pickled

    def faults_of(
        self, attribute: PatchedAttribute, reference: Reference | None
    ) -> list[SentFault]:
        """Return the plans of a attribute, to be sent."""
        sent = (self._fault(attribute, applied, reference) for applied in attribute.applied_plans)
        return [fault for fault in sent if fault is not None]

    def _fault(
        self, attribute: PatchedAttribute, applied: AppliedPlan, reference: Reference | None
    ) -> SentFault | None:
        from multiprocessing.reduction import ForkingPickler

        if applied in self._being_pickled:
            self._record_failed_transfer(applied, "it returns or raises the object that it is in")
            return None
        if self._count >= _MAX_PLANS:
            self._record_failed_transfer(applied, f"a process can be given {_MAX_PLANS} plans")
            return None
        try:
            number = applied.plan.share().number
        except (OSError, ItfError) as error:
            self._record_failed_transfer(applied, f"its count cannot be shared ({safe_str(error)})")
            return None
        self._being_pickled.append(applied)
        try:
            handle = handle_for_child(number)
            pickled = bytes(ForkingPickler.dumps(applied))
        except Exception as error:  # noqa: BLE001 - whatever a user's __reduce__ raises
            self._record_failed_transfer(
                applied,
                f"it cannot be pickled ({type(error).__name__}: {safe_str(error)}); what it raises "
                "or returns must be defined at the top level of a module",
            )
            return None
        finally:
            self._being_pickled.pop()
        self._count += 1
        head, tail = self._message(applied)
        target = None if reference is None else tuple(reference)
        return SentFault(handle, head, tail, target, attribute.name, pickled)

    def _message(self, applied: AppliedPlan) -> tuple[str, str]:
        return (
            f"{applied.plan} on {applied.label} could not follow process "
            f"{self.process.name!r} (pid ",
            f") started at {self._where}: ",
        )

    def _record_failed_transfer(self, applied: AppliedPlan, reason: str) -> None:
        head, tail = self._message(applied)
        # For one reason: others that come later come of it.
        if not any(plan is applied.plan and said == head for plan, said, _ in self._lost):
            self._lost.append((applied.plan, head, f"{tail}{reason}"))

    def report(self) -> None:
        """Report, now that the process runs, which plans it has not got."""
        if self.is_helper or self.was_forked:
            return
        if not self._was_sent:
            for attribute in active_attributes():
                for applied in attribute.applied_plans:
                    self._record_failed_transfer(
                        applied,
                        f"{type(self.process).__qualname__} does not start by fork, and not with "
                        "the pickler of multiprocessing; inject the fault in the process itself",
                    )
        for plan, head, tail in self._lost:
            plan.report_failed_transfer(f"{head}{self.process.pid}{tail}")


class _ProcessOnly:
    """Stands for a process without the faults that come before it."""

    made: Any = None

    def __reduce__(self) -> Any:
        return self.made


class _RunOnUnpickling:
    """Executed where it is unpickled."""

    def __init__(self, faults: list[SentFault]) -> None:
        self._faults = faults

    def __reduce__(self) -> tuple[Any, ...]:
        # Plain tuples: nothing needs itf but what is in the code.
        return (exec, (_ARRIVE, {"faults": [tuple(fault) for fault in self._faults]}))


class _Starting(threading.local):
    """The start that this thread is in."""

    now: ProcessStart | None = None


starting = _Starting()


def _start_location(caller: FrameType) -> str:
    """Return ``file:line`` of the code that starts a process, without multiprocessing's."""
    frame: FrameType | None = caller
    while frame is not None and module_of(frame).partition(".")[0] in _SKIPPED_PACKAGES:
        frame = frame.f_back
    # In a thread of a pool there is no other code.
    frame = frame or caller
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _after_fork_in_child() -> None:
    start, starting.now = starting.now, None
    if start is not None and start.is_helper:
        disable_all()


def _after_fork_in_parent() -> None:
    if starting.now is not None:
        starting.now.was_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child, after_in_parent=_after_fork_in_parent)
