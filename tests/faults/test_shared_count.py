from __future__ import annotations

import fcntl
import gc
import os
import pickle
import signal
import string
import threading
import types
import unittest
from typing import Any
from unittest import mock

from itf import FaultPlan, inject_faults, mock_parser_factory
from itf.descriptors import Descriptor
from itf.exceptions import ItfError
from itf.faults import shared_count
from itf.faults.shared_count import SharedPage
from itf.file_lock import try_lock_byte
from itf.fixtures.parallel_environment import parallel_test_environment
from tests.faults.waiters_support import watch
from tests.fixtures.parallel_support import DEADLINE, METHODS
from tests.support import fork, in_threads, run_script
from tests.workers.worker_support import descriptors


def call(times: int) -> int:
    """Call the function under test, and return how many calls were hit."""
    return [string.capwords("x") for _ in range(times)].count("hit")


class LeftoverTestCase(unittest.TestCase):
    """Checks that each test closes its descriptors."""

    @classmethod
    def setUpClass(cls) -> None:
        # Starts the helpers of multiprocessing, which run until the end; no test must be blamed
        # for their descriptors.
        for method in METHODS:
            with parallel_test_environment(method) as env:
                worker = env.create_worker_process(int)
                worker.start()
                worker.result(DEADLINE)

    def setUp(self) -> None:
        gc.collect()
        before = descriptors()
        self.addCleanup(self.check_descriptors, before)

    def check_descriptors(self, before: object) -> None:
        """Fail if a descriptor is open that was not open before."""
        gc.collect()
        self.assertEqual(before, descriptors())


class WorkersTest(LeftoverTestCase):
    def test_one_plan_for_all(self) -> None:
        """Test and workers share one exact count, under each start method."""
        for method in METHODS:
            plan = FaultPlan.every(5, returns="hit")
            with (
                self.subTest(method),
                parallel_test_environment(method) as env,
                inject_faults(string, "capwords", plan),
            ):

                def work(plan: FaultPlan = plan) -> tuple[int, bool]:
                    return call(400), plan.calls >= 400

                workers = [env.create_worker_process(work) for _ in range(3)]
                for worker in workers:
                    worker.start()
                hits = call(400)
                for worker in workers:
                    more, counted = worker.result(DEADLINE)
                    hits += more
                    self.assertTrue(counted)
                self.assertEqual((1600, 320, 320), (plan.calls, plan.hits, hits))

    def test_exactly_one_worker_is_hit(self) -> None:
        """The n-th call of all workers is hit, and no other."""
        for method in METHODS:
            plan = FaultPlan.nth_call(77, returns="hit")
            later = FaultPlan.first(2, returns="hit")
            plans = (plan, FaultPlan.nth_call(5, returns="hit", then=later))
            for each in plans:
                with self.subTest(method, plan=str(each)), parallel_test_environment(method) as env:
                    # Injected by the workers, not by the test.
                    def work(plan: FaultPlan = each) -> int:
                        with inject_faults(string, "capwords", plan):
                            return call(100)

                    workers = [env.create_worker_process(work) for _ in range(3)]
                    for worker in workers:
                        worker.start()
                    hits = sum(worker.result(DEADLINE) for worker in workers)
                    self.assertEqual((300, 1), (each.calls, each.hits))
                    self.assertEqual(1 if each is plan else 3, hits)
            self.assertEqual((295, 2), (later.calls, later.hits))

    def test_a_seed_is_the_same_everywhere(self) -> None:
        """The number of a call decides whether it is hit, in every process."""
        plan = FaultPlan.probability(0.3, seed=4, returns="hit")
        alone = FaultPlan.probability(0.3, seed=4, returns="hit")
        with inject_faults(string, "capwords", alone):
            expected = call(300)
        for method in METHODS:
            plan = FaultPlan.probability(0.3, seed=4, returns="hit")
            with self.subTest(method), parallel_test_environment(method) as env:

                def work(plan: FaultPlan = plan) -> int:
                    with inject_faults(string, "capwords", plan):
                        return call(100)

                workers = [env.create_worker_process(work) for _ in range(3)]
                for worker in workers:
                    worker.start()
                hits = sum(worker.result(DEADLINE) for worker in workers)
                self.assertEqual((expected, expected), (hits, plan.hits))

    def test_hang_and_release_across_processes(self) -> None:
        """The test can wait for a hang in a worker, and release it."""
        for method in METHODS:
            plan = FaultPlan.nth_call(1, hang=True, returns="hit")
            with self.subTest(method), parallel_test_environment(method) as env:

                def work(plan: FaultPlan = plan) -> str:
                    with inject_faults(string, "capwords", plan):
                        return string.capwords("x")

                worker = env.create_worker_process(work)
                worker.start()
                plan.wait_until_hit(DEADLINE)
                self.assertTrue(worker.is_alive())
                plan.release()
                self.assertEqual("hit", worker.result(DEADLINE))

    def test_undoing_releases_a_forked_worker(self) -> None:
        """`undo` in the test releases a forked worker, which inherited the plan."""
        plan = FaultPlan.always(hang=True)
        with parallel_test_environment("fork") as env:
            with inject_faults(string, "capwords", plan):
                worker = env.create_worker_process(string.capwords, ("a b",))
                worker.start()
                plan.wait_until_hit(DEADLINE)
            self.assertEqual("A B", worker.result(DEADLINE))

    def test_a_worker_releases_the_test(self) -> None:
        """A worker can release a thread or coroutine that hangs in the test."""
        plan = FaultPlan.first(2, hang=True)

        async def fetch() -> str:
            return "fetched"

        module = types.SimpleNamespace(fetch=fetch)
        import asyncio

        with (
            parallel_test_environment() as env,
            inject_faults(string, "capwords", plan),
            inject_faults(module, "fetch", plan),
        ):
            threads = [
                env.create_worker_thread(string.capwords, ("a b",)),
                env.create_worker_thread(lambda: asyncio.run(module.fetch())),
            ]
            for thread in threads:
                thread.start()
            plan.wait_until_hit(DEADLINE, hits=2)

            def let_go() -> None:
                plan.wait_until_hit(DEADLINE, hits=2)
                plan.release()

            worker = env.create_worker_process(let_go)
            worker.start()
            worker.result(DEADLINE)
            self.assertEqual(["A B", "fetched"], [thread.result(DEADLINE) for thread in threads])

    def test_hits_in_workers_are_recorded(self) -> None:
        """At `undo`, one event reports all hits of other processes; own hits are one event each."""
        plan = FaultPlan.every(2, returns="hit")
        injection = inject_faults(string, "capwords", plan)
        with parallel_test_environment("fork") as env, injection:
            call(4)
            worker = env.create_worker_process(call, (6,))
            worker.start()
            worker.result(DEADLINE)
            call(2)
        events = [event["data"] for event in injection.timeline.events("fault")]
        self.assertEqual(
            ["injected", "hit", "hit", "hit", "undone"], [event["action"] for event in events]
        )
        self.assertEqual(
            {
                "target": "string.capwords",
                "action": "undone",
                "calls": 12,
                "hits": 6,
                "hits_in_other_processes": 3,
            },
            events[-1],
        )

    def test_workers_killed_at_any_instant(self) -> None:
        """A kill loses no completed call, adds at most one count, and blocks nobody."""
        kills = 12
        plan = FaultPlan.every(3, returns="hit")
        with (
            parallel_test_environment("fork") as env,
            inject_faults(string, "capwords", plan),
        ):
            done = env.create_shared_memory("done", 8 * kills)

            def work(number: int) -> None:
                made = 0
                view = done.buf.cast("Q")
                while True:
                    string.capwords("x")
                    made += 1
                    view[number] = made

            for number in range(0, kills, 3):
                workers = [env.create_worker_process(work, (number + n,)) for n in range(3)]
                for worker in workers:
                    worker.start()
                for n, worker in enumerate(workers):
                    plan.wait_until_hit(DEADLINE, hits=plan.hits + 17 * (n + 1) + number)
                    os.kill(worker.pid or 0, signal.SIGKILL)
                for worker in workers:
                    worker.exception(DEADLINE)
            returned = sum(done.buf.cast("Q"))
            self.assertLessEqual(returned, plan.calls)
            self.assertLessEqual(plan.calls, returned + kills)
            before = plan.calls
            string.capwords("x")
            self.assertEqual((before + 1, (before + 1) // 3), (plan.calls, plan.hits))

    def test_a_worker_killed_while_it_counts(self) -> None:
        """A worker killed while it holds the lock releases the lock."""
        plan = FaultPlan.every(2, returns="hit")

        def work() -> None:
            with plan.share().locked():
                os.kill(os.getpid(), signal.SIGKILL)

        with parallel_test_environment() as env, inject_faults(string, "capwords", plan):
            worker = env.create_worker_process(work)
            worker.start()
            worker.exception(DEADLINE)
            self.assertEqual(5, call(10))

    def test_a_worker_killed_while_it_has_the_plan_in(self) -> None:
        """A killed worker no longer uses the plan, so `undo` in the test ends a hang."""
        for method in METHODS:
            plan = FaultPlan.always(hang=True)
            with self.subTest(method), parallel_test_environment(method) as env:

                def work(plan: FaultPlan = plan) -> None:
                    with inject_faults(string, "capwords", plan):
                        string.capwords("x")

                worker = env.create_worker_process(work)
                worker.start()
                plan.wait_until_hit(DEADLINE)
                with inject_faults(string, "capwords", plan):
                    thread = env.create_worker_thread(string.capwords, ("x",))
                    thread.start()
                    plan.wait_until_hit(DEADLINE, hits=2)
                # The worker still uses the plan, so the call still hangs.
                self.assertTrue(plan.share().is_used())
                self.assertTrue(thread.is_alive())
                os.kill(worker.pid or 0, signal.SIGKILL)
                worker.exception(DEADLINE)
                self.assertEqual("X", thread.result(DEADLINE))

    def test_plain_fork(self) -> None:
        """A process forked by os.fork counts together with the test."""
        plan = FaultPlan.every(2, returns="hit")
        with inject_faults(string, "capwords", plan):
            call(3)
            pid = fork()
            if not pid:
                os._exit(call(4))
            _, status = os.waitpid(pid, 0)
            self.assertEqual(2, os.waitstatus_to_exitcode(status))
            self.assertEqual((7, 3), (plan.calls, plan.hits))

    def test_a_fork_while_others_call(self) -> None:
        """A fork while eight threads call neither loses a call nor counts one twice."""
        plan = FaultPlan.every(7, returns="hit")

        def work(number: int) -> int:
            hits = call(500)
            if number == 0:
                # What a fork does to the plan; not os.fork itself, whose child would go on as a
                # test.
                plan.share()
            return hits + call(500)

        with inject_faults(string, "capwords", plan):
            hits = sum(in_threads(8, work))
        self.assertEqual((8000, 8000 // 7, 8000 // 7), (plan.calls, plan.hits, hits))

    def test_a_wait_that_was_begun_before(self) -> None:
        """A wait for a hit notices a hit in a process started later."""
        plan = FaultPlan.always(returns="hit")
        wait_for_waiters = watch(plan.hit_waiters)
        with parallel_test_environment("fork") as env, inject_faults(string, "capwords", plan):
            waiting = threading.Thread(target=plan.wait_until_hit, args=(DEADLINE,))
            waiting.start()
            wait_for_waiters(1)
            worker = env.create_worker_process(call, (1,))
            worker.start()
            worker.result(DEADLINE)
            waiting.join(DEADLINE)
            self.assertFalse(waiting.is_alive())

    def test_a_plan_comes_back_as_itself(self) -> None:
        """A plan in the result of a worker is the original object."""
        plan = FaultPlan.always(raises=KeyError("k"))
        for method in METHODS:
            with self.subTest(method), parallel_test_environment(method) as env:
                worker = env.create_worker_process(lambda: [plan, plan])
                worker.start()
                given = worker.result(DEADLINE)
                self.assertTrue(all(each is plan for each in given))

    def test_a_message_to_a_worker_that_runs(self) -> None:
        """A running worker that receives a plan by a queue counts together with the test."""
        for method in METHODS:
            with self.subTest(method), parallel_test_environment(method) as env:
                data = env.create_queue("data")

                def work(data: Any = data) -> int:
                    with inject_faults(string, "capwords", data.get(timeout=DEADLINE)):
                        return call(10)

                worker = env.create_worker_process(work)
                worker.start()
                # Sent only now, so that no fork has copied it to the worker.
                plan = FaultPlan.every(2, returns="hit")
                data.put(plan)
                self.assertEqual(5, worker.result(DEADLINE))
                self.assertEqual((10, 5), (plan.calls, plan.hits))

    def test_two_messages_are_one_plan(self) -> None:
        """A worker that receives a plan twice has one object."""
        plan = FaultPlan.nth_call(2, returns="hit")
        for method in METHODS:
            with self.subTest(method), parallel_test_environment(method) as env:
                data = env.create_queue("data")

                def work(plan: FaultPlan = plan, data: Any = data) -> bool:
                    return data.get(timeout=DEADLINE) is plan

                worker = env.create_worker_process(work)
                worker.start()
                data.put(plan)
                self.assertTrue(worker.result(DEADLINE))


class FaultsOfTheTestTest(LeftoverTestCase):
    """Plans of the test apply in its workers, under each start method."""

    def results(self, work: Any) -> dict[str, Any]:
        """Return the result of a worker for each start method."""
        results = {}
        for method in METHODS:
            with parallel_test_environment(method) as env:
                worker = env.create_worker_process(work)
                worker.start()
                results[method] = worker.result(DEADLINE)
        return results

    def test_on_a_module_and_a_class(self) -> None:
        """Several plans on one function keep their order; importable classes keep theirs."""
        with (
            inject_faults(string, "capwords", FaultPlan.always(returns="first")),
            inject_faults(string, "capwords", FaultPlan.nth_call(2, returns="second")),
            inject_faults(string.Template, "substitute", FaultPlan.always(returns="class")),
        ):

            def work() -> list[str]:
                return [string.capwords("a"), string.Template("b").substitute()]

            results = self.results(work)
        self.assertEqual(
            {
                method: ["first" if n != 1 else "second", "class"]
                for n, method in enumerate(METHODS)
            },
            results,
        )

    def test_on_an_object(self) -> None:
        """A plan on an object is sent with the object that a worker captures."""

        class Store:
            def read(self, name: str) -> str:
                return name

        store = Store()
        plan = FaultPlan.every(2, returns="fault")
        with inject_faults(store, "read", plan), inject_faults(Store, "read", FaultPlan.after(9)):
            results = self.results(lambda: [store.read("a"), store.read("b")])
        self.assertEqual({method: ["a", "fault"] for method in METHODS}, results)
        self.assertEqual((6, 3), (plan.calls, plan.hits))

    def test_a_mock_parser(self) -> None:
        """A captured parser fails as configured, with a shared count."""
        with mock_parser_factory() as factory:
            factory.configure_failure("python", "nth_call", n=2)
            parser = factory.get_parser("python")

            def work() -> str:
                try:
                    return parser.parse(b"import sys").root_node.type
                except RuntimeError as error:
                    return str(error)

            results = list(self.results(work).values())
        failure = "mock parser for python: call 2 fails, as configured (nth_call, n=2)"
        self.assertEqual(["module", failure, "module"][: len(results)], results)

    def test_what_cannot_be_imported_is_left_out(self) -> None:
        """A plan on a module that a new process cannot import is not sent."""
        module = types.ModuleType("made by the test")
        module.function = len  # type: ignore[attr-defined]
        with inject_faults(module, "function", FaultPlan.always(returns=-1)):
            self.assertEqual(dict.fromkeys(METHODS, 0), self.results(int))

    def test_what_was_undone_is_gone(self) -> None:
        """A worker started after `undo` has no plan."""
        with inject_faults(string, "capwords", FaultPlan.always(returns="fault")):
            self.assertEqual("fault", string.capwords("a"))
        self.assertEqual(dict.fromkeys(METHODS, "A"), self.results(lambda: string.capwords("a")))


class PageTest(unittest.TestCase):
    def test_nothing_until_it_is_needed(self) -> None:
        """A plan of one process has no descriptor; a shared plan closes its own."""
        gc.collect()
        before = descriptors()
        plan = FaultPlan.always()
        with inject_faults(string, "capwords", FaultPlan.nth_call(9)):
            string.capwords("x")
        self.assertEqual(before, descriptors())
        plan.share()
        self.assertLess(len(before), len(descriptors()))
        del plan
        gc.collect()
        self.assertEqual(before, descriptors())

    def test_what_was_before_is_kept(self) -> None:
        """Moving the count to shared memory keeps calls, uses and a release."""
        plan = FaultPlan.every(2, returns="hit")
        with inject_faults(string, "capwords", plan):
            call(5)
            plan.release()
            page = plan.share()
            self.assertEqual(
                (5, 2, True, True), (plan.calls, plan.hits, page.released, page.is_used())
            )
            self.assertEqual(1, call(1))
        self.assertEqual((6, False), (page.calls, page.is_used()))

    def test_a_plan_that_cannot_be_shared(self) -> None:
        """A fork without a free descriptor warns that the processes count separately."""
        script = """
import errno, os, string, sys, warnings
from unittest import mock
from itf import FaultPlan
warnings.simplefilter("default")
plan = FaultPlan.always()
error = OSError(errno.EMFILE, "Too many open files")
with mock.patch("itf.faults.shared_count.anonymous_file", side_effect=error):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
"""
        done = run_script(script)
        self.assertIn(
            "RuntimeWarning: FaultPlan.always() cannot be shared with a forked process, which "
            "will count for itself: [Errno 24] Too many open files",
            done.stderr,
        )

    def test_a_plan_in_what_it_counts_with(self) -> None:
        """Plans on functions that counting uses hit only calls of other code."""
        for module, name, arguments in (
            (fcntl, "lockf", (0, fcntl.LOCK_UN)),
            (os, "ftruncate", (0, 0)),
            (os, "pwrite", (0, b"", 0)),
            (os, "getpid", ()),
        ):
            with self.subTest(name):
                plan = FaultPlan.nth_call(1, returns="hit")
                with inject_faults(module, name, plan):
                    plan.share()
                    self.assertEqual("hit", getattr(module, name)(*arguments))
                    self.assertEqual(1, plan.calls)
                self.assertEqual(0, plan._uses)

    def test_a_process_is_stopped_while_counting(self) -> None:
        """Waiting for a stopped process that holds the lock ends with an error."""
        page = SharedPage.create()
        with (
            mock.patch("itf.faults.shared_count.try_lock_byte", return_value=False),
            mock.patch.object(shared_count, "_LOCK_TIMEOUT", 0.01),
            self.assertRaises(ItfError) as caught,
        ):
            page.next_call()
        self.assertEqual(
            "another process has been counting a call for 0.01 s; is it paused?",
            str(caught.exception),
        )
        self.assertEqual(1, page.next_call())

    def test_a_handler_that_calls_while_a_call_is_counted(self) -> None:
        """A signal handler that counts does not release the lock of the call it interrupts."""
        page = SharedPage.create()

        def another_may_count() -> bool:
            pid = fork()
            if not pid:
                os._exit(try_lock_byte(page.number, 0))
            return bool(os.waitpid(pid, 0)[1])

        with page.locked():
            self.assertEqual(1, page.next_call())
            self.assertFalse(another_may_count())
        self.assertTrue(another_may_count())

    def test_a_second_copy_does_not_drop_the_lock(self) -> None:
        """Closing another descriptor of the page waits until no thread counts."""
        plan = FaultPlan.always()
        page = plan.share()
        copy = Descriptor(os.dup(page._file.number))
        closed = threading.Event()

        def drop() -> None:
            page.drop(copy)
            closed.set()

        with page.locked():
            thread = threading.Thread(target=drop)
            thread.start()
            self.assertFalse(closed.wait(0.01))
        thread.join(DEADLINE)
        self.assertEqual((True, -1), (closed.is_set(), copy.number))

    def test_a_sender_that_is_gone(self) -> None:
        """Receiving a plan from a process that has ended raises an error with advice."""
        page = SharedPage.create()
        address = page.address()
        self.assertEqual(page.uid, SharedPage.open_at(address, page.uid, "the plan").uid)
        for wrong in (address, f"{address}0"):
            uid = b"another" if wrong is address else page.uid
            with self.assertRaises(ItfError) as caught:
                SharedPage.open_at(wrong, uid, "FaultPlan.always()")
            self.assertEqual(
                "FaultPlan.always() cannot be reached in the process that has sent it; let the "
                "function of the worker capture it, or pass it as an argument of the worker",
                str(caught.exception),
            )

    def test_pickling_outside_a_start(self) -> None:
        """A plan can be pickled at any time, and unpickles to itself here."""
        plan = FaultPlan.always()
        self.assertIs(plan, pickle.loads(pickle.dumps(plan)))


if __name__ == "__main__":
    unittest.main()
