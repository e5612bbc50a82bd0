"""Worker processes: `multiprocessing` processes whose errors come home."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Generator
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, cast

from itf.exceptions import WorkerError
from itf.forks import lock_of
from itf.frames import module_of, traceback_frames
from itf.notes import add_note
from itf.workers.failure import Failure

__all__ = ["WorkerProcess", "default_context", "process_class"]

__unittest = True


def default_context() -> BaseContext:
    """Return the context in which a local function can be a worker, where there is one.

    That is fork on Linux; macOS has it, but its own libraries break under it.
    """
    if sys.platform == "linux" and "fork" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("fork")
    return multiprocessing.get_context()


@contextlib.contextmanager
def _children_allowed() -> Generator[None]:
    """Let a daemonic process have children, which multiprocessing refuses.

    It would leave them behind when it is ended; a worker's environment does
    not.  Runners that put tests into the processes of a `multiprocessing.Pool`
    (unittest-parallel) make every test daemonic.
    """
    current = multiprocessing.current_process()
    daemon = current.daemon
    if daemon:
        current.daemon = False
    try:
        yield
    finally:
        if daemon:
            current.daemon = True


class WorkerProcess(BaseProcess):
    """A `multiprocessing` process that sends the error that ends it home.

    Made by an environment; the classes below bind it to a start method.
    """

    _home: Connection | None = None
    _away: Connection | None = None
    _failure: BaseException | None = None
    _looked_at = False
    _asked_to_end = False
    _retired = False
    _start_method: str | None = None  # of the classes below; multiprocessing's own attribute

    def start(self) -> None:
        """Start the process.

        Raises:
            WorkerError: It was started before, or its environment has ended.
        """
        # Held while the process is started, so that it either runs, and is
        # stopped, when its environment ends, or never begins.
        with lock_of(self):
            if self._retired:
                raise WorkerError(
                    f"worker {self.name!r} cannot start: its environment has ended; "
                    "start workers inside the `with`",
                    self.name,
                )
            if self.pid is not None:
                raise WorkerError(
                    f"worker {self.name!r} was started before; make a new one", self.name
                )
            context = multiprocessing.get_context(self._start_method)
            # Made as late as this, so that workers started before do not hold
            # an end of it as well.
            home, self._away = context.Pipe(duplex=False)
            try:
                with _children_allowed():
                    super().start()
            except BaseException:
                home.close()
                raise
            finally:
                # Only the child has it now: its end is told as EOF.
                self._away.close()
                self._away = None
            self._home = home

    def run(self) -> None:
        """Call the target in the new process."""
        try:
            super().run()
        except SystemExit:
            raise  # as multiprocessing has it: its code is the exit code
        except BaseException as error:  # noqa: BLE001 - whatever it is, it goes home
            # Of the function that raised.
            frames = traceback_frames(error)
            module = module_of(frames[0][0]) if frames else "<unknown>"
            if self._away is not None:
                self._away.send(tuple(Failure.of(error, module)))
            # Not printed here as well: who gets the error at home tells of it.
            sys.exit(1)

    def __getstate__(self) -> dict[str, Any]:
        # Under spawn the process object is pickled, and a lock cannot be.
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def terminate(self) -> None:
        """Ask the process to end, with SIGTERM; how it ends is then no failure."""
        self._asked_to_end = True
        super().terminate()

    def kill(self) -> None:
        """End the process, with SIGKILL; that is then no failure."""
        self._asked_to_end = True
        super().kill()

    @property
    def exitcode(self) -> int | None:
        """How it ended, None if it has not; who reads it has looked at its failure."""
        code = super().exitcode
        if code is not None:
            self._looked_at = True
        return code

    def exception(self, timeout: float | None = 60.0) -> BaseException | None:
        """Wait for the end and return the error that made it, None if there was none.

        Args:
            timeout: Seconds; None is for ever.

        Raises:
            WorkerError: It was not started.
            TimeoutError: It has not ended.
        """
        if self.pid is None:
            raise WorkerError(
                f"worker {self.name!r} was not started; call start() first", self.name
            )
        self.join(timeout)
        if self.is_alive():
            raise TimeoutError(
                f"worker {self.name!r} (pid {self.pid}) is still running after {timeout:g} s"
            )
        self._looked_at = True
        return self._find_failure()

    def unseen_failure(self) -> BaseException | None:
        """Return the error of a process that has ended, unless somebody looked at it."""
        if self.pid is None or self.is_alive() or self._looked_at:
            return None
        return self._find_failure()

    def retire(self) -> None:
        """From here on refuse to be started."""
        with lock_of(self):
            self._retired = True

    def release(self) -> None:
        """Give back what the object of an ended process holds, but not what is known of its end."""
        if self.pid is None:
            return
        self._find_failure()
        if self._home is not None:
            self._home.close()
        # Not close(): after that, nobody could read the exit code any more.
        popen = cast(Any, self)._popen
        if hasattr(popen, "close"):
            popen.close()

    def _find_failure(self) -> BaseException | None:
        if self._failure is None:
            code = super().exitcode
            if code in (None, 0):
                return None
            self._failure = self._sent_home() or self._from_code(code or 0)
        return self._failure

    def _sent_home(self) -> BaseException | None:
        home = self._home
        if home is None or home.closed:
            return None
        try:
            if not home.poll():
                return None
            failure = Failure(*home.recv())
        except (EOFError, OSError):
            return None  # it died before it could say why, or while it did
        error = failure.exception(self.name)
        add_note(error, f"in worker {self.name!r} (pid {self.pid}), raised in {failure.module}")
        return error

    def _from_code(self, code: int) -> WorkerError | None:
        if self._asked_to_end:
            return None
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return WorkerError(f"worker {self.name!r} (pid {self.pid}) {how}", self.name)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_CLASSES: dict[str, type[WorkerProcess]] = {}

for _method in multiprocessing.get_all_start_methods():
    # A global of this module, for spawn sends a process object by its class's name.
    _bound = type(
        f"{_method.title()}WorkerProcess",
        (WorkerProcess, cast(Any, multiprocessing.get_context(_method)).Process),
        {"__module__": __name__, "__doc__": f"A worker process started by {_method}."},
    )
    _CLASSES[_method] = globals()[_bound.__name__] = _bound


def process_class(context: BaseContext) -> type[WorkerProcess]:
    """Return the class of worker processes for a context."""
    return _CLASSES[context.get_start_method()]
