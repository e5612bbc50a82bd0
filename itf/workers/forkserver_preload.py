"""Imports modules that tests often use in the fork server, so that its workers share them.

Only the fork server imports this module.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import warnings
from typing import Final

__all__: list[str] = []

_MODULES: Final = (
    "itf.workers.processes",
    "concurrent.futures",
    "contextlib",
    "dataclasses",
    "doctest",
    "enum",
    "json",
    "logging",
    "multiprocessing.connection",
    "multiprocessing.managers",
    "multiprocessing.queues",
    "multiprocessing.resource_sharer",
    "multiprocessing.shared_memory",
    "multiprocessing.sharedctypes",
    "multiprocessing.synchronize",
    "pathlib",
    "queue",
    "random",
    "resource",
    "socket",
    "subprocess",
    "tempfile",
    "unittest.mock",
)

with warnings.catch_warnings():
    # With `-W error`, a warning during an import would end the server.
    warnings.simplefilter("ignore")
    for _name in _MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(_name)

# A garbage collection in a worker writes to each object, and so copies the memory that it
# shares with the server.  Frozen objects are not visited.
gc.collect()
gc.freeze()
