"""How processes are started: by fork, by a server of itf's own, or afresh.

As `multiprocessing` does it, but for three things.  Nothing imports the user's
``__main__`` again: what is needed of it travels with the worker.  The server
has itf's modules loaded already.  And the end of a process is told by the
process itself, not by a pipe that its children may keep open.
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

# The exit code of a process whose status somebody else has taken; multiprocessing's own choice.
_UNKNOWN_EXIT_CODE: Final = 255

# How many descriptors it takes to start a process: two pipes, what is copied of
# them, a socket, and what the process itself is known by.
_NEEDED: Final = 9

# After join() the kernel may count a thread for a moment that is gone.
_COUNT_TRIES: Final = 10
_COUNT_PAUSE: Final = 0.0001


def choose_start_method(wanted: str = "auto") -> str:
    """Return the start method to use now.

    ``auto`` is fork while this process has one thread only, so that the child
    cannot inherit a lock that a thread held, and where the system's own
    libraries bear it; else forkserver; else spawn.

    Raises:
        WorkerError: This platform has not got the one that is wanted.
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
        # Those that C code has started count as well.
        if len(os.listdir("/proc/self/task")) == 1:
            return True
        time.sleep(_COUNT_PAUSE)
    return False


def _require_room(worker: str) -> None:
    """Fail before anything is begun if there are too few descriptors left to start a process.

    multiprocessing, where it cannot open the second pipe, leaves the first one open.

    Raises:
        WorkerError: There are.
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
    """A process whose end is told by a descriptor of the process itself."""

    pid: int
    sentinel: int
    returncode: int | None
    _lock: threading.Lock
    _close_handle: Any = None
    status_taken = False

    def watch(self) -> None:
        """Take the process's own descriptor as the sentinel, where there is one."""
        # Held while its status is taken: of two threads that ask, one finds
        # no child any more, and must wait for what the other has found.
        self._lock = threading.Lock()
        if not hasattr(os, "pidfd_open"):
            return
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(self.pid)
            self.sentinel = handle
            self._close_handle = util.Finalize(self, os.close, (handle,))

    def wait(self, timeout: float | None = None) -> int | None:
        if self.returncode is None and not wait([self.sentinel], timeout):
            return None
        return self.poll()

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        with self._lock:
            if self.returncode is None:
                with contextlib.suppress(InterruptedError):
                    try:
                        pid, status = os.waitpid(self.pid, os.WNOHANG)
                    except ChildProcessError:
                        # Somebody waits for all children and has taken its status.
                        self.returncode = _UNKNOWN_EXIT_CODE
                        self.status_taken = True
                    else:
                        if pid == self.pid:
                            self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        if self._close_handle is not None:
            self._close_handle()


class _ForkPopen(PidfdPopen, popen_fork.Popen):
    def _launch(self, process: Any) -> None:
        _require_room(process.name)
        launch(self, process)
        self.watch()


POPENS: Final[dict[str, Any]] = {}
"""The class that starts a process, by start method."""

if "fork" in multiprocessing.get_all_start_methods():
    POPENS["fork"] = _ForkPopen


def _pickled(popen: Any, process: Any) -> memoryview:
    """Pickle what a new process begins with, without a word about ``__main__``."""
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

    # By pid: a forked child must have one of its own.
    _servers: dict[int, forkserver.ForkServer] = {}

    def _server() -> forkserver.ForkServer:
        server = _servers.get(os.getpid())
        if server is None:
            server = forkserver.ForkServer()
            # Our own modules, and the standard library's: what a user's module
            # does when it is imported, it would do in the server as well.
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
            # The child knows by the other end that its parent is there.
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
            # The tracker knows what is to be unlinked if all of us are killed.
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
                # It reads while we write: a broken pipe tells that it is gone already.
                with (
                    contextlib.suppress(BrokenPipeError),
                    open(writing, "wb", closefd=False) as file,
                ):
                    file.write(data)

    POPENS["forkserver"] = _ForkserverPopen
    POPENS["spawn"] = _SpawnPopen
