"""Child processes that outlive a test: which, with all that came of them; and their end."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from itf.leaks.creation_sites import origins
from itf.leaks.leak import Leak
from itf.linux_proc import children, command_of, descendants_of, parent_of, reap, state_of

__all__ = ["end_processes", "is_harmless_process", "new_processes", "pipes_of", "reap_orphans"]

__unittest = True

# What multiprocessing keeps for as long as the program runs.
_HARMLESS: Final = (
    "from multiprocessing.resource_tracker import main",
    "from multiprocessing.semaphore_tracker import main",
    "from multiprocessing.forkserver import main",
)

# How long processes may take to vanish after SIGKILL; longer only if the
# kernel itself is stuck on their behalf.
_KILL_WAIT: Final = 5.0

_ZOMBIE: Final = "Z"

# The states of what is no more, or is only waited for.
_OVER: Final = ("", "X", _ZOMBIE)


def new_processes(before: bytes, after: bytes) -> Iterator[Leak]:
    """Tell of the children that were not there before, orphans that came to us among them."""
    known = set(before.split())
    for word in after.split():
        pid = int(word)
        if word in known or is_harmless_process(pid):
            continue
        if state_of(pid) == _ZOMBIE and not _is_waited_for(pid):
            continue
        command = command_of(pid)
        yield Leak(
            "processes",
            "process",
            command,
            ("process", pid),
            lambda pid=pid, command=command: _told(pid, command),  # type: ignore[misc]
            pid,
        )


def is_harmless_process(pid: int) -> bool:
    """Say whether a process is one that multiprocessing keeps until the program ends."""
    command = command_of(pid)
    # What a forkserver forks has the same command line, and another parent.
    return any(text in command for text in _HARMLESS) and parent_of(pid) == os.getpid()


def _is_waited_for(pid: int) -> bool:
    """Say whether a process that has ended is one of this program, and not an adopted orphan.

    Such an orphan, without us, init would have waited for.
    """
    return origins.is_forked(pid) or _object_of(pid) is not None


def reap_orphans(before: bytes) -> None:
    """Take the status of adopted orphans that have ended: nobody else will.

    Args:
        before: The children that were there before, in which somebody may have
            an interest; of `os.posix_spawn` there is no trace that tells.
    """
    if len(sys._current_frames()) > 1:
        # One of the other threads may have started it in this very moment, and
        # nobody knows yet.
        return
    known = set(map(int, before.split()))
    for pid in children():
        if pid not in known and pid not in _owned and state_of(pid) == _ZOMBIE:
            if _is_waited_for(pid):
                _owned.add(pid)
            else:
                reap(pid, time.monotonic())


# Children that have ended and have an object somewhere that will wait for them.
_owned: set[int] = set()


def _object_of(pid: int) -> Any:
    """Return the `Popen` or `multiprocessing` process that stands for a child; None if none."""
    kinds: list[type[Any]] = []
    for module, name in (("subprocess", "Popen"), ("multiprocessing.process", "BaseProcess")):
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None:
            kinds += [kind, *_subclasses_of(kind)]
    # An object refers to its class.  Only for a report, for it looks through
    # all objects; none but these are touched, whatever other threads make now.
    for candidate in gc.get_referrers(*kinds):
        if type(candidate) in kinds:
            with contextlib.suppress(Exception):  # closed, or half made
                if candidate.pid == pid:
                    return candidate
    return None


def _subclasses_of(kind: type[Any]) -> Iterator[type[Any]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses_of(subclass)


def _told(pid: int, command: str) -> str:
    origin = origins.text("process", pid, "started")
    if state_of(pid) == _ZOMBIE:
        return f"process {pid} ({command}){origin}, has ended, and nobody waited for it"
    offspring = descendants_of(pid)
    if not offspring:
        return f"process {pid} ({command}){origin}"
    listed = ", ".join(f"{child} ({command_of(child)})" for child in offspring)
    return f"process {pid} ({command}){origin}, with {listed}"


def pipes_of(pid: int) -> frozenset[str]:
    """Return the pipes that a process and what came of it have open, as the kernel names them."""
    found: set[str] = set()
    for each in (pid, *descendants_of(pid)):
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{each}/fd"):
                with contextlib.suppress(OSError):
                    found.add(os.readlink(f"/proc/{each}/fd/{name}"))
    return frozenset(text for text in found if text.startswith("pipe:"))


def end_processes(pids: Iterable[int], spare: frozenset[int]) -> dict[int, list[int]]:
    """Kill processes with all that came of them, and take the status of those nobody waits for.

    Args:
        pids: Children of this process.
        spare: Children that are not to be touched.

    Returns:
        Of each that did not end, or of which something did not: what is still there.
    """
    deadline = time.monotonic() + _KILL_WAIT
    own = [pid for pid in pids if pid not in spare]
    # Stopped first, for as long as more of them come to light: then none of
    # them can start another while the others are being killed.
    # Each with the child that it came of.
    doomed: dict[int, int] = {}
    while fresh := {
        pid: each for each in own for pid in (each, *descendants_of(each)) if pid not in doomed
    }:
        doomed.update(fresh)
        _signal(fresh, signal.SIGSTOP)
    _signal(doomed, signal.SIGKILL)
    for pid in own:
        _take(pid, deadline)
    # Those whose parent was killed are ours by now.
    for pid in children():
        if pid in doomed:
            reap(pid, deadline)
    left: dict[int, list[int]] = {}
    for pid, child in doomed.items():
        if state_of(pid) not in _OVER:
            left.setdefault(child, []).append(pid)
    return left


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _take(pid: int, deadline: float) -> None:
    """Wait for the end of a child; by its object, if it has one, which then knows its status."""
    owner = _object_of(pid)
    if owner is None:
        reap(pid, deadline)
    elif hasattr(owner, "communicate"):
        with contextlib.suppress(Exception):  # whatever a subclass makes of it
            owner.wait(timeout=max(0.0, deadline - time.monotonic()))
    else:
        with contextlib.suppress(Exception):
            owner.join(max(0.0, deadline - time.monotonic()))
