"""Where everybody is: the text for whoever waits in vain."""

from __future__ import annotations

from collections.abc import Iterable

from itf.workers.processes import WorkerProcess
from itf.workers.stacks import process_state, readable, stacks_of_this_process
from itf.workers.threads import WorkerThread
from itf.workers.worker import Worker

__all__ = ["describe_worker", "describe_workers"]

__unittest = True


def describe_workers(workers: Iterable[Worker]) -> str:
    """Say of each live worker its name, pid and state, and give the stacks of all threads.

    Those of this process come last, worker threads among them.
    """
    parts = [describe_worker(worker) for worker in workers if _is_alive(worker)]
    parts.append(stacks_of_this_process())
    return "\n".join(parts)


def describe_worker(worker: Worker) -> str:
    """Say of one live worker its name, pid and state, and give its stacks."""
    if isinstance(worker, WorkerThread):
        return f"worker {worker.name!r} (a thread): running, {worker.where()}"
    if not isinstance(worker, WorkerProcess):
        return f"worker {worker.name!r}"
    pid = worker.pid or 0
    state = process_state(pid)
    if state == "running" and not worker.has_begun:
        state = "starting"
    head = f"worker {worker.name!r} (pid {pid}): {state}"
    if state != "running":
        return head
    stacks = readable(worker.stacks())
    if not stacks:
        return f"{head}; it does not tell its stacks"
    return "\n".join([head, *(f"  {line}" for line in stacks.splitlines())])


def _is_alive(worker: Worker) -> bool:
    return isinstance(worker, WorkerProcess | WorkerThread) and worker.is_alive()
