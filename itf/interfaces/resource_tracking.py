"""Resources: who owns what, since when, and what was never released."""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn, cast, get_args

from itf.exceptions import ResourceError
from itf.fork_safety import fork_safe_lock
from itf.formats import ResourceRecord, ResourceState, copy_containers
from itf.safe_repr import safe_repr
from itf.timeline import TimelineOwner
from itf.tracebacks import code_location

__all__ = ["ResourceTracker"]

__unittest = True

# How many ids the error about an unknown one names: enough to see a slip of the pen.
_IDS_SHOWN: Final = 5


class ResourceTracker(TimelineOwner):
    """Keep account of resources, from their allocation to their release.

    A mixin for any class; it needs no ``__init__``.

    Example:
        >>> resources = ResourceTracker()
        >>> record = resources.track_resource("chunker.parallel", "process", "worker_1")
        >>> [leak["resource_id"] for leak in resources.verify_cleanup()]
        ['worker_1']
        >>> resources.release_resource("worker_1")["state"]
        'released'

    Thread safety: every method, from any thread.
    """

    def track_resource(
        self,
        module: str,
        resource_type: str,
        resource_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> ResourceRecord:
        """Register a resource that was allocated.

        Args:
            module: The module that owns it and has to release it.
            resource_type: ``process``, ``file_handle``, ``lock``, or a word of your own.
            resource_id: Its name; unique among those not released.
            metadata: What else there is to say about it.

        Returns:
            The record; a copy.

        Raises:
            ResourceError: A resource of this id was tracked and not released.
            TypeError: A name is not a str.
        """
        return self._itf_track(module, resource_type, resource_id, metadata)[1]

    def release_resource(self, resource_id: str) -> ResourceRecord:
        """Mark a resource as released.

        Returns:
            The record; a copy.

        Raises:
            ResourceError: No resource of this id was tracked, or it was released before.
        """
        _check_name("resource_id", resource_id)
        ledger = self._itf_ledger
        with fork_safe_lock(ledger):
            life = ledger.unreleased.get(resource_id)
            if life is not None:
                ledger.close(life)
                record = life.record()
            else:
                last = ledger.latest.get(resource_id)
                some = list(itertools.islice(ledger.unreleased, _IDS_SHOWN))
        if life is not None:
            return self._itf_tell(record)
        if last is not None:
            _refuse(f"resource {resource_id!r} was released before", last, "release it once")
        known = ", ".join(map(repr, some)) or "none"
        raise ResourceError(
            f"cannot release {resource_id!r}: no resource of this id was tracked "
            f"(not released so far: {known}); track it when it is allocated",
            resource_id,
        )

    def verify_cleanup(self, module: str | None = None) -> list[ResourceRecord]:
        """Return what was not released, and mark it ``leaked``.

        A leaked resource may still be released, and is returned again until it is.

        Args:
            module: Only the resources of this module.

        Returns:
            Copies of the records, in allocation order; empty if all is well.
        """
        return [life.record() for life in self._itf_leaks(module)]

    def get_resource_state(self, resource_id: str) -> ResourceState | None:
        """Return ``active``, ``released`` or ``leaked``; None for an unknown id."""
        life = self._itf_ledger.latest.get(resource_id)
        return None if life is None else life.state

    def get_all_resources(
        self, module: str | None = None, state: ResourceState | None = None
    ) -> list[ResourceRecord]:
        """Return the records of all resources ever tracked, in allocation order, as copies.

        Args:
            module: Only those of this module.
            state: Only those ``active``, ``released`` or ``leaked``.

        Raises:
            ValueError: There is no such state.
        """
        states = get_args(ResourceState)
        if state is not None and state not in states:
            raise ValueError(f"unknown state {state!r}; the states are {', '.join(states)}")
        ledger = self._itf_ledger
        with fork_safe_lock(ledger):
            if state in ("active", "leaked"):
                lives = ledger.open_lives(module)
            elif module is None:
                lives = list(ledger.history)
            else:
                lives = list(ledger.history_of.get(module, ()))
            return [life.record() for life in lives if state is None or life.state == state]

    @contextmanager
    def tracking(
        self,
        module: str,
        resource_type: str,
        resource_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> Generator[ResourceRecord]:
        """Track a resource for the length of a ``with``.

        The end releases it, unless the body did.
        """
        life, record = self._itf_track(module, resource_type, resource_id, metadata)
        ledger = self._itf_ledger
        try:
            yield record
        finally:
            with fork_safe_lock(ledger):
                mine = life.state != "released"
                if mine:
                    ledger.close(life)
                    record = life.record()
            if mine:
                self._itf_tell(record)

    def assert_no_leaks(self, module: str | None = None) -> None:
        """Check that everything was released.

        Args:
            module: Only the resources of this module.

        Raises:
            AssertionError: Naming each leaked resource: id, type, owner, age, and
                where it was tracked.
        """
        lives = self._itf_leaks(module)
        if lives:
            raise AssertionError(_leak_text(lives))

    def _itf_track(
        self,
        module: str,
        resource_type: str,
        resource_id: str,
        metadata: Mapping[str, Any] | None,
    ) -> tuple[_Life, ResourceRecord]:
        for name, value in (
            ("module", module),
            ("resource_type", resource_type),
            ("resource_id", resource_id),
        ):
            _check_name(name, value)
        life = _Life(module, resource_type, resource_id, metadata or {}, code_location())
        # Now: another thread may release it as soon as it is in the ledger.
        record = life.record()
        ledger = self._itf_ledger
        with fork_safe_lock(ledger):
            current = ledger.unreleased.get(resource_id)
            if current is None:
                ledger.open(life)
        if current is not None:
            _refuse(f"resource {resource_id!r} is tracked already", current, "release it first")
        return life, self._itf_tell(record)

    def _itf_leaks(self, module: str | None) -> list[_Life]:
        """Mark what is active as leaked; return all that was not released."""
        if "_itf_resources" not in self.__dict__:
            return []  # the usual test, which tracks nothing, is told for nothing
        ledger = self._itf_ledger
        with fork_safe_lock(ledger):
            lives = ledger.open_lives(module)
            found = [life for life in lives if life.state == "active"]
            for life in found:
                life.state = "leaked"
            records = [life.record() for life in found]
        for record in records:
            self._itf_tell(record)
        return lives

    def _itf_tell(self, record: ResourceRecord) -> ResourceRecord:
        self.timeline.record("resource", cast("dict[str, Any]", record))
        return record

    @property
    def _itf_ledger(self) -> _Ledger:
        ledger = self.__dict__.get("_itf_resources")
        if ledger is None:
            ledger = self.__dict__.setdefault("_itf_resources", _Ledger())
        return cast(_Ledger, ledger)


class _Life:
    """One life of a resource, from where it was tracked until it is released."""

    __slots__ = (
        "created_at",
        "created_ns",
        "metadata",
        "module",
        "released_at",
        "resource_id",
        "resource_type",
        "site",
        "state",
    )

    def __init__(
        self,
        module: str,
        resource_type: str,
        resource_id: str,
        metadata: Mapping[str, Any],
        tracked_at: str,
    ) -> None:
        self.module = module
        self.resource_type = resource_type
        self.resource_id = resource_id
        self.metadata: dict[str, Any] = copy_containers(dict(metadata))
        self.site = tracked_at
        self.state: ResourceState = "active"
        self.created_at = time.time()
        self.created_ns = time.monotonic_ns()
        self.released_at: float | None = None

    def record(self) -> ResourceRecord:
        record: ResourceRecord = {
            "resource_id": self.resource_id,
            "resource_type": self.resource_type,
            "owner_module": self.module,
            "created_at": self.created_at,
            "state": self.state,
            "metadata": copy_containers(self.metadata),
        }
        if self.released_at is not None:
            record["released_at"] = self.released_at
        return record


class _Ledger:
    """The account of one tracker.  Its lock is held while any of it is changed or walked.

    Attributes:
        unreleased: What is open, by id, in allocation order.
        latest: The last life of every id.
        history: Every life, in allocation order.
    """

    def __init__(self) -> None:
        # OrderedDict, not dict: a dict keeps the holes of what was deleted, and
        # walking it would cost as much as the module ever had, not as it has.
        self.unreleased: OrderedDict[str, _Life] = OrderedDict()
        self.unreleased_of: dict[str, OrderedDict[str, _Life]] = {}
        self.latest: dict[str, _Life] = {}
        self.history: list[_Life] = []
        self.history_of: dict[str, list[_Life]] = {}

    def open(self, life: _Life) -> None:
        self.unreleased[life.resource_id] = life
        self.unreleased_of.setdefault(life.module, OrderedDict())[life.resource_id] = life
        self.latest[life.resource_id] = life
        self.history.append(life)
        self.history_of.setdefault(life.module, []).append(life)

    def close(self, life: _Life) -> None:
        life.released_at = time.time()
        life.state = "released"
        # pop, not del: in a forked child this may be half of what another
        # thread was doing in the parent.
        self.unreleased.pop(life.resource_id, None)
        self.unreleased_of.get(life.module, self.unreleased).pop(life.resource_id, None)

    def open_lives(self, module: str | None) -> list[_Life]:
        lives = self.unreleased if module is None else self.unreleased_of.get(module)
        return list(lives.values()) if lives else []


def _check_name(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {safe_repr(value)} ({type(value).__name__})")


def _refuse(what: str, life: _Life, advice: str) -> NoReturn:
    raise ResourceError(
        f"{what}: a {life.resource_type} owned by {life.module}, tracked at {life.site}; {advice}",
        life.resource_id,
        life.module,
    )


def _leak_text(lives: Iterable[_Life]) -> str:
    now = time.monotonic_ns()
    lines = [
        f"  {life.resource_id!r} ({life.resource_type}) owned by {life.module}, "
        f"{(now - life.created_ns) / 1e9:.3f} s old, tracked at {life.site}"
        for life in lives
    ]
    return "\n".join([f"leaked resources ({len(lines)}), release each when it is done:", *lines])
