"""Where everybody is: the text for whoever waits in vain."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from itf.sync.deadlock import report
from itf.sync.members import MemberTable
from itf.workers.kernel_threads import process_state
from itf.workers.processes import WorkerProcess
from itf.workers.stack_dump import readable, stacks_of_this_process
from itf.workers.stack_request import ANSWER, ask_other
from itf.workers.threads import WorkerThread
from itf.workers.worker import Worker

__all__ = ["describe_members", "describe_worker", "describe_workers"]

__unittest = True

# How long, in seconds, all of them may take to answer: those who cannot are not
# waited for one after the other, however many they are.
_ALL: Final = 5.0

_Ask = Callable[[float], str]


def describe_workers(workers: Iterable[Worker]) -> str:
    """Say of each live worker its name, pid and state, and give the stacks of all threads.

    Those of this process come last, worker threads among them.
    """
    deadline = time.monotonic() + _ALL
    parts = [describe_worker(worker, deadline) for worker in workers if _is_alive(worker)]
    parts.append(stacks_of_this_process())
    return "\n".join(parts)


def describe_members(table: MemberTable) -> str:
    """Say the same of all who take part in an environment; for one of its workers.

    The test's process, too, is asked for its stacks.  Those of this process come last.
    """
    deadline = time.monotonic() + _ALL
    parts = [*report(table)]
    for member in table.members():
        if member.pid == os.getpid():
            continue
        # The place with number 0 is that of the process that has made the roster.
        who = f"worker {member.name!r}" if member.process else "the test"
        who = f"{who} (pid {member.pid})"
        ask = _requester(member.pid, member.stacks)
        parts.append(_describe(who, member.pid, deadline, ask))
    parts.append(stacks_of_this_process())
    return "\n".join(parts)


def describe_worker(worker: Worker, deadline: float | None = None) -> str:
    """Say of one live worker its name, pid and state, and give its stacks."""
    if isinstance(worker, WorkerThread):
        return f"worker {worker.name!r} (a thread): running, {worker.where()}"
    if not isinstance(worker, WorkerProcess):
        return f"worker {worker.name!r}"
    pid = worker.pid or 0
    who = f"worker {worker.name!r} (pid {pid})"
    if not worker.has_begun and process_state(pid) == "running":
        return f"{who}: starting"
    return _describe(who, pid, deadline, worker.stacks)


def _describe(who: str, pid: int, deadline: float | None, ask: _Ask) -> str:
    state = process_state(pid)
    head = f"{who}: {state}"
    if state != "running":
        return head
    seconds = ANSWER if deadline is None else min(ANSWER, deadline - time.monotonic())
    if seconds <= 0:
        return f"{head}; its stacks were not requested, because other workers took too long"
    stacks = readable(ask(seconds))
    if not stacks:
        return f"{head}; it did not return its stacks"
    return "\n".join([head, *(f"  {line}" for line in stacks.splitlines())])


def _requester(pid: int, number: int | None) -> _Ask:
    return lambda seconds: "" if number is None else ask_other(pid, number, seconds)


def _is_alive(worker: Worker) -> bool:
    return isinstance(worker, WorkerProcess | WorkerThread) and worker.is_alive()
