from __future__ import annotations

import builtins
import concurrent.futures
import errno
import functools
import gc
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import string
import sys
import textwrap
import types
import unittest
import warnings
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any
from unittest import mock

from itf import (
    FaultPlan,
    IntegrationTestCase,
    inject_faults,
    mock_parser_factory,
    parallel_test_environment,
)
from itf.exceptions import FaultInjectionError, InjectedFaultError
from itf.faults import injection as injection_module, process_start
from itf.faults.process_transfer import follow_processes, stop_following
from tests.faults import program
from tests.faults.test_in_tests import outcome
from tests.fixtures.parallel_support import DEADLINE, METHODS
from tests.support import in_threads, open_folder, run_script

AFRESH = [method for method in METHODS if method != "fork"]


def run(method: str, target: Any, *args: Any) -> int | None:
    """Run a function in a process of the program, and return the exit code."""
    process = multiprocessing.get_context(method).Process(target=target, args=args)
    process.start()
    process.join(DEADLINE)
    code = process.exitcode
    process.close()
    return code


class ProcessTestCase(unittest.TestCase):
    """Suppresses the warning of newer Pythons about a fork while threads run."""

    def setUp(self) -> None:
        filters = warnings.catch_warnings()
        filters.__enter__()
        self.addCleanup(filters.__exit__, None, None, None)
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)


class FollowedTest(ProcessTestCase):
    """Processes of the program have the plans of the test, and count together with it."""

    def test_the_process_of_a_library_function(self) -> None:
        """A library function fails in a child too, and the hit is counted."""
        for method in METHODS:
            plan = FaultPlan.always(raises=SystemExit(7))
            with self.subTest(method), inject_faults(os, "statvfs", plan):
                self.assertEqual(7, run(method, shutil.disk_usage, "/"))
                self.assertEqual((1, 1), (plan.calls, plan.hits))

    def test_counts_are_exact(self) -> None:
        """Calls of the test, its threads and its processes share one exact count."""
        for method in METHODS:
            plan = FaultPlan.every(5, returns="hit")
            with self.subTest(method), inject_faults(string, "capwords", plan):
                codes = [run(method, program.exit_with_hits, 40) for _ in range(2)]
                hits = program.count_hits(45)
                self.assertEqual((125, 25), (plan.calls, plan.hits))
                self.assertEqual(25, hits + sum(code or 0 for code in codes))

    def test_pools_and_executors(self) -> None:
        """Workers of pools and executors have the plans, including replacement workers."""
        for method in METHODS:
            context = multiprocessing.get_context(method)
            plan = FaultPlan.every(3, returns="hit")
            with self.subTest(method), inject_faults(string, "capwords", plan):
                with context.Pool(1, maxtasksperchild=1) as pool:
                    hits = sum(pool.map_async(program.count_hits, [3, 6], 1).get(DEADLINE))
                with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
                    hits += executor.submit(program.count_hits, 12).result(DEADLINE)
                self.assertEqual((21, 7, 7), (plan.calls, plan.hits, hits))

    def test_an_error_comes_back(self) -> None:
        """An error that a plan raises in a pool reaches the program with its message."""
        for method in METHODS:
            with (
                self.subTest(method),
                inject_faults(string, "capwords", FaultPlan.nth_call(2)),
                multiprocessing.get_context(method).Pool(1) as pool,
                self.assertRaises(InjectedFaultError) as caught,
            ):
                pool.apply_async(program.count_hits, (2,)).get(DEADLINE)
            self.assertEqual(
                ("string.capwords", 2), (caught.exception.target, caught.exception.call)
            )

    def test_a_forkserver_that_is_older(self) -> None:
        """Children of a fork server that started before the test have the plans."""
        if "forkserver" not in METHODS:
            self.skipTest("there is no forkserver")
        self.assertEqual(0, run("forkserver", program.exit_with_hits, 1))
        with inject_faults(string, "capwords", FaultPlan.always(returns="hit")):
            self.assertEqual(3, run("forkserver", program.exit_with_hits, 3))
        self.assertEqual(0, run("forkserver", program.exit_with_hits, 1))

    def test_processes_of_processes(self) -> None:
        """Grandchildren have the plans, for every pair of start methods."""
        for method in METHODS:
            for inner in METHODS:
                if (method, inner) == ("fork", "forkserver"):
                    continue  # a forked process cannot use its parent's server
                plan = FaultPlan.every(2, returns="hit")
                with self.subTest((method, inner)), inject_faults(string, "capwords", plan):
                    self.assertEqual(2, run(method, program.in_grandchild, inner, 4))
                    self.assertEqual((4, 2), (plan.calls, plan.hits))

    def test_processes_of_workers(self) -> None:
        """Plans are sent to a worker of itf, and on to the processes that it starts."""
        for method in METHODS:
            plan = FaultPlan.every(2, returns="hit")
            with (
                self.subTest(method),
                parallel_test_environment(method) as env,
                inject_faults(string, "capwords", plan),
            ):
                worker = env.create_worker_process(run, (AFRESH[-1], program.exit_with_hits, 4))
                worker.start()
                self.assertEqual(2, worker.result(DEADLINE))
                self.assertEqual((4, 2), (plan.calls, plan.hits))

    def test_every_kind_of_function(self) -> None:
        """Plans on each kind of function are sent."""
        for method in METHODS:
            plans = {
                name: FaultPlan.always(returns=value)
                for name, value in (
                    ("read", "r"),
                    ("size", 2),
                    ("kind", "k"),
                    ("first", "f"),
                    ("generate", ["g"]),
                    ("async_read", "a"),
                    ("managed", "m"),
                )
            }
            with self.subTest(method), multiprocessing.get_context(method).Pool(1) as before:
                injections = [
                    inject_faults(
                        program.Store if hasattr(program.Store, name) else program, name, plan
                    )
                    for name, plan in plans.items()
                ]
                for injection in injections:
                    injection.start()
                try:
                    # Workers that run already have no plan.
                    real = ["stored", 1, "Store", "first", "generated", "read", "managed"]
                    self.assertEqual(real, before.apply_async(program.read_all).get(DEADLINE))
                    with multiprocessing.get_context(method).Pool(1) as pool:
                        values = pool.apply_async(program.read_all).get(DEADLINE)
                finally:
                    for injection in injections:
                        injection.undo()
                self.assertEqual(["r", 2, "k", "f", "g", "a", "m"], values)
                self.assertEqual({1}, {plan.hits for plan in plans.values()})

    def test_what_was_imported_by_name_before(self) -> None:
        """A name that the program imported by ``from`` before is never replaced."""
        for method in METHODS:
            plan = FaultPlan.always(returns="hit")
            with self.subTest(method), inject_faults(string, "capwords", plan):
                self.assertEqual(0, run(method, program.call_imported))
                self.assertEqual(0, plan.calls)

    def test_nested_plans_and_a_plan_used_twice(self) -> None:
        """Plans keep their order on one function, and one count over all functions."""
        for method in METHODS:
            twice = FaultPlan.every(2, returns="hit")
            with (
                self.subTest(method),
                inject_faults(string, "capwords", twice),
                inject_faults(program, "number", twice),
                inject_faults(string, "capwords", FaultPlan.nth_call(1, returns="inner")),
            ):
                # Call 1 is hit by the upper plan; 2, 3 and 4 are calls 1, 2 and 3 of the lower one.
                self.assertEqual(1, run(method, program.exit_with_hits, 4))
                self.assertEqual("hit", program.number())
                self.assertEqual((4, 2), (twice.calls, twice.hits))

    def test_hanging_and_release(self) -> None:
        """The test can wait for a hang in a child and release it; `undo` releases it too."""
        for method in METHODS:
            for is_released in (True, False):
                plan = FaultPlan.nth_call(1, hang=True, then=FaultPlan.always(returns="hit"))
                with self.subTest((method, is_released)):
                    process = multiprocessing.get_context(method).Process(
                        target=program.exit_with_hits, args=(2,)
                    )
                    with inject_faults(string, "capwords", plan):
                        process.start()
                        plan.wait_until_hit(DEADLINE)
                        self.assertTrue(process.is_alive())
                        if is_released:
                            plan.release()
                            process.join(DEADLINE)
                    process.join(DEADLINE)
                    self.assertEqual(1, process.exitcode)
                    process.close()

    def test_a_builtin_function(self) -> None:
        """Plans on functions of `builtins` are sent too."""
        for method in METHODS:
            plan = FaultPlan.always(raises=SystemExit(5))
            with self.subTest(method), inject_faults(builtins, "ascii", plan):
                self.assertEqual(5, run(method, eval, "ascii(1)"))
                self.assertEqual(1, plan.hits)

    def test_a_child_that_is_killed(self) -> None:
        """Calls counted by a killed child stay counted, and nothing else fails."""
        for method in METHODS:
            plan = FaultPlan.every(2, returns="hit")
            with self.subTest(method), inject_faults(string, "capwords", plan):
                self.assertEqual(-signal.SIGKILL, run(method, program.die_after, 6))
                self.assertEqual((6, 3), (plan.calls, plan.hits))

    def test_eight_threads_start_processes(self) -> None:
        """Processes that eight threads start have the plans, and the count is exact."""
        method = AFRESH[0]
        plan = FaultPlan.every(4, returns="hit")

        def start(number: int) -> int:
            return run(method, program.exit_with_hits, 12) or 0

        with inject_faults(string, "capwords", plan):
            hits = sum(in_threads(8, start))
        self.assertEqual((96, 24, 24), (plan.calls, plan.hits, hits))

    def test_a_process_class_of_the_program(self) -> None:
        """A process class may define its own pickling and refer to itself."""
        for method in AFRESH:
            plan = FaultPlan.always(returns="hit")
            with self.subTest(method), inject_faults(string, "capwords", plan):
                process = OWN_PROCESSES[method]()
                process.start()
                process.join(DEADLINE)
                self.assertEqual(2, process.exitcode)
                process.close()

    def test_a_plan_that_the_program_gets_as_well(self) -> None:
        """A plan among the arguments of the process is identical to the plan sent by itf."""
        for method in METHODS:
            plan = FaultPlan.every(2, returns="hit")
            with self.subTest(method), inject_faults(string, "capwords", plan):
                self.assertEqual(4, run(method, _exit_with_calls, plan, 4))
                self.assertEqual((4, 2), (plan.calls, plan.hits))


def _exit_with_calls(plan: FaultPlan, times: int) -> None:
    program.count_hits(times)
    raise SystemExit(plan.calls)


class _OwnProcess(BaseProcess):
    """A process that refers to itself and defines its own pickling."""

    itself: Any

    def __init__(self) -> None:
        super().__init__()
        self.itself = [self]

    def __reduce__(self) -> Any:
        return (type(self), (), self.__dict__)

    def run(self) -> None:
        is_one = self.itself[0] is self
        raise SystemExit(program.count_hits(1) + is_one)


class ForkserverOwnProcess(_OwnProcess, multiprocessing.get_context(AFRESH[0]).Process):  # type: ignore[name-defined,misc]
    """The same by forkserver, where that exists."""


class SpawnOwnProcess(_OwnProcess, multiprocessing.get_context("spawn").Process):  # type: ignore[name-defined,misc]
    """The same by spawn."""


OWN_PROCESSES = {"forkserver": ForkserverOwnProcess, "spawn": SpawnOwnProcess}


class FunctionsTest(ProcessTestCase):
    """The program can still send functions that have or had plans."""

    def test_a_function_of_c(self) -> None:
        """`os.statvfs` is named `posix.statvfs`; pickled by that name it would lose its plan."""
        for method in METHODS:
            plan = FaultPlan.always(raises=SystemExit(7))
            with self.subTest(method), inject_faults(os, "statvfs", plan):
                self.assertEqual(7, run(method, os.statvfs, "/"))

    def test_a_function_that_was_kept_from_before(self) -> None:
        """The original, kept by the program, can be sent and has no plan there."""
        for method in METHODS:
            plan = FaultPlan.always(returns="hit")
            real = program.exit_with_hits
            with self.subTest(method), inject_faults(program, "exit_with_hits", plan):
                self.assertEqual(0, run(method, real, 1))
                self.assertEqual(0, plan.calls)

    def test_an_inherited_method(self) -> None:
        """A method is pickled by the class that has the plan, not the class that defines it."""
        plan = FaultPlan.always(raises=SystemExit(9))
        for method in METHODS:
            with self.subTest(method), inject_faults(program.Heir, "read", plan):
                self.assertEqual(9, run(method, program.Heir.read, program.Heir()))

    def test_plans_on_an_object_are_sent_with_it(self) -> None:
        """Plans on an object are pickled with it, also as a process target and for a pool."""
        for method in METHODS:
            plan = FaultPlan.always(returns="hit")
            store = program.Store()
            with self.subTest(method), multiprocessing.get_context(method).Pool(1) as pool:
                with inject_faults(store, "read", plan):
                    self.assertEqual(1, run(method, program.read_store, store))
                    self.assertEqual(0, run(method, program.read_store, program.Store()))
                    self.assertEqual(0, run(method, store.read))
                    self.assertEqual("hit", pool.apply_async(store.read).get(DEADLINE))
                self.assertEqual((3, 3), (plan.calls, plan.hits))

    def test_an_object_with_a_function_of_its_own(self) -> None:
        """An object's own function is restored below its plans."""
        store = program.Store()
        store.read = functools.partial(str, "own")  # type: ignore[method-assign]
        for method in METHODS:
            plan = FaultPlan.nth_call(2, returns="hit")
            with self.subTest(method), inject_faults(store, "read", plan):
                self.assertEqual(0, run(method, program.read_store, store))
                self.assertEqual(1, run(method, program.read_store, store))

    def test_a_global_object(self) -> None:
        """Plans on a global object apply to the object that the new process creates."""
        for method in METHODS:
            plan = FaultPlan.always(returns="hit")
            with self.subTest(method), inject_faults(program.STORE, "read", plan):
                self.assertEqual(1, run(method, program.read_global))
                self.assertEqual(1, plan.hits)

    def test_a_mock_parser(self) -> None:
        """A configured parser fails in another process as configured."""
        for method in METHODS:
            with self.subTest(method), mock_parser_factory() as factory:
                factory.configure_failure("python", "nth_call", n=2)
                parser = factory.get_parser("python")
                self.assertEqual(1, run(method, _exit_with_failures, parser, 3))
                self.assertEqual(1, run(method, _exit_with_failures, factory, 2) or 1)
                self.assertEqual(
                    (0, 5, 1), (parser.parse_count, parser.plan.calls, parser.plan.hits)
                )

    def test_a_mock_parser_with_what_cannot_be_pickled(self) -> None:
        """A parser with an unpicklable failure is sent without it, and that is reported."""
        for method in AFRESH:
            with (
                self.subTest(method),
                self.assertRaisesRegex(
                    FaultInjectionError, "mock parser for c could not be sent to"
                ),
                mock_parser_factory() as factory,
            ):
                factory.configure_failure("c", FaultPlan.always(returns=lambda: None))
                parser = factory.get_parser("c")
                self.assertEqual(0, run(method, _exit_with_failures, parser, 1))


def _exit_with_failures(parser: Any, times: int) -> None:
    if not hasattr(parser, "parse"):
        parser = parser.get_parser("python")
    failures = 0
    for _ in range(times):
        try:
            parser.parse(b"x")
        except RuntimeError:
            failures += 1
    raise SystemExit(failures)


class NotFollowedTest(ProcessTestCase):
    """A plan that cannot be sent fails the test at its end, and does not affect the program."""

    def lost(self, method: str, plan: FaultPlan, target: Any, name: str) -> str:
        """Return the message at the end of a `with` in which the program ran a process."""
        with self.assertRaises(FaultInjectionError) as caught, inject_faults(target, name, plan):
            self.assertEqual(0, run(method, program.exit_with_hits, 3))
        return str(caught.exception)

    def test_what_cannot_be_pickled(self) -> None:
        """The message contains plan, target, process, line, reason and advice."""
        for method in AFRESH:
            plan = FaultPlan.always(returns=lambda: None)
            with self.subTest(method):
                text = self.lost(method, plan, string, "capwords")
                self.assertRegex(
                    text,
                    r"^FaultPlan\.always\(\) on string\.capwords could not be sent to process "
                    rf"'\w+Process-[\d:]+' \(pid \d+\) started at {re.escape(__file__)}:\d+: "
                    r"it cannot be pickled \(\w+: .*<lambda>.*\); what it raises or returns "
                    r"must be defined at the top level of a module$",
                )

    def test_what_cannot_be_unpickled(self) -> None:
        """A child that cannot unpickle a plan reports that and runs without the plan."""
        for method in AFRESH:
            with self.subTest(method):
                plan = FaultPlan.always(raises=program.AwkwardError(1, 2))
                text = self.lost(method, plan, string, "capwords")
                self.assertRegex(text, r"\(pid \d+\) .*: it fails there with TypeError: .*'second'")

    def test_what_ends_the_process_where_it_is_unpickled(self) -> None:
        """A SystemExit while unpickling a plan does not end the process."""
        for method in AFRESH:
            with self.subTest(method):
                plan = FaultPlan.always(returns=_ExitsWhenUnpickled())
                text = self.lost(method, plan, string, "capwords")
                self.assertIn("it fails there with SystemExit: 4", text)

    def test_what_cannot_be_shared(self) -> None:
        """A plan is not sent if no descriptor is left for its shared count."""
        error = OSError(errno.EMFILE, "Too many open files")
        for method in AFRESH:
            with (
                self.subTest(method),
                mock.patch("itf.faults.shared_count.anonymous_file", side_effect=error),
            ):
                text = self.lost(method, FaultPlan.always(), string, "capwords")
                self.assertIn(": its count cannot be shared ([Errno 24] Too many open files)", text)

    def test_an_object_that_its_own_fault_returns(self) -> None:
        """An object returned by its own plan is sent without that plan, reported once."""
        store = program.Store()
        for method in AFRESH:
            with (
                self.subTest(method),
                self.assertRaisesRegex(FaultInjectionError, "^FaultPlan.* that it is in"),
                inject_faults(store, "read", FaultPlan.always(returns=store)),
            ):
                self.assertEqual(0, run(method, program.read_store, store))

    def test_a_process_of_a_process(self) -> None:
        """A forked child that starts a process reports failures to the test."""
        plan = FaultPlan.always(returns=lambda: None)
        if "fork" in METHODS:
            with (
                self.assertRaisesRegex(
                    FaultInjectionError, "could not be sent to process '.*Process"
                ),
                inject_faults(string, "capwords", plan),
            ):
                self.assertEqual(0, run("fork", program.in_grandchild, "spawn", 1))

    def test_modules_that_are_hostile(self) -> None:
        """An error raised by inspecting a module does not reach the program."""

        class Hostile(types.ModuleType):
            def __getattr__(self, name: str) -> Any:
                raise ValueError(name)

        target = type("Target", (), {"read": len, "__module__": "hostile"})
        with mock.patch.dict(sys.modules, hostile=Hostile("hostile")):
            text = self.lost(AFRESH[0], FaultPlan.always(), target, "read")
        self.assertIn("was looked for in all modules (ValueError: Target)", text)

    def test_targets_that_have_no_name(self) -> None:
        """Plans on a local class and on an unimportable module are reported."""

        class Local:
            def read(self) -> None:
                """Do nothing."""

        module = types.ModuleType("made")
        module.read = len  # type: ignore[attr-defined]
        for method in AFRESH:
            for target in (Local, module):
                with self.subTest((method, target)):
                    text = self.lost(method, FaultPlan.always(), target, "read")
                    self.assertIn("another process cannot find it; define it at the top", text)

    def test_a_target_that_is_not_there(self) -> None:
        """A plan on an attribute that the test added is reported as missing there."""
        for method in AFRESH:
            with self.subTest(method), mock.patch.object(program, "added", len, create=True):
                text = self.lost(method, FaultPlan.always(), program, "added")
                self.assertIn("it fails there with AttributeError: ", text)

    def test_itf_cannot_be_imported_there(self) -> None:
        """If the child cannot import itf, it runs, and the test fails."""
        code = process_start._ARRIVE.replace("itf.faults.process_arrival", "itf_is_not_there")
        self.assertNotEqual(code, process_start._ARRIVE)
        for method in AFRESH:
            with self.subTest(method), mock.patch.object(process_start, "_ARRIVE", code):
                text = self.lost(method, FaultPlan.always(returns="hit"), string, "capwords")
                self.assertIn(": itf does not work there: ModuleNotFoundError: ", text)

    def test_a_process_class_with_another_way_to_start(self) -> None:
        """A process class that neither forks nor uses multiprocessing's pickler is reported."""
        process = _OtherWay(target=int)
        with (
            self.assertRaisesRegex(FaultInjectionError, "_OtherWay does not start by fork"),
            inject_faults(string, "capwords", FaultPlan.always()),
        ):
            process.start()

    def test_a_start_that_fails_is_none(self) -> None:
        """If `start` raises, the program gets that error, and nothing is reported."""
        plan = FaultPlan.always(returns=lambda: None)
        for method in AFRESH:
            with self.subTest(method), inject_faults(string, "capwords", plan):
                process = multiprocessing.get_context(method).Process(target=lambda: None)
                with self.assertRaises((pickle.PicklingError, AttributeError)):
                    process.start()

    def test_another_error_is_not_hidden(self) -> None:
        """An error of the `with` propagates, with the message as a note."""
        with (
            self.assertRaisesRegex(KeyError, "of the body") as caught,
            inject_faults(string, "capwords", FaultPlan.always(returns=lambda: None)),
        ):
            run(AFRESH[0], int)
            raise KeyError("of the body")
        (note,) = caught.exception.__notes__
        self.assertIn("could not be sent to process", note)

    def test_a_test_fails_at_its_end(self) -> None:
        """The test fails at its end, after cleanups; another error is kept."""
        ran: list[str] = []

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.addCleanup(ran.append, "cleanup")
                self.inject_faults(string, "capwords", FaultPlan.always(returns=lambda: None))
                self.assertEqual(0, run(AFRESH[0], program.exit_with_hits, 1))
                ran.append("end")

            def test_with(self) -> None:
                with inject_faults(string, "capwords", FaultPlan.always(returns=lambda: None)):
                    run(AFRESH[0], int)
                ran.append("end")

            def test_failing(self) -> None:
                self.inject_faults(string, "capwords", FaultPlan.always(returns=lambda: None))
                run(AFRESH[0], int)
                self.fail("of the test")

            def test_cleanup(self) -> None:
                self.inject_faults(string, "capwords", FaultPlan.always(returns=lambda: None))
                self.addCleanup(self.fail, "of the cleanup")
                run(AFRESH[0], int)

            def test_fixture(self, mock_parser_factory: Any) -> None:
                mock_parser_factory.configure_failure("c", FaultPlan.always(returns=lambda: None))
                run(AFRESH[0], _exit_with_failures, mock_parser_factory.get_parser("c"), 1)
                mock_parser_factory.reset()

        for name, expected in (
            ("test", ["end", "cleanup"]),
            ("test_with", ["end"]),
            ("test_failing", []),
            ("test_cleanup", []),
            ("test_fixture", []),
        ):
            with self.subTest(name):
                ran.clear()
                text = outcome(Case, name)
                self.assertEqual(1, text.count("could not be sent to process"))
                self.assertEqual(name == "test_failing", "Error: of the test" in text)
                self.assertEqual(name == "test_cleanup", "Error: of the cleanup" in text)
                self.assertEqual(expected, ran)

    def test_many_are_cut(self) -> None:
        """The message shows ten failures, and the number of the others."""
        with (
            self.assertRaises(FaultInjectionError) as caught,
            inject_faults(string, "capwords", FaultPlan.always(returns=lambda: None)) as plan,
        ):
            for number in range(13):
                plan.report_failed_transfer(f"message {number}")
        self.assertTrue(str(caught.exception).startswith("13 times a fault could not be sent"))
        self.assertTrue(str(caught.exception).endswith("message 9\n  ... and 3 more"))

    def test_more_plans_than_can_go(self) -> None:
        """A process gets at most 100 plans; the others are reported."""
        plans = [FaultPlan.nth_call(1 + n) for n in range(103)]
        injections = [inject_faults(string, "capwords", plan) for plan in plans]
        for injection in injections:
            injection.start()
        codes = [run(method, int) for method in AFRESH]
        failures = 0
        for injection in injections:
            try:
                injection.undo()
            except FaultInjectionError as error:
                failures += str(error).count("a process can be given 100 plans")
        self.assertEqual([0] * len(AFRESH), codes)
        self.assertEqual(3 * len(AFRESH), failures)


class _ExitsWhenUnpickled:
    def __reduce__(self) -> Any:
        return (sys.exit, (4,))


class _OtherWay(BaseProcess):
    """A process class that starts in an unknown way."""

    @staticmethod
    def _Popen(process: Any) -> Any:
        return types.SimpleNamespace(sentinel=0, pid=1, poll=lambda: 0)


class HelpersTest(ProcessTestCase):
    def test_a_manager_has_no_faults(self) -> None:
        """The server process of a manager gets no plans, without a report."""
        for method in METHODS:
            plan = FaultPlan.always(returns="hit")
            broken = FaultPlan.always(returns=lambda: None)
            with (
                self.subTest(method),
                inject_faults(program, "number", broken),
                inject_faults(string, "capwords", plan),
                program.Manager(ctx=multiprocessing.get_context(method)) as manager,
            ):
                self.assertEqual([0], list(manager.hits(2)))
            self.assertEqual(0, plan.calls)

    def test_other_helpers_have_no_faults(self) -> None:
        """The resource tracker and the fork server get no plans."""
        script = """
            import multiprocessing, os, string
            from itf import FaultPlan, inject_faults
            from tests.faults import program

            if __name__ == "__main__":
                plan = FaultPlan.always(returns="hit")
                with inject_faults(string, "capwords", plan):
                    for method in multiprocessing.get_all_start_methods():
                        context = multiprocessing.get_context(method)
                        context.Semaphore()
                        process = context.Process(target=program.exit_with_hits, args=(1,))
                        process.start()
                        process.join()
                        print(process.exitcode, plan.calls)
        """
        count = len(multiprocessing.get_all_start_methods())
        done = run_script(textwrap.dedent(script))
        self.assertEqual("".join(f"1 {n + 1}\n" for n in range(count)), done.stdout, done.stderr)


class HooksTest(ProcessTestCase):
    """What itf replaces in multiprocessing, and for how long."""

    def setUp(self) -> None:
        super().setUp()
        # A plan in a parser that was unpickled in this process ends with that parser.
        gc.collect()
        stop_following()

    def state(self) -> tuple[Any, Any]:
        """Return the methods that itf may replace."""
        return vars(BaseProcess)["start"], vars(ForkingPickler).get("reducer_override")

    def test_by_name(self) -> None:
        """The private names that itf uses exist in this Python."""
        self.assertTrue(callable(BaseProcess.start))
        self.assertTrue(hasattr(ForkingPickler, "dumps"))
        self.assertTrue(hasattr(ForkingPickler(open_buffer()), "dispatch_table"))
        from multiprocessing.context import get_spawning_popen

        self.assertIsNone(get_spawning_popen())
        from multiprocessing import managers

        self.assertEqual("multiprocessing.managers", managers.BaseManager.start.__module__)

    def test_only_while_there_are_plans(self) -> None:
        """Replaced with the first plan, restored with the last, in any order."""
        before = self.state()
        first = inject_faults(string, "capwords", FaultPlan.always())
        second = inject_faults(os, "getcwd", FaultPlan.always())
        first.start()
        during = self.state()
        self.assertNotEqual(before, during)
        second.start()
        first.undo()
        self.assertEqual(during, self.state())
        second.undo()
        self.assertEqual(before, self.state())

    def test_an_injection_that_fails(self) -> None:
        """An injection that fails leaves nothing replaced."""
        before = self.state()
        with self.assertRaises(AttributeError):
            inject_faults(string, "is_not_there", FaultPlan.always()).start()
        self.assertEqual(before, self.state())

    def test_other_code_replaces_it_too(self) -> None:
        """A patch by other code stays; `start` is called once."""
        calls: list[str] = []
        real = BaseProcess.start

        def start(process: Any) -> None:
            calls.append("theirs")
            real(process)

        before = self.state()
        injection = inject_faults(string, "capwords", FaultPlan.always(returns="hit"))
        injection.start()
        ours = BaseProcess.start
        with mock.patch.object(BaseProcess, "start", lambda p: (calls.append("outer"), ours(p))[0]):
            injection.undo()
            injection.start()
            self.assertEqual(2, run(AFRESH[0], program.exit_with_hits, 2))
            injection.undo()
        BaseProcess.start = before[0]  # type: ignore[method-assign]
        with mock.patch.object(BaseProcess, "start", start), injection:
            self.assertEqual(2, run(AFRESH[0], program.exit_with_hits, 2))
        self.assertEqual(["outer", "theirs"], calls)
        self.assertEqual(before, self.state())

    def test_a_fault_in_start_itself(self) -> None:
        """A test may inject faults into `Process.start` itself."""
        before = self.state()
        plan = FaultPlan.always(raises=OSError("no process"))
        with (
            inject_faults(BaseProcess, "start", plan),
            self.assertRaisesRegex(OSError, "no process"),
        ):
            run(AFRESH[0], int)
        self.assertEqual(before, self.state())

    def test_nothing_at_import(self) -> None:
        """Importing itf replaces nothing in multiprocessing."""
        script = """
            import multiprocessing.process, multiprocessing.reduction
            start = multiprocessing.process.BaseProcess.start
            import itf
            itf.inject_faults, itf.FaultPlan, itf.IntegrationTestCase
            if multiprocessing.process.BaseProcess.start is not start:
                raise SystemExit("start is replaced")
            if hasattr(multiprocessing.reduction.ForkingPickler, "reducer_override"):
                raise SystemExit("the pickler is replaced")
        """
        done = run_script(textwrap.dedent(script))
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_from_many_threads(self) -> None:
        """Eight threads that inject and undo leave everything restored."""
        before = self.state()

        def inject(number: int) -> None:
            for _ in range(50):
                with inject_faults(string, "capwords", FaultPlan.always(returns="hit")):
                    string.capwords("a")

        in_threads(8, inject)
        self.assertEqual(before, self.state())
        self.assertEqual("A", string.capwords("a"))

    def test_the_last_plan_ends_while_another_begins(self) -> None:
        """A plan that starts while another thread removes the last one is sent."""
        before = self.state()
        injection = inject_faults(string, "capwords", FaultPlan.always())
        real = injection_module.install

        def install(*arguments: Any) -> Any:
            stop_following()  # as another thread does that finds no plan at this moment
            return real(*arguments)

        with mock.patch.object(injection_module, "install", install):
            injection.start()
        self.assertNotEqual(before, self.state())
        injection.undo()
        self.assertEqual(before, self.state())

    def test_done_twice(self) -> None:
        """A second `follow_processes` or `stop_following` does nothing."""
        before = self.state()
        follow_processes()
        follow_processes()
        self.assertNotEqual(before, self.state())
        stop_following()
        stop_following()
        self.assertEqual(before, self.state())


def open_buffer() -> Any:
    """Return an in-memory file."""
    import io

    return io.BytesIO()


class ScriptTest(unittest.TestCase):
    """A script whose functions a new process imports as its main module."""

    def run_script_file(self, body: str, *flags: str) -> str:
        """Run a script from a file, and return its output."""
        import pathlib
        import subprocess

        root = str(pathlib.Path(__file__).parent.parent.parent)
        with open_folder() as folder:
            path = pathlib.Path(folder, "script.py")
            path.write_text(textwrap.dedent(body), encoding="utf-8")
            done = subprocess.run(
                [sys.executable, "-W", "error", *flags, str(path)],
                env={**os.environ, "PYTHONPATH": root},
                capture_output=True,
                text=True,
                timeout=2 * DEADLINE,
                check=False,
            )
        self.assertEqual("", done.stderr)
        return done.stdout

    SCRIPT = """
        import multiprocessing, sys
        from itf import FaultPlan, inject_faults
        from itf.exceptions import FaultInjectionError, InjectedFaultError

        class Error(Exception):
            pass

        class Store:
            def read(self):
                return "stored"

        def work():
            return Store().read()

        def main():
            try:
                sys.exit(work() == "hit")
            except Error:
                sys.exit(3)

        if __name__ == "__main__":
            for method in multiprocessing.get_all_start_methods():
                for target, name, plan in (
                    (sys.modules["__main__"], "work", FaultPlan.always(raises=Error("e"))),
                    (Store, "read", FaultPlan.always(returns="hit")),
                ):
                    with inject_faults(target, name, plan):
                        process = multiprocessing.get_context(method).Process(target=main)
                        process.start()
                        process.join()
                        print(process.exitcode, plan.hits)
            try:
                with inject_faults(Store, "read", FaultPlan.always(returns=lambda: None)):
                    process = multiprocessing.get_context("spawn").Process(target=main)
                    process.start()
                    process.join()
                    print(process.exitcode)
            except FaultInjectionError as error:
                print("could not be sent to" in str(error))
    """

    def test_main_and_what_it_defines(self) -> None:
        """Plans on functions and classes of the script are sent, also with -O and -X dev."""
        count = len(multiprocessing.get_all_start_methods())
        expected = "3 1\n1 1\n" * count + "0\nTrue\n"
        for flags in ((), ("-O",), ("-X", "dev")):
            with self.subTest(flags):
                self.assertEqual(expected, self.run_script_file(self.SCRIPT, *flags))
