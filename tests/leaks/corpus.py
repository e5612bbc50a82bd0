"""Things that tests leave behind, one each: how it is done, and how it is tidied up.

Each is a generator: up to its ``yield`` it makes something, after that it tidies
up.  What a guard has to say of it, where it is not tidied up, stands above it.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import gc
import io
import locale
import logging
import mmap
import multiprocessing
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import shared_memory
from typing import Any, NamedTuple

from itf.leaks.probes.warning_filters import all_filters

__all__ = ["BEFORE", "CORPUS", "Planted"]

Making = Callable[[], Generator[None]]

# Far more than any of it takes: who waits this long hangs.
TIMEOUT = 30


class Planted(NamedTuple):
    """One thing to be left behind.

    Attributes:
        make: Makes it, and tidies up.
        summary: How the summary counts it.
        text: What the report says of it, among other things: a regular expression.
    """

    make: Making
    summary: str
    text: str


CORPUS: dict[str, Planted] = {}


def planted(summary: str, text: str) -> Callable[[Making], Making]:
    """Add a generator to the corpus, with what is to be said of it."""

    def add(make: Making) -> Making:
        CORPUS[make.__name__] = Planted(make, summary, text)
        return make

    return add


class Before:
    """What is there before a test: not what it leaves behind.

    Attributes:
        pipe: The two ends of a pipe.
        slot: A descriptor of /dev/null, whose place something else may take.
        null: Another one, to put it back.
        loop: An event loop.
        divisor: 0 makes errors where there are to be some.
    """

    def open(self) -> None:
        """Make all of it."""
        self.pipe = os.pipe()
        self.null = os.open("/dev/null", os.O_RDONLY)
        self.slot = os.dup(self.null)
        self.loop = asyncio.new_event_loop()
        self.divisor = 0

    def close(self) -> None:
        """Take all of it away."""
        for number in (*self.pipe, self.null, self.slot):
            os.close(number)
        self.loop.close()


BEFORE = Before()


def reap(pid: int) -> None:
    """End a child and take its status, unless the guard was first."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def unlink(path: str) -> None:
    """Remove a file, unless the guard was first."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


# Threads


@planted("1 thread", r"thread 'waiter' \(ident \d+\), is .*threading\.py:\d+ in .*wait")
def thread_that_waits() -> Generator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, args=(TIMEOUT,), name="waiter")
    thread.start()
    yield
    stop.set()
    thread.join()


@planted("1 thread", r"thread 'demon' \(ident \d+, daemon\)")
def daemon_thread() -> Generator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, args=(TIMEOUT,), name="demon", daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


@planted("1 thread", r"thread 'in C' .*corpus\.py:\d+ in .*read")
def thread_blocked_in_c() -> Generator[None]:
    def read() -> None:
        os.read(BEFORE.pipe[0], 1)

    thread = threading.Thread(target=read, name="in C")
    thread.start()
    yield
    os.write(BEFORE.pipe[1], b"x")
    thread.join()


@planted("1 thread", r"thread .*_thread\.start_new_thread")
def raw_thread() -> Generator[None]:
    stop, done = threading.Event(), threading.Event()

    def run() -> None:
        stop.wait(TIMEOUT)
        done.set()

    _thread.start_new_thread(run, ())
    yield
    stop.set()
    done.wait(TIMEOUT)


@planted("1 thread", r"thread 'Thread-\d+'")
def timer_that_is_not_cancelled() -> Generator[None]:
    timer = threading.Timer(TIMEOUT, print)
    timer.start()
    yield
    timer.cancel()
    timer.join()


@planted("2 threads", r"thread 'pool_0'")
def pool_that_is_not_shut_down() -> Generator[None]:
    pool = ThreadPoolExecutor(2, thread_name_prefix="pool")
    barrier = threading.Barrier(2)
    list(pool.map(lambda _: barrier.wait(TIMEOUT), range(2)))
    yield
    pool.shutdown()


@planted("2 threads", r"thread 'child'")
def thread_of_a_thread() -> Generator[None]:
    stop = threading.Event()
    inner = threading.Thread(target=stop.wait, args=(TIMEOUT,), name="child")

    def run() -> None:
        inner.start()
        inner.join()

    thread = threading.Thread(target=run, name="parent")
    thread.start()
    while not inner.is_alive():
        pass
    yield
    stop.set()
    thread.join()


# Processes


@planted("1 process", r"process \d+ \(sleep 30\)")
def process() -> Generator[None]:
    sleeper = subprocess.Popen(["sleep", "30"])
    yield
    sleeper.kill()
    sleeper.wait()


@planted("1 process, 1 pipe", r"because of it: pipe read end")
def process_with_a_pipe() -> Generator[None]:
    sleeper = subprocess.Popen(["sleep", "30"], stdout=subprocess.PIPE)
    yield
    sleeper.kill()
    sleeper.communicate()


@planted("1 process, 1 thread", r"because of it: thread 'watcher'")
def process_that_a_thread_waits_for() -> Generator[None]:
    sleeper = subprocess.Popen(["sleep", "30"])
    thread = threading.Thread(target=sleeper.wait, name="watcher")
    thread.start()
    yield
    sleeper.kill()
    thread.join()


@planted("1 process", r"process \d+ \(sleep 30\)")
def double_forked_orphan() -> Generator[None]:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os.setsid()
            os.write(theirs, str(os.getpid()).encode())
            os.closerange(0, 100)
            os.execvp("sleep", ["sleep", "30"])
        os._exit(0)
    os.waitpid(child, 0)
    os.close(theirs)
    orphan = int(os.read(ours, 20))
    os.close(ours)
    wait_for_command(orphan, "sleep")
    yield
    reap(orphan)


def wait_for_command(pid: int, command: str) -> None:
    """Wait until a child has become another program."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if command in pathlib.Path(f"/proc/{pid}/comm").read_text():
                return


@planted("1 process", r"process \d+ \(sleep 30\)")
def orphan_of_a_shell() -> Generator[None]:
    shell = subprocess.run(
        ["sh", "-c", "setsid sleep 30 >/dev/null 2>&1 & echo $!"],
        stdout=subprocess.PIPE,
        check=True,
    )
    orphan = int(shell.stdout)
    wait_for_command(orphan, "sleep")
    yield
    reap(orphan)


@planted("1 process", r"with \d+ \(sleep 30\)")
def process_with_a_child() -> Generator[None]:
    # Reads until it is told to go on, and starts another one before that.
    shell = subprocess.Popen(["sh", "-c", "sleep 30 & echo ready; wait"], stdout=subprocess.PIPE)
    assert shell.stdout is not None
    shell.stdout.readline()
    shell.stdout.close()
    (grandchild,) = (
        int(word)
        for word in pathlib.Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()
    )
    wait_for_command(grandchild, "sleep")
    yield
    with contextlib.suppress(ProcessLookupError):
        os.kill(grandchild, signal.SIGKILL)
    shell.kill()
    shell.wait()


@planted("1 process", r"has ended, and nobody waited for it")
def zombie() -> Generator[None]:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    yield
    reap(child)


@planted("1 process, 2 pipes", r"process \d+ \(")
def multiprocessing_process() -> Generator[None]:
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=time.sleep, args=(TIMEOUT,))
    worker.start()
    yield
    worker.kill()
    worker.join()
    worker.close()


@planted("1 process", r"process \d+ \(")
def process_of_a_forkserver() -> Generator[None]:
    worker = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(TIMEOUT,))
    worker.start()
    yield
    worker.kill()
    worker.join()
    worker.close()


@planted("1 process", r"process \d+ \(sleep 30\)")
def process_of_a_thread() -> Generator[None]:
    started: list[subprocess.Popen[bytes]] = []
    stop, there = threading.Event(), threading.Event()

    def run() -> None:
        started.append(subprocess.Popen(["sleep", "30"]))
        there.set()

    thread = threading.Thread(target=run)
    thread.start()
    there.wait(TIMEOUT)
    thread.join()
    yield
    stop.set()
    started[0].kill()
    started[0].wait()


@planted("1 process", r"process \d+ \(sleep 30\)")
def process_by_posix_spawn() -> Generator[None]:
    child = os.posix_spawnp("sleep", ["sleep", "30"], os.environ)
    wait_for_command(child, "sleep")
    yield
    reap(child)


# Interpreters


if sys.version_info >= (3, 14):

    @planted("1 interpreter", r"interpreter \d+")
    def interpreter() -> Generator[None]:
        from concurrent import interpreters

        made = interpreters.create()
        yield
        with contextlib.suppress(interpreters.InterpreterNotFoundError):
            made.close()

    @planted("1 thread, 1 interpreter", r"interpreter \d+, is running; it could not be closed: ")
    def interpreter_that_runs() -> Generator[None]:
        from concurrent import interpreters

        made = interpreters.create()
        made.prepare_main(number=BEFORE.pipe[0])
        thread = threading.Thread(target=made.exec, args=("import os; os.read(number, 1)",))
        thread.start()
        while not made.is_running():
            pass
        yield
        os.write(BEFORE.pipe[1], b"x")
        thread.join()
        made.close()

    @planted("1 thread, 1 interpreter", r"interpreter \d+")
    def pool_of_interpreters() -> Generator[None]:
        from concurrent.futures import InterpreterPoolExecutor

        pool = InterpreterPoolExecutor(1)
        pool.submit(pow, 2, 3).result(TIMEOUT)
        yield
        pool.shutdown()


# Descriptors


@planted("1 file", r"file .*corpus\.py \(fd \d+, inode \d+ on device \d+\)")
def open_file() -> Generator[None]:
    file = open(__file__)
    yield
    file.close()


@planted("1 file", r"file .*corpus\.py")
def raw_descriptor() -> Generator[None]:
    number = os.open(__file__, os.O_RDONLY)
    yield
    os.close(number)


@planted("1 directory", r"directory /")
def open_directory() -> Generator[None]:
    number = os.open("/", os.O_RDONLY)
    yield
    os.close(number)


@planted("1 socket", r"socket TCP 127\.0\.0\.1:\d+ \(listening\)")
def listening_socket() -> Generator[None]:
    server = socket.create_server(("127.0.0.1", 0))
    yield
    server.close()


@planted("1 socket", r"socket TCP 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+")
def connection_half_closed() -> Generator[None]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    client.close()
    yield
    accepted.close()


@planted("1 socket", r"socket UDP")
def datagram_socket() -> Generator[None]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    yield
    sock.close()


@planted("1 socket", r"socket unix")
def half_a_socketpair() -> Generator[None]:
    ours, theirs = socket.socketpair()
    theirs.close()
    yield
    ours.close()


@planted("1 socket", r"socket unix '\\x00itf-corpus")
def abstract_unix_socket() -> Generator[None]:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"\0itf-corpus-{os.getpid()}")
    yield
    sock.close()


@planted("2 pipes", r"pipe write end of pipe:\[\d+\]")
def pipe() -> Generator[None]:
    numbers = os.pipe()
    yield
    for number in numbers:
        os.close(number)


@planted("1 epoll", r"epoll anon_inode:\[eventpoll\]")
def epoll() -> Generator[None]:
    poll = select.epoll()
    yield
    poll.close()


@planted("1 eventfd", r"eventfd anon_inode:\[eventfd\]")
def event_descriptor() -> Generator[None]:
    number = os.eventfd(0)
    yield
    os.close(number)


@planted("1 memfd", r"memfd planted")
def memfd() -> Generator[None]:
    number = os.memfd_create("planted")
    yield
    os.close(number)


@planted("1 deleted file", r"deleted file /")
def deleted_file() -> Generator[None]:
    file = tempfile.TemporaryFile()
    number = os.dup(file.fileno())
    file.close()
    if not os.readlink(f"/proc/self/fd/{number}").endswith("(deleted)"):
        os.close(number)
        raise AssertionError("this file system shows no deleted files")
    yield
    os.close(number)


@planted("1 file", r"file .*corpus\.py \(fd \d+, .*\) in place of what was open there")
def other_file_under_an_old_number() -> Generator[None]:
    other = os.open(__file__, os.O_RDONLY)
    os.dup2(other, BEFORE.slot)
    os.close(other)
    yield
    os.dup2(BEFORE.null, BEFORE.slot)


@planted("1 file", r"file .*corpus\.py")
def file_kept_by_a_mapping() -> Generator[None]:
    with open(__file__, "rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    yield
    mapping.close()


# Temporary files


@planted("1 temporary file", r"temporary file .*planted.* \(5 bytes\)")
def temporary_file() -> Generator[None]:
    number, path = tempfile.mkstemp(prefix="planted")
    os.write(number, b"12345")
    os.close(number)
    yield
    unlink(path)


@planted("1 temporary directory", r"temporary directory .* \(1 files, 3 bytes\)")
def temporary_directory() -> Generator[None]:
    folder = tempfile.mkdtemp()
    pathlib.Path(folder, "file").write_bytes(b"123")
    os.chmod(folder, 0o500)
    yield
    if os.path.isdir(folder):
        os.chmod(folder, 0o700)
        unlink(os.path.join(folder, "file"))
        os.rmdir(folder)


@planted("1 temporary file", r"temporary file .*\.log")
def named_file_that_is_not_deleted() -> Generator[None]:
    with tempfile.NamedTemporaryFile(suffix=".log", delete=False) as file:
        pass
    yield
    unlink(file.name)


@planted("1 file, 1 temporary file", r"temporary file ")
def named_file_that_is_not_closed() -> Generator[None]:
    file = tempfile.NamedTemporaryFile()
    yield
    with contextlib.suppress(FileNotFoundError):
        file.close()


@planted("1 temporary directory", r"temporary directory ")
def temporary_directory_object() -> Generator[None]:
    folder = tempfile.TemporaryDirectory()
    yield
    folder.cleanup()


# Shared memory


@planted("2 files, 1 shared memory", r"shared memory /dev/shm/psm_\w+ \(64 bytes\)")
def shared_memory_segment() -> Generator[None]:
    segment = shared_memory.SharedMemory(create=True, size=64)
    yield
    segment.close()
    with contextlib.suppress(FileNotFoundError):
        segment.unlink()


@planted("1 shared memory", r"shared memory /dev/shm/psm_\w+ \(64 bytes\)")
def shared_memory_that_is_not_unlinked() -> Generator[None]:
    segment = shared_memory.SharedMemory(create=True, size=64)
    segment.close()
    yield
    with contextlib.suppress(FileNotFoundError):
        segment.unlink()


@planted("1 semaphore", r"semaphore /dev/shm/sem\.mp-\w+")
def named_semaphore() -> Generator[None]:
    lock = multiprocessing.get_context("spawn").Lock()
    yield
    del lock
    gc.collect()


# asyncio


@planted("1 task", r"task 'planted' \(.*forever\), is at .* in .*forever")
def task_of_a_loop_that_stays() -> Generator[None]:
    task = BEFORE.loop.create_task(forever(), name="planted")
    BEFORE.loop.run_until_complete(asyncio.sleep(0))
    yield
    task.cancel()
    BEFORE.loop.run_until_complete(asyncio.wait([task]))


async def forever() -> None:
    """Wait for what never comes."""
    await asyncio.get_running_loop().create_future()


@planted("1 task", r"task 'kept' \(.*forever\)")
def task_kept_by_a_callback() -> Generator[None]:
    future = BEFORE.loop.create_future()

    async def start() -> None:
        task = asyncio.ensure_future(forever())
        task.set_name("kept")
        future.add_done_callback(lambda _: task.cancel())

    BEFORE.loop.run_until_complete(start())
    BEFORE.loop.run_until_complete(asyncio.sleep(0))
    yield
    future.set_result(None)
    BEFORE.loop.run_until_complete(asyncio.sleep(0))
    BEFORE.loop.run_until_complete(asyncio.sleep(0))


@planted("1 asynchronous generator", r"asynchronous generator '.*numbers', is open at")
def asynchronous_generator() -> Generator[None]:
    async def numbers() -> Any:
        yield 1
        yield 2

    async def begin() -> Any:
        return await anext(generator)

    generator = numbers()
    BEFORE.loop.run_until_complete(begin())
    yield
    BEFORE.loop.run_until_complete(generator.aclose())


@planted("1 coroutine", r"coroutine 'forever' was never awaited")
def coroutine_never_awaited() -> Generator[None]:
    coroutine = forever()
    if BEFORE.divisor:
        coroutine.close()
    del coroutine
    yield


@planted("1 epoll, 2 sockets", r"epoll anon_inode:\[eventpoll\]")
def loop_that_is_not_closed() -> Generator[None]:
    loop = asyncio.new_event_loop()
    yield
    loop.close()


# The environment, and settings


@planted("1 variable", r"variable PLANTED was not set, became 'x'; it is put back")
def variable_that_is_set() -> Generator[None]:
    os.environ["PLANTED"] = "x"
    yield
    os.environ.pop("PLANTED", None)


@planted("1 variable", r"variable PLANTED_TOKEN was not set, became <redacted>")
def variable_that_is_secret() -> Generator[None]:
    os.environ["PLANTED_TOKEN"] = "hunter2"
    yield
    os.environ.pop("PLANTED_TOKEN", None)


@planted("1 variable", r"variable PATH was '.*', became not set")
def variable_that_is_removed() -> Generator[None]:
    path = os.environ.pop("PATH")
    yield
    os.environ["PATH"] = path


@planted("1 variable", r"variable PLANTED \(behind os\.environ\) was not set, became 'x'")
def putenv_behind_the_back() -> Generator[None]:
    os.putenv("PLANTED", "x")
    yield
    os.unsetenv("PLANTED")


@planted("1 variable", r"variable PATH \(behind os\.environ\) was '.*', became not set")
def unsetenv_behind_the_back() -> Generator[None]:
    os.unsetenv("PATH")
    yield
    os.putenv("PATH", os.environ["PATH"])


@planted("1 variable", r"variable os\.environ was a mapping")
def environment_that_is_replaced() -> Generator[None]:
    environment = os.environ
    os.environ = dict(environment)  # type: ignore[assignment]  # noqa: B003
    yield
    os.environ = environment  # noqa: B003


@planted("1 setting", r"setting cwd was '.*', became '/'; it is put back")
def chdir() -> Generator[None]:
    before = os.getcwd()
    os.chdir("/")
    yield
    os.chdir(before)


@planted("1 setting", r"setting umask was 0o\d+, became 0o123")
def umask() -> Generator[None]:
    before = os.umask(0o123)
    yield
    os.umask(before)


@planted("1 setting", r"setting locale was")
def set_locale() -> Generator[None]:
    before = locale.setlocale(locale.LC_COLLATE)
    locale.setlocale(locale.LC_COLLATE, "C" if before != "C" else "C.UTF-8")
    yield
    locale.setlocale(locale.LC_COLLATE, before)


@planted("1 variable, 1 setting", r"setting time zone was")
def time_zone() -> Generator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "XYZ-5:45"
    time.tzset()
    yield
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


@planted("1 setting", r"setting signal SIGUSR1 was SIG_DFL, became <function")
def signal_handler() -> Generator[None]:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    yield
    signal.signal(signal.SIGUSR1, before)


@planted("1 setting", r"setting signal SIGTERM was SIG_DFL, became SIG_IGN")
def ignored_signal() -> Generator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


@planted("1 setting", r"setting blocked signals was none, became SIGUSR2")
def blocked_signal() -> Generator[None]:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    yield
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])


@planted("1 setting", r"setting timer ITIMER_REAL was off, became on, \S+ s left")
def alarm() -> Generator[None]:
    signal.alarm(3600)
    yield
    signal.alarm(0)


@planted("1 setting", r"setting timer ITIMER_VIRTUAL was off, became on, .*every 7 s")
def interval_timer() -> Generator[None]:
    signal.setitimer(signal.ITIMER_VIRTUAL, 3600, 7)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)


@planted("1 setting", r"setting sys\.excepthook was ")
def excepthook() -> Generator[None]:
    before = sys.excepthook
    sys.excepthook = lambda *_: None
    yield
    sys.excepthook = before


@planted("1 setting", r"setting threading\.excepthook was ")
def thread_excepthook() -> Generator[None]:
    before = threading.excepthook
    planted_hook = threading.excepthook = lambda _: None
    yield
    if threading.excepthook is planted_hook:  # the guard was not first
        threading.excepthook = before


@planted("1 setting", r"setting sys\.unraisablehook was ")
def unraisablehook() -> Generator[None]:
    before = sys.unraisablehook
    planted_hook = sys.unraisablehook = lambda _: None
    yield
    if sys.unraisablehook is planted_hook:  # the guard was not first
        sys.unraisablehook = before


@planted("1 setting", r"setting profile function was None, became ")
def profile_function() -> Generator[None]:
    before = sys.getprofile()
    sys.setprofile(lambda *_: None)
    yield
    sys.setprofile(before)


@planted("1 setting", r"setting threading trace function was None, became ")
def trace_function_of_threads() -> Generator[None]:
    before = threading.gettrace()
    threading.settrace(lambda *_: None)
    yield
    threading.settrace(before)  # type: ignore[arg-type]


@planted("1 setting", r"setting sys\.path was ")
def path() -> Generator[None]:
    sys.path.append("/planted")
    yield
    if "/planted" in sys.path:
        sys.path.remove("/planted")


@planted("1 setting", r"setting sys\.path was ")
def path_that_is_replaced() -> Generator[None]:
    before = sys.path
    sys.path = [*before]
    yield
    sys.path = before


@planted("1 setting", r"setting sys\.meta_path was ")
def finder() -> Generator[None]:
    class Finder:
        @staticmethod
        def find_spec(*_: object) -> None:
            return None

    sys.meta_path.append(Finder)  # type: ignore[arg-type]
    yield
    if Finder in sys.meta_path:
        sys.meta_path.remove(Finder)  # type: ignore[arg-type]


@planted("1 setting", r"setting sys\.modules\['wave'\] was .*, became <module 'planted'>")
def module_that_is_replaced() -> Generator[None]:
    before = sys.modules["wave"]
    sys.modules["wave"] = types.ModuleType("planted")
    yield
    sys.modules["wave"] = before


@planted("1 setting", r"setting sys\.modules\['wave'\] was .*, became not there")
def module_that_is_removed() -> Generator[None]:
    before = sys.modules.pop("wave")
    yield
    sys.modules["wave"] = before


@planted("1 setting", r"setting sys\.stdout was .*, became <_io\.StringIO")
def standard_output() -> Generator[None]:
    before = sys.stdout
    sys.stdout = io.StringIO()
    yield
    sys.stdout = before


@planted("1 setting", r"setting sys\.argv was ")
def arguments() -> Generator[None]:
    sys.argv.append("--planted")
    yield
    if "--planted" in sys.argv:
        sys.argv.remove("--planted")


@planted("1 setting", r"setting warnings\.filters was ")
def warnings_filter() -> Generator[None]:
    warnings.filterwarnings("ignore", message="planted")
    yield
    planted_filter = ("ignore", re.compile("planted", re.IGNORECASE), Warning, None, 0)
    for filters in all_filters():  # of the module, or of the context
        if planted_filter in filters:
            filters.remove(planted_filter)


@planted("1 setting", r"setting warnings\.filters was ")
def catch_warnings_that_is_not_left() -> Generator[None]:
    catching = warnings.catch_warnings()
    catching.__enter__()
    warnings.simplefilter("ignore")
    yield
    catching.__exit__(None, None, None)


@planted("1 setting", r"setting logging\.root\.handlers was ")
def root_handler() -> Generator[None]:
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)


@planted("1 setting", r"setting logging\.planted\.level was 0, became 10")
def logger_level() -> Generator[None]:
    logging.getLogger("planted").setLevel(logging.DEBUG)
    yield
    logging.getLogger("planted").setLevel(logging.NOTSET)


@planted("1 setting", r"setting logging\.planted\.handlers was ")
def logger_handler() -> Generator[None]:
    handler = logging.StreamHandler()
    logging.getLogger("planted").addHandler(handler)
    yield
    logging.getLogger("planted").removeHandler(handler)


@planted("1 setting", r"setting logging\.disable was 0, became 50")
def disabled_logging() -> Generator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@planted("1 setting", r"setting recursion limit was \d+, became 12345")
def recursion_limit() -> Generator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(12345)
    yield
    sys.setrecursionlimit(before)


@planted("1 setting", r"setting gc enabled was True, became False")
def disabled_gc() -> Generator[None]:
    gc.disable()
    yield
    gc.enable()


@planted("1 setting", r"setting socket default timeout was None, became 7")
def socket_timeout() -> Generator[None]:
    socket.setdefaulttimeout(7)
    yield
    socket.setdefaulttimeout(None)


@planted("1 setting", r"setting tempfile\.tempdir was ")
def temporary_folder() -> Generator[None]:
    before = tempfile.tempdir
    tempfile.tempdir = "/planted"
    yield
    tempfile.tempdir = before


@planted("1 setting", r"setting multiprocessing start method was .*, became 'spawn'")
def start_method() -> Generator[None]:
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


# Errors that nobody can catch


@planted("1 error", r"thread 'dies' died of ZeroDivisionError: ")
def error_in_a_thread() -> Generator[None]:
    thread = threading.Thread(target=lambda: 1 // BEFORE.divisor, name="dies")
    thread.start()
    thread.join()
    yield


@planted("1 error", r"Exception ignored .*Dying\.__del__ at 0x\w+>: ZeroDivisionError: ")
def error_in_a_finalizer() -> Generator[None]:
    class Dying:
        def __del__(self) -> None:
            1 // BEFORE.divisor

    Dying()
    yield
