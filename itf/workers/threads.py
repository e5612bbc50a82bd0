"""Worker threads: `threading` threads whose errors come home."""

from __future__ import annotations

import sys
import threading
from typing import Final

from itf.exceptions import WorkerError
from itf.forks import lock_of
from itf.frames import site
from itf.notes import add_note

__all__ = ["WorkerThread", "describe_thread"]

__unittest = True

# How many frames of a stuck thread are shown: enough to lead out of the standard
# library, where most of them wait.
_FRAMES_SHOWN: Final = 6


class WorkerThread(threading.Thread):
    """A thread that keeps the error that ends it; made by an environment."""

    _failure: BaseException | None = None
    _looked_at = False
    _retired = False

    def start(self) -> None:
        """Start the thread.

        Raises:
            WorkerError: It was started before, or its environment has ended.
        """
        # Held while the thread is started, so that it either runs, and is
        # waited for, when its environment ends, or never begins.
        with lock_of(self, "_itf_lock"):
            if self._retired:
                raise WorkerError(
                    f"worker {self.name!r} cannot start: its environment has ended; "
                    "start workers inside the `with`",
                    self.name,
                )
            if self.ident is not None:
                raise WorkerError(
                    f"worker {self.name!r} was started before; make a new one", self.name
                )
            super().start()

    def retire(self) -> None:
        """From here on refuse to be started."""
        with lock_of(self, "_itf_lock"):
            self._retired = True

    def run(self) -> None:
        """Call the target in the new thread."""
        try:
            super().run()
        except SystemExit:
            raise  # it ends a thread in silence, as in any other thread
        except BaseException as error:  # noqa: BLE001 - whatever it is, it goes home
            add_note(error, f"in worker {self.name!r}")
            # Without this frame and Thread.run's: the user's code begins at the target.
            inner = error.__traceback__ and error.__traceback__.tb_next
            self._failure = error.with_traceback(inner and inner.tb_next)

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


def describe_thread(thread: threading.Thread) -> str:
    """Say which thread it is and where it is now, from the inside out."""
    frame = sys._current_frames().get(thread.ident or 0)
    places = []
    # Above Thread.run there is only how threading starts a thread.
    while frame is not None and frame.f_code is not threading.Thread.run.__code__:
        places.append(site(frame))
        frame = frame.f_back
    if len(places) > _FRAMES_SHOWN:
        places[_FRAMES_SHOWN:] = ["..."]
    where = f"at {', called from '.join(places)}" if places else "about to end"
    return f"{thread.name!r} ({where})"
