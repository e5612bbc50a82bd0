"""What the kernel knows of this process: its threads, its children, its descriptors.

A look is taken before and after every test, so it must cost microseconds.  On
Linux three descriptors are kept open for it: what they are asked for costs a
tenth of what opening their paths anew would.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterable
from typing import Final, NamedTuple

from itf.linux_proc import children, command_of

__all__ = ["Descriptors", "Kernel", "Look", "descriptor_kind", "kernel"]

__unittest = True

Descriptors = dict[int, tuple[int, int]]
"""The open descriptors, each with what tells one file from another: inode and device."""

# Python's own, also while the guard watches who opens what.
_open: Final = os.open

# Of an entry of /proc/self/task that has no thread but the main one.
_LINKS_OF_ONE: Final = 3

# More children than this fit into one read of their list, by far.
_LIST_SIZE: Final = 1 << 16

# Of Linux, __WALL: also children of which `clone` was asked for another signal, or none.
_OF_ANY_KIND: Final = 0x40000000

_FORKSERVER: Final = "from multiprocessing.forkserver import main"

_FD_FOLDERS: Final = ("/proc/self/fd", "/dev/fd")

# So many numbers of descriptors are tried where there is no list of them; the
# limit may be a thousand times as high, and no process has as many open.
_MOST_TRIED: Final = 1 << 16


class Look(NamedTuple):
    """What the kernel said at one moment.

    Attributes:
        threads: The kernel's ids of the threads, those that Python did not start among them.
        children: The pids of the children, as the kernel writes them.
        descriptors: The open descriptors, without those that are kept for looking.
    """

    threads: frozenset[int]
    children: bytes
    descriptors: Descriptors


class _Kept(NamedTuple):
    """The three descriptors, and the inodes by which two of them are known again."""

    pid: int
    main_thread: frozenset[int]
    fds: int
    tasks: int
    children: int
    fds_inode: int
    tasks_inode: int


class Kernel:
    """A way to look at this process, quickly where the system allows it.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        self._kept: _Kept | None = None
        # What a forked child has of its parent's, until it has some of its own.
        self._inherited: _Kept | None = None
        self._last = Look(frozenset(), b"", {})
        # Held while the three descriptors are opened or let go.
        self._lock = threading.RLock()
        self._counts = False
        self._descriptors: Descriptors = {}
        # Of each child that was there at the last look, whether it is a
        # forkserver; None if that is not yet sure.
        self._servers: dict[bytes, bool | None] = {}

    def look(self) -> Look:
        """Look at threads, children and descriptors."""
        kept = self._kept
        try:
            if kept is None:
                kept = self._open(None)
            tasks, fds = os.fstat(kept.tasks), os.fstat(kept.fds)
            if tasks.st_ino != kept.tasks_inode or fds.st_ino != kept.fds_inode:
                # Closed behind our back: the numbers are some other files' by now.
                kept = self._open(kept)
                tasks, fds = os.fstat(kept.tasks), os.fstat(kept.fds)
            alone = tasks.st_nlink == _LINKS_OF_ONE
            listed = os.pread(kept.children, _LIST_SIZE, 0) if alone else _children()
            threads = kept.main_thread if alone else _threads()
            if listed:
                listed = self._with_forkserver(listed)
            descriptors = self._look_at_descriptors(kept, fds.st_size)
            last = self._last
            if descriptors is not last[2] or listed != last[1] or threads != last[0]:
                last = self._last = Look(threads, listed, descriptors)
            return last  # the same one if all is the same: so it is compared in no time
        except OSError:
            # No such kernel, or a full table of descriptors.
            return Look(_threads(), self._with_forkserver(_children()), _descriptors())

    def _with_forkserver(self, listed: bytes) -> bytes:
        """Add the processes that a forkserver has forked for us: they are its children."""
        found = [listed]
        known = self._servers
        self._servers = {}
        for pid in listed.split():
            serves = known.get(pid)
            if serves is None:
                serves = _FORKSERVER in command_of(int(pid))
            # That a process is none is believed from the second look on: it may
            # still have to become another program.
            self._servers[pid] = serves if serves or pid in known else None
            if serves:
                found += [str(child).encode() for child in children(int(pid))]
        return b" ".join(found)

    def _look_at_descriptors(self, kept: _Kept, count: int) -> Descriptors:
        known = self._descriptors
        if self._counts and count == len(known) + _KEPT and _is_as_it_was(known):
            return known
        found = _descriptors()
        for number in (kept.fds, kept.tasks, kept.children):
            found.pop(number, None)
        self._descriptors = found
        return found

    def _open(self, old: _Kept | None) -> _Kept:
        """Open the descriptors: at first use, in a forked child, after somebody closed them."""
        with self._lock:
            if self._kept is not old and self._kept is not None:
                return self._kept
            self._kept = None
            opened: list[int] = []
            try:
                for gone in (old, self._inherited):
                    if gone is not None:
                        _close(gone)
                self._inherited = None
                pid = os.getpid()
                for path in ("/proc/self/fd", "/proc/self/task", f"/proc/self/task/{pid}/children"):
                    opened.append(_open(path, os.O_RDONLY | os.O_CLOEXEC))
                inodes = [os.fstat(number).st_ino for number in opened[:2]]
            except OSError:
                for number in opened:
                    os.close(number)
                raise
            self._descriptors = {}
            # From Linux 6.2 on, the size of this folder is the number of descriptors.
            self._counts = os.fstat(opened[0]).st_size > 0
            self._kept = _Kept(pid, frozenset((pid,)), *opened, *inodes)
            return self._kept

    def renew(self) -> None:
        """Begin anew, in a forked child, where another thread may have held the lock."""
        self._lock = threading.RLock()
        if self._kept is not None:
            self._inherited, self._kept = self._kept, None


_KEPT: Final = 3


def _close(old: _Kept) -> None:
    """Close what is not of use any more, as far as it is still open."""
    for number, inode in ((old.fds, old.fds_inode), (old.tasks, old.tasks_inode)):
        with contextlib.suppress(OSError):
            if os.fstat(number).st_ino == inode:
                os.close(number)
    with contextlib.suppress(OSError):
        if descriptor_kind(old.children) == f"/proc/{old.pid}/task/{old.pid}/children":
            os.close(old.children)


def _is_as_it_was(known: Descriptors) -> bool:
    try:
        for number, identity in known.items():
            status = os.fstat(number)
            if (status[1], status[2]) != identity:
                return False
    except OSError:
        return False
    return True


def _threads() -> frozenset[int]:
    with contextlib.suppress(OSError):
        return frozenset(map(int, os.listdir("/proc/self/task")))
    return frozenset(t.native_id or 0 for t in threading.enumerate() if t.is_alive())


def _children() -> bytes:
    if not _has_children():
        return b""
    return " ".join(map(str, sorted(children()))).encode()


def _has_children() -> bool:
    """Say whether any thread may have a child; without one, no list of each need be read."""
    try:
        # WNOWAIT: nothing is taken from whoever waits for them.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | _OF_ANY_KIND)
    except ChildProcessError:
        return False
    except (AttributeError, OSError):
        return True  # no such question, or not in this way
    return True


def _descriptors() -> Descriptors:
    found: Descriptors = {}
    for number in _numbers():
        # The descriptor of the listing itself is closed by now.
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            found[number] = (status[1], status[2])
    return found


def _numbers() -> Iterable[int]:
    """Return the numbers of the open descriptors, and perhaps some more."""
    for folder in _FD_FOLDERS:
        with contextlib.suppress(OSError):
            return map(int, os.listdir(folder))
    # The table is full, and to list it takes one more; or nobody tells.
    with contextlib.suppress(ImportError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return range(limit if 0 <= limit < _MOST_TRIED else _MOST_TRIED)
    return ()


def descriptor_kind(number: int) -> str:
    """Return what the kernel calls an open descriptor: ``socket:[17]``, a path, ...

    ``?`` if it is not open.
    """
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{number}")
    with contextlib.suppress(OSError):
        # No such kernel: what every system knows.
        status = os.fstat(number)
        kinds = ((stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "pipe"))
        kind = next((kind for is_it, kind in kinds if is_it(status.st_mode)), "inode")
        return f"{kind}:[{status.st_ino}]"
    return "?"


kernel: Final = Kernel()
"""The one way of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=kernel.renew)
