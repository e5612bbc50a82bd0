"""One start of a process by `multiprocessing`: pickle the installed plans with the process."""

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

# Packages that start processes on behalf of user code; their frames are skipped.
_SKIPPED_PACKAGES: Final = ("itf", "multiprocessing", "concurrent", "threading")

# Plans for one process. multiprocessing passes at most 256 descriptors, and the program
# needs some.
_MAX_PLANS: Final = 100

# Runs in the new process, where itf may be missing, so errors are reported without itf.
# `faults` is a list of SentFault.
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

# Evaluates to the process. By then the modules of its target are imported.
_PROCESS: Final = """(
    process,
    (s := __import__("sys").modules.get("itf.faults.process_arrival")) and s.finish(),
)[0]"""


class SentFault(NamedTuple):
    """A plan on one attribute, on its way to another process.

    Attributes:
        handle: Transfers the descriptor of the plan's page.
        head: The text of a failure message, before the id of the process.
        tail: The text after the id and before the reason.
        target: The name of the module, class or global object; None if the receiver
            has the target already.
        name: The name of the attribute.
        applied: The AppliedPlan, pickled.
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
        is_helper: Whether the process serves multiprocessing itself; it gets no plans.
        was_forked: Whether the process was forked and so inherited the plans.
    """

    def __init__(self, process: Any, caller: FrameType) -> None:
        self.process = process
        self.is_helper = module_of(caller) == "multiprocessing.managers"
        self.was_forked = False
        self._was_sent = False
        self._process_only = _ProcessOnly()
        self._started_at = _start_location(caller)
        self._failed_transfers: list[tuple[BasePlan, str, str]] = []
        self._being_pickled: list[AppliedPlan] = []
        self._count = 0

    def reduce(self, pickler: Any) -> Any:
        """Return how to pickle the process: after its plans, which are installed after it."""
        if self._was_sent:
            # The process is among its own arguments: refer to the object that is being unpickled.
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
        # Pickle requires a fixed form of `copyreg.__newobj__` results, so this call is expressed
        # by eval.
        call = (eval, ("function(*arguments)", {"function": function, "arguments": arguments}))
        self._process_only.made = (*call, *rest)
        # The faults come first, so that the new process has them when it unpickles the
        # process object; it installs them right after that object.
        return (
            eval,
            (_PROCESS, {"faults": _RunOnUnpickling(faults), "process": self._process_only}),
        )

    def _by_name(self, attribute: PatchedAttribute) -> list[SentFault]:
        """Return the plans on an attribute whose owner the new process finds by name."""
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
        return []  # plans on an object are pickled with the object

    def faults_of(
        self, attribute: PatchedAttribute, reference: Reference | None
    ) -> list[SentFault]:
        """Return the plans on an attribute, ready to be sent."""
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
            f"{applied.plan} on {applied.label} could not be sent to process "
            f"{self.process.name!r} (pid ",
            f") started at {self._started_at}: ",
        )

    def _record_failed_transfer(self, applied: AppliedPlan, reason: str) -> None:
        head, tail = self._message(applied)
        # One reason is enough: later failures of this plan follow from the first.
        if not any(
            plan is applied.plan and other == head for plan, other, _ in self._failed_transfers
        ):
            self._failed_transfers.append((applied.plan, head, f"{tail}{reason}"))

    def report(self) -> None:
        """Report the plans that the process did not get; called once the process runs."""
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
        for plan, head, tail in self._failed_transfers:
            plan.report_failed_transfer(f"{head}{self.process.pid}{tail}")


class _ProcessOnly:
    """Pickles a process without the plans that precede it."""

    made: Any = None

    def __reduce__(self) -> Any:
        return self.made


class _RunOnUnpickling:
    """Pickled as code that installs the plans when it is unpickled."""

    def __init__(self, faults: list[SentFault]) -> None:
        self._faults = faults

    def __reduce__(self) -> tuple[Any, ...]:
        # Plain tuples, because nothing but the code in _ARRIVE may need itf.
        return (exec, (_ARRIVE, {"faults": [tuple(fault) for fault in self._faults]}))


class _Starting(threading.local):
    """The start that this thread is carrying out."""

    now: ProcessStart | None = None


starting = _Starting()


def _start_location(caller: FrameType) -> str:
    """Return ``file:line`` of the code that starts a process, outside multiprocessing."""
    frame: FrameType | None = caller
    while frame is not None and module_of(frame).partition(".")[0] in _SKIPPED_PACKAGES:
        frame = frame.f_back
    # A thread of a pool has no user frame.
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
