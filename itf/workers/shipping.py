"""Functions sent to a new process by value, together with what they capture.

`multiprocessing` sends a function by its name, which a local function, a
lambda, or a function of a script has not got where it arrives.  Here its code
and what it captures travel, in one pickle with the arguments.  It is made
while the process is being started, for only then can locks, queues and pipes
be sent; and one pickle keeps what is shared shared.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import inspect
import io
import marshal
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from itf.frames import module_of, user_frame
from itf.workers import rebuilding
from itf.workers.blame import Place, Refusal, advice_for, find_culprit
from itf.workers.captured import (
    can_be_imported,
    changed_globals,
    is_importable,
    used_globals,
    used_submodules,
)

__all__ = ["HomePickler", "ShippingPickler", "pack", "pickling_error", "unpack"]

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
    pickler = ShippingPickler(buffer)
    try:
        pickler.dump(parts)
    except Exception as error:
        raise find_culprit(worker, _places(worker, parts), error, pickling_error) from error
    for function, name in pickler.changed:
        _warn(worker, function, name)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """Load in the new process what `pack` made."""
    # Only ever from the process that started this one, over a pipe of its own.
    parts: dict[str, Any] = pickle.loads(data)  # noqa: S301
    return parts


def pickling_error(value: Any, kind: type[ShippingPickler] | None = None) -> Exception | None:
    """Return the error that pickling a value alone gives, None if it can be pickled."""
    try:
        (kind or ShippingPickler)(io.BytesIO()).dump(value)
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
            return (rebuilding.module_namespace, (self.module,))
        file = self.names.get("__file__")
        return (rebuilding.make_namespace, (self.module, file))


class ShippingPickler(ForkingPickler):
    """A pickler that takes functions, cells and classes apart.

    Attributes:
        changed: The functions sent by value with the names of the globals that
            they will find other than they are.
    """

    def __init__(self, file: io.BytesIO | io.BufferedIOBase) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._namespaces: dict[int, _Namespace] = {}
        self.changed: list[tuple[types.FunctionType, str]] = []

    def reducer_override(self, value: Any) -> Any:
        """Take apart what `pickle` cannot, and refuse what must not be sent."""
        kind = type(value)
        reduce = _REDUCERS.get(kind)
        if reduce is not None:
            return reduce(self, value)
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
            return _reduce_case(value)
        return NotImplemented

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
                name: function.__globals__[name]
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
            "__annotations__": _plain_annotations(function),
        }
        state = (
            attributes,
            dict(function.__dict__),
            tuple(map(_content, cells)),
            captured,
            submodules,
        )
        code = marshal.dumps(function.__code__)
        return (
            rebuilding.make_function,
            (code, function.__name__, namespace, cells),
            state,
            None,
            None,
            rebuilding.fill_function,
        )

    def reduce_class(self, kind: type) -> Any:
        """Take a class apart that the new process cannot import."""
        if kind.__module__ == "builtins":
            return _reduce_singleton_type(kind)
        if issubclass(kind, enum.Enum):
            return _reduce_enum(kind)
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
        if "__annotations__" in body:
            body["__annotations__"] = _plain_annotations(kind)
        origin = rebuilding.origin_of(kind)
        return (
            rebuilding.make_class,
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
            rebuilding.fill_class,
        )


class HomePickler(ShippingPickler):
    """The pickler for the way back: classes that came from there are sent by reference."""

    def reduce_class(self, kind: type) -> Any:
        """Name a class by the nearest base that both processes can import."""
        base = next(base for base in kind.__mro__ if is_importable(base) or base is object)
        origin = rebuilding.origin_of(kind)
        return (rebuilding.find_class, (base, kind.__module__, kind.__qualname__, origin))


# What Python itself puts into a class and makes anew in the new one.
_MADE_BY_PYTHON: Final = frozenset(
    {
        "__abstractmethods__",
        "__annotate_func__",
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


def _plain_annotations(owner: Any) -> dict[str, Any]:
    """Return the annotations that can be sent; nobody needs the others in a worker."""
    try:
        annotations = inspect.get_annotations(owner)
    except Exception:  # noqa: BLE001 - Python 3.14 evaluates them here, and they may say anything
        return {}
    return {
        name: value
        for name, value in annotations.items()
        if value is None
        or isinstance(value, str)
        or (isinstance(value, type) and is_importable(value))
    }


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()  # not yet bound


def _reduce_cell(_: ShippingPickler, __: types.CellType) -> _Reduced:
    # Its content goes with the functions that share it: a recursive function
    # is in a cell of its own.
    return (rebuilding.make_cell, ())


def _reduce_method(_: ShippingPickler, method: types.MethodType) -> _Reduced:
    # Not by name, as pickle does: a private name is another on its class.
    return (types.MethodType, (method.__func__, method.__self__))


def _reduce_module(_: ShippingPickler, module: types.ModuleType) -> _Reduced:
    return (importlib.import_module, (module.__name__,))


def _reduce_property(_: ShippingPickler, value: property) -> _Reduced:
    return (property, (value.fget, value.fset, value.fdel, value.__doc__))


def _reduce_cached_property(_: ShippingPickler, value: functools.cached_property[Any]) -> _Reduced:
    return (rebuilding.make_cached_property, (value.func, value.attrname))


def _reduce_wrapped(_: ShippingPickler, value: Any) -> _Reduced:
    return (type(value), (value.__func__,))


def _reduce_cached_function(_: ShippingPickler, value: Any) -> Any:
    if is_importable(value):
        return NotImplemented
    return (rebuilding.make_cached_function, (value.__wrapped__, value.cache_parameters()))


def _reduce_proxy(_: ShippingPickler, value: types.MappingProxyType[Any, Any]) -> _Reduced:
    return (types.MappingProxyType, (dict(value),))


def _reduce_dataclass_marker(_: ShippingPickler, value: Any) -> _Reduced:
    # dataclasses knows them by identity.
    return next(
        (getattr, (dataclasses, name))
        for name, known in vars(dataclasses).items()
        if known is value
    )


def _reduce_singleton_type(kind: type) -> Any:
    # NoneType, FunctionType and their like have no name in builtins.
    for name in vars(types):
        if getattr(types, name) is kind:
            return (getattr, (types, name))
    return NotImplemented


def _reduce_enum(kind: type[enum.Enum]) -> _Reduced:
    members = {name: member.value for name, member in kind.__members__.items()}
    attributes = {
        name: value
        for name, value in kind.__dict__.items()
        if name in ("__module__", "__qualname__", "__doc__", "__str__", "__repr__")
        or (
            name not in members
            and not name.startswith("_")
            and callable(getattr(value, "__get__", None))
        )
    }
    attributes["__qualname__"] = kind.__qualname__
    origin = rebuilding.origin_of(kind)
    return (rebuilding.make_enum, (kind.__name__, kind.__bases__, members, attributes, origin))


def _reduce_case(case: Any) -> _Reduced:
    """Take a TestCase apart: what unittest keeps on it is made anew."""
    unittest = sys.modules["unittest"]
    method = unittest.TestCase.id(case).rpartition(".")[2]
    fresh = rebuilding.make_case(type(case), method)
    state = {key: value for key, value in case.__dict__.items() if key not in fresh.__dict__}
    return (rebuilding.make_case, (type(case), method), state)


_REDUCERS: Final[dict[type, Callable[[Any, Any], Any]]] = {
    types.FunctionType: ShippingPickler.reduce_function,
    types.CellType: _reduce_cell,
    types.MethodType: _reduce_method,
    types.ModuleType: _reduce_module,
    types.MappingProxyType: _reduce_proxy,
    property: _reduce_property,
    functools.cached_property: _reduce_cached_property,
    staticmethod: _reduce_wrapped,
    classmethod: _reduce_wrapped,
    type(functools.lru_cache(lambda: None)): _reduce_cached_function,
    type(dataclasses.MISSING): _reduce_dataclass_marker,
    type(dataclasses.KW_ONLY): _reduce_dataclass_marker,
}
for _name in ("_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR"):
    if hasattr(dataclasses, _name):
        _REDUCERS[type(getattr(dataclasses, _name))] = _reduce_dataclass_marker
