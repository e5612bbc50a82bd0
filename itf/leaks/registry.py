"""Registry of the active detectors: nested ones, and concurrent ones in several threads."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

from itf.leaks.creation_sites import origins
from itf.leaks.creation_tracing import watch
from itf.leaks.leak import Leak
from itf.leaks.probes.errors import ErrorHooks, watch_coroutines
from itf.leaks.snapshot import Snapshot, differences, take_snapshot
from itf.linux_proc import subreaper

__all__ = ["SEES_COROUTINES", "ActiveDetector", "ActiveDetectors", "active_detectors"]

__unittest = True


# Names of tests in a warning; a run in eight threads may have thousands.
_NAMES_SHOWN: Final = 8


class ActiveDetector(Protocol):
    """The part of `LeakDetector` that the registry reads and writes.

    A protocol, so that this module need not import the module of the detector.
    """

    before: Snapshot | None
    overlaps: bool
    claimed: set[Hashable]
    told: set[Hashable]

    @property
    def name(self) -> str:
        """Whose leaks the detector reports."""

    @property
    def parent(self) -> Any:
        """The detector around this one, or None."""

    def is_here(self) -> bool:
        """Return whether the detector was started in this process, not before a fork."""

    def is_within(self, other: Any) -> bool:
        """Return whether the detector runs inside another one."""


class ActiveDetectors:
    """The active detectors of this process.

    While detectors are only nested, every leak belongs to the innermost one.
    Two detectors overlap if neither encloses the other.  From then on, each
    reports only its own leaks: those from before the overlap, and those that its
    threads, or threads started by them, created since.  Leaks without a known
    owner are reported as a warning with all names when the overlap ends.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        # Protects the list of detectors while one enters or leaves.
        self._lock = threading.RLock()
        self._standing: list[ActiveDetector] = []
        # Native ids of threads that ran detectors: they belong to the test runner.
        self._hosts: set[int] = set()
        self._hooks = ErrorHooks(self.detector_of)
        # Names of the overlapping detectors, and the snapshot taken before
        # the first of them.
        self._names: list[str] = []
        self._before: Snapshot | None = None
        self._told: set[Hashable] = set()
        # How many `outlives_test` blocks are running, in any thread.
        self._allowing = 0
        # Threads already reported as leaks of finished tests.
        self._lost: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def enter(self, guard: ActiveDetector) -> None:
        """Register a detector as active, and take its first snapshot."""
        with self._lock:
            standing = self._standing
            if standing and standing[-1] is not guard.parent:
                self._check_for_rivals(guard)
            self._hooks.put_in(guard)
            self._standing.append(guard)
            self._hosts.add(threading.get_native_id())
            subreaper.acquire()
            # Under the lock, so that the next detector finds the snapshot.
            try:
                guard.before = take_snapshot()
            except BaseException:  # also KeyboardInterrupt
                self.leave(guard)
                raise

    def leave(self, guard: ActiveDetector) -> None:
        """Remove a detector that has taken its last snapshot."""
        with self._lock:
            if guard in self._standing:
                self._standing.remove(guard)
            try:
                if guard.overlaps:
                    self._end_overlap_if_over()
            finally:
                # Another detector that does not enclose this one still needs the hooks.
                alone = not self._standing or all(map(guard.is_within, self._standing))
                if alone:
                    self._hooks.take_out(guard, last=not self._standing)
                subreaper.release()
                if guard.overlaps:
                    watch.release(trace=False)
                if not self._standing:
                    self._hosts.clear()

    def detector_of(self, thread: threading.Thread | None) -> ActiveDetector | None:
        """Return the detector that owns events of a thread; None if unknown.

        Args:
            thread: The thread; None for the current one.
        """
        standing = [guard for guard in self._standing if guard.is_here()]
        if not standing:
            return None
        if self._lost and (thread or threading.current_thread()) in self._lost:
            return None  # a finished test has reported this thread; no later test owns it
        guard = origins.detector_of(thread) if thread is not None else origins.detector_here()
        if guard in standing:
            return cast("ActiveDetector", guard)
        # The owner is unknown: assume the innermost test, unless tests overlap.
        return None if any(other.overlaps for other in standing) else standing[-1]

    def _check_for_rivals(self, guard: ActiveDetector) -> None:
        self._standing = [other for other in self._standing if other.is_here()]
        rivals = [other for other in self._standing if not guard.is_within(other)]
        for rival in rivals:
            if not rival.overlaps:
                self._begin_overlap(rival)
        if rivals:
            self._join(guard)

    def suppress(self, leak: Leak) -> None:
        """Keep every active detector from reporting this leak again."""
        with self._lock:
            if self._before is not None:
                self._told.add(leak.key)
            for other in self._standing:
                other.told.add(leak.key)

    def disown_thread(self, thread: threading.Thread) -> None:
        """Record a thread as reported, so that its later effects are blamed on no other test."""
        self._lost.add(thread)

    def is_of(self, leak: Leak, guard: ActiveDetector) -> bool:
        """Return whether an overlapping detector is known to own a leak."""
        if leak.key in guard.claimed:
            return True
        origin = origins.of(*_origin_key(leak))
        owner = origin.guard() if origin is not None and origin.guard is not None else None
        return owner is not None and (owner is guard or owner.is_within(guard))

    @property
    def stands(self) -> bool:
        """Whether any detector is active."""
        return bool(self._standing)

    @contextmanager
    def allowing(self) -> Generator[None]:
        """Exempt from the active detectors what is created in this block; see `outlives_test`.

        While a block runs, nothing tells which of the new things it has created. So the end of
        an overlap, which reports what has no owner, waits for the end of the block.
        """
        with self._lock:
            self._allowing += 1
            before = take_snapshot()
        try:
            yield
        finally:
            with self._lock:
                try:
                    self._suppress_since(before)
                finally:
                    # Not below 0: a block that forks ends in the child, too.
                    self._allowing = max(0, self._allowing - 1)
                    self._end_overlap_if_over()

    def _suppress_since(self, before: Snapshot) -> None:
        for leak in differences(before, take_snapshot()):
            origin = origins.of(*_origin_key(leak))
            owner = origin.guard() if origin is not None and origin.guard is not None else None
            if owner is None or owner is origins.detector_here():
                self.suppress(leak)

    def _end_overlap_if_over(self) -> None:
        if not self._allowing and not any(other.overlaps for other in self._standing):
            self._end_overlap()

    def is_runner_thread(self, leak: Leak) -> bool:
        """Return whether a leak is a thread in which the runner runs tests.

        A thread that a test is known to have started does not count.
        """
        hosts = self._hosts
        return leak.dimension == "threads" and leak.key[1] in hosts and not _has_owner(leak)  # type: ignore[index]

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread may have held it."""
        self._lock = threading.RLock()
        self._allowing = 0  # blocks of other threads do not continue in the child

    def _begin_overlap(self, first: ActiveDetector) -> None:
        """Mark a detector as overlapping, and assign all leaks so far to it."""
        before = first.before
        if before is None:
            return
        if self._before is None:
            self._before = before
        # Leaks that were exempted or reported since its first snapshot.
        self._told |= first.told
        first.claimed = {leak.key for leak in differences(before, take_snapshot())}
        self._join(first)

    def _join(self, guard: ActiveDetector) -> None:
        guard.overlaps = True
        self._names.append(guard.name)
        watch.acquire(trace=False)

    def _end_overlap(self) -> None:
        """Warn about leaks without a known owner, and restore settings."""
        before, names, told = self._before, self._names, self._told
        self._before, self._names, self._told = None, [], set()
        if before is None:
            return
        left = [
            leak
            for leak in differences(before, take_snapshot())
            if leak.key not in told and not self.is_runner_thread(leak) and not _has_owner(leak)
        ]
        shown = ", ".join(names[:_NAMES_SHOWN])
        others = f" and {len(names) - _NAMES_SHOWN} others" if len(names) > _NAMES_SHOWN else ""
        for leak in left:
            text = leak.tell()
            if leak.dimension in ("environment", "settings"):
                leak.data.restore()
            warnings.warn(
                f"left behind by one of {shown}{others}, which ran at once: {text}",
                ResourceWarning,
                stacklevel=2,
            )


def _has_owner(leak: Leak) -> bool:
    origin = origins.of(*_origin_key(leak))
    return origin is not None and origin.guard is not None


def _origin_key(leak: Leak) -> tuple[str, Hashable, Hashable]:
    """Return the kind, number and identity under which the creation is recorded."""
    key: tuple[Hashable, ...] = leak.key  # type: ignore[assignment]
    kind = str(key[0])
    return kind, key[1], key[2] if kind == "descriptor" else None


active_detectors: Final = ActiveDetectors()
"""The registry of this process."""

SEES_COROUTINES: Final = watch_coroutines(active_detectors.detector_of)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=active_detectors.renew)
