"""Worker processes: `multiprocessing` processes that send their result or error to the test."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from multiprocessing.context import get_spawning_popen
from multiprocessing.process import BaseProcess, current_process
from typing import Any, Final, cast

from itf.exceptions import WorkerError, WorkerPicklingError
from itf.safe_repr import safe_str
from itf.workers.base import WorkerContext
from itf.workers.child_setup import ChildSetup
from itf.workers.failure import death, failure_of, post_exit, post_failure, post_result
from itf.workers.pickling.pickler import pack, unpack
from itf.workers.result_channel import Outcome, ResultChannel
from itf.workers.stack_request import ANSWER
from itf.workers.start_methods import POPENS, choose_start_method
from itf.workers.worker import DEFAULT, Default, Ending, Worker, check_call

__all__ = ["WorkerProcess", "new_process", "process_class"]

__unittest = True


@contextlib.contextmanager
def _children_allowed() -> Generator[None]:
    """Allow a daemonic process to start children during the ``with``.

    `multiprocessing` refuses that, because a daemonic process would leave its children
    running.  An itf environment ends its workers itself.  Runners that use a
    `multiprocessing.Pool`, such as unittest-parallel, run tests in daemonic processes.
    """
    current = current_process()
    daemon = current.daemon
    if daemon:
        current.daemon = False
    try:
        yield
    finally:
        if daemon:
            current.daemon = True


class WorkerProcess(Worker, BaseProcess):
    """A `multiprocessing` process that sends its result or error to the test's process.

    An environment makes it.  Each start method has a subclass, see `process_class`.
    ``pid``, ``exitcode`` and the result stay readable after the environment is closed.
    """

    worker_context: WorkerContext
    # Attributes of BaseProcess, declared here because its stubs do not have them.
    _closed: bool
    _start_method: str
    _channel: ResultChannel
    _child_setup: ChildSetup | None = None
    _packed: bytes | None = None
    _ending: Ending | None = None
    _asked_to_end: float | None = None
    _is_automatic = False
    # The pid and the exit code, after the process object was closed.
    _closed_as: tuple[int, int] | None = None

    def start(self) -> None:
        """Start the process.

        Raises:
            WorkerError: It was started before, or its environment is closed.
            WorkerPicklingError: The target, or a value that it captures, cannot be
                sent to a new process.
        """
        self._itf_require_startable()
        if self._is_automatic and choose_start_method() != self._start_method:
            # A thread was started or has ended since the worker was made, so that "auto"
            # now chooses another start method.
            self.__class__ = process_class(choose_start_method())
        child_setup = self.worker_context.child_setup()
        self._channel = ResultChannel()
        if self._start_method == "forkserver":
            child_setup.copy_environment()
        self._child_setup = child_setup
        try:
            with _children_allowed():
                super().start()
        except BaseException:
            self._child_setup = None
            self._channel.close()
            child_setup.stacks.close()
            raise
        finally:
            child_setup.close_copies()

    def run(self) -> None:
        """Call the target in the new process, and post its result or error."""
        child_setup = self._child_setup
        if child_setup is None:
            raise WorkerError(f"worker {self.name!r}: call start(), not run()", self.name)
        child_setup.begin()
        try:
            parts = self._parts() if self._packed is None else unpack(self._packed)
            self._packed = None
            for hook in parts["hooks"]:
                hook()
            value = parts["target"](*parts["args"], **parts["kwargs"])
            post_result(self._channel, self.name, parts["target"], value)
        except SystemExit as error:
            post_exit(self._channel, error)
            raise
        except BaseException as error:  # noqa: BLE001 - any error is sent to the test
            post_failure(self._channel, error)
            # `sys.exit` instead of `raise`, so that this process prints no traceback: the
            # test's process reports the error.
            sys.exit(1)

    def join(self, timeout: float | Default | None = DEFAULT) -> None:
        """Wait until the process has ended.

        Args:
            timeout: Seconds, after which this method returns in any case, as in
                `multiprocessing`; None waits forever.

        Raises:
            WorkerError: The process was not started.
            WorkerTimeoutError: No timeout was given, and the default timeout has passed.
        """
        self._itf_require_started("join()")
        seconds = self._itf_seconds(timeout)
        if not self._itf_wait(seconds) and isinstance(timeout, Default):
            raise self._itf_timeout(seconds, "join()")

    def terminate(self) -> None:
        """Send SIGTERM to the process; the way in which it then ends is no failure."""
        self._itf_require_started("terminate()")
        self._ask_to_end()
        if self.is_alive():
            super().terminate()

    def kill(self) -> None:
        """Kill the process with SIGKILL; this does not count as its failure."""
        self._itf_require_started("kill()")
        self._ask_to_end()
        if self.is_alive():
            super().kill()

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does; the way in which the process then ends is no failure."""
        self._itf_require_started("interrupt()")
        self._ask_to_end()
        pid = self.pid
        if pid is not None and self.is_alive():
            os.kill(pid, signal.SIGINT)

    def pause(self) -> None:
        """Stop the process with SIGSTOP, until `resume`."""
        self._signal("pause()", signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused process."""
        self._signal("resume()", signal.SIGCONT)

    @property
    def exitcode(self) -> int | None:
        """The exit code; None before the end.  Reading it counts as retrieving the error."""
        code = self._code()
        if code is not None:
            self._itf_is_retrieved = True
        return code

    @property
    def ident(self) -> int | None:
        """The process id; None before the start."""
        if self._closed_as is not None:
            return self._closed_as[0]
        return None if self._closed else super().ident

    pid = ident

    def is_alive(self) -> bool:
        """Return whether the process was started and has not ended."""
        return not self._closed and super().is_alive()

    def close(self) -> None:
        """Release the resources of the process object.

        Raises:
            ValueError: The process is still running.
        """
        if self._closed:
            return
        pid, code = self.pid, self._code()
        if code is not None:
            self._itf_find_ending()
        super().close()
        if pid is not None and code is not None:
            self._closed_as = (pid, code)
        if self._child_setup is not None:
            self._child_setup.stacks.close()
            self._channel.close()

    def stacks(self, seconds: float = ANSWER) -> str:
        """Return the Python stacks of the process's threads; empty if it does not answer.

        Args:
            seconds: Longest time to wait for the answer.
        """
        if self._child_setup is None or self.pid is None or not self.is_alive():
            return ""
        return self._child_setup.stacks.ask(self.pid, seconds)

    @property
    def has_begun(self) -> bool:
        """Whether the new process has begun to execute `run`."""
        return self._child_setup is not None and self._child_setup.stacks.is_ready

    def _parts(self) -> dict[str, Any]:
        mine = cast(Any, self)
        return {
            # First in the pickle: unpickling the hooks installs the fault plans of the
            # test, before the target is unpickled.
            "hooks": list(self.worker_context.hooks),
            "target": mine._target,
            "args": mine._args,
            "kwargs": mine._kwargs,
        }

    def __getstate__(self) -> dict[str, Any]:
        if get_spawning_popen() is None:
            raise WorkerPicklingError(
                f"cannot send worker {self.name!r} to another process; "
                "share a queue or an event with it instead",
                self.name,
                self.name,
            )
        state = self.__dict__ | {"_packed": pack(self.name, self._parts()), "worker_context": None}
        for name in ("_target", "_args", "_kwargs"):
            del state[name]
        return state

    def _ask_to_end(self) -> None:
        if self._asked_to_end is None:
            self._asked_to_end = time.monotonic()

    def _signal(self, action: str, number: int) -> None:
        self._itf_require_started(action)
        pid = self.pid
        if pid is None or not self.is_alive():
            raise WorkerError(f"{action}: worker {self.name!r} has ended", self.name)
        os.kill(pid, number)

    def _code(self) -> int | None:
        if self._closed_as is not None:
            return self._closed_as[1]
        return None if self._closed else super().exitcode

    def _itf_was_started(self) -> bool:
        return self.pid is not None

    def _itf_has_ended(self) -> bool:
        return self._code() is not None

    def _itf_wait(self, seconds: float | None) -> bool:
        if not self._closed:
            super().join(seconds)
        return self._itf_has_ended()

    def _itf_find_ending(self) -> Ending:
        if self._ending is None:
            self._ending = self._read_ending(self._code() or 0)
        return self._ending

    def _read_ending(self, code: int) -> Ending:
        outcome = self._channel.read()
        asked = self._asked_to_end
        if outcome is None:
            return self._ending_without_outcome(code)
        if outcome.kind == "failure":
            failure = failure_of(outcome, self.name, self.pid)
            # An error raised after the test has asked the worker to end is no failure.
            own = asked is None or outcome.about["time"] < asked
            return Ending(None, failure, own, outcome.about["module"], outcome.about["operation"])
        if outcome.kind == "exit":
            if outcome.about["code"] in (None, 0):
                return Ending()
            where = f": it called sys.exit({outcome.about['code']!r}) at {outcome.about['site']}"
            return Ending(None, death(self.name, self.pid, code, where), asked is None)
        if code != 0 and asked is None and not self._is_status_taken():
            return Ending(None, death(self.name, self.pid, code, " after it had returned"), True)
        return self._ending_with_result(outcome)

    def _ending_without_outcome(self, code: int) -> Ending:
        when = ""
        as_asked = self._asked_to_end is not None and code < 0
        if as_asked:
            when = ", as the test asked"
        elif self._is_status_taken():
            when = ", or in another way: other code in this process has taken its exit status"
        return Ending(None, death(self.name, self.pid, code, when), not as_asked)

    def _ending_with_result(self, outcome: Outcome) -> Ending:
        try:
            return Ending(outcome.load())
        except Exception as error:  # noqa: BLE001 - a user's class may fail in any way
            failure = WorkerError(
                f"the result of worker {self.name!r} (pid {self.pid}) cannot be read: "
                f"{type(error).__qualname__}: {safe_str(error)}",
                self.name,
            )
            failure.__cause__ = error
            return Ending(None, failure, True)

    def _is_status_taken(self) -> bool:
        return bool(getattr(cast(Any, self)._popen, "status_taken", False))


_CLASSES: Final[dict[str, type[WorkerProcess]]] = {}


def _bind(method: str) -> None:
    """Create the class of worker processes for a start method."""
    context = cast(Any, multiprocessing.get_context(method))
    popen = POPENS.get(method)
    attributes: dict[str, Any] = {
        "__module__": __name__,
        "__doc__": f"A worker process started by {method}.",
    }
    if popen is not None:
        attributes["_Popen"] = staticmethod(popen)
    # The class becomes a global of this module, because spawn pickles a process object
    # by the name of its class.
    bound = type(f"{method.title()}WorkerProcess", (WorkerProcess, context.Process), attributes)
    _CLASSES[method] = globals()[bound.__name__] = bound


for _method in multiprocessing.get_all_start_methods():
    _bind(_method)


def process_class(method: str) -> type[WorkerProcess]:
    """Return the class of worker processes for a start method."""
    return _CLASSES[method]


def new_process(
    worker_context: WorkerContext,
    target: Callable[..., object],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    name: str,
    start_method: str = "auto",
) -> WorkerProcess:
    """Make a worker process; ``start()`` starts it.

    Args:
        worker_context: The context that the worker is added to.
        target: The function to call; it may be a local function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        name: The worker's name.
        start_method: ``fork``, ``forkserver``, ``spawn``, or ``auto``.

    Raises:
        TypeError: The target cannot be called, or not with these arguments.
        WorkerError: This platform has no such start method.
    """
    kwargs = {} if kwargs is None else kwargs
    check_call(name, target, args, kwargs)
    cls = process_class(choose_start_method(start_method))
    worker = cls(target=target, args=tuple(args), kwargs=dict(kwargs), name=name)
    worker.worker_context = worker_context
    worker._is_automatic = start_method == "auto"
    worker_context.workers.append(worker)
    return worker
