"""Plans sent to the workers that a test starts through itf."""

from __future__ import annotations

from typing import Any

from itf.faults.applied_plan import AppliedPlan
from itf.faults.patched_attribute import install, plans_on_importable_targets
from itf.faults.process_transfer import follow_processes

__all__ = ["FaultsForWorkers"]

__unittest = True


class FaultsForWorkers:
    """Pickled into the data of a worker process, so that it has the plans of the test.

    A forked worker inherits the plans.  In a worker with a fresh interpreter, unpickling
    this object installs them, before any function that they apply to is unpickled.  A
    plan on an object, or on a class sent by value, is sent with that object or class.
    """

    def __call__(self) -> None:
        """Do nothing: unpickling has installed the plans."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_install_all, (plans_on_importable_targets(),))


def _install_all(applied_plans: list[tuple[Any, str, AppliedPlan]]) -> FaultsForWorkers:
    if applied_plans:
        # Processes that the worker starts get the plans too.
        follow_processes()
    for target, name, applied in applied_plans:
        install(target, name, applied)
    return FaultsForWorkers()
