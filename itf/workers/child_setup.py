"""Set-up of a worker process, before any code of the user runs in it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping

from itf.descriptors import Descriptor
from itf.workers.orphans import set_mark
from itf.workers.parent_death import ParentDeathPipe, die_with_parent
from itf.workers.stack_dump import StackFile

__all__ = ["ChildSetup"]

__unittest = True


class ChildSetup:
    """The set-up of one worker process; made in the parent, applied in the worker.

    Args:
        parent_death_pipe: Pipe that kills the worker when the parent dies.
        mark: Mark by which the worker's descendants are found, see `itf.workers.orphans`.
        stacks: File to which the worker writes its stacks on request.
    """

    def __init__(self, parent_death_pipe: ParentDeathPipe, mark: int, stacks: StackFile) -> None:
        self.parent_pipe = parent_death_pipe.end
        self.mark = mark
        self.stacks = stacks
        self.environment: Mapping[str, str] | None = None
        self.streams: tuple[Descriptor, Descriptor] | None = None

    def copy_environment(self) -> None:
        """Copy the environment variables and the output streams of this process.

        A fork server was started earlier, and its workers would inherit the environment
        and the output of that time, which the test may have replaced since.
        """
        self.environment = dict(os.environ)
        with contextlib.suppress(OSError):
            self.streams = (Descriptor(os.dup(1)), Descriptor(os.dup(2)))

    def close_copies(self) -> None:
        """Close the copied streams, which only the child uses, in the parent."""
        for stream in self.streams or ():
            stream.close()
        self.streams = None

    def begin(self) -> None:
        """Apply the set-up to this process, which is the worker."""
        die_with_parent(self.parent_pipe)
        set_mark(self.mark)
        self.stacks.listen()
        if self.environment is not None:
            for name in os.environ.keys() - self.environment.keys():
                del os.environ[name]
            os.environ.update(self.environment)
        for number, stream in enumerate(self.streams or (), start=1):
            os.dup2(stream.number, number)
            stream.close()
        # The fork server ignores SIGINT.  Its workers handle it, as forked workers do.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and self.environment is not None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
