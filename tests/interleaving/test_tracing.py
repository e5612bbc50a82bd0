from __future__ import annotations

import json
import sys
import types
import unittest
from typing import Any

from itf import interleave
from itf.interleaving.arguments import codes_of
from itf.interleaving.opcodes import switch_points_of
from itf.interleaving.tracing import Scope
from tests.interleaving import programs
from tests.interleaving.programs import Account, failing_run


class ScopeTest(unittest.TestCase):
    def lost(self, **options: Any) -> bool:
        """Return whether interleave finds a lost update in a module that the functions call."""
        account = Account()

        def deposit() -> None:
            account.deposit()

        try:
            interleave(
                deposit,
                deposit,
                setup=lambda: vars(account).update(balance=0),
                check=lambda: account.balance == 2,
                seed=1,
                **options,
            )
        except AssertionError:
            return True
        return False

    def test_all_user_code_is_traced_by_default(self) -> None:
        """By default, threads are preempted in modules that the functions call."""
        self.assertTrue(self.lost())

    def test_trace_names_modules_and_packages(self) -> None:
        """`trace` accepts modules and names; code in other modules is not preempted."""
        self.assertTrue(self.lost(trace=[programs]))
        self.assertTrue(self.lost(trace=["tests.interleaving"]))
        self.assertTrue(self.lost(trace="tests"))
        self.assertFalse(self.lost(trace=["tests.interfaces"]))
        self.assertFalse(self.lost(trace=[json]))

    def test_not_the_standard_library_nor_itf(self) -> None:
        """The standard library, itf and installed packages are not user code.

        An installed file is user code if a function of the run is defined in it.
        """
        scope = Scope(())
        self.assertTrue(scope.has_module(programs))
        for module in (
            json,
            sys.modules["itf.timeline"],
            sys.modules["itf.interleaving.scheduler"],
        ):
            self.assertFalse(scope.has_module(module))
        installed = types.ModuleType("package")
        installed.__file__ = "/usr/lib/python3/dist-packages/package/__init__.py"
        self.assertFalse(scope.has_module(installed))
        code = compile("def f(): ...", installed.__file__, "exec")
        self.assertTrue(Scope([code]).has_module(installed))
        self.assertFalse(Scope(codes_of([json.dumps])).has_module(json))


class SwitchPointsTest(unittest.TestCase):
    def test_only_shared_state_has_switch_points(self) -> None:
        """Instructions on locals are no switch points; reading or writing an attribute is one."""

        def local(a: int) -> int:
            b = a
            if b is None:
                b = a
            return b

        def shared(a: Any) -> None:
            a.v = a.w

        self.assertEqual(0, len(switch_points_of(local.__code__)))
        self.assertEqual(2, len(switch_points_of(shared.__code__)))

    def test_other_monitoring_tools_work(self) -> None:
        """Another tool of sys.monitoring gets line events; the tool ids of itf are freed."""
        if sys.version_info < (3, 12):
            self.skipTest("Python 3.11 has one trace function a thread")
        monitoring = sys.monitoring
        lines: set[int] = set()
        tool = monitoring.COVERAGE_ID
        if monitoring.get_tool(tool) is not None:
            self.skipTest("coverage is measured")
        account = Account()
        code = Account.deposit.__code__
        monitoring.use_tool_id(tool, "test")
        try:
            monitoring.register_callback(
                tool, monitoring.events.LINE, lambda code, line: lines.add(line)
            )
            monitoring.set_local_events(tool, code, monitoring.events.LINE)
            interleave(account.deposit, runs=1)
        finally:
            monitoring.set_local_events(tool, code, 0)
            monitoring.register_callback(tool, monitoring.events.LINE, None)
            monitoring.free_tool_id(tool)
        self.assertIn(code.co_firstlineno + 1, lines)
        self.assertEqual([None, None], [monitoring.get_tool(number) for number in (3, 4)])

    def test_a_taken_tool_id_is_avoided(self) -> None:
        """interleave uses tool id 3 if 4 is taken, and raises an error if both are."""
        if sys.version_info < (3, 12):
            self.skipTest("Python 3.11 has no tools")
        monitoring = sys.monitoring
        account = Account()
        monitoring.use_tool_id(4, "other")
        try:
            error = failing_run(
                interleave, account.deposit, account.deposit, check=lambda: False, runs=1
            )
            self.assertIn("returned False", str(error))
            monitoring.use_tool_id(3, "another")
            try:
                with self.assertRaisesRegex(RuntimeError, "'another' and 'other' have both"):
                    interleave(account.deposit)
            finally:
                monitoring.free_tool_id(3)
        finally:
            monitoring.free_tool_id(4)


if __name__ == "__main__":
    unittest.main()
