"""One attribute of a module, class or object that plans are applied to."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any, Final

from itf.exceptions import FaultInjectionError
from itf.faults.applied_plan import NO_PLAN, AppliedPlan, PlanStack
from itf.faults.interceptors import wrap
from itf.faults.targets import find, is_imported, label_of, namespace
from itf.fork_safety import fork_safe_lock
from itf.safe_repr import safe_repr

__all__ = [
    "PatchedAttribute",
    "active_attributes",
    "disable_all",
    "install",
    "patched_attribute_of",
    "plans_on_importable_targets",
    "remove",
]

__unittest = True

_MISSING: Final = object()


class PatchedAttribute:
    """One attribute, replaced as long as plans are applied to it.

    Attributes:
        target: The owner of the attribute.
        name: The name of the attribute.
        key: The id of the target, and the name.
        applied_plans: The plans, in the order of their installation.
        original: The function that was there before.
        wrapper: The function that asks the plans first.

    Raises:
        AttributeError: The target has no such attribute.
        FaultInjectionError: The attribute cannot be replaced, or is no function.
    """

    original: Callable[..., Any]
    wrapper: Callable[..., Any]

    def __init__(self, target: Any, name: str) -> None:
        self.target = target
        self.name = name
        self.key = id(target), name
        self.applied_plans: tuple[AppliedPlan, ...] = ()
        # The handler that the wrapper asks at each call, in a closure cell of the wrapper.
        self._handler_cell = types.CellType(NO_PLAN)
        found = find(target, name)
        self.own = namespace(target).get(name, _MISSING)
        self._replacement_value = self._replacement(found)
        self._set(self._replacement_value)

    def add(self, applied: AppliedPlan) -> None:
        """Add a plan; it receives calls before the others."""
        self._set_plans((*self.applied_plans, applied))

    def remove(self, applied: AppliedPlan) -> bool:
        """Remove a plan; return whether the attribute is as it was before the first plan.

        If other code has replaced the attribute since, that replacement stays.  Such code
        may later restore the wrapper, which passes every call once no plan is left.
        """
        self._set_plans(tuple(other for other in self.applied_plans if other is not applied))
        if self.applied_plans or not self.is_in_place:
            return namespace(self.target).get(self.name, _MISSING) is self.own
        if self.own is _MISSING:
            _setter(self.target).__delattr__(self.target, self.name)
        else:
            self._set(self.own)
        return True

    def _set_plans(self, applied_plans: tuple[AppliedPlan, ...]) -> None:
        self.applied_plans = applied_plans
        match applied_plans:
            case ():
                self._handler_cell.cell_contents = NO_PLAN
            case (applied,):
                self._handler_cell.cell_contents = applied
            case _:
                self._handler_cell.cell_contents = PlanStack(applied_plans)

    @property
    def is_in_place(self) -> bool:
        """Whether the attribute still has the replacement."""
        return namespace(self.target).get(self.name) is self._replacement_value

    @property
    def has_own(self) -> bool:
        """Whether the target itself had the attribute, not only its class or a base."""
        return self.own is not _MISSING

    @property
    def is_function(self) -> bool:
        """Whether a look-up on the module or class returns the function itself."""
        return not isinstance(
            self._replacement_value, classmethod | property | functools.cached_property
        )

    def _set(self, value: Any) -> None:
        target, name = self.target, self.name
        try:
            _setter(target).__setattr__(target, name, value)
        except (AttributeError, TypeError) as error:
            what = safe_repr(target)
            kind = target if isinstance(target, type) else type(target)
            advice = f"inject into its class, {kind.__qualname__}"
            if kind is target or kind.__module__ == "builtins":
                advice = f"derive a class from {kind.__qualname__}, or inject into what calls it"
            raise FaultInjectionError(
                f"cannot inject faults into {name!r} of {what}: it takes no attributes ({error}); "
                f"{advice}"
            ) from error

    def _replacement(self, found: Any) -> Any:
        target, name = self.target, self.name
        if isinstance(target, type):
            return self._for_class(found)
        if isinstance(target, types.ModuleType):
            return self._wrap(found)
        if isinstance(found, types.MemberDescriptorType):
            raise FaultInjectionError(
                f"{name!r} of {safe_repr(target)} is kept in a slot; inject into the module or "
                "class that its function is from"
            )
        if hasattr(type(found), "__set__") or isinstance(found, functools.cached_property):
            kind = "property" if isinstance(found, property) else type(found).__name__
            raise FaultInjectionError(
                f"{name!r} of {safe_repr(target)} is a {kind} of its class; "
                f"inject into that: inject_faults({type(target).__qualname__}, {name!r}, plan)"
            )
        if name[:2] == name[-2:] == "__":
            raise FaultInjectionError(
                f"Python looks up {name!r} of {safe_repr(target)} on its class, never on the "
                f"object; inject into that: "
                f"inject_faults({type(target).__qualname__}, {name!r}, plan)"
            )
        return self._wrap(getattr(target, name))

    def _for_class(self, found: Any) -> Any:
        if isinstance(found, staticmethod | classmethod):
            return type(found)(self._wrap(found.__func__))
        if isinstance(found, property):
            return found.getter(self._wrap(found.fget))
        if isinstance(found, functools.cached_property):
            made = functools.cached_property(self._wrap(found.func))
            made.__set_name__(self.target, self.name)
            return made
        if found is vars(object)["__new__"]:
            # Refused, because CPython does not notice when __new__ is deleted from the class again:
            # every later constructor call with arguments would fail.
            raise FaultInjectionError(
                f"{label_of(self.target, self.name)} is that of object; inject into its "
                f"constructor: inject_faults({self.target.__qualname__}, '__init__', plan)"
            )
        if found is vars(object)["__init__"]:
            found = _object_init
        wrapper = self._wrap(found)
        # A callable that is no descriptor gets no `self`, so neither may its wrapper.
        return wrapper if _binds(found) else staticmethod(wrapper)

    def _wrap(self, found: Any) -> Callable[..., Any]:
        self.original = self._function(found)
        self.wrapper = wrap(self.original, self._handler_cell)
        return self.wrapper

    def _function(self, found: Any) -> Callable[..., Any]:
        label = label_of(self.target, self.name)
        if isinstance(found, type):
            raise FaultInjectionError(
                f"{label} is a class, which has to stay one; inject into its constructor: "
                f"inject_faults({found.__qualname__}, '__init__', plan)"
            )
        if not callable(found):
            raise FaultInjectionError(
                f"{label} is {safe_repr(found)}, which is no function; faults can be "
                "injected into what is called, and into properties"
            )
        function: Callable[..., Any] = found
        return function


def _binds(found: Any) -> bool:
    """Return whether a class attribute becomes a method of the instances."""
    if isinstance(found, functools.partial):
        return sys.version_info >= (3, 14)
    return hasattr(type(found), "__get__")


def _object_init(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Replace object.__init__, which would reject all arguments once a class defines __init__."""
    if (args or kwargs) and type(self).__new__ is vars(object)["__new__"]:
        raise TypeError(f"{type(self).__name__}() takes no arguments")


def _setter(target: Any) -> Any:
    """Return object or type, to bypass a ``__setattr__`` that the target's class defines."""
    return type if isinstance(target, type) else object


class _PatchedAttributes:
    """All patched attributes of this process; the lock protects every change."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[int, str], PatchedAttribute] = {}


_patched_attributes = _PatchedAttributes()


def active_attributes() -> list[PatchedAttribute]:
    """Return the attributes that plans are applied to, in the order of the first plan."""
    with fork_safe_lock(_patched_attributes):
        return [
            attribute
            for attribute in _patched_attributes.by_key.values()
            if attribute.applied_plans
        ]


def patched_attribute_of(target: Any, name: str) -> PatchedAttribute | None:
    """Return the patched attribute of a target; None if it is not patched."""
    return _patched_attributes.by_key.get((id(target), name))


def disable_all() -> None:
    """Remove all plans of this process."""
    with fork_safe_lock(_patched_attributes):
        for attribute in active_attributes():
            for applied in attribute.applied_plans:
                attribute.remove(applied)
        _patched_attributes.by_key.clear()


def plans_on_importable_targets() -> list[tuple[Any, str, AppliedPlan]]:
    """Return the plans on modules and classes that a new process imports by name."""
    with fork_safe_lock(_patched_attributes):
        return [
            (attribute.target, attribute.name, applied)
            for attribute in _patched_attributes.by_key.values()
            if is_imported(attribute.target)
            for applied in attribute.applied_plans
        ]


def install(target: Any, name: str, applied: AppliedPlan) -> PatchedAttribute:
    """Apply a plan to an attribute; `remove` undoes that."""
    with fork_safe_lock(_patched_attributes):
        attribute = _patched_attributes.by_key.get((id(target), name))
        if attribute is None or not attribute.is_in_place:
            attribute = PatchedAttribute(target, name)
            _patched_attributes.by_key[attribute.key] = attribute
        attribute.add(applied)
        return attribute


def remove(attribute: PatchedAttribute, applied: AppliedPlan) -> None:
    """Remove a plan from an attribute."""
    with fork_safe_lock(_patched_attributes):
        # A patch by other code may have led to a second PatchedAttribute with this key.
        if attribute.remove(applied) and _patched_attributes.by_key.get(attribute.key) is attribute:
            del _patched_attributes.by_key[attribute.key]
