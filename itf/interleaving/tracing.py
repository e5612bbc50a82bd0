"""Trace user code, and call the scheduler at each switch point."""

from __future__ import annotations

import pathlib
import sys
import sysconfig
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, Final

from itf.interleaving.current import current_managed_thread
from itf.interleaving.managed_thread import Location
from itf.interleaving.opcodes import switch_points_of
from itf.tracebacks import module_of

__all__ = ["Scope", "Tracer", "make_tracer"]

__unittest = True

_ITF: Final = str(pathlib.Path(__file__).parents[1])
_STANDARD: Final = tuple({str(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})
_INSTALLED: Final = {"site-packages", "dist-packages"}


class Scope:
    """Decides which code is user code, in which threads may be preempted.

    By default user code is all code except the standard library, installed packages
    and itf itself.

    Args:
        codes: Code objects of the functions.  All code in their files is user code, also
            in an installed package.
        modules: If not None, only the code of these modules and packages, and of the
            functions' files, is user code.
    """

    def __init__(self, codes: Iterable[CodeType], modules: Iterable[str] | None = None) -> None:
        self._files = {code.co_filename for code in codes}
        self._modules = None if modules is None else tuple(modules)
        self._known: dict[int, bool] = {}
        # Keeps the code objects of `_known` alive, so that no new object gets the same id.
        self._codes: list[CodeType] = []

    def has_frame(self, frame: FrameType) -> bool:
        """Return whether a frame executes user code."""
        code = frame.f_code
        known = self._known.get(id(code))
        if known is None:
            self._codes.append(code)
            known = self._has(code.co_filename, module_of(frame))
            self._known[id(code)] = known
        return known

    def has_module(self, module: Any) -> bool:
        """Return whether a module is user code."""
        file, name = getattr(module, "__file__", None), getattr(module, "__name__", "")
        if name == "__main__" and self._modules is None:
            return True
        return isinstance(file, str) and isinstance(name, str) and self._has(file, name)

    def _has(self, file: str, name: str) -> bool:
        is_installed = bool(_INSTALLED & {*pathlib.PurePath(file).parts})
        if file.startswith(_ITF) or (file.startswith(_STANDARD) and not is_installed):
            return False
        if file in self._files:
            return True
        if file.startswith("<"):
            # Generated code, such as a dataclass's __init__, belongs to the module in its globals.
            top = name.partition(".")[0]
            if top == "itf" or top in sys.stdlib_module_names or file.startswith("<frozen "):
                return False
        if self._modules is not None:
            return any(name == module or name.startswith(f"{module}.") for module in self._modules)
        return not is_installed

    def location_of(self, frame: FrameType) -> Location | None:
        """Return the location of the innermost user frame, from a frame outwards; None if none."""
        found: FrameType | None = frame
        while found is not None and not self.has_frame(found):
            found = found.f_back
        return None if found is None else Location.of(found)


class Tracer:
    """Calls `Scheduler.step` before each switch point that a managed thread reaches.

    This class uses ``sys.settrace``, the only way in Python 3.11.  It replaces the
    thread's trace function, so that coverage and debuggers do not work there.

    Args:
        scope: Decides which code is user code.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._points: dict[int, frozenset[int]] = {}
        self._codes: list[CodeType] = []

    def start(self) -> None:
        """Prepare tracing; called once before all runs."""

    def stop(self) -> None:
        """Undo `start`; called once after all runs."""

    def trace_call(self, function: Callable[[], object]) -> None:
        """Call a function with tracing in the current thread, and restore its trace function."""
        now = current_managed_thread()
        if now is None:
            function()
            return
        scheduler, managed = now

        def enter(frame: FrameType, event: str, argument: object) -> Any:
            if not self._scope.has_frame(frame):
                return None
            points = self.points(frame.f_code)
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False

            def within(frame: FrameType, event: str, argument: object) -> Any:
                if event == "opcode" and frame.f_lasti in points:
                    scheduler.step(managed, frame, frame.f_lasti)
                return within

            return within

        before = sys.gettrace()
        sys.settrace(enter)
        try:
            function()
        finally:
            sys.settrace(before)

    def points(self, code: CodeType) -> frozenset[int]:
        """Return the switch points of a code object, from a cache."""
        points = self._points.get(id(code))
        if points is None:
            self._codes.append(code)
            points = self._points[id(code)] = switch_points_of(code)
        return points


if sys.version_info >= (3, 12):
    # Tool ids of sys.monitoring without a predefined use.  Debuggers, coverage, profilers
    # and optimizers have 0, 1, 2 and 5.
    _TOOL_IDS: Final = (4, 3)

    class _MonitoringTracer(Tracer):
        """A tracer that uses ``sys.monitoring``, which other tools can use at the same time."""

        _tool: int

        def start(self) -> None:
            monitoring = sys.monitoring
            free = [tool for tool in _TOOL_IDS if monitoring.get_tool(tool) is None]
            if not free:
                raise RuntimeError(
                    "interleave needs a free tool id of sys.monitoring; "
                    f"{monitoring.get_tool(3)!r} and {monitoring.get_tool(4)!r} have both"
                )
            self._tool = free[0]
            monitoring.use_tool_id(self._tool, "itf.interleave")
            monitoring.register_callback(self._tool, monitoring.events.PY_START, self._enter)
            monitoring.register_callback(self._tool, monitoring.events.INSTRUCTION, self._step)
            monitoring.set_events(self._tool, monitoring.events.PY_START)

        def stop(self) -> None:
            monitoring = sys.monitoring
            monitoring.set_events(self._tool, 0)
            for code in self._codes:
                monitoring.set_local_events(self._tool, code, 0)
            for event in (monitoring.events.PY_START, monitoring.events.INSTRUCTION):
                monitoring.register_callback(self._tool, event, None)
            monitoring.free_tool_id(self._tool)

        def trace_call(self, function: Callable[[], object]) -> None:
            function()

        def _enter(self, code: CodeType, offset: int) -> None:
            if id(code) not in self._points and self._scope.has_frame(sys._getframe(1)):
                self.points(code)
                events = sys.monitoring.events
                sys.monitoring.set_local_events(self._tool, code, events.INSTRUCTION)

        def _step(self, code: CodeType, offset: int) -> Any:
            if offset not in self._points.get(id(code), ()):
                return sys.monitoring.DISABLE
            now = current_managed_thread()
            if now is not None:
                now[0].step(now[1], sys._getframe(1), offset)
            return None

    make_tracer: Callable[[Scope], Tracer] = _MonitoringTracer
else:
    make_tracer = Tracer
