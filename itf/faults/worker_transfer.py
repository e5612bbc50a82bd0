"""The faults of a test, in the worker processes that it starts."""

from __future__ import annotations

from typing import Any

from itf.faults.applied_plan import AppliedPlan
from itf.faults.patched_attribute import install, plans_on_importable_targets
from itf.faults.process_transfer import follow_processes

__all__ = ["FaultsForWorkers"]

__unittest = True


class FaultsForWorkers:
    """What is sent to a worker process, so that it has the plans of the test.

    A forked process has them.  One that imports its modules afresh has not:
    there they are put in while this is loaded, before anything is that may
    be one of the functions concerned.  What is on an object, or on a class
    that is sent by value, goes with that.
    """

    def __call__(self) -> None:
        """Do nothing: it is done."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_arrive, (plans_on_importable_targets(),))


def _arrive(applied_plans: list[tuple[Any, str, AppliedPlan]]) -> FaultsForWorkers:
    if applied_plans:
        # What the worker starts in its turn has them, too.
        follow_processes()
    for target, name, applied in applied_plans:
        install(target, name, applied)
    return FaultsForWorkers()
