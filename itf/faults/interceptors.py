"""Functions that replace an original, ask a handler about each call, and look like the original."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import keyword
import types
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from itf.exceptions import FaultInjectionError
from itf.safe_repr import safe_repr
from itf.signatures import signature_of

__all__ = ["CALL_ORIGINAL", "CallHandler", "wrap"]

__unittest = True

_Function = Callable[..., Any]


CALL_ORIGINAL: Final = object()
"""The result of `handle_hit` for a call that goes on to the original function."""


class CallHandler(Protocol):
    """Decides which calls are hit, and carries out the hits."""

    take_ticket: Callable[[], object]

    def handle_hit(self, ticket: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out a hit; return the value of the call, or CALL_ORIGINAL."""

    async def handle_hit_async(
        self, ticket: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Carry out a hit of a coroutine function."""


def wrap(function: _Function, handler_cell: types.CellType) -> Any:
    """Return a function of the same kind that asks a handler about each call.

    The wrapper has the name, signature and docstring of the original, and `inspect`
    classifies both alike.

    Args:
        function: The original.
        handler_cell: Contains the handler, a `CallHandler`.
    """
    wrapper: Any = _maker_of(function)(function, handler_cell)
    # Attributes that the original lacks (a partial has no __name__) are skipped.
    functools.update_wrapper(wrapper, function)
    # A callable object may have methods, such as `cache_clear` of a cache.
    for name in set(dir(type(function))).difference(dir(wrapper)):
        if callable(getattr(type(function), name, None)):
            setattr(wrapper, name, getattr(function, name))
    return wrapper


def _maker_of(function: _Function) -> Callable[[_Function, types.CellType], _Function]:
    code = getattr(function, "__code__", None)
    if code in _MANAGERS:
        return _MANAGERS[code]
    called = type(function).__call__ if not inspect.isroutine(function) else function
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
        return functools.partial(_with_parameters_of, _COROUTINE)
    if inspect.isasyncgenfunction(function):
        return _async_generator
    if inspect.isgeneratorfunction(function) and not _is_awaitable(code):
        return functools.partial(_with_parameters_of, _GENERATOR)
    return functools.partial(_with_parameters_of, _PLAIN)


def _is_awaitable(code: types.CodeType | None) -> bool:
    """Return whether a generator function is a coroutine made by `types.coroutine`."""
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _itf_iterator(value: Any) -> Iterator[Any]:
    try:
        return iter(value)
    except TypeError:
        raise FaultInjectionError(
            f"returns={safe_repr(value)} for a generator function: it must be what is to be "
            "yielded, such as a list"
        ) from None


def _async_generator(
    function: _Function,
    handler_cell: types.CellType,
    items_of: Callable[[Any], Iterator[Any]] = _itf_iterator,
) -> _Function:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        handler: CallHandler = handler_cell.cell_contents
        if not (ticket := handler.take_ticket()):
            value = await handler.handle_hit_async(ticket, args, kwargs)
            if value is not CALL_ORIGINAL:
                for item in items_of(value):
                    yield item
                return
        inner = function(*args, **kwargs)
        # `yield from` does not exist for async generators, so values and exceptions are forwarded
        # explicitly.
        step = inner.__anext__()
        while True:
            try:
                item = await step
            except StopAsyncIteration:
                return
            try:
                sent = yield item
            except GeneratorExit:
                await inner.aclose()
                raise
            except BaseException as error:  # noqa: BLE001 - it is for the generator, which may catch it
                step = inner.athrow(error)
            else:
                step = inner.asend(sent)

    return wrapper


def _manager(function: _Function, handler_cell: types.CellType) -> _Function:
    """Wrap a function of `contextlib.contextmanager`, so that a hit fails at its ``with``."""
    return contextlib.contextmanager(
        _with_parameters_of(_MANAGER, _generator_of(function), handler_cell)
    )


def _async_manager(function: _Function, handler_cell: types.CellType) -> _Function:
    wrapper = _async_generator(_generator_of(function), handler_cell, lambda value: iter((value,)))
    return contextlib.asynccontextmanager(wrapper)


def _generator_of(function: Any) -> _Function:
    """Return the generator function that a context manager function was made of."""
    generator: _Function = function.__wrapped__
    if inspect.ismethod(function):
        return types.MethodType(generator, function.__self__)
    return generator


@contextlib.contextmanager
def _some_manager() -> Iterator[None]:
    yield


@contextlib.asynccontextmanager
async def _some_async_manager() -> Any:
    yield


# All functions that contextlib makes share one code object, which identifies them among
# functions that wrap a generator function.
_MANAGERS: Final[dict[Any, Callable[[_Function, types.CellType], _Function]]] = {
    _some_manager.__code__: _manager,
    _some_async_manager.__code__: _async_manager,
}


class _Kind(NamedTuple):
    """The source of wrappers of one kind.

    Attributes:
        define: The keyword of the definition.
        call: The call of the original; ``{}`` stands for its expression.
        handle_hit: The call of the handler.
        end: The expression that returns the handler's value.
    """

    define: str
    call: str
    handle_hit: str
    end: str


_PLAIN: Final = _Kind("def", "{}", "_itf_handler.handle_hit", "_itf_value")
_COROUTINE: Final = _Kind(
    "async def", "await {}", "await _itf_handler.handle_hit_async", "_itf_value"
)
_GENERATOR: Final = _Kind(
    "def", "(yield from {})", "_itf_handler.handle_hit", "(yield from _itf_iterator(_itf_value))"
)
_MANAGER: Final = _GENERATOR._replace(end="(yield _itf_value)")


def _with_parameters_of(
    kind: _Kind, function: _Function, handler_cell: types.CellType
) -> _Function:
    """Return a wrapper with the exact parameters of the function, if they are known.

    Forwarding ``*args, **kwargs`` costs four times the call of a small function; a
    wrapper with the same parameters costs half of that.
    """
    skipped = int(inspect.ismethod(function))
    called: Any = getattr(function, "__func__", None) if skipped else function
    shape = None
    if isinstance(called, types.FunctionType):
        shape = _shape_of(called, skipped)
    elif isinstance(called, types.BuiltinFunctionType | types.MethodDescriptorType):
        shape = _shape_of_builtin(called)
    code = _code_of(kind, shape or _ANY_SHAPE)
    cells = {"_itf_handler_cell": handler_cell, "_itf_function": types.CellType(function)}
    # The globals of this module, so that a new process finds them by name.
    made: Any = types.FunctionType(
        code, globals(), closure=tuple(cells[name] for name in code.co_freevars)
    )
    if shape is not None and isinstance(called, types.FunctionType):
        made.__defaults__, made.__kwdefaults__ = called.__defaults__, called.__kwdefaults__
    wrapper: _Function = made
    return wrapper


_Shape: TypeAlias = tuple[tuple[str, ...], int, tuple[str, ...], str, str]

_ANY_SHAPE: Final[_Shape] = ((), 0, (), "args", "kwargs")

_NO_DEFAULT: Final = inspect.Parameter.empty


def _shape_of(function: types.FunctionType, skipped: int) -> _Shape | None:
    """Return the parameters of a function.

    Returns:
        The positional names, the number of positional-only names, the keyword-only
        names, the name of ``*args``, the name of ``**kwargs``.  None if a wrapper
        cannot have these parameters.
    """
    code = function.__code__
    names = iter(code.co_varnames)
    positional = tuple(itertools.islice(names, code.co_argcount))
    named = tuple(itertools.islice(names, code.co_kwonlyargcount))
    rest = next(names) if code.co_flags & inspect.CO_VARARGS else ""
    others = next(names) if code.co_flags & inspect.CO_VARKEYWORDS else ""
    names_in_use = (*positional, *named, rest, others)
    # If `self` is part of *args or has a default, it cannot be omitted.
    missing = len(positional) - skipped < (len(function.__defaults__ or ()) if skipped else 0)
    if missing or any(map(_is_taken, names_in_use)):
        return None
    only = max(0, code.co_posonlyargcount - skipped)
    return positional[skipped:], only, named, rest, others


def _shape_of_builtin(function: Any) -> _Shape | None:
    """Return the parameters of a C function if all are positional-only and required."""
    signature = signature_of(function)
    if signature is None:
        return None
    parameters = signature.parameters.values()
    for parameter in parameters:
        if parameter.kind is not parameter.POSITIONAL_ONLY or parameter.default is not _NO_DEFAULT:
            return None
    names = tuple(parameter.name for parameter in parameters)
    return None if any(map(_is_taken, names)) else (names, len(names), (), "", "")


def _is_taken(name: str) -> bool:
    """Return whether a wrapper cannot use this parameter name: reserved by itf or by Python."""
    return name.startswith("_itf_") or not f"{name}_".isidentifier() or keyword.iskeyword(name)


_TEMPLATE: Final = """\
def make(_itf_function, _itf_handler_cell):
    {define} wrapper({parameters}):
        _itf_handler = _itf_handler_cell
        if _itf_ticket := _itf_handler.take_ticket():
            return {call}
        _itf_value = {handle_hit}(_itf_ticket, ({positional}), {named})
        if _itf_value is not _itf_call_original:
            return {end}
        return {call}
    return wrapper
"""

# Names that the template uses.
_itf_call_original: Final = CALL_ORIGINAL
_itf_no_names: Final[dict[str, Any]] = {}


@functools.lru_cache(maxsize=256)
def _code_of(kind: _Kind, shape: _Shape) -> types.CodeType:
    """Return the code of a wrapper of this kind with these parameters."""
    positional, only, named, rest, others = shape
    stars = ([f"*{rest}"] if rest else []), ([f"**{others}"] if others else [])
    first, second = positional[:only], positional[only:]
    parameters = [*first, *(["/"] if first else []), *second]
    parameters += stars[0] or (["*"] if named else [])
    parameters += [*named, *stars[1]]
    arguments = [*positional, *stars[0], *(f"{name}={name}" for name in named)]
    call = f"_itf_function({', '.join(arguments)})"
    if others:
        # Without keyword arguments, no empty dict is unpacked.
        full = f"_itf_function({', '.join([*arguments, *stars[1]])})"
        call = f"({full} if {others} else {call})"
    by_position = [*positional, *stars[0]]
    by_name = [*(f"{name!r}: {name}" for name in named), *stars[1]]
    source = _TEMPLATE.format(
        define=kind.define,
        parameters=", ".join(parameters),
        call=kind.call.format(call),
        handle_hit=kind.handle_hit,
        positional="".join(f"{name}, " for name in by_position),
        named=f"{{{', '.join(by_name)}}}" if by_name else "_itf_no_names",
        end=kind.end,
    )
    module = compile(source, "<a function that faults are injected into>", "exec")
    return _inner(_inner(module))


def _inner(code: types.CodeType) -> types.CodeType:
    """Return the code of the only function that is defined in a function or module."""
    return next(value for value in code.co_consts if isinstance(value, types.CodeType))
