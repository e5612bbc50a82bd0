"""The start methods of worker processes: fork, forkserver and spawn.

They differ from those of `multiprocessing` in three points.  The user's ``__main__``
is not imported again, because functions and classes are pickled by value.  The fork
server is itf's own and has imported itf's modules.  The end of a process is detected
by a pidfd where possible, and not by a pipe, which the process's children may keep open.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import sys
import threading
import time
from multiprocessing import forkserver, popen_fork, reduction, spawn, util
from multiprocessing.connection import wait
from multiprocessing.context import set_spawning_popen
from typing import Any, Final, cast

from itf.exceptions import WorkerError
from itf.workers.forking import launch

__all__ = ["POPENS", "PidfdPopen", "choose_start_method"]

__unittest = True

# Exit code of a process whose status other code has already taken, as in `multiprocessing`.
_UNKNOWN_EXIT_CODE: Final = 255

# File descriptors needed to start a process: two pipes, copies of their ends, a socket, and
# a pidfd.
_NEEDED: Final = 9

# Number of attempts, and seconds between them, to find a single thread.  After `join`, the
# kernel may list the ended thread for a moment.
_COUNT_TRIES: Final = 10
_COUNT_PAUSE: Final = 0.0001


def choose_start_method(wanted: str = "auto") -> str:
    """Return the start method to use now.

    ``auto`` is fork on Linux while this process has a single thread, because a child
    would inherit locks that other threads hold.  Otherwise it is forkserver, or spawn
    where there is no fork server.

    Raises:
        WorkerError: This platform does not have the wanted start method.
    """
    known = multiprocessing.get_all_start_methods()
    if wanted != "auto":
        if wanted not in known:
            raise WorkerError(
                f"this platform cannot start processes by {wanted!r}; choose 'auto' or "
                f"one of {', '.join(sorted(known))}"
            )
        return wanted
    if sys.platform == "linux" and "fork" in known and _is_single_threaded():
        return "fork"
    return "forkserver" if "forkserver" in known else "spawn"


def _is_single_threaded() -> bool:
    if threading.active_count() > 1:
        return False
    for _ in range(_COUNT_TRIES):
        # Includes the threads that C code has started.
        if len(os.listdir("/proc/self/task")) == 1:
            return True
        time.sleep(_COUNT_PAUSE)
    return False


def _require_room(worker: str) -> None:
    """Check that enough file descriptors are free to start a process.

    Without this check, `multiprocessing` would leave its first pipe open if it cannot
    open the second one.

    Raises:
        WorkerError: There are too few.
    """
    opened: list[int] = []
    try:
        for _ in range(_NEEDED):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise WorkerError(
            f"worker {worker!r} cannot start: {error.strerror}; "
            f"{_NEEDED} descriptors are needed for it",
            worker,
        ) from error
    finally:
        _close_fds(*opened)


def _close_fds(*numbers: int) -> None:
    for number in numbers:
        os.close(number)


class PidfdPopen:
    """Mixin for Popen classes that waits for the process by a pidfd.

    Attributes:
        status_taken: Whether other code in this process has taken the exit status.
    """

    pid: int
    sentinel: int
    returncode: int | None
    _lock: threading.Lock
    _close_handle: Any = None
    status_taken = False

    def watch(self) -> None:
        """Use a pidfd of the process as the sentinel, where the platform has pidfds."""
        # Protects `waitpid` and `returncode`: if two threads poll at the same time, one of
        # them finds no child any more, and has to use the other thread's result.
        self._lock = threading.Lock()
        if not hasattr(os, "pidfd_open"):
            return
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(self.pid)
            self.sentinel = handle
            self._close_handle = util.Finalize(self, os.close, (handle,))

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end of the process; return its exit code, None after the timeout."""
        if self.returncode is None and not wait([self.sentinel], timeout):
            return None
        return self.poll()

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit code of the process, None if it has not ended."""
        with self._lock:
            if self.returncode is None:
                with contextlib.suppress(InterruptedError):
                    try:
                        pid, status = os.waitpid(self.pid, os.WNOHANG)
                    except ChildProcessError:
                        # Other code has waited for all children and has taken the status.
                        self.returncode = _UNKNOWN_EXIT_CODE
                        self.status_taken = True
                    else:
                        if pid == self.pid:
                            self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def close(self) -> None:
        """Release the resources of this object."""
        super().close()  # type: ignore[misc]
        if self._close_handle is not None:
            self._close_handle()


class _ForkPopen(PidfdPopen, popen_fork.Popen):
    def _launch(self, process: Any) -> None:
        _require_room(process.name)
        launch(self, process)
        self.watch()


POPENS: Final[dict[str, Any]] = {}
"""Popen classes by start method."""

if "fork" in multiprocessing.get_all_start_methods():
    POPENS["fork"] = _ForkPopen


def _pickled(popen: Any, process: Any) -> memoryview:
    """Return the pickled process object and preparation data, without ``__main__``."""
    data = spawn.get_preparation_data(process.name)
    for key in ("init_main_from_name", "init_main_from_path"):
        data.pop(key, None)
    buffer = io.BytesIO()
    set_spawning_popen(popen)
    try:
        reduction.dump(data, buffer)
        reduction.dump(process, buffer)
    finally:
        set_spawning_popen(None)
    return buffer.getbuffer()


if "forkserver" in multiprocessing.get_all_start_methods():
    from multiprocessing import popen_forkserver, popen_spawn_posix, resource_tracker

    # Fork servers by pid, because a forked child needs a server of its own.
    _servers: dict[int, forkserver.ForkServer] = {}

    def _server() -> forkserver.ForkServer:
        server = _servers.get(os.getpid())
        if server is None:
            server = forkserver.ForkServer()
            # Only modules of itf and of the standard library.  Importing a module of the
            # user in the server could have side effects there.
            own = [name for name in list(sys.modules) if name.startswith("itf.")]
            server.set_forkserver_preload(["itf.workers.forkserver_preload", *own])
            server = _servers.setdefault(os.getpid(), server)
        return server

    class _ForkserverPopen(popen_forkserver.Popen):
        _fds: list[int]

        def _launch(self, process: Any) -> None:
            _require_room(process.name)
            data = _pickled(self, process)
            self.sentinel, writing = _server().connect_to_new_process(self._fds)
            # The child detects by the copy of `writing` that its parent is alive.
            self.finalizer = util.Finalize(self, _close_fds, (os.dup(writing), self.sentinel))
            try:
                with open(writing, "wb") as file:
                    file.write(data)
                self.pid = forkserver.read_signed(self.sentinel)
            except (EOFError, OSError) as error:
                self.finalizer()
                raise WorkerError(
                    f"worker {process.name!r} could not be started: the forkserver is gone",
                    process.name,
                ) from error

    class _SpawnPopen(PidfdPopen, popen_spawn_posix.Popen):
        _fds: list[int]

        def _launch(self, process: Any) -> None:
            _require_room(process.name)
            # The resource tracker removes named resources if all processes are killed.
            tracker = cast(int, resource_tracker.getfd())
            self._fds.append(tracker)
            data = _pickled(self, process)
            with contextlib.ExitStack() as stack:
                self._sentinel_read, child_writing = os.pipe()
                stack.callback(os.close, child_writing)
                child_reading, writing = os.pipe()
                stack.callback(os.close, child_reading)
                self.finalizer = util.Finalize(self, _close_fds, (self._sentinel_read, writing))
                self.sentinel = self._sentinel_read
                command = spawn.get_command_line(tracker_fd=tracker, pipe_handle=child_reading)
                self._fds.extend([child_reading, child_writing])
                self.pid = util.spawnv_passfds(
                    os.fsencode(spawn.get_executable()), command, self._fds
                )
                self.watch()
                # A broken pipe means that the new process has ended already, which its
                # exit code reports.
                with (
                    contextlib.suppress(BrokenPipeError),
                    open(writing, "wb", closefd=False) as file,
                ):
                    file.write(data)

    POPENS["forkserver"] = _ForkserverPopen
    POPENS["spawn"] = _SpawnPopen
