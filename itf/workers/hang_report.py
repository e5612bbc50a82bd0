"""The report on all workers in the message of a timeout: names, states and stacks."""

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

# Seconds for the answers of all processes together, so that many stuck processes do not
# add up their timeouts.
_ALL: Final = 5.0

_Ask = Callable[[float], str]


def describe_workers(workers: Iterable[Worker]) -> str:
    """Return the name, pid, state and stacks of each living worker.

    The stacks of this process, which include those of worker threads, come last.
    """
    deadline = time.monotonic() + _ALL
    parts = [describe_worker(worker, deadline) for worker in workers if _is_alive(worker)]
    parts.append(stacks_of_this_process())
    return "\n".join(parts)


def describe_members(table: MemberTable) -> str:
    """Return the name, pid, state and stacks of each process in a member table.

    Called in a worker, whose own stacks come last.  The test's process is included.
    """
    deadline = time.monotonic() + _ALL
    parts = [*report(table)]
    for member in table.members():
        if member.pid == os.getpid():
            continue
        # Process slot 0 belongs to the process that has made the table, the test.
        who = f"worker {member.name!r}" if member.process else "the test"
        who = f"{who} (pid {member.pid})"
        ask = _requester(member.pid, member.stacks)
        parts.append(_describe(who, member.pid, deadline, ask))
    parts.append(stacks_of_this_process())
    return "\n".join(parts)


def describe_worker(worker: Worker, deadline: float | None = None) -> str:
    """Return the name, pid, state and stacks of one living worker."""
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
