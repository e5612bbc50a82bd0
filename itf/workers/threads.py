"""Worker threads: `threading` threads whose errors come home."""

from __future__ import annotations

import threading

from itf.exceptions import WorkerError

__all__ = ["WorkerThread"]

__unittest = True


class WorkerThread(threading.Thread):
    """A thread that keeps the error that ends it; made by an environment."""

    _failure: BaseException | None = None
    _looked_at = False

    def start(self) -> None:
        """Start the thread.

        Raises:
            WorkerError: It was started before.
        """
        if self.ident is not None:
            raise WorkerError(f"worker {self.name!r} was started before; make a new one", self.name)
        super().start()

    def run(self) -> None:
        """Call the target in the new thread."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes home
            error.add_note(f"in worker {self.name!r}")
            self._failure = error

    def exception(self, timeout: float | None = 60.0) -> BaseException | None:
        """Wait for the end and return the error that made it, None if there was none.

        Args:
            timeout: Seconds; None is for ever.

        Raises:
            WorkerError: It was not started.
            TimeoutError: It has not ended.
        """
        if self.ident is None:
            raise WorkerError(
                f"worker {self.name!r} was not started; call start() first", self.name
            )
        self.join(timeout)
        if self.is_alive():
            raise TimeoutError(f"worker {self.name!r} is still running after {timeout:g} s")
        self._looked_at = True
        return self._failure

    def unseen_failure(self) -> BaseException | None:
        """Return the error of a thread that has ended, unless somebody looked at it."""
        return None if self.is_alive() or self._looked_at else self._failure
