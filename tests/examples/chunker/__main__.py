"""``python -m tests.examples.chunker``."""

from __future__ import annotations

import os
import sys

from .cli import main


def run() -> int:
    """Run the program; when its reader has gone, as in ``| head``, end without a traceback."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered must go somewhere when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


# A spawned worker imports this module again, under another name.
if __name__ == "__main__":
    sys.exit(run())
