"""The first thing that happens in a worker process, before any code of the user's."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping

from itf.descriptors import Descriptor
from itf.workers.orphans import leave_mark
from itf.workers.parent_death import ParentDeathPipe, hold
from itf.workers.stack_dump import StackFile

__all__ = ["ChildSetup"]

__unittest = True


class ChildSetup:
    """What a worker process is born with; made in the parent, used up in the worker.

    Args:
        lifeline: On which it hangs.
        mark: By which its descendants are known.
        stacks: Where it writes its stacks when asked.
    """

    def __init__(self, parent_death_pipe: ParentDeathPipe, mark: int, stacks: StackFile) -> None:
        self.line = parent_death_pipe.end
        self.mark = mark
        self.stacks = stacks
        self.environment: Mapping[str, str] | None = None
        self.streams: tuple[Descriptor, Descriptor] | None = None

    def bring_surroundings(self) -> None:
        """Take along the environment and where output goes.

        For a worker of a server that was started long ago, with an
        environment and an output that the test may have replaced since.
        """
        self.environment = dict(os.environ)
        with contextlib.suppress(OSError):
            self.streams = (Descriptor(os.dup(1)), Descriptor(os.dup(2)))

    def close_copies(self) -> None:
        """Close in the parent what was copied for the child alone."""
        for stream in self.streams or ():
            stream.close()
        self.streams = None

    def begin(self) -> None:
        """Make this process a worker: what ends it, what tells of it, what it inherits."""
        hold(self.line)
        leave_mark(self.mark)
        self.stacks.listen()
        if self.environment is not None:
            for name in os.environ.keys() - self.environment.keys():
                del os.environ[name]
            os.environ.update(self.environment)
        for number, stream in enumerate(self.streams or (), start=1):
            os.dup2(stream.number, number)
            stream.close()
        # Ctrl-C in a forkserver's terminal is for its workers, too, as for forked ones.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and self.environment is not None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
