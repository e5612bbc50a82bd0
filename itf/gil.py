"""The warning that itf has not been tested without the global interpreter lock (GIL)."""

from __future__ import annotations

import sys
import warnings
from typing import Final

from itf._private import is_gil_enabled

__all__ = ["warn_without_gil"]

__unittest = True

# Taken out by the first warning of the process: `pop` is atomic, also without the GIL.
_unwarned: Final = [None]


def warn_without_gil() -> None:
    """Warn once in a process that runs without the GIL.

    Called where a user first uses itf: a test begins, a fixture is set up, a
    fault is injected.  Not at import, where a warning would be the import's error
    under ``-W error``.
    """
    if is_gil_enabled() or not _unwarned:
        return
    try:
        _unwarned.pop()
    except IndexError:  # another thread was faster
        return
    version = ".".join(map(str, sys.version_info[:3]))
    warnings.warn(
        "itf has not been tested without the GIL, which is off in this process "
        f"(Python {version}), so its results may be wrong; start Python with PYTHON_GIL=1 "
        "in its environment to switch the GIL on",
        RuntimeWarning,
        stacklevel=3,
    )
