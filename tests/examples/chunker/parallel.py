"""Many files at once: one after the other, in threads, in processes, or from a coroutine.

Each mode is a generator of ``(index, result)`` in the order in which files get done; closing it
stops its workers. What a file's error means for the rest is decided in one place, `chunk_files`.

``parser.timeout`` limits each file, from the moment a worker takes it. A process that overruns
is ended. A thread cannot be: it is left behind as a daemon, and a new one takes its place. In
"serial" mode nobody watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import multiprocessing
import os
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TypeAlias

from .cache import Cache
from .chunker import Chunk, chunk_source
from .config import Config, get, snapshot
from .errors import ChunkerError, ConfigError, WorkerError, WorkerTimeoutError
from .parser import Parser, read_source
from .process import START_TIMEOUT, WorkerProcess, stop

__all__ = ["FileResult", "chunk_files", "chunk_files_async"]


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file: its chunks or its error."""

    path: str
    chunks: tuple[Chunk, ...] = ()
    error: WorkerError | None = None
    seconds: float = 0.0
    cached: bool = False


_Results: TypeAlias = Generator[tuple[int, FileResult], None, None]


def chunk_files(
    paths: Iterable[str | os.PathLike[str]],
    config: Config,
    *,
    parser: Parser | None = None,
    keep_going: bool = False,
) -> list[FileResult]:
    """Chunk files the way ``parallel.mode`` says; the results are in the order of the paths.

    Args:
        paths: The files.
        config: Read anew for every file.
        parser: Used instead of `AstParser`, by all workers. For processes that are not forked
            it must survive a pickle. Each process has its own copy.
        keep_going: Put a file's error into its result and go on with the rest.

    Raises:
        WorkerError: The first error of a file, once all workers are stopped. Whatever
            ``keep_going`` says, a worker that fails while it has no file raises as well.
        ConfigError: A value of the ``parallel`` section is not allowed.
    """
    names = [os.fspath(path) for path in paths]
    run = {"serial": _serial, "threads": _threads, "processes": _processes}
    results: dict[int, FileResult] = {}
    with contextlib.closing(run[get(config, "parallel.mode")](names, config, parser)) as stream:
        for index, result in stream:
            if result.error is not None and not keep_going:
                raise result.error
            results[index] = result
    return [results[index] for index in range(len(names))]


async def chunk_files_async(
    paths: Iterable[str | os.PathLike[str]],
    config: Config,
    *,
    parser: Parser | None = None,
    keep_going: bool = False,
    limit: int | None = None,
) -> list[FileResult]:
    """Chunk files in the event loop's threads, ``limit`` (``parallel.workers``) at a time.

    A cancelled call leaves the threads that parse to finish their file; so does a timeout, and
    ``asyncio.run`` waits for such threads at its end.

    Raises:
        WorkerError: As `chunk_files`.
    """
    names = [os.fspath(path) for path in paths]
    cache = Cache(config, parser)
    gate = asyncio.Semaphore(get(config, "parallel.workers") if limit is None else limit)
    results: dict[int, FileResult] = {}
    first: list[WorkerError] = []

    async def chunk_one(index: int) -> None:
        async with gate:
            seconds = get(config, "parser.timeout")
            try:
                async with asyncio.timeout(seconds):
                    results[index] = await asyncio.to_thread(
                        _attempt, names[index], config, cache, parser, f"task-{index}"
                    )
            except TimeoutError as error:
                late = WorkerTimeoutError(names[index], f"task-{index}", os.getpid(), seconds)
                late.__cause__ = error
                results[index] = FileResult(names[index], error=late, seconds=seconds)
        failure = results[index].error
        if failure is not None and not keep_going:
            first.append(failure)
            raise failure

    try:
        async with asyncio.TaskGroup() as group:
            for index in range(len(names)):
                group.create_task(chunk_one(index))
    except* WorkerError:
        pass  # raised below, without the group around it
    if first:
        raise first[0]
    return [results[index] for index in range(len(names))]


def _chunk_one(
    path: str, config: Config, cache: Cache, parser: Parser | None, worker: str
) -> tuple[list[Chunk], bool]:
    """Return a file's chunks, and whether they are from the cache.

    Raises:
        WorkerError: From whatever went wrong.
    """
    try:
        code = read_source(path)
        chunks = cache.load(code, path)
        if chunks is not None:
            return chunks, True
        chunks = chunk_source(code, config, path=path, parser=parser)
        cache.store(code, chunks)
    # A worker brings every error home with the file's name, a bug of ours included. SystemExit
    # is one of them: in a thread it would end the worker without a word.
    except (Exception, SystemExit) as error:
        reason = str(error) if isinstance(error, ChunkerError) else repr(error)
        raise WorkerError(path, worker, os.getpid(), reason) from error
    return chunks, False


def _attempt(
    path: str, config: Config, cache: Cache, parser: Parser | None, worker: str
) -> FileResult:
    """Do `_chunk_one`, with the error as a value and the time it took."""
    began = time.perf_counter()
    try:
        chunks, cached = _chunk_one(path, config, cache, parser, worker)
    except WorkerError as error:
        return FileResult(path, error=error, seconds=time.perf_counter() - began)
    return FileResult(path, tuple(chunks), None, time.perf_counter() - began, cached)


def _serial(names: Sequence[str], config: Config, parser: Parser | None) -> _Results:
    cache = Cache(config, parser)
    for index, name in enumerate(names):
        yield index, _attempt(name, config, cache, parser, "serial")


def _threads(names: Sequence[str], config: Config, parser: Parser | None) -> _Results:
    cache = Cache(config, parser)
    stop = threading.Event()
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(names)):
        todo.put(index)
    # A worker tells twice of each file: None when it begins, the result when it is done.
    news: queue.SimpleQueue[tuple[int, threading.Thread, FileResult | None]] = queue.SimpleQueue()

    def work() -> None:
        me = threading.current_thread()
        while not stop.is_set() and me not in stuck:
            try:
                index = todo.get_nowait()
            except queue.Empty:
                return
            news.put((index, me, None))
            news.put((index, me, _attempt(names[index], config, cache, parser, me.name)))

    crew: list[threading.Thread] = []
    stuck: set[threading.Thread] = set()  # late with a file; another took their place

    def hire() -> None:
        # A daemon: a parser that never returns must not keep the program from ending.
        thread = threading.Thread(target=work, name=f"chunker-{len(crew) + 1}", daemon=True)
        crew.append(thread)
        thread.start()

    left = set(range(len(names)))
    at_work: dict[int, tuple[float, float, threading.Thread]] = {}  # deadline, timeout, who
    try:
        for _ in range(min(get(config, "parallel.workers"), len(names))):
            hire()
        while left:
            now = time.monotonic()
            deadline = min((entry[0] for entry in at_work.values()), default=now + START_TIMEOUT)
            try:
                index, thread, result = news.get(timeout=max(0.0, deadline - now))
            except queue.Empty as error:
                if not at_work:
                    raise WorkerTimeoutError(None, "threads", os.getpid(), START_TIMEOUT) from error
                index = min(at_work, key=lambda number: at_work[number][0])
                _, timeout, thread = at_work[index]
                late = WorkerTimeoutError(names[index], thread.name, os.getpid(), timeout)
                result = FileResult(names[index], error=late, seconds=timeout)
                stuck.add(thread)
                hire()
            if result is None:
                timeout = get(config, "parser.timeout")
                at_work[index] = (time.monotonic() + timeout, timeout, thread)
            elif index in left:  # else it comes after its timeout, and has an error already
                left.remove(index)
                at_work.pop(index)
                yield index, result
    finally:
        stop.set()
        # All of them finish the file they are at, or are late with it: one deadline for all.
        deadline = time.monotonic() + get(config, "parser.timeout")
        for thread in crew:
            if thread not in stuck:
                thread.join(max(0.0, deadline - time.monotonic()))


def _processes(names: Sequence[str], config: Config, parser: Parser | None) -> _Results:
    method = get(config, "parallel.start_method")
    try:
        context = multiprocessing.get_context(None if method == "default" else method)
    except ValueError as error:
        allowed = f"what this platform has: {multiprocessing.get_all_start_methods()}"
        raise ConfigError("parallel.start_method", method, allowed) from error
    most = get(config, "parallel.workers")
    todo = deque(range(len(names)))
    at_work: dict[WorkerProcess, int | None] = {}  # None until it is ready to begin
    hired = 0
    work = functools.partial(_attempt_in_process, parser)
    try:
        left = len(names)
        while left:
            while len(at_work) < min(most, left):  # also in place of those that died
                hired += 1
                at_work[WorkerProcess(context, f"chunker-{hired}", work)] = None
            deadline = min(worker.deadline for worker in at_work)
            handles = [handle for worker in at_work for handle in worker.handles]
            wait(handles, timeout=max(0.0, deadline - time.monotonic()))
            for worker, index in list(at_work.items()):
                try:
                    said = worker.receive()
                    lost = False
                except WorkerError as error:
                    if index is None:
                        raise
                    said = [FileResult(names[index], error=error)]
                    lost = True
                if not said:
                    continue
                if todo and not lost:
                    at_work[worker] = following = todo.popleft()
                    task = names[following], snapshot(config)
                    worker.give(names[following], task, get(config, "parser.timeout"))
                else:
                    del at_work[worker]
                    stop([worker])
                if index is not None:
                    left -= 1
                    yield index, said[0]
    finally:
        stop(list(at_work))


def _attempt_in_process(
    parser: Parser | None, worker: str, path: str, config: Config
) -> FileResult:
    """Do `_attempt` where nothing is shared; the cache's directory is."""
    result = _attempt(path, config, Cache(config, parser), parser, worker)
    if result.error is not None:
        # A traceback does not travel; its text does.
        where = "".join(traceback.format_exception(result.error))
        result.error.add_note(f"in process {os.getpid()}:\n{where}")
    return result
