"""inject_faults: apply a plan to a function for a limited time."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

# Bound at import, so that a fault injected into os.getpid does not break itf itself.
from os import getpid
from types import TracebackType
from typing import Any, Final

from itf.exception_notes import add_note
from itf.exceptions import FaultInjectionError
from itf.faults.applied_plan import AppliedPlan, DefaultResult
from itf.faults.patched_attribute import PatchedAttribute, install, remove
from itf.faults.plan import FaultPlan
from itf.faults.process_transfer import follow_processes, stop_following
from itf.faults.targets import label_of
from itf.fork_safety import fork_safe_lock
from itf.gil import warn_without_gil
from itf.safe_repr import safe_repr
from itf.timeline import TimelineOwner, current_owner

__all__ = ["Injection", "describe_failed_transfers", "inject_faults", "raise_failed_transfers"]

__unittest = True

# Lines of the report; enough to show what the failures have in common.
_MAX_LINES: Final = 10


class Injection(TimelineOwner):
    """One application of a plan to a function; made by `inject_faults`.

    A context manager: ``with`` installs the plan, returns it, and removes it at the
    end.  `start` and `undo` do the same by hand.

    Args:
        target: A module, a class or an object.
        name: The name of the attribute that is called.
        plan: Which calls fail, and how.
        label: The name in messages; by default the target and the name.
        event_data: Data of every event on the timeline; by default the label.
        default_result: Returns the result of a hit for which the plan defines none;
            called with the hit and the call's arguments.  By default an
            `InjectedFaultError` is raised.

    Attributes:
        plan: The plan.
        owner: The test that fails at its end if the plan could not be transferred to
            a process; None in a script, where `undo` raises.

    Thread safety: every method, from any thread.
    """

    _attribute: PatchedAttribute | None = None
    _was_started = False
    _pid = 0
    owner: TimelineOwner | None = None

    def __init__(
        self,
        target: Any,
        name: str,
        plan: FaultPlan,
        *,
        label: str = "",
        event_data: dict[str, Any] | None = None,
        default_result: DefaultResult | None = None,
    ) -> None:
        self.plan = plan
        self._target = target
        self._name = name
        self._label = label
        self._about = event_data
        self._blank = default_result

    def start(self) -> FaultPlan:
        """Install the plan, and return it; do nothing if it is installed.

        Raises:
            AttributeError: The target has no such attribute.
            FaultInjectionError: The attribute cannot be replaced, or is no function.
        """
        warn_without_gil()
        with fork_safe_lock(self):
            self._was_started = True
            if self._attribute is not None:
                return self.plan
            self._pid = getpid()
            # Before the first call can be hit: a call that hangs goes on as soon as the plan has no
            # uses.
            self.plan.add_uses(1)
            try:
                self._applied = self._make_applied_plan()
                follow_processes()
                self._attribute = install(self._target, self._name, self._applied)
                # A second time, because another thread may have removed the last plan in between.
                # The first time is needed too: what `follow_processes` replaces must be replaced
                # before this plan is installed, in case the plan is on the same function.
                follow_processes()
            except BaseException:
                self.plan.add_uses(-1)
                stop_following()
                raise
            self.owner = self.owner or current_owner.get()
            if self.owner is not None:
                self.owner.__dict__.setdefault("_itf_plans", []).append(self.plan)
            self._record({"action": "injected", "plan": str(self.plan)})
            for plan in self.plan.plans_with_seed():
                # Pinned, because many hits push the "injected" event off the timeline.
                self.timeline.pin(f"fault: {plan} in {self._applied.label}")
        return self.plan

    def _make_applied_plan(self) -> AppliedPlan:
        label = self._label or label_of(self._target, self._name)
        event_data = {"target": label} if self._about is None else self._about
        return AppliedPlan(self.plan, self.timeline, label, event_data, self._blank)

    def undo(self) -> None:
        """Remove the plan; do nothing if it is not installed.

        Plans on one attribute may be removed in any order.  Calls that hang go on, unless
        the plan is still installed elsewhere.

        Raises:
            FaultInjectionError: In a script, the plan could not be transferred to a
                process that was started meanwhile.  If another error is being handled,
                that error gets a note instead.
        """
        self.remove_plan()
        if self.owner is None:
            raise_failed_transfers([self.plan], sys.exception())

    def remove_plan(self) -> None:
        """Do what `undo` does, without reporting failed transfers."""
        with fork_safe_lock(self):
            attribute, self._attribute = self._attribute, None
            if attribute is None:
                return
            remove(attribute, self._applied)
            stop_following()
            if self._pid != getpid():
                return  # a forked child: the plan is still installed in the parent
            self.plan.add_uses(-1)
            other_hits = self.plan.unreported_hits()
            counts = {"hits_in_other_processes": other_hits} if other_hits else {}
            self._record(
                {"action": "undone", "calls": self.plan.calls, "hits": self.plan.hits, **counts}
            )

    def _record(self, data: dict[str, Any]) -> None:
        self.timeline.record("fault", {**self._applied.event_data, **data})

    def __enter__(self) -> FaultPlan:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove_plan()
        if self.owner is None:
            raise_failed_transfers([self.plan], error)

    def __repr__(self) -> str:
        state = "installed" if self._attribute is not None else "not installed"
        return f"<{type(self).__name__} of {self.plan}, {state}>"

    def __del__(self) -> None:
        if not self._was_started:
            warnings.warn(
                f"faults for {self._name!r} were never injected: use "
                "`with inject_faults(...)`, or self.inject_faults(...) in an IntegrationTestCase",
                RuntimeWarning,
                stacklevel=2,
            )


def describe_failed_transfers(plans: Iterable[FaultPlan]) -> str:
    """Return which plans could not be transferred to which processes; empty if all were."""
    lines = [line for plan in plans for line in plan.take_failed_transfers()]
    lines = list(dict.fromkeys(lines))
    if len(lines) <= 1:
        return "".join(lines)
    shown = lines[:_MAX_LINES]
    if len(lines) > len(shown):
        shown.append(f"... and {len(lines) - len(shown)} more")
    count = f"{len(lines)} times a fault could not be sent to a process:"
    return "\n".join([count, *(f"  {line}" for line in shown)])


def raise_failed_transfers(plans: Iterable[FaultPlan], error: BaseException | None) -> None:
    """Raise `describe_failed_transfers`, or add it as a note to the current error.

    Raises:
        FaultInjectionError: Transfers failed, and there is no other error.
    """
    text = describe_failed_transfers(plans)
    if not text:
        return
    if error is None:
        raise FaultInjectionError(text)
    add_note(error, text)


def inject_faults(target: Any, name: str, plan: FaultPlan) -> Injection:
    """Make calls of a function fail as a plan says, until the end of a ``with``.

    The replaced attribute keeps its name, its signature and its kind.  Supported are
    functions, methods, static and class methods, coroutine functions, generator
    functions and those of `contextlib.contextmanager`, synchronous or asynchronous,
    and the getters of properties.  A generator function fails when its first value is
    requested, a context manager when its ``with`` begins, a coroutine when it is
    awaited.  A coroutine that hangs does not block its event loop.

    Args:
        target: A module, a class or an object.
        name: The name of the attribute that is called.
        plan: Which calls fail, and how.

    Returns:
        A context manager whose value is the plan.

    Raises:
        TypeError: ``plan`` is no FaultPlan, or ``name`` is no str.
        FaultInjectionError: At the end of the ``with``, in a script: the plan could
            not be transferred to a process that was started with `multiprocessing`.
            In an `IntegrationTestCase`, the test fails at its end.

    Example:
        >>> import string
        >>> with inject_faults(string, "capwords", FaultPlan.always(returns="?")) as plan:
        ...     string.capwords("two words")
        '?'
        >>> string.capwords("two words")
        'Two Words'

    Thread safety: a plan applies to the calls of all threads.  Several plans may be on
    one function; the last one installed receives a call first.
    """
    if not isinstance(plan, FaultPlan):
        raise TypeError(
            f"plan must be a FaultPlan, such as FaultPlan.nth_call(3), got {safe_repr(plan)}"
        )
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, the name of what is called, got {safe_repr(name)}")
    if isinstance(target, str):
        raise FaultInjectionError(
            f"target is the str {safe_repr(target)}; pass the module, class or object itself"
        )
    return Injection(target, name, plan)
