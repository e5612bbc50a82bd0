from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
import unittest
from multiprocessing import resource_sharer
from typing import Any
from unittest import mock

from itf import parallel_test_environment, performance_monitor
from itf.descriptors import anonymous_file
from itf.exceptions import FixtureError, TimingError, WorkerPicklingError
from itf.performance import crash_safe_samples, sample_block
from itf.performance.crash_safe_samples import SampleFile
from itf.performance.operation_samples import PEAK, TIME
from tests.support import in_threads, run_script
from tests.workers.worker_support import METHODS

DEADLINE = 60.0


def measure_many(monitor: Any, count: int) -> None:
    """Take samples; a target that plain multiprocessing can pickle."""
    for _ in range(count):
        with monitor.measure("op"):
            pass


class WorkersTest(unittest.TestCase):
    def test_samples_of_workers_come_home(self) -> None:
        """Samples of all workers are read with those of the test, for each start method."""
        for method in METHODS:
            with (
                self.subTest(method),
                performance_monitor() as monitor,
                parallel_test_environment(start_method=method) as env,
            ):

                def work(number: int, *, monitor: Any = monitor) -> int:
                    for _ in range(1500):  # more than fit into the ring buffer
                        with monitor.measure("op"):
                            pass
                    with monitor.measure(f"only {number}"):
                        pass
                    monitor.start_timing("by hand")
                    monitor.end_timing("by hand")
                    return number

                with monitor.measure("op"):
                    pass
                env.run(work, workers=3, timeout=DEADLINE)
                stats = monitor.get_all_stats()
                self.assertEqual(3 * 1500 + 1, stats["op"]["count"])
                self.assertEqual(3, stats["by hand"]["count"])
                self.assertEqual(1, stats["only 2"]["count"])
                self.assertGreaterEqual(stats["op"]["max"], stats["op"]["p50"])
                self.assertGreater(stats["op"]["throughput"], 0)
                monitor.tearDown()
                self.assertEqual(stats, monitor.get_all_stats())

    def test_memory_of_workers(self) -> None:
        """Samples of memory, and of `async with` blocks, are read as well."""
        for method in METHODS:
            with (
                self.subTest(method),
                performance_monitor(memory=True) as monitor,
                parallel_test_environment(start_method=method) as env,
            ):

                def work(*, monitor: Any = monitor) -> None:
                    import asyncio

                    async def block() -> None:
                        async with monitor.measure("op"):
                            bytearray(1 << 20)
                            await asyncio.sleep(0.001)

                    asyncio.run(block())

                env.run(work, workers=2, timeout=DEADLINE)
                stats = monitor.get_stats("op")
                self.assertEqual(2, stats["memory"]["count"])
                self.assertGreater(stats["memory"]["peak_average"], 1 << 20)
                self.assertEqual(2, stats["count"])

    def test_a_worker_that_is_killed(self) -> None:
        """All samples that ended before a SIGKILL are read."""
        for method in METHODS:
            with (
                self.subTest(method),
                performance_monitor() as monitor,
                parallel_test_environment(start_method=method) as env,
            ):
                progress = env.create_queue(
                    "progress", maxsize=2
                )  # so that the worker waits for the test

                def work(*, monitor: Any = monitor, progress: Any = progress) -> None:
                    number = 0
                    while True:
                        with monitor.measure("op"):
                            pass
                        number += 1
                        if number % 700 == 0:
                            progress.put(number)

                least = 0
                for _ in range(4):
                    worker = env.create_worker_process(work)
                    worker.start()
                    for _ in range(3):
                        last = progress.get(timeout=DEADLINE)
                    env.kill(worker)
                    worker.join(DEADLINE)
                    while not progress.empty():
                        last = progress.get(timeout=DEADLINE)
                    least += last
                stats = monitor.get_stats("op")
                # The worker may have taken more samples since its last message.
                self.assertGreaterEqual(stats["count"], least)
                self.assertLess(stats["count"], least + 4 * 1400)
                self.assertLessEqual(stats["min"] * stats["count"], stats["total"])

    def test_threads_of_a_worker(self) -> None:
        """Eight threads of a worker lose no sample."""
        for method in METHODS:
            with (
                self.subTest(method),
                performance_monitor() as monitor,
                parallel_test_environment(start_method=method) as env,
            ):

                def work(*, monitor: Any = monitor) -> None:
                    in_threads(8, lambda _: measure_many(monitor, 300))

                env.run(work, workers=2, timeout=DEADLINE)
                self.assertEqual(2 * 8 * 300, monitor.get_stats("op")["count"])

    def test_a_decorated_function(self) -> None:
        """A decorated function and a timing can be sent to a worker."""
        for method in METHODS:
            with (
                self.subTest(method),
                performance_monitor() as monitor,
                parallel_test_environment(start_method=method) as env,
            ):

                @monitor.measure("square", memory=True)
                def square(number: int) -> int:
                    return number * number

                timing = monitor.measure("op")

                def work(number: int, *, timing: Any = timing, square: Any = square) -> Any:
                    with timing:
                        return square(number)

                self.assertEqual([0, 1, 4], env.map(work, range(3), workers=2, timeout=DEADLINE))
                self.assertEqual(3, monitor.get_stats("op")["count"])
                self.assertEqual(3, monitor.get_stats("square")["memory"]["count"])

    def test_workers_of_workers(self) -> None:
        """Samples of a process that a worker forks are read as well."""
        for method in METHODS:
            with (
                self.subTest(method),
                performance_monitor() as monitor,
                parallel_test_environment(start_method=method) as env,
            ):

                def work(*, monitor: Any = monitor) -> int:
                    measure_many(monitor, 10)
                    pid = os.fork()
                    if not pid:
                        measure_many(monitor, 100)
                        os._exit(0)
                    os.waitpid(pid, 0)
                    with parallel_test_environment() as inner:
                        inner.run(lambda: measure_many(monitor, 1000), workers=1)
                    return int(monitor.get_stats("op")["count"])

                # A worker reads the samples of all workers, and not those of the test.
                measure_many(monitor, 5)
                self.assertEqual([1110], env.run(work, workers=1, timeout=DEADLINE))
                self.assertEqual(1115, monitor.get_stats("op")["count"])

    def test_reset_with_workers_that_run(self) -> None:
        """reset drops the samples of workers; later samples count."""
        with performance_monitor() as monitor, parallel_test_environment() as env:
            ready, go = env.create_event("ready"), env.create_event("go")

            def work() -> None:
                measure_many(monitor, 1500)
                ready.set()
                go.wait()
                measure_many(monitor, 7)

            worker = env.create_worker_process(work)
            worker.start()
            self.assertTrue(ready.wait(DEADLINE))
            self.assertEqual(1500, monitor.get_stats("op")["count"])
            monitor.reset()
            self.assertEqual({}, monitor.get_all_stats())
            go.set()
            worker.result()
            self.assertEqual(7, monitor.get_stats("op")["count"])

    def test_a_worker_that_outlives_the_monitor(self) -> None:
        """A worker may time operations after the monitor's end; they are ignored."""
        for method in METHODS:
            with self.subTest(method), parallel_test_environment(start_method=method) as env:
                ready, go = env.create_event("ready"), env.create_event("go")
                with performance_monitor() as monitor:

                    def work(*, monitor: Any = monitor, ready: Any = ready, go: Any = go) -> str:
                        measure_many(monitor, 3)
                        ready.set()
                        go.wait()
                        measure_many(monitor, 2000)
                        with monitor.measure("another"):
                            return "went on"

                    worker = env.create_worker_process(work)
                    worker.start()
                    self.assertTrue(ready.wait(DEADLINE))
                go.set()
                self.assertEqual("went on", worker.result())
                self.assertEqual(3, monitor.get_stats("op")["count"])

    def test_plain_multiprocessing(self) -> None:
        """A monitor can be sent to a process of plain multiprocessing."""
        # multiprocessing passes descriptors through a thread of this process.
        self.addCleanup(resource_sharer.stop)
        for method in METHODS:
            context = multiprocessing.get_context(method)
            with self.subTest(method), performance_monitor() as monitor:
                process = context.Process(target=measure_many, args=(monitor, 50))
                process.start()
                process.join(DEADLINE)
                self.assertEqual(0, process.exitcode)
                self.assertEqual(50, monitor.get_stats("op")["count"])

    def test_a_pool(self) -> None:
        """A monitor can be sent to a pool whose processes run already."""
        self.addCleanup(resource_sharer.stop)
        with (
            performance_monitor() as monitor,
            concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool,
        ):
            pool.submit(os.getpid).result(DEADLINE)
            for future in [pool.submit(measure_many, monitor, 20) for _ in range(5)]:
                future.result(DEADLINE)
            self.assertEqual(100, monitor.get_stats("op")["count"])

    def test_mistakes(self) -> None:
        """reset and the like fail in a worker; sending needs a monitor that is set up."""
        with performance_monitor() as monitor, parallel_test_environment() as env:
            for action, call in (
                ("reset", monitor.reset),
                ("merge", lambda: monitor.merge(performance_monitor())),
                ("compare_to", lambda: monitor.compare_to("baseline.json")),
            ):
                worker = env.create_worker_process(call)
                worker.start()
                with self.subTest(action), self.assertRaises(FixtureError) as caught:
                    worker.result()
                self.assertEqual(
                    f"{action} was called in a worker; call it in the test",
                    str(caught.exception),
                )
        unused = performance_monitor()
        with parallel_test_environment(start_method="spawn") as env:
            worker = env.create_worker_process(lambda: measure_many(unused, 1))
            with self.assertRaisesRegex(
                WorkerPicklingError,
                r"cannot send 'unused' .*sending a performance_monitor to another process: "
                "this PerformanceMonitor is not set up",
            ):
                worker.start()


class FileTest(unittest.TestCase):
    def setUp(self) -> None:
        self.file = SampleFile(anonymous_file("itf-test"))
        self.addCleanup(self.file.close)

    def size(self) -> int:
        return os.fstat(self.file.descriptor.number).st_size

    def in_child(self, work: Any) -> None:
        """Call a function in a forked child, which then exits without clean-up."""
        pid = os.fork()
        if not pid:
            code = 1
            try:
                self.file.after_fork()
                work()
                code = 0
            finally:
                os._exit(code)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    def add(self, *values: int, operation: str = "op", series: str = TIME) -> None:
        for value in values:
            self.file.add(operation, series, value, 5, 9)

    def test_a_thousand_workers_take_no_more_room_than_one(self) -> None:
        """Each new process takes over the block of an ended one."""
        self.in_child(lambda: self.add(1))
        size = self.size()
        for _ in range(20):
            self.in_child(lambda: self.add(*range(1, 200)))
        self.assertEqual(size, self.size())
        histogram = self.file.read()["op"].histogram(TIME)
        self.assertEqual((1 + 20 * 199, 199), (histogram.count, histogram.maximum))
        self.assertEqual(1 + 20 * 199 * 100, histogram.total)

    def test_two_that_live_have_a_block_each(self) -> None:
        """Live processes, operations and quantities have separate blocks."""
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            self.file.after_fork()
            self.add(1)
            os.write(writing, b"x")
            signal.pause()
        os.read(reading, 1)
        self.add(2)
        self.add(3, operation="other")
        self.add(4, series=PEAK)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)
        found = self.file.read()
        self.assertEqual(3, found["op"].histogram(TIME).total)
        self.assertEqual(4, found["op"].histogram(PEAK).total)
        self.assertEqual(3, found["other"].histogram(TIME).total)
        self.assertEqual(4, len(list(self.file._blocks())))

    def test_names_of_any_kind(self) -> None:
        """Names may be empty, very long, or have lone surrogates."""
        for name in ("", "x" * 10_000, "\ud800", "ü\0\n"):
            self.add(7, operation=name)
        self.assertEqual({"", "x" * 10_000, "\ud800", "ü\0\n"}, set(self.file.read()))

    def test_numbers_of_any_kind(self) -> None:
        """Negative and too large numbers are stored, the latter limited."""
        self.add(-5, 0, 2**70, *range(2000), series=PEAK)
        histogram = self.file.read()["op"].histogram(PEAK)
        self.assertEqual(
            (2003, -5, 2**63 - 1), (histogram.count, histogram.minimum, histogram.maximum)
        )

    def test_a_writer_that_died_while_it_made_a_block(self) -> None:
        """A death at any point of appending a block leaves the file usable."""
        for calls in range(3):
            with self.subTest(calls=calls):
                self.add(1, operation=f"before {calls}")
                real = {"ftruncate": os.ftruncate, "pwrite": os.pwrite}
                left = [calls]

                def dies(name: str, left: Any = left, real: Any = real) -> Any:
                    def call(*args: Any) -> Any:
                        if not left[0]:
                            os._exit(0)
                        left[0] -= 1
                        return real[name](*args)

                    return call

                def work(calls: int = calls, dies: Any = dies) -> None:
                    for name in ("ftruncate", "pwrite"):
                        mock.patch(
                            f"itf.performance.crash_safe_samples.os.{name}", dies(name)
                        ).start()
                    self.add(2, operation=f"dead {calls}")

                self.in_child(work)
                self.add(3, operation=f"after {calls}")
                self.assertNotIn(f"dead {calls}", self.file.read())
                self.assertEqual(3, self.file.read()[f"after {calls}"].histogram(TIME).total)
        self.assertEqual(6, len(self.file.read()))

    def test_a_writer_that_died_while_it_wrote_a_sample(self) -> None:
        """A death at any line of the writer loses no earlier sample."""
        count = 1030  # more than fit into the ring: the writer also folds them
        self.add(*range(1, count - 5))
        before = self.file.read()["op"].histogram(TIME).state()
        for steps in range(1, 60):
            reading, writing = os.pipe()
            pid = os.fork()
            if not pid:
                self.file.after_fork()
                self.add(*range(count - 5, count - 5 + steps % 12))
                os.write(writing, b"x")
                self._die_after(steps)
                self.add(*range(500, 600))
                os._exit(1)
            os.read(reading, 1)
            os.waitpid(pid, 0)
            os.close(reading)
            os.close(writing)
            for samples in self.file.read().values():
                histogram = samples.histogram(TIME)
                self.assertEqual(histogram.count, sum(n for _, n in histogram.values()))
                self.assertLessEqual(histogram.minimum * histogram.count, histogram.total)
        self.assertGreater(
            self.file.read()["op"].histogram(TIME).count, sum(before.buckets.values())
        )

    def _die_after(self, steps: int) -> None:
        """Kill this process at a later line of the writer."""
        import sys

        left = [steps]

        def trace(frame: Any, event: str, _: Any) -> Any:
            if frame.f_code.co_filename not in (crash_safe_samples.__file__, sample_block.__file__):
                return None
            if event == "line":
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)

    def test_reading_while_it_is_written(self) -> None:
        """A read during writing is consistent: the total belongs to the count."""
        ready, stop = os.pipe(), threading.Event()
        pid = os.fork()
        if not pid:
            self.file.after_fork()
            os.write(ready[1], b"x")
            while True:
                self.file.add("op", TIME, 3, 1, 2)
        os.read(ready[0], 1)
        counts = []
        deadline = time.monotonic() + DEADLINE
        while len(counts) < 200 and time.monotonic() < deadline:
            histogram = self.file.read().get("op")
            if histogram is not None:
                times = histogram.histogram(TIME)
                counts.append(times.count)
                self.assertEqual(3 * times.count, times.total)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        stop.set()
        for end in ready:
            os.close(end)
        self.assertEqual(sorted(counts), counts)
        self.assertGreater(counts[-1], 1024)

    def test_a_handler_that_takes_a_sample_in_the_middle_of_one(self) -> None:
        """A signal handler may add a sample while one is written."""

        def handler(*_: Any) -> None:
            self.add(1000)
            self.add(1, operation=f"hit {len(hits) % 50}")
            hits.append(1)

        hits: list[int] = []
        previous = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for _ in range(10_000):
            self.add(1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        histogram = self.file.read()["op"].histogram(TIME)
        self.assertEqual((10_000 + len(hits)), histogram.count)
        self.assertEqual(10_000 + 1000 * len(hits), histogram.total)
        others = [
            each.histogram(TIME).count for name, each in self.file.read().items() if name != "op"
        ]
        self.assertEqual(len(hits), sum(others))

    def test_one_who_holds_the_file_for_ever(self) -> None:
        """A paused process that holds the append lock is an error after the timeout."""
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            self.file.after_fork()
            with self.file._append_lock():
                os.write(writing, b"x")
                signal.pause()
        os.read(reading, 1)
        with (
            mock.patch("itf.performance.crash_safe_samples._APPEND_TIMEOUT", 0.01),
            self.assertRaisesRegex(
                TimingError, "^failed to store a timing within 0.01 s: another process has locked"
            ),
        ):
            self.add(1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.add(1)  # the kernel has released the lock of the dead process
        os.close(reading)
        os.close(writing)

    def test_nothing_is_left_open(self) -> None:
        """A monitor with workers leaves no descriptor and no warning."""
        done = run_script("""
import gc, os
from itf import performance_monitor
def count(): return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
for round in range(3):
    before = count()
    with performance_monitor() as monitor:
        pid = os.fork()
        if not pid:
            with monitor.measure("op"): pass
            os._exit(0)
        os.waitpid(pid, 0)
    assert monitor.get_stats("op")["count"] == 1
    assert count() == before, (count(), before)
del monitor
gc.collect()
""")
        self.assertEqual(("", ""), (done.stdout, done.stderr))


if __name__ == "__main__":
    unittest.main()
