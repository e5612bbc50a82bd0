"""What a forkserver imports once, so that its workers need not: what tests usually use.

Nobody imports this module but the server.
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
    # `-W error` must not end the server for what a module says of itself.
    warnings.simplefilter("ignore")
    for _name in _MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(_name)

# What is here stays: a worker that looked through it for garbage would only
# get a copy of its own of all the memory that it shares with the server.
gc.collect()
gc.freeze()
