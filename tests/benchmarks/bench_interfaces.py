"""Each operation of ResourceTracker at 10 and at 1,000,000 resources: the ratio of their costs.

    python -m tests.benchmarks.bench_interfaces

The two sizes take turns within one run, so that what slows the machine down
slows both.  Figures are medians; a ratio near 1.0 says that an operation costs
the same at both sizes.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Callable

from itf.exceptions import ResourceError
from itf.interfaces.resource_tracking import ResourceTracker

FEW, MANY = 10, 1_000_000

# Enough turns for a median that moves by a few hundredths from run to run.
TURNS = 2_001

# So many resources of the tracker belong to one module.
MODULES = 100


def filled(count: int, *, released: bool) -> ResourceTracker:
    """Return a tracker with so many resources, one of which is active in module ``one``."""
    tracker = ResourceTracker()
    for number in range(count - 1):
        tracker.track_resource(f"m{number % MODULES}", "lock", f"r{number}")
        if released:
            tracker.release_resource(f"r{number}")
    tracker.track_resource("one", "lock", "the active one")
    return tracker


Operation = Callable[[ResourceTracker], object]


def operations() -> dict[str, Operation]:
    """Return what is measured, by name; each leaves as many resources active as it found."""
    numbers = itertools.count()

    def track_and_release(tracker: ResourceTracker) -> None:
        name = f"new {next(numbers)}"
        tracker.track_resource("two", "lock", name)
        tracker.release_resource(name)

    def tracking(tracker: ResourceTracker) -> None:
        with tracker.tracking("two", "lock", f"new {next(numbers)}"):
            pass

    def release_unknown(tracker: ResourceTracker) -> None:
        try:
            tracker.release_resource("unknown")
        except ResourceError:
            return
        raise RuntimeError("an unknown resource was released")

    return {
        "track + release": track_and_release,
        "tracking": tracking,
        "release of an unknown id": release_unknown,
        "get_resource_state": lambda tracker: tracker.get_resource_state("r5"),
        "verify_cleanup(module), one active": lambda tracker: tracker.verify_cleanup("one"),
        "assert_no_leaks(module), none active": lambda tracker: tracker.assert_no_leaks("none"),
        "get_all_resources(module, 'leaked')": lambda tracker: tracker.get_all_resources(
            "one", "leaked"
        ),
    }


def cost(operation: Operation, tracker: ResourceTracker) -> int:
    """Return the nanoseconds that one call takes."""
    start = time.perf_counter_ns()
    operation(tracker)
    return time.perf_counter_ns() - start


def main() -> None:
    for title, released in (("all but one released", True), ("all active", False)):
        few, many = filled(FEW, released=released), filled(MANY, released=released)
        print(f"{title}:")
        gc.collect()
        gc.disable()  # a collection takes as long as there are objects, whoever made them
        try:
            for name, operation in operations().items():
                pairs = [(cost(operation, few), cost(operation, many)) for _ in range(TURNS)]
                at_few, at_many = (statistics.median(column) for column in zip(*pairs, strict=True))
                print(
                    f"  {name:38} {at_few / 1000:7.2f} us at {FEW}, "
                    f"{at_many / 1000:7.2f} us at {MANY:,}: ratio {at_many / at_few:.2f}"
                )
        finally:
            gc.enable()


if __name__ == "__main__":
    main()
