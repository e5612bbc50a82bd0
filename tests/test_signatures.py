"""Tests of signature_of: it returns parameters, and evaluates no annotations."""

from __future__ import annotations

import functools
import inspect
import sys
import unittest
from typing import Any

from itf.signatures import signature_of

LAZY = sys.version_info >= (3, 14)

# Annotations that raise NameError, or call record(), if they are evaluated.
SOURCE = """
def function(one: Missing, two: Missing.part = 2, *rest: list[Missing], named: 1 / 0) -> Missing:
    pass

def seen(one: record(1), two: {a: b for a, b in Missing}) -> record(2):
    pass

class Class:
    def __init__(self, one: Missing, two: list[Missing]) -> None:
        pass

    def method(self, one: record(3), *, two: Missing | None) -> None:
        pass

    def __call__(self, other: Missing) -> None:
        pass
"""


def named(function: Any, **options: Any) -> list[str]:
    """Return the parameter names that signature_of returns."""
    signature = signature_of(function, **options)
    return ["(not known)"] if signature is None else list(signature.parameters)


class Callback:
    """Callable descriptor, like the objects that ``async_to_sync`` of asgiref makes."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, *args: Any, wanted: int = 0, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: object) -> Any:
        return self


class SignatureTest(unittest.TestCase):
    """Results of `signature_of`."""

    def test_parameters_are_those_of_inspect(self) -> None:
        """Parameters agree with inspect for functions, methods, partials, classes and wrappers."""

        def plain(a: int, /, b: str = "b", *args: int, c: int, d: int = 4, **kw: int) -> None: ...

        @functools.wraps(plain)
        def wrapper(*args: Any, **kwargs: Any) -> None: ...

        def signed(*args: Any) -> None: ...

        signed.__signature__ = inspect.signature(lambda own: own)  # type: ignore[attr-defined]

        class Plain:
            def __init__(self, size: int) -> None: ...

            def method(self, a: int, *, b: int = 1) -> None: ...

            @classmethod
            def of_class(cls, a: int) -> None: ...

            @staticmethod
            def static(a: int) -> None: ...

            part = functools.partialmethod(method, b=2)

            def __call__(self, called: int) -> None: ...

        one = Plain(1)
        partial = functools.partial(plain, 1, c=3)
        for function in (
            plain,
            wrapper,
            signed,
            functools.wraps(signed)(lambda: None),
            partial,
            functools.partial(partial, d=5),
            functools.partial(one.method, 1),
            Plain,
            Plain.method,
            Plain.of_class,
            Plain.static,
            Plain.part,
            one,
            one.method,
            one.of_class,
            one.part,
            functools.lru_cache(plain),
            divmod,
            lambda: None,
        ):
            with self.subTest(function):
                expected = inspect.signature(function)
                found = signature_of(function)
                assert found is not None
                bare = [p.replace(annotation=p.empty) for p in expected.parameters.values()]
                self.assertEqual(
                    bare, [p.replace(annotation=p.empty) for p in found.parameters.values()]
                )
        self.assertEqual(["args", "kwargs"], named(wrapper, follow_wrapped=False))

    @unittest.skipUnless(LAZY, "before Python 3.14 annotations are evaluated by def")
    def test_no_annotation_is_evaluated(self) -> None:
        """No annotation is evaluated, neither a failing one nor one with a side effect."""
        evaluated: list[int] = []
        space: dict[str, Any] = {"record": evaluated.append}
        exec(compile(SOURCE, "<lazy>", "exec", dont_inherit=True), space)
        function, seen, made = space["function"], space["seen"], space["Class"](1, 2)
        wrapper = functools.wraps(function)(lambda *args: None)
        for expected, found in (
            (["one", "two", "rest", "named"], function),
            (["one", "two", "rest", "named"], wrapper),
            (["two", "rest", "named"], functools.partial(function, 1)),
            (["one", "two"], seen),
            (["one", "two"], made.method),
            (["self", "one", "two"], space["Class"].method),
            (["one", "two"], space["Class"]),
            (["other"], made),
        ):
            with self.subTest(found):
                self.assertEqual(expected, named(found))
        self.assertEqual([], evaluated)

    def test_a_callable_descriptor(self) -> None:
        """An object on which `inspect` raises ValueError has the signature of its ``__call__``."""
        callback = Callback(len)
        with self.assertRaises(ValueError):
            inspect.signature(callback)
        self.assertEqual(["args", "wanted", "kwargs"], named(callback))

    def test_no_signature(self) -> None:
        """signature_of returns None for some builtins and for objects that are not callable."""
        for value in (type, 42):
            with self.subTest(value):
                self.assertIsNone(signature_of(value))  # type: ignore[arg-type]

    def test_a_cycle_of_wrappers(self) -> None:
        """A function whose ``__wrapped__`` is itself has the parameters of its own code."""

        def circle(one: int) -> None: ...

        circle.__wrapped__ = circle  # type: ignore[attr-defined]
        self.assertEqual(["one"], named(circle))


if __name__ == "__main__":
    unittest.main()
