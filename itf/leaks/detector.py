"""`LeakDetector`: snapshots before and after a test, their comparison, restoration."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Literal

from itf.leaks.creation_sites import current_detector
from itf.leaks.creation_tracing import watch
from itf.leaks.gc_check import Garbage, GarbageCheck, collect
from itf.leaks.leak import DEFAULT_GRACE, IgnoreList, Leak
from itf.leaks.leak_report import LeakReport
from itf.leaks.probes.interpreters import close_interpreter
from itf.leaks.probes.names import remove
from itf.leaks.probes.processes import end_processes, reap_orphans
from itf.leaks.probes.tasks import cancel
from itf.leaks.probes.warning_filters import are_in_effect, filters_here
from itf.leaks.registry import active_detectors
from itf.leaks.snapshot import Snapshot, differences, take_snapshot
from itf.linux_proc import children
from itf.safe_repr import safe_str

__all__ = ["GuardPolicy", "LeakDetector"]

__unittest = True

GuardPolicy = Literal["fail", "warn"]

# Seconds before the second snapshot.  Each further wait is twice as long.
# Most threads that are about to end do so within a few microseconds.
_FIRST_WAIT: Final = 1e-6

# Kinds of leaks that may end by themselves, so that waiting is useful.
_PASSING: Final = frozenset(
    ("threads", "processes", "interpreters", "descriptors", "files", "tasks", "shared")
)


# Cached process id: os.getpid() would be the slowest part of LeakDetector.begin().
_pid = os.getpid()


def _note_fork() -> None:
    global _pid  # noqa: PLW0603 - there is one process
    _pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class LeakDetector:
    """Compares the process before and after one test, class, module or block.

    Args:
        namer: Returns the name of the test for the report.
        policy: ``fail`` ends or removes all leaks; ``warn`` only restores settings.
        ignore: Leaks to accept.
        trace: Whether to record where things are created.
        grace: Seconds to wait for things that are about to end by themselves.
        parent: The enclosing detector; by default the one active in this context.
        garbage: Runs the garbage collector at the end, and reports resources that
            were freed without being closed; None for no collection.

    Thread safety: one thread calls `begin` and `end`; several detectors may be
    active at once in several threads.
    """

    def __init__(
        self,
        namer: Callable[[], str],
        *,
        policy: GuardPolicy = "fail",
        ignore: IgnoreList | None = None,
        trace: bool = False,
        grace: float = DEFAULT_GRACE,
        parent: LeakDetector | None = None,
        garbage: GarbageCheck | None = None,
    ) -> None:
        self.namer = namer
        self.parent = parent
        # Keys of leaks that enclosed detectors have reported, or that are accepted.
        self.told: set[Hashable] = set()
        # True while tests run concurrently: then only leaks known to be this test's count.
        self.overlaps = False
        self.claimed: set[Hashable] = set()
        self.weak = weakref.ref(self)
        self.policy: GuardPolicy = policy
        self._ignore = ignore
        self._trace = trace
        self._grace = grace
        self._garbage = garbage
        self._errors: list[Leak] = []
        self._had_children = False
        self._pid = 0
        self._filters: Any = None
        self.before: Snapshot | None = None

    @property
    def name(self) -> str:
        """Name of the test, as the report shows it."""
        return self.namer()

    def begin(self) -> None:
        """Activate the detector and take the first snapshot."""
        self._pid = _pid
        self._outer = current_detector.get()
        if self.parent is None:
            self.parent = self._outer
        current_detector.set(self)
        if self._trace:
            watch.acquire(trace=True)
        try:
            if self._garbage is not None:
                self._garbage.begin()
            self._filters = filters_here()
            active_detectors.enter(self)
        except BaseException:
            if self._garbage is not None and self._garbage.looks:
                self._garbage.end()
            self._step_back()
            raise

    def end(self) -> LeakReport | None:
        """Compare, restore and return the report; None if there are no leaks."""
        before = self._stop()
        if before is None:
            return None
        leaks: list[Leak] = []
        dropped: list[Leak] = []
        try:
            if self._garbage is not None:
                # The error hooks must be installed while finalizers run.
                collect()
            leaks = self._left_behind(before)
            if self._had_children:
                reap_orphans(before.kernel.children)
            if leaks:
                # Describe the leaks before they are ended: the details vanish with them.
                for leak in leaks:
                    leak.text = leak.tell()
                self._put_back(leaks)
        finally:
            self._leave()
            if self._garbage is not None:
                # Hooks are removed last in, first out; those of the collection were first.
                dropped = self._dropped(self._garbage)
        if not leaks and not dropped:
            return None
        report = LeakReport(self.name, traced=self._trace)
        report.fill(leaks)
        report.fill(dropped)
        return report

    def abandon(self) -> None:
        """Restore settings after an interrupted test, without a report."""
        before = self._stop()
        if before is None:
            return
        try:
            _restore(self._counted(differences(before, take_snapshot())))
        finally:
            self._leave()
            if self._garbage is not None:
                self._garbage.end()

    def _stop(self) -> Snapshot | None:
        """Return the first snapshot; None at the second call, or in a forked child."""
        before, self.before = self.before, None
        return before if self.is_here() else None

    def _dropped(self, garbage: GarbageCheck) -> list[Leak]:
        """Return the resources that were freed without being closed."""
        leaks = [_garbage_leak(found) for found in garbage.end()]
        return [leak for leak in leaks if not self._is_allowed(leak)]

    def _leave(self) -> None:
        active_detectors.leave(self)
        self._step_back()

    def _step_back(self) -> None:
        if self._trace:
            watch.release(trace=True)
        current_detector.set(self._outer)

    def take(self, leak: Leak) -> None:
        """Record an uncatchable error, such as one of a thread, as a leak of this test."""
        self._errors.append(leak)

    def is_here(self) -> bool:
        """Return whether the detector was started in this process, not before a fork."""
        return self._pid == _pid

    def sees_warnings(self) -> bool:
        """Return whether the warning filters of the start apply, without `catch_warnings`."""
        return are_in_effect(self._filters)

    def is_within(self, other: LeakDetector) -> bool:
        """Return whether the other detector is this one or encloses it."""
        guard: LeakDetector | None = self
        while guard is not None:
            if guard is other:
                return True
            guard = guard.parent
        return False

    def _left_behind(self, before: Snapshot) -> list[Leak]:
        after = take_snapshot()
        self._had_children = bool(after.kernel.children)
        if after == before and not self._errors:
            return []
        leaks = self._counted(differences(before, after))
        if any(leak.dimension in _PASSING for leak in leaks):
            leaks = self._second_look(before, leaks)
        return leaks + [leak for leak in self._errors if not self._is_allowed(leak)]

    def _second_look(self, before: Snapshot, leaks: list[Leak]) -> list[Leak]:
        """Compare repeatedly until the grace period is over, and return what remains.

        A leak that first appears in the last snapshot is dropped: it was just
        created elsewhere, and is expected to end too.
        """
        # Objects kept alive only by a reference cycle are not leaks.
        collect()
        wait, deadline = _FIRST_WAIT, time.monotonic() + self._grace
        while True:
            known = {leak.key for leak in leaks}
            leaks = self._counted(differences(before, take_snapshot()))
            if not any(leak.dimension in _PASSING for leak in leaks):
                return leaks
            left = deadline - time.monotonic()
            if left <= 0:
                return [leak for leak in leaks if leak.key in known]
            time.sleep(min(wait, left))
            wait *= 2

    def _counted(self, leaks: Sequence[Leak]) -> list[Leak]:
        """Return the leaks of this test that are neither reported nor accepted yet."""
        return [
            leak
            for leak in leaks
            if leak.key not in self.told
            and not active_detectors.is_runner_thread(leak)
            and (not self.overlaps or active_detectors.is_of(leak, self))
            and not self._is_allowed(leak)
        ]

    def _is_allowed(self, leak: Leak) -> bool:
        if self._ignore is None or not self._ignore.allows(leak):
            return False
        active_detectors.suppress(leak)
        return True

    def _put_back(self, leaks: Sequence[Leak]) -> None:
        for leak in leaks:
            active_detectors.suppress(leak)
            if leak.dimension == "threads" and leak.data is not None:
                active_detectors.disown_thread(leak.data)
        _restore(leaks)
        if self.policy != "fail":
            return
        cancel([leak for leak in leaks if leak.noun in ("task", "asynchronous generator")])
        doomed = [leak.data for leak in leaks if leak.dimension == "processes"]
        if doomed:
            left = end_processes(doomed, frozenset(children()) - frozenset(doomed))
            for leak in leaks:
                if leak.dimension == "processes" and leak.data in left:
                    pids = ", ".join(map(str, left[leak.data]))
                    leak.text += f"; it was killed, and did not end: pid {pids} is still there"
        for leak in leaks:
            if leak.dimension in ("files", "shared"):
                try:
                    remove(leak.data)
                except OSError as error:
                    leak.text += f"; it could not be removed: {error}"
            elif leak.dimension == "interpreters":
                try:
                    close_interpreter(leak.data)
                except Exception as error:  # noqa: BLE001 - the error has no public type before 3.14
                    leak.text += f"; it could not be closed: {safe_str(error)}"


_GARBAGE_NOUNS: Final = {
    "resource": "unclosed resource",
    "coroutine": "coroutine",
    "uncollectable": "uncollectable type",
}


def _garbage_leak(found: Garbage) -> Leak:
    noun = _GARBAGE_NOUNS[found.kind]
    where = f" ({found.where})" if found.where else ""
    return Leak(
        "garbage",
        noun,
        found.type_name,
        ("garbage", found),
        lambda: f"{noun}: {found.text}{where}",
    )


def _restore(leaks: Sequence[Leak]) -> None:
    for leak in leaks:
        if leak.dimension not in ("environment", "settings"):
            continue
        try:
            leak.data.restore()
        except Exception as error:  # noqa: BLE001 - one failure must not prevent the restoration of the rest
            leak.text += f", but that failed: {type(error).__name__}: {safe_str(error)}"
