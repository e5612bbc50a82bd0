from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import math
import multiprocessing
import os
import queue
import signal
import socket
import sys
import threading
import time
import unittest
from collections.abc import Callable, Coroutine
from typing import Any

from itf import AsyncDeadlockError
from itf.event_loops.virtual_loop import VirtualLoop
from tests.support import in_threads, run_script

# Virtual seconds; far more than the test may take in reality.
LONG = 3600.0


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a new virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def now() -> float:
    return asyncio.get_running_loop().time()


class ClockTest(unittest.TestCase):
    """If only timers are left, the clock jumps."""

    def test_a_thousand_hours_take_no_time(self) -> None:
        """A thousand times sleep(3600) takes less than a real hour."""

        async def main() -> float:
            for _ in range(1000):
                await asyncio.sleep(LONG)
            return now()

        began = time.monotonic()
        self.assertEqual(1000 * LONG, run(main()))
        self.assertLess(time.monotonic() - began, LONG)

    def test_the_clock_starts_at_zero_and_stops_while_code_runs(self) -> None:
        """The clock starts at 0 and does not advance while code runs."""

        async def main() -> list[float]:
            moments = [now()]
            for _ in range(10):
                await asyncio.sleep(0)
            return [*moments, now()]

        self.assertEqual([0.0, 0.0], run(main()))

    def test_timers_keep_their_order(self) -> None:
        """Tasks wake in the order of their timers, each at its own time."""

        async def main() -> list[tuple[str, float]]:
            woken: list[tuple[str, float]] = []

            async def nap(name: str, seconds: float) -> None:
                await asyncio.sleep(seconds)
                woken.append((name, now()))

            await asyncio.gather(nap("c", 30), nap("a", 10), nap("b", 20.5))
            return woken

        self.assertEqual([("a", 10), ("b", 20.5), ("c", 30)], run(main()))

    def test_timers_of_the_same_time_expire_in_the_order_of_setting(self) -> None:
        """Timers with the same time expire in the order in which they were set."""

        async def main() -> list[int]:
            woken: list[int] = []

            async def nap(number: int) -> None:
                await asyncio.sleep(5)
                woken.append(number)

            await asyncio.gather(*map(nap, range(50)))
            return woken

        self.assertEqual([*range(50)], run(main()))

    def test_wait_for_and_timeout_work(self) -> None:
        """A timeout expires at its virtual time, unless the awaited task ends before."""

        async def main() -> list[float]:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 100)
            moments = [now()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(50):
                    await asyncio.sleep(LONG)
            moments.append(now())
            await asyncio.wait_for(asyncio.sleep(7), 8)
            return [*moments, now()]

        self.assertEqual([100, 150, 157], run(main()))

    def test_timers_expire_after_years_of_virtual_time(self) -> None:
        """Timers expire even if the rounding of the time exceeds a nanosecond."""

        async def main() -> float:
            await asyncio.sleep(100 * 365 * 86400)
            fired = asyncio.Event()
            asyncio.get_running_loop().call_later(0, fired.set)
            await fired.wait()
            for seconds in (1e-9, 0.1, LONG):
                await asyncio.sleep(seconds)
            return now()

        self.assertAlmostEqual(100 * 365 * 86400 + LONG + 0.1, run(main()), places=4)

    def test_a_timer_at_infinity_is_no_timer(self) -> None:
        """sleep(inf) alone is a deadlock; another timer still expires."""

        async def main() -> float:
            forever = asyncio.ensure_future(asyncio.sleep(math.inf))
            await asyncio.sleep(5)
            forever.cancel()
            return now()

        self.assertEqual(5, run(main()))
        with self.assertRaises(AsyncDeadlockError):
            run(asyncio.sleep(math.inf))

    def test_ten_thousand_sleepers_wake_in_one_run(self) -> None:
        """Ten thousand tasks wake, each at its own time."""

        async def main() -> float:
            await asyncio.gather(*[asyncio.sleep(number) for number in range(10_000)])
            return now()

        self.assertEqual(9_999, run(main()))

    def test_debug_mode_does_not_disturb_it(self) -> None:
        """In debug mode, asyncio measures slow callbacks by the virtual clock."""
        with asyncio.Runner(loop_factory=VirtualLoop, debug=True) as runner:
            runner.run(asyncio.sleep(LONG))
            self.assertEqual(LONG, runner.get_loop().time())


class DeadlockTest(unittest.TestCase):
    """If all tasks are blocked and nothing can wake them, that is an error at once."""

    def test_every_task_and_its_stack_are_named(self) -> None:
        """The error has the name, the function and the frames of each task."""

        async def wait_for_answer(event: asyncio.Event) -> None:
            await event.wait()

        async def main() -> None:
            event = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(wait_for_answer(event), name="asker")
                group.create_task(wait_for_answer(asyncio.Event()), name="other")

        with self.assertRaises(AsyncDeadlockError) as caught:
            run(main())
        text = str(caught.exception)
        self.assertRegex(
            text,
            r"^all 3 tasks are blocked, and no timer, descriptor, executor, thread or "
            r"subprocess is left that could wake one:\n",
        )
        self.assertRegex(text, rf"asker, other \(.*wait_for_answer\)\n    at {__file__}:\d+ in ")
        self.assertRegex(text, rf"Task-\d+ \(.*main\)\n    at {__file__}:\d+ in .*main\n")
        self.assertLessEqual({"asker", "other"}, set(caught.exception.tasks))

    def test_a_deadlock_is_detected_after_the_timers(self) -> None:
        """Two locks acquired in opposite orders are a deadlock once the timers expired."""

        async def main() -> None:
            one, two = asyncio.Lock(), asyncio.Lock()

            async def take(first: asyncio.Lock, second: asyncio.Lock) -> None:
                async with first:
                    await asyncio.sleep(LONG)
                    async with second:
                        await asyncio.sleep(LONG)

            await asyncio.gather(take(one, two), take(two, one))

        with self.assertRaisesRegex(AsyncDeadlockError, "^all 3 tasks are blocked"):
            run(main())

    def test_a_future_that_is_never_set(self) -> None:
        """Waiting for a future without any task is a deadlock."""
        loop = VirtualLoop()
        self.addCleanup(loop.close)
        with self.assertRaisesRegex(AsyncDeadlockError, "^all 0 tasks are blocked"):
            loop.run_until_complete(loop.create_future())

    def test_a_signal_that_is_awaited_is_no_deadlock(self) -> None:
        """A loop with a signal handler waits for the signal."""

        async def main() -> str:
            came = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, came.set)
            sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
            loop.call_soon(sender.start)
            try:
                await came.wait()
            finally:
                loop.remove_signal_handler(signal.SIGUSR1)
                sender.join()
            return "came"

        self.assertEqual("came", run(main()))


class RealWorkTest(unittest.TestCase):
    """The clock does not jump over work outside the loop."""

    def test_a_thread_ends_before_a_longer_timeout(self) -> None:
        """The clock does not jump to a timeout while to_thread runs."""
        go = threading.Event()

        async def main() -> bool:
            asyncio.get_running_loop().call_later(0.05, go.set)
            return await asyncio.wait_for(asyncio.to_thread(go.wait, 60), 1000)

        self.assertTrue(run(main()))

    def test_a_shorter_timeout_expires_before_a_thread_ends(self) -> None:
        """While to_thread runs, the clock advances at real speed and timers expire."""
        go = threading.Event()
        self.addCleanup(go.set)

        async def main() -> float:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(go.wait, 60), 0.05)
            moment = now()
            go.set()
            return moment

        began = time.monotonic()
        self.assertAlmostEqual(0.05, run(main()), places=6)
        self.assertGreaterEqual(time.monotonic() - began, 0.04)

    def test_after_the_work_the_clock_jumps_again(self) -> None:
        """An idle thread of the executor does not keep the clock from jumping."""

        async def main() -> float:
            await asyncio.to_thread(int)
            await asyncio.sleep(LONG)
            return now()

        self.assertGreaterEqual(run(main()), LONG)

    def test_the_clock_waits_for_the_job_of_a_cancelled_future(self) -> None:
        """The clock waits for a function that runs on after its future was cancelled."""
        started, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        async def main() -> bool:
            loop, called = asyncio.get_running_loop(), asyncio.Event()

            def work() -> None:
                started.set()
                go.wait(60)
                loop.call_soon_threadsafe(called.set)

            future = loop.run_in_executor(None, work)
            await asyncio.sleep(0)
            started.wait(60)
            future.cancel()
            loop.call_later(0.05, go.set)
            await asyncio.wait_for(called.wait(), LONG)
            return now() < LONG

        self.assertTrue(run(main()))

    def test_the_clock_waits_for_any_executor(self) -> None:
        """The clock waits for jobs of any executor, and not for idle threads."""

        async def main(executor: concurrent.futures.Executor) -> float:
            loop = asyncio.get_running_loop()
            self.assertEqual(
                12, await asyncio.wait_for(loop.run_in_executor(executor, int, "12"), LONG)
            )
            self.assertLess(now(), LONG)
            await asyncio.sleep(2 * LONG)
            return now()

        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            self.assertGreaterEqual(run(main(threads)), 2 * LONG)
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, context) as processes:
            self.assertGreaterEqual(run(main(processes)), 2 * LONG)

    def test_the_clock_waits_for_a_wrapped_future(self) -> None:
        """The clock waits for a wrapped future that an older thread completes."""
        never = threading.Event()

        async def main(executor: concurrent.futures.Executor, limit: float | None) -> float:
            # Nothing in the loop can end this work.
            waiting = asyncio.wrap_future(executor.submit(never.wait, 0.05))
            await asyncio.to_thread(int)  # another job, which ends before the first one
            self.assertFalse(await asyncio.wait_for(waiting, limit))
            return now()

        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            executor.submit(int).result(60)
            for limit in (LONG, None):
                self.assertLess(run(main(executor, limit)), LONG)

    def test_a_future_that_another_thread_sets_is_no_deadlock(self) -> None:
        """An older thread completes a future: that is no deadlock."""
        ready: queue.SimpleQueue[concurrent.futures.Future[int]] = queue.SimpleQueue()
        thread = threading.Thread(target=lambda: ready.get().set_result(5))
        thread.start()
        self.addCleanup(thread.join)

        async def main() -> int:
            future: concurrent.futures.Future[int] = concurrent.futures.Future()
            asyncio.get_running_loop().call_later(0.05, ready.put, future)
            return await asyncio.wrap_future(future)

        self.assertEqual(5, run(main()))

    def test_an_idle_older_thread_does_not_count(self) -> None:
        """A thread that only reported the end of its job does not count."""

        async def main(executor: concurrent.futures.Executor) -> float:
            await asyncio.get_running_loop().run_in_executor(executor, int)
            await asyncio.sleep(LONG)
            return now()

        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            executor.submit(int).result(60)
            self.assertGreaterEqual(run(asyncio.wait_for(main(executor), 2 * LONG)), LONG)

    def test_the_clock_waits_for_threads_that_call_the_loop(self) -> None:
        """The clock waits for threads started by a coroutine or a function it calls."""

        async def main() -> float:
            loop, called = asyncio.get_running_loop(), asyncio.Event()

            def second() -> None:
                loop.call_soon_threadsafe(called.set)

            def first() -> None:
                threading.Timer(0.03, second).start()

            threading.Thread(target=first).start()
            await asyncio.wait_for(called.wait(), LONG)
            moment = now()
            await asyncio.sleep(LONG)
            return moment

        self.assertLess(run(main()), LONG)

    def test_a_thread_is_no_deadlock_until_it_ends(self) -> None:
        """A live thread that was started in the loop prevents a deadlock."""
        go = threading.Event()

        async def main() -> None:
            threading.Thread(target=go.wait, args=(60,)).start()
            asyncio.get_running_loop().call_later(0.05, go.set)
            await asyncio.Event().wait()

        with self.assertRaises(AsyncDeadlockError):
            run(main())

    def test_an_older_thread_counts_after_its_first_call(self) -> None:
        """An older thread counts after its first call of the loop."""
        steps: list[Callable[[], object]] = []
        ready, done = threading.Semaphore(0), threading.Event()
        self.addCleanup(done.set)

        def serve() -> None:
            while not done.is_set():
                if ready.acquire(timeout=0.02):
                    steps.pop()()

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(done.set)

        async def main() -> bool:
            loop = asyncio.get_running_loop()
            for _ in range(2):
                called = asyncio.Event()
                steps.append(functools.partial(loop.call_soon_threadsafe, called.set))
                ready.release()
                if not steps:
                    await asyncio.sleep(0)
                # The loop does not know this thread before the first call: do not wait.
                while not called.is_set() and loop.time() == 0:
                    await asyncio.sleep(0)
                await asyncio.wait_for(called.wait(), LONG)
            return loop.time() < LONG

        self.assertTrue(run(main()))

    def test_the_clock_waits_for_a_subprocess(self) -> None:
        """The output and the end of a subprocess precede a distant timeout."""
        script = "import time; time.sleep(0.05); print('hello')"

        async def main() -> tuple[bytes, float, int]:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-S", "-c", script, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await asyncio.wait_for(process.communicate(), LONG)
            silent = await asyncio.create_subprocess_exec(
                sys.executable, "-S", "-c", "raise SystemExit(3)"
            )
            code = await asyncio.wait_for(silent.wait(), LONG)
            moment = now()
            await asyncio.sleep(LONG)
            return out, moment, code

        out, moment, code = run(main())
        self.assertEqual((b"hello\n", 3), (out.replace(b"\r", b""), code))
        self.assertLess(moment, LONG)

    def test_the_clock_waits_for_a_socket(self) -> None:
        """Bytes from a socket precede a distant timeout."""

        async def main(theirs: socket.socket, ours: socket.socket) -> bytes:
            reader, writer = await asyncio.open_connection(sock=ours)
            sender = threading.Timer(0.05, theirs.sendall, (b"hello",))
            sender.start()
            received = await asyncio.wait_for(reader.readexactly(5), LONG)
            writer.close()
            await writer.wait_closed()
            sender.join()
            self.assertLess(now(), LONG)
            await asyncio.sleep(LONG)
            return received

        theirs, ours = socket.socketpair()
        with theirs, ours:
            self.assertEqual(b"hello", run(main(theirs, ours)))

    def test_a_server_and_its_client_in_one_loop(self) -> None:
        """A server and a client use a real socket; after it is closed the clock jumps."""

        async def main() -> tuple[bytes, float]:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write((await reader.readline()).upper())
                await writer.drain()
                writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                host, port = server.sockets[0].getsockname()
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"hello\n")
                answer = await asyncio.wait_for(reader.readline(), LONG)
                writer.close()
                await writer.wait_closed()
            await asyncio.sleep(LONG)
            return answer, now()

        answer, moment = run(main())
        self.assertEqual(b"HELLO\n", answer)
        self.assertGreaterEqual(moment, LONG)

    def test_eight_virtual_loops_in_eight_threads(self) -> None:
        """Each loop has its own clock and ignores the threads of the other loops."""

        def hours(number: int) -> float:
            async def main() -> float:
                for _ in range(200):
                    await asyncio.sleep(LONG * (number + 1))
                return now()

            return float(run(main()))

        began = time.monotonic()
        for number, moment in enumerate(in_threads(8, hours)):
            self.assertAlmostEqual(200 * LONG * (number + 1), moment, places=3)
        self.assertLess(time.monotonic() - began, 50)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_a_forked_child_does_not_disturb_the_loop_of_its_parent(self) -> None:
        """Closing an inherited loop in a child does not disturb the parent's loop."""
        script = """
import asyncio, os, warnings
from itf.event_loops.virtual_loop import VirtualLoop

loop = VirtualLoop()

async def main():
    return await asyncio.wait_for(asyncio.to_thread(int, "7"), 60)

loop.run_until_complete(main())
pid = os.fork()
if pid == 0:
    loop.close()
    os._exit(0)
os.waitpid(pid, 0)
print(loop.run_until_complete(main()))
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
"""
        done = run_script(
            script.replace("os.fork()", "fork()").replace(
                "loop = VirtualLoop()",
                "loop = VirtualLoop()\n\n"
                "def fork():\n"
                "    with warnings.catch_warnings():\n"
                "        warnings.simplefilter('ignore')  # 3.12 warns about forking with threads\n"
                "        return os.fork()",
                1,
            )
        )
        self.assertEqual(("7\n", ""), (done.stdout, done.stderr))


if __name__ == "__main__":
    unittest.main()
