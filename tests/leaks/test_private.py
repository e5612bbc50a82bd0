"""Each private name of the standard library that the guard uses, on this Python, and without it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import multiprocessing.util
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from multiprocessing import shared_memory
from typing import Any
from unittest import mock

from itf import tracebacks
from itf.leaks import quick
from itf.leaks.growth import growth_check
from itf.leaks.probes import environment, errors, kernel, names, tasks
from itf.leaks.registry import SEES_COROUTINES
from tests.support import run_script


class QuickTest(unittest.TestCase):
    """The quick answers are those of the public ways."""

    def test_environment(self) -> None:
        """Of `os.environ`, with `_data` and without."""
        expected = {os.fsencode(key): os.fsencode(value) for key, value in os.environ.items()}
        self.assertEqual(expected, quick.environment())
        with mock.patch.object(os, "environ", dict(os.environ)):
            self.assertEqual(expected, quick.environment())

    def test_signal_handlers(self) -> None:
        """Of every signal, as `signal.getsignal` says."""
        handlers = dict(zip(quick.SIGNALS, quick.signal_handlers(), strict=True))
        self.assertEqual({n: signal.getsignal(n) for n in handlers}, handlers)
        with mock.patch.dict(sys.modules):
            sys.modules.pop("_signal", None)
            self.assertIs(signal.getsignal, quick._quick("getsignal"))

    def test_blocked_signals(self) -> None:
        """As `signal.pthread_sigmask` says."""
        self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, ()), quick.blocked())

    def test_locale(self) -> None:
        """As `locale.setlocale` says; None where there is no way to know."""
        import locale

        self.assertEqual(locale.setlocale(locale.LC_ALL), quick.locale_name())
        with mock.patch.object(quick, "_locale", None):
            self.assertIsNone(quick.locale_name())


class EnvironmentTest(unittest.TestCase):
    """What is set through `os.environ` and past it."""

    def test_what_the_c_library_does_not_know_of(self) -> None:
        """A variable that only `os.environ` has, since a test has replaced `putenv`."""
        setting = environment.Environment()
        before = setting.read()
        self.assertIs(before, setting.read())
        with mock.patch.object(os, "putenv"):
            os.environ["ONLY_OURS"] = "x"
        names = {change.name for change in setting.changes(before, setting.read())}
        self.assertEqual({"ONLY_OURS", "ONLY_OURS (behind os.environ)"}, names)
        del os.environ["ONLY_OURS"]
        self.assertEqual(before, setting.read())

    def test_what_is_set_while_it_is_read_is_read_the_next_time(self) -> None:
        """By another thread, between one part of a reading and the next."""
        original = quick.environment

        def read() -> dict[Any, Any]:
            found = original()
            # The copy is made, and the C library's list is read.
            os.environ["MEANWHILE"] = "x"
            return found

        self.addCleanup(os.environ.pop, "MEANWHILE", None)
        setting = environment.Environment()
        with mock.patch.object(environment, "environment", read):
            setting.read()
        after = setting.read()
        self.assertEqual(b"x", after.data[b"MEANWHILE"])
        self.assertEqual((), after.behind)

    def test_other_threads_write_between_any_two_lines_of_a_reading(self) -> None:
        """What they have freed is not read: the C library's list moves as it grows."""
        done = run_script(WRITE_MEANWHILE)
        self.assertEqual((0, "[]\n", ""), (done.returncode, done.stdout, done.stderr))

    def test_what_the_c_library_has_is_known(self) -> None:
        """As its own programs see it; what is there twice, and what is empty, too."""
        with mock.patch.dict(os.environ, {"EMPTY": "", "EQUALS": "a=b", "UMLAUT": "\xe4"}):
            block = environment._read_c()
            self.assertIsNotNone(block)
            expected = subprocess.run(["env", "-0"], capture_output=True, check=True).stdout
            self.assertEqual(sorted(expected.split(b"\0")), sorted((block or b"").split(b"\0")))
            known = environment._parsed(block or b"")
            # But for what readline sets, if another test has imported it.
            self.assertEqual((), environment._behind(known, quick.environment()))
        self.assertEqual({b"A": b"1"}, environment._parsed(b"A=1\0A=2\0"))

    def test_without_the_function_of_glibc(self) -> None:
        """Python's own is asked, from 3.14 on; before that nobody can look behind."""
        block = environment._read_c()
        with mock.patch.object(environment.ctypes, "PyDLL", side_effect=OSError):
            reader = environment._find_reader()
        if sys.version_info >= (3, 14):
            self.assertIsNotNone(reader)
        if reader is not None:
            self.assertEqual(block, reader())
        with (
            mock.patch.object(environment.ctypes, "PyDLL", side_effect=OSError),
            mock.patch.dict(sys.modules),
        ):
            sys.modules.pop("posix", None)
            self.assertIsNone(environment._find_reader())

    def test_where_nobody_can_look_behind(self) -> None:
        """What `os.environ` has is compared, and of the C library nothing is said."""
        setting = environment.Environment()
        before = setting.read()
        with mock.patch.object(environment, "_reader", None):
            without = setting.read()
            self.assertEqual(without, setting.read())
            self.assertIsNone(without.behind)
            with mock.patch.dict(os.environ, PLANTED="x"):
                (change,) = setting.changes(before, setting.read())
                self.assertEqual("PLANTED", change.name)
        self.assertEqual([], list(setting.changes(without, setting.read())))

    def test_without_the_gil_the_c_library_is_read_by_a_single_thread_alone(self) -> None:
        """Nothing would keep another one from writing meanwhile."""
        stop = threading.Event()
        other = threading.Thread(target=stop.wait, args=(60,))
        with mock.patch.object(sys, "_is_gil_enabled", lambda: False, create=True):
            self.assertIsNotNone(environment._read_c())
            other.start()
            try:
                self.assertIsNone(environment._read_c())
            finally:
                stop.set()
                other.join()


# With each line of a reading, a writer removes one of the variables that stand
# before the others, and adds some at the end: the others move.
WRITE_MEANWHILE = """
import os, sys, threading
from itf.leaks.probes import environment

os.environ.clear()
for name in ("FIRST", "SECOND"):
    for number in range(100):
        os.environ[f"{name}_{number}"] = "x"
turn, done = threading.Semaphore(0), threading.Semaphore(0)

def write():
    for number in range(100):
        if not turn.acquire(timeout=60) or stopped:
            return
        os.unsetenv(f"FIRST_{number}")
        for other in range(10):
            os.putenv(f"ADDED_{number}_{other}", "x" * 100)
        done.release()

def switch(frame, event, arg):
    if frame.f_code.co_filename != environment.__file__ or not writer.is_alive():
        return None
    turn.release()
    while not done.acquire(timeout=0.01) and writer.is_alive():
        pass
    return switch

stopped = False
writer = threading.Thread(target=write)
writer.start()
setting = environment.Environment()
sys.settrace(switch)
reading = setting.read()
sys.settrace(None)
stopped = True
turn.release()
writer.join()
print(sorted({name.partition(b"_")[0].decode() for name, _ in reading.behind} - {"FIRST", "ADDED"}))
"""


class NamesTest(unittest.TestCase):
    def test_every_way_to_a_temporary_file_is_seen(self) -> None:
        """Through the sequence of names, whichever function is asked."""
        self.assertTrue(names.SEES_FILES)
        before = names.names.last
        number, path = tempfile.mkstemp(suffix=".x")
        os.close(number)
        folder = tempfile.mkdtemp(prefix="here-")
        in_path = tempfile.mkdtemp(dir=pathlib.Path(folder))
        raw_number, raw = tempfile.mkstemp(prefix=b"raw-")
        os.close(raw_number)
        with tempfile.NamedTemporaryFile() as file:
            seen = {leak.name for leak in names.names.since(before)}
        self.assertEqual({path, folder, in_path, os.fsdecode(raw), file.name}, seen)
        os.unlink(path)
        os.unlink(raw)
        os.rmdir(in_path)
        os.rmdir(folder)
        self.assertEqual([], list(names.names.since(before)))

    def test_without_the_sequence_files_are_not_seen(self) -> None:
        """And nothing else changes."""
        with mock.patch.object(tempfile, "_RandomNameSequence", None):
            self.assertFalse(names._watch_temporary_files())

    def test_many_names_are_not_kept_for_ever(self) -> None:
        """Those under which there is nothing are dropped, once there are many."""
        log = names.NameLog()
        for number in range(2 * names._MANY):
            log.add(names.Name("file", f"/nowhere/{number}", "x"))
        self.assertLessEqual(len(log._names), names._MANY)

    def test_many_names_in_use_are_not_looked_at_for_each_new_one(self) -> None:
        """A test with thousands of temporary files takes no longer for each of them."""
        log = names.NameLog()
        looked = []
        with mock.patch("os.path.lexists", side_effect=lambda path: looked.append(path) or True):
            for number in range(10 * names._MANY):
                log.add(names.Name("file", f"/nowhere/{number}", "x"))
        self.assertEqual(10 * names._MANY, len(log._names))
        self.assertLess(len(looked), 20 * names._MANY)

    def test_shared_memory_and_semaphores_are_seen(self) -> None:
        """Through the two modules of C that make them; without those they are not."""
        self.assertEqual(sys.platform == "linux", names.SEES_SHARED)
        before = names.names.last
        lock = multiprocessing.get_context("spawn").Lock()
        segment = shared_memory.SharedMemory(create=True, size=64)
        try:
            nouns = sorted(leak.noun for leak in names.names.since(before))
            self.assertEqual(["semaphore", "shared memory"], nouns)
        finally:
            segment.close()
            segment.unlink()
            del lock
            gc.collect()
        self.assertEqual([], list(names.names.since(before)))
        for module in ("_multiprocessing", "_posixshmem"):
            with mock.patch.dict(sys.modules, {module: None}):
                self.assertFalse(names._watch_shared())

    def test_a_semaphore_is_unlinked_as_multiprocessing_would(self) -> None:
        """By what is registered for its end, under private names; else by its name."""
        for registry in (None, {}):
            before = names.names.last
            lock = multiprocessing.get_context("spawn").Lock()
            (leak,) = names.names.since(before)
            with contextlib.ExitStack() as stack:
                if registry is not None:
                    stack.enter_context(
                        mock.patch("multiprocessing.util._finalizer_registry", registry)
                    )
                    self.assertFalse(names._finalize(leak.name))
                names.remove(leak.data)
            self.assertEqual([], list(names.names.since(before)))
            if registry is not None:
                # It would unlink what is gone, at the end of the process.
                own = multiprocessing.util._finalizer_registry
                for key, finalizer in list(own.items()):
                    if finalizer._args == (leak.name,):
                        del own[key]
            del lock

    def test_what_multiprocessing_keeps_until_the_end_is_known(self) -> None:
        """Its helpers by their command lines, its files by their names: on this Python."""
        done = run_script(
            "import multiprocessing, os, sys\n"
            "from multiprocessing import heap, resource_tracker, util\n"
            "from itf.leaks.probes.kernel import descriptor_kind\n"
            "from itf.leaks.probes import descriptors, names, processes\n"
            "from itf.linux_proc import children\n"
            "resource_tracker.ensure_running()\n"
            "process = multiprocessing.get_context('forkserver').Process(target=int)\n"
            "process.start(); process.join(); process.close()\n"
            "print(len(children()), all(map(processes.is_harmless_process, children())))\n"
            "print(names._HARMLESS in util.get_temp_dir() + os.sep)\n"
            "arena = heap.Arena(4096)\n"
            "print(descriptors._HARMLESS[0] in descriptor_kind(arena.fd))\n"
        )
        self.assertEqual(("2 True\nTrue\nTrue\n", ""), (done.stdout, done.stderr))


class CachesTest(unittest.TestCase):
    def test_lookups_can_be_forgotten(self) -> None:
        """By a function of this Python; where there is none, nothing is done."""
        names_of_it = ("_clear_internal_caches", "_clear_type_cache")
        there = [name for name in names_of_it if hasattr(sys, name)]
        self.assertTrue(there)
        with contextlib.ExitStack() as stack:
            mocks = [stack.enter_context(mock.patch.object(sys, name)) for name in there]
            growth_check._clear_lookups()
            self.assertEqual([1, *[0] * (len(there) - 1)], [each.call_count for each in mocks])
            for name in there:
                delattr(sys, name)
            growth_check._clear_lookups()
            for name, each in zip(there, mocks, strict=True):
                setattr(sys, name, each)


class WhereTest(unittest.TestCase):
    def test_how_threading_starts_a_thread_is_not_shown(self) -> None:
        """By the names of its functions, on this Python; a target of threading's own is."""
        stop, there = threading.Event(), threading.Event()

        def run() -> None:
            there.set()
            stop.wait(60)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            there.wait(60)
            places = tracebacks.thread_location(thread).split(", called from ")
        finally:
            stop.set()
            thread.join()
        self.assertRegex(places[-1], rf"{__file__}:\d+ in .*run$")


class HooksTest(unittest.TestCase):
    def test_coroutines_are_seen(self) -> None:
        """Through the function that C calls for each; without it they are not."""
        self.assertTrue(SEES_COROUTINES)
        with mock.patch.object(warnings, "_warn_unawaited_coroutine", None):
            self.assertFalse(errors.watch_coroutines(lambda _: None))


class LoopsTest(unittest.TestCase):
    def test_generators_and_executors_of_a_loop_are_seen(self) -> None:
        """What a loop keeps of them, under private names, on this Python."""

        async def numbers():  # type: ignore[no-untyped-def]
            yield 1

        async def begin() -> object:
            generator = numbers()
            await anext(generator)
            await asyncio.to_thread(int)
            return generator

        tasks.look_at_tasks()
        loop = asyncio.new_event_loop()
        try:
            generator = loop.run_until_complete(begin())
            pending = {reference() for reference in tasks.look_at_tasks()}
            self.assertIn(generator, pending)
            self.assertTrue(tasks.executor_threads())
            loop.run_until_complete(generator.aclose())  # type: ignore[attr-defined]
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
        self.assertEqual((), tasks._generators_of(object()))
        other = mock.Mock(spec=["is_closed"], **{"is_closed.return_value": False})
        with mock.patch.object(tasks, "_loops", lambda: [other]):
            self.assertEqual(set(), tasks.executor_threads())
        self.assertFalse(tasks.executor_threads())


class AllObjectsTest(unittest.TestCase):
    def test_no_object_is_touched_while_other_threads_run(self) -> None:
        """One of them may be making a tuple, which nobody else may hold meanwhile."""
        self.assertTrue(tasks.all_objects())
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait, args=(60,))
        thread.start()
        try:
            self.assertEqual([], tasks.all_objects())
        finally:
            stop.set()
            thread.join()


@unittest.skipUnless(sys.platform == "linux", "/proc is Linux's")
class KernelTest(unittest.TestCase):
    """The quick look is the slow one's equal, whatever was done to its descriptors."""

    def test_it_sees_what_is_there(self) -> None:
        """A descriptor more, and one that is another file now."""
        view = kernel.Kernel()
        before = view.look()
        number = os.open("/dev/null", os.O_RDONLY)
        with_it = view.look()
        self.assertEqual({number}, with_it.descriptors.keys() - before.descriptors.keys())
        other = os.open(__file__, os.O_RDONLY)
        os.dup2(other, number)
        os.close(other)
        replaced = view.look()
        self.assertNotEqual(with_it.descriptors[number], replaced.descriptors[number])
        os.close(number)
        self.assertEqual(before.descriptors, view.look().descriptors)
        self._close(view)

    def test_a_child_of_another_thread_is_seen(self) -> None:
        """As long as that thread runs, it is in no list but that thread's."""
        view = kernel.Kernel()
        ready, done = threading.Event(), threading.Event()
        pids: list[int] = []

        def start() -> None:
            with subprocess.Popen(["sleep", "60"]) as process:
                pids.append(process.pid)
                ready.set()
                done.wait(60)
                process.kill()

        thread = threading.Thread(target=start)
        thread.start()
        try:
            ready.wait(60)
            self.assertIn(str(pids[0]).encode(), view.look().children.split())
        finally:
            done.set()
            thread.join()
        self._close(view)

    def test_where_no_child_is_no_list_is_read(self) -> None:
        """There is one of each thread, and there may be hundreds of threads."""
        with (
            mock.patch("os.waitid", side_effect=ChildProcessError),
            mock.patch.object(kernel, "children", side_effect=AssertionError),
        ):
            self.assertEqual(b"", kernel._children())
        for refusal in (OSError, AttributeError):
            with (
                mock.patch("os.waitid", side_effect=refusal),
                mock.patch.object(kernel, "children", return_value=[7]),
            ):
                self.assertEqual(b"7", kernel._children())

    def test_where_descriptors_cannot_be_listed_each_number_is_tried(self) -> None:
        """In a full table, or where nothing tells; what each of them is is known as well."""
        expected = kernel._descriptors()
        ends = os.pipe()
        try:
            with (
                mock.patch("os.listdir", side_effect=OSError),
                mock.patch("os.readlink", side_effect=OSError),
            ):
                found = kernel._descriptors()
                kinds = [kernel.descriptor_kind(number) for number in ends]
            self.assertEqual(expected.keys() | set(ends), found.keys())
            inodes = [os.fstat(number).st_ino for number in ends]
            self.assertEqual([f"pipe:[{inode}]" for inode in inodes], kinds)
        finally:
            for number in ends:
                os.close(number)
        self.assertEqual("?", kernel.descriptor_kind(ends[0]))

    def test_its_own_descriptors_may_be_closed(self) -> None:
        """By a program that closes all there are, and uses their numbers."""
        view = kernel.Kernel()
        before = view.look()
        kept = view._kept
        assert kept is not None
        files = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
        for file, number in zip(files, (kept.fds, kept.tasks, kept.children), strict=True):
            os.dup2(file, number)
            os.close(file)
        after = view.look()
        self.assertEqual(before.threads, after.threads)
        numbers = {kept.fds, kept.tasks, kept.children}
        self.assertEqual(numbers, after.descriptors.keys() - before.descriptors.keys())
        for number in numbers:
            os.close(number)
        self._close(view)

    def test_without_proc_it_looks_the_slow_way(self) -> None:
        """With a full table of descriptors, say."""
        view = kernel.Kernel()
        with mock.patch.object(view, "_open", side_effect=OSError):
            look = view.look()
        self.assertIn(os.getpid(), look.threads)
        self.assertIn(0, look.descriptors)

    def _close(self, view: kernel.Kernel) -> None:
        kept = view._kept
        assert kept is not None
        for number in (kept.fds, kept.tasks, kept.children):
            os.close(number)


if __name__ == "__main__":
    unittest.main()
