"""The plans of this process: those that other processes know too, and fork handling for all."""

from __future__ import annotations

import os
import warnings
import weakref
from typing import Any

from itf.descriptors import Descriptor
from itf.exceptions import ItfError
from itf.faults.shared_count import SharedPage
from itf.fork_safety import fork_safe_lock

__all__ = ["all_plans", "known_plans", "receive_plan"]

__unittest = True


class _Plans:
    """All plans of this process; the lock protects adding a plan and listing them."""

    def __init__(self) -> None:
        self._plans: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, plan: Any) -> None:
        """Add a plan; it is dropped with the last other reference."""
        with fork_safe_lock(self):
            self._plans.add(plan)

    def all(self) -> list[Any]:
        """Return all plans."""
        with fork_safe_lock(self):
            return list(self._plans)


all_plans = _Plans()

# Plans shared with other processes, by the id of their page.
known_plans: weakref.WeakValueDictionary[bytes, Any] = weakref.WeakValueDictionary()


class _Receiving:
    """The owner of the lock that is held while a received plan is looked up or created."""


_receiving = _Receiving()


def receive_plan(kind: Any, uid: bytes, address: Descriptor | str, state: Any) -> Any:
    """Return the plan that another process sent; the existing object if it is known here."""
    with fork_safe_lock(_receiving):
        plan = known_plans.get(uid)
        if plan is None:
            plan = kind.__new__(kind)
            plan.set_up(state)
            plan.join_count(SharedPage.open_at(address, uid, str(plan)))
            known_plans[uid] = plan
        elif isinstance(address, Descriptor):
            plan.share().drop(address)
    return plan


def _before_fork() -> None:
    for plan in all_plans.all():
        try:
            plan.share()
        except (OSError, ItfError) as error:
            warnings.warn(
                f"{plan} cannot be shared with a forked process, which will count for itself: "
                f"{error}",
                RuntimeWarning,
                stacklevel=2,
            )


def _after_fork_in_child() -> None:
    for plan in all_plans.all():
        plan.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
