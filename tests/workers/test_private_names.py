"""Private and undocumented names of multiprocessing and threading that workers use."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import unittest
from typing import Any


def in_another_thread(function: Any) -> Any:
    """Return what a function returns in another thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class NamesTest(unittest.TestCase):
    """Names without documentation that workers use as they stand, each by itself.

    Where one fails on a new Python, what uses it is to be looked at.
    """

    def test_of_multiprocessing(self) -> None:
        """What starts a process, what its object keeps, and what goes to it."""
        import multiprocessing.popen_fork
        import multiprocessing.process
        import multiprocessing.reduction
        import multiprocessing.resource_tracker
        import multiprocessing.spawn
        import multiprocessing.util

        package = multiprocessing
        process = multiprocessing.Process(target=len, args=((),), kwargs={})
        names: list[tuple[Any, str]] = [
            *((process, name) for name in ("_target", "_args", "_kwargs", "_closed", "_popen")),
            *((process, name) for name in ("_Popen", "_start_method", "_bootstrap")),
            *((package.popen_fork.Popen, name) for name in ("_launch", "poll", "wait", "close")),
            *((package.context, name) for name in ("set_spawning_popen", "get_spawning_popen")),
            (package.context, "assert_spawning"),
            *((package.reduction, name) for name in ("dump", "DupFd", "ForkingPickler")),
            (package.resource_tracker, "getfd"),
            *((package.spawn, name) for name in ("get_preparation_data", "get_command_line")),
            (package.spawn, "get_executable"),
            *((package.util, name) for name in ("Finalize", "spawnv_passfds", "close_fds")),
        ]
        for owner, name in names:
            with self.subTest(f"{getattr(owner, '__name__', owner)}.{name}"):
                self.assertTrue(hasattr(owner, name))
        self.assertEqual((len, ((),), {}), (process._target, process._args, process._kwargs))  # type: ignore[attr-defined]
        self.assertFalse(process._closed)  # type: ignore[attr-defined]

    @unittest.skipUnless(
        "forkserver" in multiprocessing.get_all_start_methods(), "there is no forkserver"
    )
    def test_of_the_forkserver(self) -> None:
        """By which a server of itf's own is started and asked."""
        from multiprocessing import forkserver, popen_forkserver, popen_spawn_posix

        for owner, name in (
            (forkserver.ForkServer, "set_forkserver_preload"),
            (forkserver.ForkServer, "connect_to_new_process"),
            (forkserver, "read_signed"),
            (popen_forkserver.Popen, "duplicate_for_child"),
            (popen_spawn_posix.Popen, "duplicate_for_child"),
        ):
            with self.subTest(name):
                self.assertTrue(callable(getattr(owner, name)))

    def test_what_a_process_is_sent(self) -> None:
        """The part that would import ``__main__`` again has these names, or is not there."""
        from multiprocessing import spawn

        main = {"init_main_from_name", "init_main_from_path"}
        data = spawn.get_preparation_data("name")
        known = {"authkey", "dir", "log_level", "log_to_stderr", "name", "orig_dir", "start_method"}
        self.assertEqual(set(), data.keys() - known - main - {"sys_argv", "sys_path"})

    def test_of_threads(self) -> None:
        """What a thread keeps of its target, and the stacks of all threads."""
        thread = threading.Thread(target=len, args=((),), kwargs={})
        kept: Any = thread
        self.assertEqual((len, ((),), {}), (kept._target, kept._args, kept._kwargs))
        self.assertIn(threading.get_ident(), sys._current_frames())
        self.assertIs(sys._current_frames()[threading.get_ident()], sys._getframe())

    def test_how_a_thread_is_started(self) -> None:
        """By functions of these names, which stacks leave out."""
        found: list[str] = []

        def look() -> None:
            frame = sys._getframe().f_back
            while frame is not None:
                found.append(frame.f_code.co_name)
                frame = frame.f_back

        in_another_thread(look)
        self.assertEqual({"run", "_bootstrap_inner", "_bootstrap"}, {*found} - {"<lambda>"})


if __name__ == "__main__":
    unittest.main()
