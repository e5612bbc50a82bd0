from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import socket
import sys
import threading
import unittest
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine
from typing import Any

from itf.event_loops.shuffled_loop import ShuffledLoop, ShuffledVirtualLoop
from itf.fixtures.async_runner import async_test_runner
from tests.support import in_threads, run_script


def run(seed: int, coroutine: Coroutine[Any, Any, Any], kind: Any = ShuffledLoop) -> Any:
    """Run a coroutine in a new shuffled loop."""
    with asyncio.Runner(loop_factory=lambda: kind(seed)) as runner:
        return runner.run(coroutine)


async def turns(names: str = "abcd", rounds: int = 3) -> str:
    """Return the order in which several tasks run."""
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
    """Return the order in which the cancelled tasks of an asyncio.TaskGroup end."""
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
    """The order depends on the seed only."""

    def test_the_order_of_a_seed_is_the_same_under_every_version(self) -> None:
        """The orders of some seeds are the same on every Python version."""
        self.assertEqual(
            ["dcabbdacdacb", "acbdbdaccdab", "dcabacbdcabd", "abdccbadacdb"],
            [run(seed, turns()) for seed in range(4)],
        )

    def test_virtual_time_does_not_change_the_order(self) -> None:
        """A seed gives the same order with a virtual clock."""
        for seed in range(4):
            self.assertEqual(run(seed, turns()), run(seed, turns(), ShuffledVirtualLoop))

    def test_the_seed_orders_cancelled_tasks_too(self) -> None:
        """The order of cancelled tasks does not depend on the hash seed of the process."""
        script = (
            "from tests.event_loops.test_shuffled_loop import *\n"
            "print([run(seed, cancelled_group()) for seed in range(5)])"
        )
        here = f"{[run(seed, cancelled_group()) for seed in range(5)]}\n"
        self.assertEqual({here}, {run_script(script, PYTHONHASHSEED=s).stdout for s in "12"})
        self.assertEqual(set("abcdefgh"), set(run(0, cancelled_group())))

    def test_tasks_that_a_timer_wakes_are_shuffled(self) -> None:
        """Tasks that wake at the same time run in the order of the seed."""

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
        """Tasks with timers of different times wake in the order of these times."""

        async def main() -> list[int]:
            loop, seen = asyncio.get_running_loop(), list[int]()
            for number in (3, 1, 2):
                loop.call_later(number, seen.append, number)
            await asyncio.sleep(4)
            return seen

        for seed in range(10):
            self.assertEqual([1, 2, 3], run(seed, main(), ShuffledVirtualLoop))


async def echo_in_a_subprocess() -> str:
    """Write to a subprocess in small pieces and read from both of its output pipes."""
    script = (
        "import os, sys\n"
        "os.write(2, b'received')\n"
        "for number in range(200): os.write(1, b'%04d' % number)\n"
        "os.write(1, sys.stdin.buffer.read())"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", script), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, received = await process.communicate(b"end")
    assert out == b"".join(b"%04d" % number for number in range(200)) + b"end", out
    return f"{received.decode()} {process.returncode}"


async def read_a_pipe() -> str:
    """Return the calls that a protocol gets for a pipe with one byte."""
    received: list[str] = []
    over = asyncio.get_running_loop().create_future()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            received.append("made")

        def data_received(self, data: bytes) -> None:
            received.append(data.decode())

        def eof_received(self) -> None:
            received.append("eof")

        def connection_lost(self, error: Exception | None) -> None:
            received.append("lost")
            over.set_result(None)

    reader, writer = os.pipe()
    os.write(writer, b"x")
    os.close(writer)
    await asyncio.get_running_loop().connect_read_pipe(Protocol, os.fdopen(reader, "rb"))
    await over
    return " ".join(received)


async def streams() -> str:
    """Run a server and five clients with asyncio streams."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read())[::-1])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def ask(text: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for byte in text:
            writer.write(bytes([byte]))
            await writer.drain()
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        answers = await asyncio.gather(*(ask(b"question %d" % number) for number in range(5)))
    return " ".join(answer[0:1].decode() for answer in answers)


async def sockets() -> str:
    """Connect several sockets, one after the other, with the same descriptor number."""
    loop, answers = asyncio.get_running_loop(), list[bytes]()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)

        async def serve() -> None:
            for number in range(5):
                with (await loop.sock_accept(server))[0] as connection:
                    await asyncio.sleep(0)
                    await loop.sock_sendall(connection, b"%d" % number)

        async def ask() -> None:
            for _ in range(5):
                with socket.socket() as client:
                    client.setblocking(False)
                    await loop.sock_connect(client, server.getsockname())
                    answers.append(await loop.sock_recv(client, 8))

        await asyncio.gather(serve(), ask())
    return b" ".join(answers).decode()


class AsyncioTest(unittest.TestCase):
    """asyncio's transports and subprocesses work under every order."""

    def check(self, expected: str, function: Callable[[], Coroutine[Any, Any, str]]) -> None:
        for seed in range(8):
            with async_test_runner(shuffle_seed=seed, virtual_time=seed % 2 == 1) as runner:
                self.assertEqual(expected, runner.run(function(), 20.0), seed)

    def test_a_subprocess_loses_nothing(self) -> None:
        """All output of a subprocess arrives in the order in which it was written."""
        self.check("received 0", echo_in_a_subprocess)

    def test_a_protocol_is_called_in_order(self) -> None:
        """A protocol gets connection_made before data, and connection_lost after eof."""
        self.check("made x eof lost", read_a_pipe)

    def test_streams_work(self) -> None:
        """A server and its clients talk in one loop."""
        self.check("0 1 2 3 4", streams)

    def test_sockets_with_the_same_number_work(self) -> None:
        """A reader of a closed socket is removed before its task continues."""
        self.check("0 1 2 3 4", sockets)


class ContractTest(unittest.TestCase):
    """What asyncio documents about callbacks also holds in a shuffled loop."""

    def setUp(self) -> None:
        self.loop = ShuffledLoop(7)
        self.addCleanup(self.loop.close)

    def spin(self) -> None:
        """Run one round of a loop."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def test_each_callback_runs_once(self) -> None:
        """All callbacks of a round run in that round, and only once."""
        seen: list[int] = []
        for number in range(1000):
            self.loop.call_soon(seen.append, number)
        self.spin()
        self.assertEqual(list(range(1000)), sorted(seen))
        self.spin()
        self.assertEqual(1000, len(seen))

    def test_callbacks_of_no_task_keep_their_order(self) -> None:
        """Plain callbacks keep their order and precede tasks scheduled after them."""
        places = set()
        for seed in range(60):
            seen: list[str] = []

            async def task(name: str, seen: list[str] = seen) -> None:
                seen.append(name)

            async def main(seen: list[str] = seen) -> None:
                loop = asyncio.get_running_loop()
                tasks = []
                for number in range(4):
                    loop.call_soon(seen.append, f"callback {number}")
                    tasks.append(asyncio.create_task(task(f"task {number}")))
                await asyncio.wait(tasks)

            run(seed, main())
            callbacks = [f"callback {number}" for number in range(4)]
            self.assertEqual(callbacks, [name for name in seen if name in callbacks])
            for number in range(4):
                place = seen.index(f"task {number}")
                self.assertGreater(place, seen.index(f"callback {number}"))
                places.add((number, place))
        self.assertEqual(7 + 6 + 5 + 4, len(places))

    def test_debug_mode_refuses_a_callback_of_another_thread(self) -> None:
        """A call_soon from another thread fails in debug mode and schedules nothing."""
        seen: list[str] = []
        self.loop.set_debug(True)
        self.loop.run_until_complete(asyncio.sleep(0))

        def schedule() -> None:
            with self.assertRaisesRegex(RuntimeError, "Non-thread-safe"):
                self.loop.call_soon(seen.append, "refused")

        self.loop.call_soon(lambda: in_threads(1, lambda _: schedule()))
        self.spin()
        self.loop.call_soon(seen.append, "taken")
        self.spin()
        self.assertEqual(["taken"], seen)

    def test_a_new_callback_runs_in_the_next_round(self) -> None:
        """A callback scheduled by a callback runs in the next round."""
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
        """A callback that another one of its round cancels does not run."""
        seen: list[str] = []
        handle = self.loop.call_soon(seen.append, "cancelled")
        handle.cancel()
        self.loop.call_soon(seen.append, "kept")
        self.spin()
        self.assertEqual((["kept"], True), (seen, handle.cancelled()))

    def test_a_callback_runs_in_its_own_context(self) -> None:
        """A callback runs in the given context, or in a copy of the scheduling one."""
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
        """The handler gets the error and the callback; the other callbacks run."""
        received: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, context: received.append(context))
        seen: list[int] = []

        def broken() -> None:
            raise LookupError("broken")

        self.loop.call_soon(broken)
        self.loop.call_soon(seen.append, 1)
        self.spin()
        self.assertEqual([1], seen)
        self.assertEqual(["broken"], [str(context["exception"]) for context in received])
        self.assertRegex(received[0]["message"], "^Exception in callback <function .*broken")

    def test_an_interrupt_ends_the_round_and_loses_nothing(self) -> None:
        """After a KeyboardInterrupt, the rest of the round runs in the next run."""
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
        """Ten thousand callbacks from eight threads run once each."""
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

    def test_a_closed_loop_refuses_callbacks(self) -> None:
        """Scheduling on a closed loop raises asyncio's RuntimeError."""
        self.loop.close()
        for schedule in (self.loop.call_soon, self.loop.call_soon_threadsafe):
            with self.assertRaisesRegex(RuntimeError, "^Event loop is closed$"):
                schedule(print)

    def test_ten_thousand_tasks(self) -> None:
        """Ten thousand tasks all run."""

        async def main() -> int:
            results = await asyncio.gather(*[asyncio.sleep(0, number) for number in range(10_000)])
            return sum(results)

        self.assertEqual(sum(range(10_000)), self.loop.run_until_complete(main()))

    def test_queues_locks_and_groups_work(self) -> None:
        """asyncio's queues, locks and task groups work under every order."""

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
