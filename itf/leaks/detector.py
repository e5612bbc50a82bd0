"""The guard: a look before, a look after, a second look, and what to do about it."""

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

# The first wait before a second look.  What ends by itself has mostly ended
# after some of these; each next one is twice as long.
_FIRST_WAIT: Final = 1e-6

# What may end by itself.  A setting stays as it is.
_PASSING: Final = frozenset(
    ("threads", "processes", "interpreters", "descriptors", "files", "tasks", "shared")
)


# To ask the system for it takes longer than all else that begins a guard.
_pid = os.getpid()


def _note_fork() -> None:
    global _pid  # noqa: PLW0603 - there is one process
    _pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class LeakDetector:
    """What stands around one test, one class or one module.

    Args:
        namer: Says whose leaks they are, for the report.
        policy: ``fail``: all is put back; ``warn``: settings are.
        ignore: What may be left behind.
        trace: Whether it is remembered where things are made.
        grace: Seconds until what is on its way out counts as left behind.
        parent: The guard around this one; by default the one that stands here.
        garbage: Collects at the end, and tells what that, or the test itself,
            has freed without closing it; None for no collection.

    Thread safety: `begin` and `end` are called by one thread; several guards may
    stand at once in several.
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
        # Leaks that guards within this one have told, or that are allowed.
        self.told: set[Hashable] = set()
        # With other tests around, only what is known to be this one's counts.
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
        """Whose leaks they are."""
        return self.namer()

    def begin(self) -> None:
        """Take the snapshot before."""
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
        """Look after, put back what was changed, and tell; None if nothing was left behind."""
        before = self._stop()
        if before is None:
            return None
        leaks: list[Leak] = []
        dropped: list[Leak] = []
        try:
            if self._garbage is not None:
                # With our hooks in place, for what finalizers raise.
                collect()
            leaks = self._left_behind(before)
            if self._had_children:
                reap_orphans(before.kernel.children)
            if leaks:
                # Now, as long as there is something to be said of them.
                for leak in leaks:
                    leak.text = leak.tell()
                self._put_back(leaks)
        finally:
            self._leave()
            if self._garbage is not None:
                # In the order in which they were put in: its hooks are below ours.
                dropped = self._dropped(self._garbage)
        if not leaks and not dropped:
            return None
        report = LeakReport(self.name, traced=self._trace)
        report.fill(leaks)
        report.fill(dropped)
        return report

    def abandon(self) -> None:
        """Put settings back after a test that was broken off, without a judgement."""
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
        """Return the look before, once; None also in a forked child, where nothing is ours."""
        before, self.before = self.before, None
        return before if self.is_here() else None

    def _dropped(self, garbage: GarbageCheck) -> list[Leak]:
        """Return what was freed without being closed."""
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
        """Take an error that nobody could catch as this test's."""
        self._errors.append(leak)

    def is_here(self) -> bool:
        """Say whether this guard stands in this process, and not in its parent."""
        return self._pid == _pid

    def sees_warnings(self) -> bool:
        """Say whether a warning would be nobody's: no `catch_warnings` is around."""
        return are_in_effect(self._filters)

    def is_within(self, other: LeakDetector) -> bool:
        """Say whether this guard stands within another one."""
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
        """Look again and again, as long as the grace lasts, at what may end by itself.

        What is there at one look and was not at the one before came from
        elsewhere in between, and is on its way out as well.
        """
        # What only a circle of garbage keeps alive is not left behind.
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
        """Return those that count: this test's own, and neither told nor allowed."""
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
        except Exception as error:  # noqa: BLE001 - whatever a setting refuses with, the others are put back
            leak.text += f", but that failed: {type(error).__name__}: {safe_str(error)}"
