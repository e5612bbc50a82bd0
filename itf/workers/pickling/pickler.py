"""Functions sent to a new process by value, together with what they capture.

`multiprocessing` sends a function by its name, which a local function, a
lambda, or a function of a script has not got where it arrives.  Here its code
and what it captures travel, in one pickle with the arguments.  It is made
while the process is being started, for only then can locks, queues and pipes
be sent; and one pickle keeps what is shared shared.
"""

from __future__ import annotations

import enum
import io
import marshal
import pickle
import sys
import types
import warnings
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from itf.tracebacks import module_of, user_frame
from itf.workers.pickling import reconstruct
from itf.workers.pickling.annotations import sendable_annotations
from itf.workers.pickling.diagnosis import Place, Refusal, advice_for, find_unpicklable
from itf.workers.pickling.reducers import (
    SENTINEL,
    content_of,
    is_hashable,
    reduce_case,
    reduce_enum,
    reduce_singleton_type,
    reducer_of,
)
from itf.workers.pickling.used_globals import (
    can_be_imported,
    changed_globals,
    is_bound_to,
    is_importable,
    resolved,
    used_globals,
    used_submodules,
)

__all__ = ["ClosurePickler", "ResultPickler", "pack", "pickling_error", "unpack"]

__unittest = True

_BETWEEN: Final = ("itf", "multiprocessing")

_Reduced = tuple[Any, ...]


def pack(worker: str, parts: dict[str, Any]) -> bytes:
    """Pickle what a worker is to call.

    Args:
        worker: The worker's name, for messages.
        parts: The target, its arguments and whatever else has to go, by name.

    Raises:
        WorkerPicklingError: Something of it cannot be sent.
    """
    buffer = io.BytesIO()
    pickler = ClosurePickler(buffer)
    try:
        pickler.dump(parts)
    except Exception as error:
        raise find_unpicklable(worker, _places(worker, parts), error, pickling_error) from error
    for function, name in pickler.changed:
        _warn(worker, function, name)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """Load in the new process what `pack` made."""
    # Only ever from the process that started this one, over a pipe of its own.
    parts: dict[str, Any] = pickle.loads(data)  # noqa: S301
    return parts


def pickling_error(value: Any, kind: type[ClosurePickler] | None = None) -> Exception | None:
    """Return the error that pickling a value alone gives, None if it can be pickled."""
    try:
        (kind or ClosurePickler)(io.BytesIO()).dump(value)
    except Exception as error:  # noqa: BLE001 - whatever a user's __reduce__ raises
        return error
    return None


def _places(worker: str, parts: dict[str, Any]) -> Iterator[Place]:
    """Name the parts as the user does who has passed them."""
    of = f"an argument of worker {worker!r}"
    yield Place(
        getattr(parts["target"], "__name__", "target"),
        parts["target"],
        f"the target of worker {worker!r}",
    )
    for position, value in enumerate(parts["args"]):
        yield Place(f"args[{position}]", value, of)
    for name, value in parts["kwargs"].items():
        yield Place(name, value, of)
    for hook in parts["hooks"]:
        yield Place("hook", hook, f"called at the start of worker {worker!r}")


def _warn(worker: str, function: types.FunctionType, name: str) -> None:
    # The pickle is made while multiprocessing starts the process.
    frame = user_frame()
    while frame.f_back is not None and module_of(frame).partition(".")[0] in _BETWEEN:
        frame = frame.f_back
    warnings.warn_explicit(
        f"worker {worker!r} will not see the present value of the global {name!r} of "
        f"{function.__module__}, used by {function.__qualname__}: it was changed or patched "
        "after the import, and a new process imports the module afresh; pass it as an argument",
        RuntimeWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module_of(frame),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )


class _Namespace:
    """The globals of a module, as functions of it that are sent by value will have them."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.module = str(names.get("__name__", "__main__"))
        module = sys.modules.get(self.module)
        # A doctest's functions say that they are of a module whose globals they have not got.
        own = getattr(module, "__dict__", None) is names
        self.by_name = own and can_be_imported(self.module)

    def __reduce__(self) -> _Reduced:
        if self.by_name:
            return (reconstruct.module_namespace, (self.module,))
        file = self.names.get("__file__")
        return (reconstruct.make_namespace, (self.module, file))


class ClosurePickler(ForkingPickler):
    """A pickler that takes functions, cells and classes apart.

    Attributes:
        changed: The functions sent by value with the names of the globals that
            they will find other than they are.
    """

    def __init__(self, file: io.BytesIO | io.BufferedIOBase) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._namespaces: dict[int, _Namespace] = {}
        self.changed: list[tuple[types.FunctionType, str]] = []
        # Whether a value can be sent, by its id; the value is kept with it, so
        # that the id stays its own.
        self._sendable: dict[int, tuple[bool, Any]] = {}

    def reducer_override(self, value: Any) -> Any:
        """Take apart what `pickle` cannot, and refuse what must not be sent."""
        kind = type(value)
        if kind is types.FunctionType:
            return self.reduce_function(value)
        reduce = reducer_of(value)
        if reduce is not None:
            return reduce(value)
        if kind is SENTINEL:
            return self.reduce_sentinel(value)
        if isinstance(value, type):
            return NotImplemented if is_importable(value) else self.reduce_class(value)
        if advice_for(kind) is not None:
            raise Refusal(value)
        case = getattr(sys.modules.get("unittest"), "TestCase", None)
        if (
            case is not None
            and isinstance(value, case)
            and vars(object)["__reduce__"] is getattr(kind, "__reduce__", None)
        ):
            return reduce_case(value)
        # pickle looks for its class in a dict of reducers first.
        return NotImplemented if is_hashable(kind) else value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)

    def can_send(self, value: Any) -> bool:
        """Say whether a value that is of no great use could be sent with the rest."""
        known = self._sendable.get(id(value))
        if known is None:
            # A class whose annotations name the class itself depends on the rest of them.
            self._sendable[id(value)] = (True, value)
            trial = type(self)(io.BytesIO())
            trial._sendable = self._sendable
            try:
                trial.dump(value)
                known = (True, value)
            except Exception:  # noqa: BLE001 - whatever a user's __reduce__ raises
                known = (False, value)
            self._sendable[id(value)] = known
        return known[0]

    def namespace(self, names: dict[str, Any]) -> _Namespace:
        """Return the one namespace that all functions with these globals share."""
        found = self._namespaces.get(id(names))
        if found is None:
            found = self._namespaces[id(names)] = _Namespace(names)
        return found

    def reduce_function(self, function: types.FunctionType) -> Any:
        """Take a function apart, unless the new process can import it."""
        if is_importable(function):
            return NotImplemented
        namespace = self.namespace(function.__globals__)
        captured: dict[str, Any] = {}
        submodules: list[str] = []
        if namespace.by_name:
            self.changed += [(function, name) for name in changed_globals(function)]
        else:
            captured = {
                name: resolved(function.__globals__[name])
                for name in sorted(used_globals(function.__code__))
                if name in function.__globals__
            }
            submodules = used_submodules(function.__code__, captured)
        cells = function.__closure__ or ()
        attributes = {
            "__defaults__": function.__defaults__,
            "__kwdefaults__": function.__kwdefaults__,
            "__qualname__": function.__qualname__,
            "__module__": function.__module__,
            "__doc__": function.__doc__,
            "__annotations__": sendable_annotations(function, self.can_send),
        }
        state = (
            attributes,
            dict(function.__dict__),
            tuple(map(content_of, cells)),
            captured,
            submodules,
        )
        code = marshal.dumps(function.__code__)
        return (
            reconstruct.make_function,
            (code, function.__name__, namespace, cells),
            state,
            None,
            None,
            reconstruct.fill_function,
        )

    def reduce_sentinel(self, value: Any) -> Any:
        """Make a sentinel again that the new process cannot import."""
        module, name = value.__module__, value.__name__
        if is_bound_to(value, module, name):
            return NotImplemented
        return (reconstruct.make_sentinel, (name, module))

    def reduce_class(self, kind: type) -> Any:
        """Take a class apart that the new process cannot import."""
        if kind.__module__ == "builtins":
            return reduce_singleton_type(kind)
        if issubclass(kind, enum.Enum):
            return reduce_enum(kind, sendable_annotations(kind, self.can_send))
        head = {
            name: kind.__dict__[name]
            for name in ("__module__", "__qualname__", "__doc__", "__slots__", "__orig_bases__")
            if name in kind.__dict__
        }
        body = {
            name: value
            for name, value in kind.__dict__.items()
            if name not in head
            and name not in _MADE_BY_PYTHON
            and not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
        }
        annotations = sendable_annotations(kind, self.can_send)
        if annotations:
            body["__annotations__"] = annotations
        origin = reconstruct.origin_of(kind)
        return (
            reconstruct.make_class,
            (
                type(kind),
                kind.__name__,
                kind.__bases__,
                head | {"__qualname__": kind.__qualname__},
                origin,
            ),
            body,
            None,
            None,
            reconstruct.fill_class,
        )


class ResultPickler(ClosurePickler):
    """The pickler for the way back: classes that came from there are sent by reference."""

    def reduce_sentinel(self, value: Any) -> Any:
        """Leave it to pickle, which names it: another sentinel would not be the same."""
        return NotImplemented

    def reduce_class(self, kind: type) -> Any:
        """Name a class by the nearest base that both processes can import."""
        base = next(base for base in kind.__mro__ if is_importable(base) or base is object)
        origin = reconstruct.origin_of(kind)
        return (reconstruct.find_class, (base, kind.__module__, kind.__qualname__, origin))


# What Python itself puts into a class and makes anew in the new one.
_MADE_BY_PYTHON: Final = frozenset(
    {
        "__abstractmethods__",
        # Sent in a form of their own.
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__dict__",
        "__firstlineno__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
        # What a TestCase keeps of the run that is under way in this process.
        "_class_cleanups",
        "_itf_class_scope",
    }
)
