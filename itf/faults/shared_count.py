"""The count of a plan in memory that several processes share."""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Generator

# Bound at import, so that a fault injected into one of these does not break itf itself.
from os import ftruncate, getpid, write
from time import monotonic, sleep
from typing import Final

from itf.descriptors import Descriptor, anonymous_file
from itf.exceptions import ItfError
from itf.file_lock import try_lock_byte, unlock_byte
from itf.fork_safety import fork_safe_lock

if sys.platform != "win32":  # Windows lacks these, so processes cannot share a plan there
    from fcntl import F_GETFL, F_SETFL, fcntl
    from os import pread, pwrite

__all__ = ["SharedPage", "encode_line"]

__unittest = True

_SIZE: Final = mmap.PAGESIZE

# Name of the memory file. The leak detector recognizes and ignores it.
_NAME: Final = "itf-fault-page"

# Indexes of the numbers on the page, each eight bytes.
_CALLS: Final = 0
_RELEASED: Final = 1

# Offset and size of the page id, in bytes.
_UID: Final = 64
_UID_SIZE: Final = 16

# Bytes that record locks are held on: while counting, and while a process uses the plan.
_COUNT_BYTE: Final = 0
_USE_BYTE: Final = 1

# Seconds to wait for the lock. Counting holds it for microseconds; a process that holds
# it for this long is stopped.
_LOCK_TIMEOUT: Final = 60.0

# Attempts before the first sleep, because the lock is usually free at once; then seconds
# between attempts.
_YIELDS: Final = 20
_LOCK_POLL: Final = 0.0002


def encode_line(text: str) -> bytes:
    """Return a message in the form that `SharedPage.lines` reads.

    The message also begins with a newline, so that the unfinished line of a killed
    process does not absorb the message.
    """
    return f"\n{' '.join(text.split())}\n".encode(errors="backslashreplace")


class SharedPage:
    """A page of shared memory with the count and state of a plan.

    The page is the first page of an unnamed file.  Locks are the kernel's record
    locks on bytes of the file, which the kernel releases when a process is killed.
    So a killed process blocks no other, and its last call was either counted or not.
    One byte is locked while counting, another byte by every process that uses the plan.
    Messages follow the page.  The file is deleted with its last descriptor.

    Attributes:
        uid: The id of the page, equal in all processes.

    Thread safety: every method, from any thread of any process.
    """

    def __init__(self, file: Descriptor) -> None:
        self._file = file
        self._map = mmap.mmap(file.number, _SIZE)
        self._numbers = memoryview(self._map).cast("Q")
        # Both fields are protected by the lock of this object. `_is_locked`: the thread that
        # holds that lock also holds the lock for counting. `_is_in_use`: this process uses the
        # plan.
        self._is_locked = False
        self._is_in_use = False
        self.uid = bytes(self._map[_UID : _UID + _UID_SIZE])

    @classmethod
    def create(cls) -> SharedPage:
        """Return a new page of zeros.

        Raises:
            OSError: No space or no descriptor is left.
        """
        file = anonymous_file(_NAME)
        ftruncate(file.number, _SIZE)
        pwrite(file.number, os.urandom(_UID_SIZE), _UID)
        # From here on `write` appends behind the page; each line is one write.
        fcntl(file.number, F_SETFL, fcntl(file.number, F_GETFL) | os.O_APPEND)
        return cls(file)

    @property
    def number(self) -> int:
        """The descriptor of the page in this process."""
        return self._file.number

    def address(self) -> Descriptor | str:
        """Return what another process needs to open this page.

        A process that is being started inherits the descriptor.  A running process
        opens the page by its path under /proc, which exists on Linux only.
        """
        context = sys.modules.get("multiprocessing.context")
        if context is not None and context.get_spawning_popen() is not None:
            return self._file
        return f"/proc/{getpid()}/fd/{self._file.number}"

    @classmethod
    def open_at(cls, address: Descriptor | str, uid: bytes, plan: str) -> SharedPage:
        """Return the page of another process.

        Args:
            address: The result of that process's `address`.
            uid: The id of the page.
            plan: The name of the plan, for messages.

        Raises:
            ItfError: The process has ended, or this is not Linux.
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
        """Write a message to the process that owns the plan.

        A line is written whole or not at all, also if this process is killed.  No other
        process waits for the line.
        """
        write(self._file.number, encode_line(line))

    def lines(self, begin: int) -> tuple[list[str], int]:
        """Return the messages of all processes from an offset on, and the offset after them.

        Args:
            begin: The offset; 0 for all messages.
        """
        data = b""
        while piece := pread(self._file.number, _SIZE, _SIZE + begin + len(data)):
            data += piece
        # A process killed while writing leaves a line without an end.
        end = data.rfind(b"\n") + 1
        lines = data[:end].decode("utf-8", "replace").splitlines()
        return [line for line in lines if line], begin + end

    def drop(self, descriptor: Descriptor) -> None:
        """Close another descriptor of this page.

        A process that closes any descriptor of a file loses all its record locks on the
        file.  So the descriptor is closed while no thread of this process counts, and the
        lock of a process that uses the plan is acquired again.
        """
        with fork_safe_lock(self):
            # Two objects that a new process receives may bring the same descriptor.
            if descriptor is not self._file:
                descriptor.close()
                self.set_in_use(self._is_in_use)

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Hold the lock for counting, against all threads of all processes."""
        # Needed in addition to the kernel's lock, which belongs to the whole process.
        with fork_safe_lock(self):
            outer, self._is_locked = self._is_locked, True
            try:
                self._lock_byte(_COUNT_BYTE)
                yield
            finally:
                self._is_locked = outer
                # A nested call (from a signal handler or a __del__) must not release the lock: the
                # kernel keeps one lock for this process, not one for each call.
                if not outer:
                    unlock_byte(self._file.number, _COUNT_BYTE)

    def next_call(self) -> int:
        """Count a call, and return its number."""
        # The code of `locked` repeated: its context manager would take three times as long.
        with fork_safe_lock(self):
            outer, self._is_locked = self._is_locked, True
            try:
                self._lock_byte(_COUNT_BYTE)
                number = self._numbers[_CALLS] + 1
                self._numbers[_CALLS] = number
            finally:
                self._is_locked = outer
                if not outer:
                    unlock_byte(self._file.number, _COUNT_BYTE)
        return number

    @property
    def calls(self) -> int:
        """How many calls were counted; set only while `locked`."""
        return self._numbers[_CALLS]

    @calls.setter
    def calls(self, calls: int) -> None:
        self._numbers[_CALLS] = calls

    @property
    def released(self) -> bool:
        """Whether hanging calls were released for good."""
        return bool(self._numbers[_RELEASED])

    def release(self) -> None:
        """Release hanging calls for good."""
        self._numbers[_RELEASED] = 1

    def set_in_use(self, is_in_use: bool) -> None:
        """Publish whether this process uses the plan."""
        with fork_safe_lock(self):
            self._is_in_use = is_in_use
            if is_in_use:
                self._lock_byte(_USE_BYTE, shared=True)
            else:
                unlock_byte(self._file.number, _USE_BYTE)

    def reset_after_fork(self) -> None:
        """Record that this forked child holds no locks; children do not inherit them."""
        self._is_locked = self._is_in_use = False

    def is_used(self) -> bool:
        """Return whether any process uses the plan."""
        with fork_safe_lock(self):
            if self._is_in_use or not try_lock_byte(self._file.number, _USE_BYTE):
                return True
            unlock_byte(self._file.number, _USE_BYTE)
            return False

    def _lock_byte(self, byte: int, *, shared: bool = False) -> None:
        attempts = 0
        deadline = 0.0
        while not try_lock_byte(self._file.number, byte, shared=shared):
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
