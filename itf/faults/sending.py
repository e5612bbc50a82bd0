"""The faults of a test, in the worker processes that it starts."""

from __future__ import annotations

from typing import Any

from itf.faults.layer import Layer
from itf.faults.process_transfer import follow_processes
from itf.faults.site import layers_of_modules, put

__all__ = ["FaultsForWorkers"]

__unittest = True


class FaultsForWorkers:
    """What is sent to a worker process, so that it has the plans of the test.

    A forked process has them.  One that imports its modules afresh has not:
    there they are put in while this is loaded, before anything is that may
    be one of the functions concerned.  What is on an object, or on a class
    that is sent by value, goes with that.
    """

    def __call__(self) -> None:
        """Do nothing: it is done."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_arrive, (layers_of_modules(),))


def _arrive(layers: list[tuple[Any, str, Layer]]) -> FaultsForWorkers:
    if layers:
        # What the worker starts in its turn has them, too.
        follow_processes()
    for target, name, layer in layers:
        put(target, name, layer)
    return FaultsForWorkers()
