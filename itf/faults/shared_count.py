"""What the processes that share a plan write down together."""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Generator

# By names of our own: a test that has these fail, or counts their calls, means its own.
from os import ftruncate, getpid, write
from time import monotonic, sleep
from typing import Final

from itf.descriptors import Descriptor, anonymous_file
from itf.exceptions import ItfError
from itf.fork_safety import fork_safe_lock

if sys.platform != "win32":  # where no process can share a plan
    from fcntl import F_GETFL, F_SETFL, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, fcntl, lockf
    from os import pread, pwrite

__all__ = ["SharedPage", "encode_line"]

__unittest = True

_SIZE: Final = mmap.PAGESIZE

# What the guard knows it by, which has nothing to say against it.
_NAME: Final = "itf-fault-page"

# Where each number is, in units of eight bytes.
_CALLS: Final = 0
_RELEASED: Final = 1

# And what the page is known by, in bytes.
_UID: Final = 64
_UID_SIZE: Final = 16

# Which bytes of the file are locked: by who counts, and by all who use the plan.
_COUNT_BYTE: Final = 0
_USE_BYTE: Final = 1

# Who counts is inside for a microsecond.  If it takes this long, somebody is
# stopped in the middle of it.
_LOCK_TIMEOUT: Final = 60.0

# How often to try again at once, before sleeping: most are through by then.
_YIELDS: Final = 20
_LOCK_POLL: Final = 0.0002


def encode_line(text: str) -> bytes:
    """Return a message as `SharedPage.lines` reads it.

    The end of a line comes first, too: what a killed process has begun to
    write must not swallow the next message.
    """
    return f"\n{' '.join(text.split())}\n".encode(errors="backslashreplace")


class SharedPage:
    """A page of memory with a few numbers, each of which one store changes.

    It is in a file without a name, and who writes has the kernel's lock on
    that: a process that is killed at any instant has counted or has not, and
    holds up nobody.  Who uses the plan has another one, so that it does so no
    more when it is killed.  The page goes with the last process that has it.

    Attributes:
        uid: What the page is known by in all processes.

    Thread safety: every method, from any thread of any process.
    """

    def __init__(self, file: Descriptor) -> None:
        self._file = file
        self._map = mmap.mmap(file.number, _SIZE)
        self._numbers = memoryview(self._map).cast("Q")
        # Whether who has the page's lock counts already, and whether this process
        # uses the plan; that lock is held while either changes.
        self._is_locked = False
        self._is_in_use = False
        self.uid = bytes(self._map[_UID : _UID + _UID_SIZE])

    @classmethod
    def create(cls) -> SharedPage:
        """Return a new page of zeros.

        Raises:
            OSError: There is no room for it, or no descriptor.
        """
        file = anonymous_file(_NAME)
        ftruncate(file.number, _SIZE)
        pwrite(file.number, os.urandom(_UID_SIZE), _UID)
        # From here on what is written comes after the page, a line with one write.
        fcntl(file.number, F_SETFL, fcntl(file.number, F_GETFL) | os.O_APPEND)
        return cls(file)

    @property
    def number(self) -> int:
        """The number of the page's descriptor, in this process."""
        return self._file.number

    def address(self) -> Descriptor | str:
        """Return by what another process comes to this page.

        A process that is being started inherits the descriptor.  One that runs
        already finds it by the name that Linux gives to it.
        """
        context = sys.modules.get("multiprocessing.context")
        if context is not None and context.get_spawning_popen() is not None:
            return self._file
        return f"/proc/{getpid()}/fd/{self._file.number}"

    @classmethod
    def open_at(cls, address: Descriptor | str, uid: bytes, plan: str) -> SharedPage:
        """Return the page that another process has shown the way to.

        Args:
            address: The way.
            uid: What the page is known by.
            plan: Whose page it is, for messages.

        Raises:
            ItfError: The process that has sent it is gone, or this is not Linux.
        """
        page = None
        with contextlib.suppress(OSError, ValueError):
            if isinstance(address, str):
                address = Descriptor(os.open(address, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC))
            page = cls(address)
        if page is None or page.uid != uid:
            raise ItfError(
                f"{plan} cannot be reached in the process that has sent it; let the function of "
                "the worker capture it, or pass it as an argument of the worker"
            )
        return page

    def add_line(self, line: str) -> None:
        """Leave a message for the process that the plan belongs to.

        A line is there whole or not at all, also if this process is killed,
        and no other process waits for it.
        """
        write(self._file.number, encode_line(line))

    def lines(self, begin: int) -> tuple[list[str], int]:
        """Return the messages of all processes from a place on, and the place after them.

        Args:
            begin: The place; 0 for all messages.
        """
        data = b""
        while piece := pread(self._file.number, _SIZE, _SIZE + begin + len(data)):
            data += piece
        # What a process that was killed has begun to write has no end.
        end = data.rfind(b"\n") + 1
        lines = data[:end].decode("utf-8", "replace").splitlines()
        return [line for line in lines if line], begin + end

    def drop(self, descriptor: Descriptor) -> None:
        """Close a second descriptor of this very page.

        A process that closes any descriptor of a file loses its locks on it: so
        it is closed while no thread of this process has the one of who counts,
        and the one of who uses the plan is taken again.
        """
        with fork_safe_lock(self):
            # Two messages that a process begins with bring one descriptor.
            if descriptor is not self._file:
                descriptor.close()
                self.set_in_use(self._is_in_use)

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Be the only thread of all processes that counts."""
        # Beside the kernel's lock, which belongs to the whole process.
        with fork_safe_lock(self):
            outer, self._is_locked = self._is_locked, True
            try:
                self._lock_byte(LOCK_EX, _COUNT_BYTE)
                yield
            finally:
                self._is_locked = outer
                # A signal handler, or a __del__, that has come in between is
                # through before us: the kernel knows of one lock only, ours.
                if not outer:
                    self._unlock_byte(_COUNT_BYTE)

    def next_call(self) -> int:
        """Count a call, and return its number."""
        # As `alone` does, in a third of its time.
        with fork_safe_lock(self):
            outer, self._is_locked = self._is_locked, True
            try:
                self._lock_byte(LOCK_EX, _COUNT_BYTE)
                number = self._numbers[_CALLS] + 1
                self._numbers[_CALLS] = number
            finally:
                self._is_locked = outer
                if not outer:
                    self._unlock_byte(_COUNT_BYTE)
        return number

    @property
    def calls(self) -> int:
        """How many calls there were; who sets it is `alone`."""
        return self._numbers[_CALLS]

    @calls.setter
    def calls(self, calls: int) -> None:
        self._numbers[_CALLS] = calls

    @property
    def released(self) -> bool:
        """Whether hanging calls were let go for good."""
        return bool(self._numbers[_RELEASED])

    def release(self) -> None:
        """Let hanging calls go for good."""
        self._numbers[_RELEASED] = 1

    def set_in_use(self, is_in_use: bool) -> None:
        """Have all processes know whether this one uses the plan."""
        with fork_safe_lock(self):
            self._is_in_use = is_in_use
            if is_in_use:
                self._lock_byte(LOCK_SH, _USE_BYTE)
            else:
                self._unlock_byte(_USE_BYTE)

    def reset_after_fork(self) -> None:
        """Take note that this is a new process, which has none of the locks."""
        self._is_locked = self._is_in_use = False

    def is_used(self) -> bool:
        """Say whether any process uses the plan."""
        with fork_safe_lock(self):
            if self._is_in_use or not self._try_lock_byte(LOCK_EX, _USE_BYTE):
                return True
            self._unlock_byte(_USE_BYTE)
            return False

    def _lock_byte(self, kind: int, byte: int) -> None:
        attempts = 0
        deadline = 0.0
        while not self._try_lock_byte(kind, byte):
            attempts += 1
            if attempts < _YIELDS:
                sleep(0)
                continue
            now = monotonic()
            deadline = deadline or now + _LOCK_TIMEOUT
            if now > deadline:
                raise ItfError(
                    f"another process has been counting a call for {_LOCK_TIMEOUT:g} s; "
                    "is it paused?"
                )
            sleep(_LOCK_POLL)

    def _try_lock_byte(self, kind: int, byte: int) -> bool:
        try:
            lockf(self._file.number, kind | LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):  # EAGAIN here, EACCES there
            return False
        return True

    def _unlock_byte(self, byte: int) -> None:
        lockf(self._file.number, LOCK_UN, 1, byte)
