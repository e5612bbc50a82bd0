"""Snapshot of the process state, and the differences between two snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from itf.leaks.creation_sites import origins
from itf.leaks.leak import Leak
from itf.leaks.probes.changes import Change
from itf.leaks.probes.descriptors import new_descriptors
from itf.leaks.probes.interpreters import look_at_interpreters, new_interpreters
from itf.leaks.probes.kernel import Look, kernel
from itf.leaks.probes.names import names
from itf.leaks.probes.processes import is_harmless_process, new_processes, pipes_of
from itf.leaks.probes.settings import ENVIRONMENT, changes_of, read_settings
from itf.leaks.probes.tasks import Pending, look_at_tasks, new_tasks
from itf.leaks.probes.threads import blocked_on, new_threads

__all__ = ["Snapshot", "differences", "take_snapshot"]

__unittest = True


class Snapshot(NamedTuple):
    """State of the process at one moment; two are equal if nothing changed."""

    kernel: Look
    interpreters: frozenset[int]
    names: int
    tasks: Pending
    environment: Any
    settings: tuple[Any, ...]


def take_snapshot() -> Snapshot:
    """Return a snapshot of the process."""
    return Snapshot(
        kernel.look(),
        look_at_interpreters(),
        names.last,
        look_at_tasks(),
        ENVIRONMENT.read(),
        read_settings(),
    )


def differences(before: Snapshot, after: Snapshot) -> list[Leak]:
    """Return the leaks between two snapshots: new things and changed settings.

    A leak that a leaked process keeps alive is grouped under that process.
    """
    if before == after:
        return []
    old, new = before.kernel, after.kernel
    found = [*new_threads(old.threads, new.threads)]
    if old.children != new.children:
        found += new_processes(old.children, new.children)
    if before.interpreters != after.interpreters:
        found += new_interpreters(before.interpreters, after.interpreters)
    if old.descriptors is not new.descriptors and old.descriptors != new.descriptors:
        found += new_descriptors(old.descriptors, new.descriptors, _harmless_pipes(new.children))
    if before.names != after.names:
        found += names.since(before.names)
    if before.tasks != after.tasks:
        found += new_tasks(before.tasks, after.tasks)
    if before.environment != after.environment:
        found += _changed("environment", ENVIRONMENT.changes(before.environment, after.environment))
    if before.settings != after.settings:
        found += _changed("settings", changes_of(before.settings, after.settings))
    return _grouped(found)


def _harmless_pipes(pids: bytes) -> frozenset[str]:
    return frozenset().union(
        *(pipes_of(pid) for pid in map(int, pids.split()) if is_harmless_process(pid))
    )


_NOUNS: Final = {"environment": "variable", "settings": "setting"}


def _changed(dimension: str, changes: Iterable[Change]) -> Iterator[Leak]:
    for change in changes:
        yield Leak(
            dimension,
            _NOUNS[dimension],
            change.name,
            ("setting", change.name, change.after),
            lambda change=change: (  # type: ignore[misc]
                f"{_NOUNS[dimension]} {change.name} was {change.before}, became {change.after}"
                f"{origins.text('setting', change.name, 'set')}; it is put back"
            ),
            change,
        )


def _grouped(found: list[Leak]) -> list[Leak]:
    """Group each leak under the leaked process that keeps it alive, if there is one."""
    processes = {leak.data: leak for leak in found if leak.dimension == "processes"}
    if not processes:
        return found
    pipes = {kind: leak for pid, leak in processes.items() for kind in pipes_of(pid)}
    for leak in found:
        above = None
        if leak.dimension == "descriptors":
            above = pipes.get(leak.data)
        elif leak.dimension == "threads":
            pid = blocked_on(leak.data, frozenset(processes))
            above = processes.get(pid)
        if above is not None:
            leak.under = above.key
    return found
