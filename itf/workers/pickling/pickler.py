"""Pickling of functions and classes by value, together with the values they capture.

`multiprocessing` pickles a function by its name.  The new process cannot import a
local function, a lambda, or a function of a script by name.  This module pickles
the function's code and the values that it captures instead.

The target and its arguments go into one pickle, so that an object which both refer
to stays one object.  The pickle is made while the process is being started, because
the locks, queues and pipes of `multiprocessing` can only be pickled then.
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
    """Return the pickle of a worker's target, arguments and hooks.

    Args:
        worker: The worker's name, for messages.
        parts: The values to pickle: ``target``, ``args``, ``kwargs`` and ``hooks``.

    Raises:
        WorkerPicklingError: One of the values cannot be pickled.
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
    """Return the values that `pack` has pickled; called in the new process."""
    # Safe: the data comes from the parent process, through a pipe that itf has made.
    parts: dict[str, Any] = pickle.loads(data)  # noqa: S301
    return parts


def pickling_error(value: Any, kind: type[ClosurePickler] | None = None) -> Exception | None:
    """Return the error that pickling a single value raises; None if it can be pickled."""
    try:
        (kind or ClosurePickler)(io.BytesIO()).dump(value)
    except Exception as error:  # noqa: BLE001 - whatever a user's __reduce__ raises
        return error
    return None


def _places(worker: str, parts: dict[str, Any]) -> Iterator[Place]:
    """Yield the values to pickle, under the names that the user passed them by."""
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
    # The warning names the user's line that started the process, so the frames of itf
    # and of multiprocessing are skipped.
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
    """The globals of one module, shared by all functions of that module in the pickle.

    Attributes:
        names: The globals.
        module: Name of the module.
        by_name: Whether the new process can import the module; if so, no globals are sent.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.module = str(names.get("__name__", "__main__"))
        module = sys.modules.get(self.module)
        # The functions of a doctest name a module, but have other globals than the module.
        own = getattr(module, "__dict__", None) is names
        self.by_name = own and can_be_imported(self.module)

    def __reduce__(self) -> _Reduced:
        if self.by_name:
            return (reconstruct.module_namespace, (self.module,))
        file = self.names.get("__file__")
        return (reconstruct.make_namespace, (self.module, file))


class ClosurePickler(ForkingPickler):
    """A pickler that pickles functions, closures and classes by value.

    Attributes:
        changed: Pairs of a pickled function and the name of a global that has been
            changed since its module was imported.  The new process has the old value.
    """

    def __init__(self, file: io.BytesIO | io.BufferedIOBase) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._namespaces: dict[int, _Namespace] = {}
        self.changed: list[tuple[types.FunctionType, str]] = []
        # Whether a value can be pickled, by its id.  The value is stored too, so that no
        # other object can get the same id.
        self._sendable: dict[int, tuple[bool, Any]] = {}

    def reducer_override(self, value: Any) -> Any:
        """Return how to pickle a value; NotImplemented leaves that to `pickle`.

        Raises:
            Refusal: The value belongs to this process and must not be sent.
        """
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
        # `pickle` would look up the class in a dict, which fails for a class without a hash.
        return NotImplemented if is_hashable(kind) else value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)

    def can_send(self, value: Any) -> bool:
        """Return whether a value can be pickled; used for annotations, which may be left out."""
        known = self._sendable.get(id(value))
        if known is None:
            # Preset to True: the annotations of a class may name the class itself, and the
            # recursive call must not decide against it.
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
        """Return the `_Namespace` that all functions with these globals share."""
        found = self._namespaces.get(id(names))
        if found is None:
            found = self._namespaces[id(names)] = _Namespace(names)
        return found

    def reduce_function(self, function: types.FunctionType) -> Any:
        """Return how to pickle a function: by name if the new process can import it."""
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
        """Return how to pickle a sentinel: by value if the new process cannot import it."""
        module, name = value.__module__, value.__name__
        if is_bound_to(value, module, name):
            return NotImplemented
        return (reconstruct.make_sentinel, (name, module))

    def reduce_class(self, kind: type) -> Any:
        """Return how to pickle a class that the new process cannot import, by value."""
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
    """The pickler for results; it pickles classes that came from the parent by reference."""

    def reduce_sentinel(self, value: Any) -> Any:
        """Leave a sentinel to `pickle`, which pickles by name: a copy would not be identical."""
        return NotImplemented

    def reduce_class(self, kind: type) -> Any:
        """Return how to find a class in the parent: among the subclasses of an importable base."""
        base = next(base for base in kind.__mro__ if is_importable(base) or base is object)
        origin = reconstruct.origin_of(kind)
        return (reconstruct.find_class, (base, kind.__module__, kind.__qualname__, origin))


# Attributes of a class that are not copied, because Python makes them for each class,
# or because they belong to this process.
_MADE_BY_PYTHON: Final = frozenset(
    {
        "__abstractmethods__",
        # Annotations are sent separately, by `sendable_annotations`.
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__dict__",
        "__firstlineno__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
        # State of a TestCase class during the run in this process.
        "_class_cleanups",
        "_itf_class_scope",
    }
)
