"""Many files at once: one after the other, in threads, in processes, or from a coroutine.

Each mode is a generator of ``(index, result)`` in the order in which files get done; closing it
stops its workers. What a file's error means for the rest is decided in one place, `chunk_files`.

Threads and processes are one a file, ``parallel.workers`` at a time, and ``parser.timeout`` limits
each. A process that overruns is ended. A thread cannot be: it is left behind as a daemon. In
"serial" mode nobody watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
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
from .errors import ChunkerError, WorkerError, WorkerTimeoutError
from .parser import Parser, read_source
from .process import WorkerProcess

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
        parser: Used instead of `AstParser`, by all workers. Each process has its own copy; where
            processes are not forked, it must survive a pickle.
        keep_going: Put a file's error into its result and go on with the rest.

    Raises:
        WorkerError: The first error of a file, once all workers are stopped. Whatever
            ``keep_going`` says, a process that cannot be started raises as well.
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
    done: queue.SimpleQueue[tuple[int, FileResult]] = queue.SimpleQueue()

    def work(index: int) -> None:
        worker = threading.current_thread().name
        done.put((index, _attempt(names[index], config, cache, parser, worker)))

    todo = deque(range(len(names)))
    at_work: dict[int, tuple[float, float, threading.Thread]] = {}  # deadline, timeout, who
    try:
        while todo or at_work:
            while todo and len(at_work) < get(config, "parallel.workers"):
                index = todo.popleft()
                # A daemon: a parser that never returns must not keep the program from ending.
                thread = threading.Thread(
                    target=work, args=(index,), name=f"chunker-{index + 1}", daemon=True
                )
                timeout = get(config, "parser.timeout")
                at_work[index] = (time.monotonic() + timeout, timeout, thread)
                thread.start()
            index = min(at_work, key=lambda number: at_work[number][0])
            deadline, timeout, thread = at_work[index]
            try:
                index, result = done.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                late = WorkerTimeoutError(names[index], thread.name, os.getpid(), timeout)
                result = FileResult(names[index], error=late, seconds=timeout)
            if at_work.pop(
                index, None
            ):  # else it comes after its timeout, and has an error already
                yield index, result
    finally:
        for deadline, _, thread in at_work.values():
            thread.join(max(0.0, deadline - time.monotonic()))


def _processes(names: Sequence[str], config: Config, parser: Parser | None) -> _Results:
    todo = deque(range(len(names)))
    at_work: dict[int, WorkerProcess] = {}
    try:
        while todo or at_work:
            while todo and len(at_work) < get(config, "parallel.workers"):
                index = todo.popleft()
                work = functools.partial(_attempt_in_process, parser, snapshot(config))
                timeout = get(config, "parser.timeout")
                at_work[index] = WorkerProcess(f"chunker-{index + 1}", names[index], timeout, work)
            deadline = min(worker.deadline for worker in at_work.values())
            wait(
                [worker.pipe for worker in at_work.values()], max(0.0, deadline - time.monotonic())
            )
            for index, worker in list(at_work.items()):
                if not worker.is_done():
                    continue
                try:
                    result = worker.result()
                except WorkerError as error:
                    result = FileResult(names[index], error=error)
                worker.stop()
                del at_work[index]
                yield index, result
    finally:
        for worker in at_work.values():
            worker.stop()


def _attempt_in_process(
    parser: Parser | None, config: Config, worker: str, path: str
) -> FileResult:
    """Do `_attempt` where nothing is shared; the cache's directory is."""
    result = _attempt(path, config, Cache(config, parser), parser, worker)
    if result.error is not None:
        # A traceback does not travel; its text does.
        where = "".join(traceback.format_exception(result.error))
        result.error.add_note(f"in process {os.getpid()}:\n{where}")
    return result
