"""Track resources: owner, time of allocation, and whether they were released."""

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

# Ids in the error about an unknown id; enough to notice a typo.
_IDS_SHOWN: Final = 5


class ResourceTracker(TimelineOwner):
    """Track resources from their allocation to their release.

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
            module: The module that owns the resource and must release it.
            resource_type: ``process``, ``file_handle``, ``lock``, or a word of your own.
            resource_id: Its name; unique among the unreleased resources.
            metadata: Further data about the resource.

        Returns:
            A copy of the record.

        Raises:
            ResourceError: A resource with this id is tracked and not released.
            TypeError: A name is not a str.
        """
        return self._itf_track(module, resource_type, resource_id, metadata)[1]

    def release_resource(self, resource_id: str) -> ResourceRecord:
        """Mark a resource as released.

        Returns:
            A copy of the record.

        Raises:
            ResourceError: No resource with this id was tracked, or it was released before.
        """
        _check_name("resource_id", resource_id)
        ledger = self._itf_ledger
        with fork_safe_lock(ledger):
            resource = ledger.unreleased.get(resource_id)
            if resource is not None:
                ledger.close(resource)
                record = resource.record()
            else:
                last = ledger.latest.get(resource_id)
                some = list(itertools.islice(ledger.unreleased, _IDS_SHOWN))
        if resource is not None:
            return self._itf_record_event(record)
        if last is not None:
            _raise_conflict(
                f"resource {resource_id!r} was released before", last, "release it once"
            )
        known = ", ".join(map(repr, some)) or "none"
        raise ResourceError(
            f"cannot release {resource_id!r}: no resource of this id was tracked "
            f"(not released so far: {known}); track it when it is allocated",
            resource_id,
        )

    def verify_cleanup(self, module: str | None = None) -> list[ResourceRecord]:
        """Return the resources that were not released, and mark them ``leaked``.

        A leaked resource may still be released; until then it is returned again.

        Args:
            module: Restricts the check to the resources of this module.

        Returns:
            Copies of the records, in allocation order; empty if all were released.
        """
        return [resource.record() for resource in self._itf_leaks(module)]

    def get_resource_state(self, resource_id: str) -> ResourceState | None:
        """Return ``active``, ``released`` or ``leaked``; None for an unknown id."""
        resource = self._itf_ledger.latest.get(resource_id)
        return None if resource is None else resource.state

    def get_all_resources(
        self, module: str | None = None, state: ResourceState | None = None
    ) -> list[ResourceRecord]:
        """Return copies of the records of all resources ever tracked, in allocation order.

        Args:
            module: Restricts the result to the resources of this module.
            state: Restricts the result to ``active``, ``released`` or ``leaked``.

        Raises:
            ValueError: The state is unknown.
        """
        states = get_args(ResourceState)
        if state is not None and state not in states:
            raise ValueError(f"unknown state {state!r}; the states are {', '.join(states)}")
        ledger = self._itf_ledger
        with fork_safe_lock(ledger):
            if state in ("active", "leaked"):
                resources = ledger.open_resources(module)
            elif module is None:
                resources = list(ledger.history)
            else:
                resources = list(ledger.history_of.get(module, ()))
            return [
                resource.record()
                for resource in resources
                if state is None or resource.state == state
            ]

    @contextmanager
    def tracking(
        self,
        module: str,
        resource_type: str,
        resource_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> Generator[ResourceRecord]:
        """Track a resource for the duration of a ``with``.

        The end releases the resource, unless the body did.
        """
        resource, record = self._itf_track(module, resource_type, resource_id, metadata)
        ledger = self._itf_ledger
        try:
            yield record
        finally:
            with fork_safe_lock(ledger):
                is_unreleased = resource.state != "released"
                if is_unreleased:
                    ledger.close(resource)
                    record = resource.record()
            if is_unreleased:
                self._itf_record_event(record)

    def assert_no_leaks(self, module: str | None = None) -> None:
        """Check that all resources were released.

        Args:
            module: Restricts the check to the resources of this module.

        Raises:
            AssertionError: Names each leaked resource: id, type, owner, age, and
                where it was tracked.
        """
        resources = self._itf_leaks(module)
        if resources:
            raise AssertionError(_leak_text(resources))

    def _itf_track(
        self,
        module: str,
        resource_type: str,
        resource_id: str,
        metadata: Mapping[str, Any] | None,
    ) -> tuple[_TrackedResource, ResourceRecord]:
        for name, value in (
            ("module", module),
            ("resource_type", resource_type),
            ("resource_id", resource_id),
        ):
            _check_name(name, value)
        resource = _TrackedResource(
            module, resource_type, resource_id, metadata or {}, code_location()
        )
        # Copied before the resource is added: after that, another thread may release it.
        record = resource.record()
        ledger = self._itf_ledger
        with fork_safe_lock(ledger):
            current = ledger.unreleased.get(resource_id)
            if current is None:
                ledger.open(resource)
        if current is not None:
            _raise_conflict(
                f"resource {resource_id!r} is tracked already", current, "release it first"
            )
        return resource, self._itf_record_event(record)

    def _itf_leaks(self, module: str | None) -> list[_TrackedResource]:
        """Mark active resources as leaked; return all unreleased resources."""
        if "_itf_resources" not in self.__dict__:
            return []  # fast path: most tests track nothing
        ledger = self._itf_ledger
        with fork_safe_lock(ledger):
            resources = ledger.open_resources(module)
            found = [resource for resource in resources if resource.state == "active"]
            for resource in found:
                resource.state = "leaked"
            records = [resource.record() for resource in found]
        for record in records:
            self._itf_record_event(record)
        return resources

    def _itf_record_event(self, record: ResourceRecord) -> ResourceRecord:
        self.timeline.record("resource", cast("dict[str, Any]", record))
        return record

    @property
    def _itf_ledger(self) -> _Ledger:
        ledger = self.__dict__.get("_itf_resources")
        if ledger is None:
            ledger = self.__dict__.setdefault("_itf_resources", _Ledger())
        return cast(_Ledger, ledger)


class _TrackedResource:
    """A resource from its registration to its release; a reused id makes a new one."""

    __slots__ = (
        "created_at",
        "created_ns",
        "metadata",
        "module",
        "released_at",
        "resource_id",
        "resource_type",
        "state",
        "tracked_at",
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
        self.tracked_at = tracked_at
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
    """All resources of one tracker; the lock protects changes and iteration.

    Attributes:
        unreleased: The unreleased resources by id, in allocation order.
        unreleased_of: The same for each module.
        latest: The last resource of every id.
        history: Every resource, in allocation order.
        history_of: The same for each module.
    """

    def __init__(self) -> None:
        # OrderedDict, because a dict keeps the slots of deleted items: iteration would take as
        # long as for all items ever added.
        self.unreleased: OrderedDict[str, _TrackedResource] = OrderedDict()
        self.unreleased_of: dict[str, OrderedDict[str, _TrackedResource]] = {}
        self.latest: dict[str, _TrackedResource] = {}
        self.history: list[_TrackedResource] = []
        self.history_of: dict[str, list[_TrackedResource]] = {}

    def open(self, resource: _TrackedResource) -> None:
        self.unreleased[resource.resource_id] = resource
        self.unreleased_of.setdefault(resource.module, OrderedDict())[resource.resource_id] = (
            resource
        )
        self.latest[resource.resource_id] = resource
        self.history.append(resource)
        self.history_of.setdefault(resource.module, []).append(resource)

    def close(self, resource: _TrackedResource) -> None:
        resource.released_at = time.time()
        resource.state = "released"
        # pop, not del: a fork may have copied the ledger while another thread was half-way
        # through a change.
        self.unreleased.pop(resource.resource_id, None)
        self.unreleased_of.get(resource.module, self.unreleased).pop(resource.resource_id, None)

    def open_resources(self, module: str | None) -> list[_TrackedResource]:
        resources = self.unreleased if module is None else self.unreleased_of.get(module)
        return list(resources.values()) if resources else []


def _check_name(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {safe_repr(value)} ({type(value).__name__})")


def _raise_conflict(what: str, resource: _TrackedResource, advice: str) -> NoReturn:
    raise ResourceError(
        f"{what}: a {resource.resource_type} owned by {resource.module}, "
        f"tracked at {resource.tracked_at}; {advice}",
        resource.resource_id,
        resource.module,
    )


def _leak_text(resources: Iterable[_TrackedResource]) -> str:
    now = time.monotonic_ns()
    lines = [
        f"  {resource.resource_id!r} ({resource.resource_type}) owned by {resource.module}, "
        f"{(now - resource.created_ns) / 1e9:.3f} s old, tracked at {resource.tracked_at}"
        for resource in resources
    ]
    return "\n".join([f"leaked resources ({len(lines)}), release each when it is done:", *lines])
