from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import unittest
from collections.abc import Callable, Coroutine
from typing import Any

from itf.loops.shuffled import ShuffledLoop, ShuffledVirtualLoop
from tests.support import run_script


def run(seed: int, coroutine: Coroutine[Any, Any, Any], kind: Any = ShuffledLoop) -> Any:
    """Run a coroutine in a shuffled loop of its own."""
    with asyncio.Runner(loop_factory=lambda: kind(seed)) as runner:
        return runner.run(coroutine)


async def turns(names: str = "abcd", rounds: int = 3) -> str:
    """Let tasks take turns, and return the order in which they did."""
    seen: list[str] = []

    async def take(name: str) -> None:
        for _ in range(rounds):
            seen.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(take(name))
    return "".join(seen)


async def cancelled_group() -> str:
    """Cancel the tasks of a group, which asyncio keeps in a set; return the order of their ends."""
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for name in "abcdefgh":
                group.create_task(wait(name))
            group.create_task(fail())
    return "".join(ended)


class OrderTest(unittest.TestCase):
    """The order comes from the seed alone."""

    def test_the_order_of_a_seed_is_the_same_under_every_version(self) -> None:
        """These orders are written down, and hold wherever the tests run."""
        self.assertEqual(
            ["dcabbdacdacb", "acbdbdaccdab", "dcabacbdcabd", "abdccbadacdb"],
            [run(seed, turns()) for seed in range(4)],
        )

    def test_virtual_time_does_not_change_it(self) -> None:
        """The same seed, the same order, whatever the clock."""
        for seed in range(4):
            self.assertEqual(run(seed, turns()), run(seed, turns(), ShuffledVirtualLoop))

    def test_cancellation_has_an_order_of_the_seed_too(self) -> None:
        """Though asyncio walks a set there, which has another order in every process."""
        script = (
            "from tests.loops.test_shuffled import *\n"
            "print([run(seed, cancelled_group()) for seed in range(5)])"
        )
        here = f"{[run(seed, cancelled_group()) for seed in range(5)]}\n"
        self.assertEqual({here}, {run_script(script, PYTHONHASHSEED=s).stdout for s in "12"})
        self.assertEqual(set("abcdefgh"), set(run(0, cancelled_group())))

    def test_what_a_timer_wakes_is_shuffled(self) -> None:
        """Sleepers that wake at the same moment do so in the order of the seed."""

        async def main() -> str:
            seen: list[str] = []

            async def nap(name: str) -> None:
                await asyncio.sleep(5)
                seen.append(name)

            await asyncio.gather(*map(nap, "abcdef"))
            return "".join(seen)

        orders = {run(seed, main(), ShuffledVirtualLoop) for seed in range(20)}
        self.assertGreater(len(orders), 10)
        self.assertEqual({"abcdef"}, {"".join(sorted(order)) for order in orders})

    def test_timers_themselves_keep_the_order_of_their_times(self) -> None:
        """No order is tried that asyncio could never have."""

        async def main() -> list[int]:
            loop, seen = asyncio.get_running_loop(), list[int]()
            for number in (3, 1, 2):
                loop.call_later(number, seen.append, number)
            await asyncio.sleep(4)
            return seen

        for seed in range(10):
            self.assertEqual([1, 2, 3], run(seed, main(), ShuffledVirtualLoop))


class ContractTest(unittest.TestCase):
    """What asyncio promises of a callback still holds."""

    def setUp(self) -> None:
        self.loop = ShuffledLoop(7)
        self.addCleanup(self.loop.close)

    def spin(self) -> None:
        """Run one round."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def test_each_callback_runs_once(self) -> None:
        """None is lost, none runs twice, and all of one round in that round."""
        seen: list[int] = []
        for number in range(1000):
            self.loop.call_soon(seen.append, number)
        self.spin()
        self.assertEqual(list(range(1000)), sorted(seen))
        self.assertNotEqual(seen, sorted(seen))
        self.spin()
        self.assertEqual(1000, len(seen))

    def test_none_waits_behind_callbacks_that_came_later(self) -> None:
        """What a callback schedules runs in the next round, so that nothing starves."""
        seen: list[str] = []

        def again(count: int) -> None:
            seen.append("again")
            if count:
                self.loop.call_soon(again, count - 1)

        for _ in range(5):
            self.loop.call_soon(again, 50)
        self.loop.call_soon(seen.append, "patient")
        self.loop.call_later(0, self.loop.stop)
        self.loop.run_forever()
        self.assertLess(seen.index("patient"), 6)

    def test_a_cancelled_callback_does_not_run(self) -> None:
        """Also if it is cancelled by another one of its round."""
        seen: list[str] = []
        handle = self.loop.call_soon(seen.append, "cancelled")
        handle.cancel()
        self.loop.call_soon(seen.append, "kept")
        self.spin()
        self.assertEqual((["kept"], True), (seen, handle.cancelled()))

    def test_a_callback_runs_in_its_own_context(self) -> None:
        """In the one that was passed, or in a copy of that in which it was scheduled."""
        variable = contextvars.ContextVar("variable", default="none")
        seen: list[str] = []

        def note() -> None:
            seen.append(variable.get())

        passed = contextvars.copy_context()
        passed.run(variable.set, "passed")
        self.loop.call_soon(note, context=passed)
        contextvars.copy_context().run(lambda: (variable.set("copied"), self.loop.call_soon(note)))
        variable.set("later")
        self.spin()
        self.assertEqual(["copied", "passed"], sorted(seen))

    def test_an_error_goes_to_the_exception_handler(self) -> None:
        """With the callback that raised it, and the others run."""
        told: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, context: told.append(context))
        seen: list[int] = []

        def broken() -> None:
            raise LookupError("broken")

        self.loop.call_soon(broken)
        self.loop.call_soon(seen.append, 1)
        self.spin()
        self.assertEqual([1], seen)
        self.assertEqual(["broken"], [str(context["exception"]) for context in told])
        self.assertRegex(told[0]["message"], "^Exception in callback <function .*broken")

    def test_an_interrupt_ends_the_round_and_loses_nothing(self) -> None:
        """What was not yet run is run when the loop goes on."""
        seen: list[int] = []

        def interrupt() -> None:
            raise KeyboardInterrupt

        for number in range(10):
            self.loop.call_soon(seen.append, number)
        self.loop.call_soon(interrupt)
        with self.assertRaises(KeyboardInterrupt):
            self.loop.run_forever()
        self.spin()
        self.spin()
        self.assertEqual(list(range(10)), sorted(seen))

    def test_threads_may_schedule_at_any_time(self) -> None:
        """Ten thousand callbacks of eight threads all run, once."""
        seen: list[tuple[int, int]] = []
        total = 8 * 1250

        def post(number: int) -> None:
            for count in range(1250):
                self.loop.call_soon_threadsafe(note, (number, count))

        def note(what: tuple[int, int]) -> None:
            seen.append(what)
            if len(seen) == total:
                self.loop.stop()

        threads = [threading.Thread(target=post, args=(number,)) for number in range(8)]
        for thread in threads:
            self.loop.call_soon(thread.start)
        self.loop.run_forever()
        for thread in threads:
            thread.join(60)
        self.assertEqual(total, len(set(seen)))

    def test_a_closed_loop_takes_no_callback(self) -> None:
        """As asyncio says it."""
        self.loop.close()
        for schedule in (self.loop.call_soon, self.loop.call_soon_threadsafe):
            with self.assertRaisesRegex(RuntimeError, "^Event loop is closed$"):
                schedule(print)

    def test_ten_thousand_tasks(self) -> None:
        """All of them take their turns."""

        async def main() -> int:
            results = await asyncio.gather(*[asyncio.sleep(0, number) for number in range(10_000)])
            return sum(results)

        self.assertEqual(sum(range(10_000)), self.loop.run_until_complete(main()))

    def test_queues_locks_and_groups_work(self) -> None:
        """The tools of asyncio do what they promise under any order."""

        async def main() -> list[int]:
            queue: asyncio.Queue[int] = asyncio.Queue(2)
            lock, out = asyncio.Lock(), list[int]()

            async def produce() -> None:
                for number in range(10):
                    await queue.put(number)

            async def consume() -> None:
                while len(out) < 20:
                    async with lock:
                        number = await queue.get()
                        out.append(number)
                        if len(out) == 20:
                            return

            async with asyncio.TaskGroup() as group:
                group.create_task(produce())
                group.create_task(produce())
                group.create_task(consume())
            return sorted(out)

        expected = sorted([*range(10), *range(10)])
        checks: list[Callable[[int], Any]] = [
            lambda seed: run(seed, main()),
            lambda seed: run(seed, main(), ShuffledVirtualLoop),
        ]
        for seed in range(20):
            for check in checks:
                self.assertEqual(expected, check(seed))


if __name__ == "__main__":
    unittest.main()
