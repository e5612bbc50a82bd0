from __future__ import annotations

import ast
import re
import tracemalloc
import unittest
from typing import Any

from itf import test_file_generator as file_generator
from itf.file_generation.languages import UNITS
from itf.file_generation.large_files import NumberedUnits
from tests.file_generation.language_checks import LANGUAGES, has_tool, structural_problem, valid

_MIB = 1024 * 1024
_SUFFIXES = {"python": ".py", "javascript": ".js", "rust": ".rs", "c": ".c"}

# Templates with one and with several numbers, with characters of several bytes,
# with braces that are no placeholders, and with units larger than a block.
_TEMPLATES = (
    "{n}",
    "x{n} = {n}\n",
    "{n}{n}{n}",
    "é{n}☃\r\n",
    "fn f{n}() {{ {n} }} {m} {} {{n}} {n:3}\n",
    "z" * 30_000 + "{n}\n",
    "{n}" + "y" * 300_000,
)


def naive(template: str, count: int) -> bytes:
    """Return the units, generated one by one with str.replace."""
    return b"".join(template.replace("{n}", str(n)).encode() for n in range(count))


def fast(template: str, count: int) -> bytes:
    """Return the units of `NumberedUnits`; each chunk is copied before the next is requested."""
    return b"".join(bytes(chunk) for chunk in NumberedUnits(template).chunks(count))


class UnitsTest(unittest.TestCase):
    """`NumberedUnits`, compared with the obvious loop."""

    def test_units_are_those_of_the_obvious_loop(self) -> None:
        """Units are equal for all counts around powers of ten, where numbers get a digit more."""
        for template in _TEMPLATES:
            most = 1_000 if len(template) > 1000 else 100_000
            counts = {0, most + 1} if most > 1000 else {0, 13, 120}
            power = 1
            while power <= most and len(template) * power < 10 * _MIB:
                counts |= {power - 1, power, power + 1, 2 * power + 3}
                power *= 10
            for count in sorted(counts):
                with self.subTest(template=template[:20], count=count):
                    self.assertEqual(naive(template, count), fast(template, count))

    def test_the_count_for_a_size_is_the_least(self) -> None:
        """For every size, `count_for` is the smallest number of units that reaches it."""
        for template in _TEMPLATES[:5]:
            units = NumberedUnits(template)
            size, count = 0, 0
            for wanted in range(12_000):
                while size < wanted:
                    size += len(template.replace("{n}", str(count)).encode())
                    count += 1
                if units.count_for(wanted) != count:
                    self.fail(f"{template!r}: {units.count_for(wanted)} units for {wanted} bytes")

    def test_the_count_for_a_very_large_size(self) -> None:
        """`count_for` calculates the number for terabytes without generating units."""
        units = NumberedUnits("{n}\n")
        sizes = {digits: (digits + 1) * 9 * 10 ** (digits - 1) for digits in range(1, 13)}
        self.assertEqual(10**12, units.count_for(2 + sum(sizes.values())))
        self.assertEqual(10**12 + 1, units.count_for(2 + sum(sizes.values()) + 1))

    def test_size_of_chunks(self) -> None:
        """Chunks have at most 1 MiB, or one larger unit, and on average at least a tenth of it."""
        for template in _TEMPLATES:
            count = 300_000 if len(template) < 100 else 20
            sizes = [len(chunk) for chunk in NumberedUnits(template).chunks(count)]
            self.assertLessEqual(max(sizes), max(_MIB, len(template.encode()) + 20))
        for template in ("{n}\n", *UNITS["function"].values()):
            chunks = [len(chunk) for chunk in NumberedUnits(template).chunks(2_000_000)]
            self.assertGreater(sum(chunks) / len(chunks), _MIB / 11)


class LargeFileTest(unittest.TestCase):
    """`create_large_file`."""

    def setUp(self) -> None:
        self.files = file_generator()
        self.files.setUp()
        self.addCleanup(self.files.tearDown)

    def test_size_and_numbers(self) -> None:
        """The file reaches the size with its last unit, and has all numbers in order."""
        for pattern in ("function", "class"):
            for language in LANGUAGES:
                for size_mb in (0.000001, 0.001, 0.3, 1):
                    with self.subTest(pattern=pattern, language=language, size_mb=size_mb):
                        path = self.files.create_large_file("large", size_mb, pattern, language)
                        self.check(path.read_bytes(), size_mb * _MIB, UNITS[pattern][language])

    def check(self, content: bytes, size: float, template: str) -> None:
        last = (
            len(re.findall(re.escape(template.encode()).replace(rb"\{n\}", rb"\d+"), content)) - 1
        )
        self.assertEqual(naive(template, last + 1), content)
        self.assertGreaterEqual(len(content), size)
        unit = len(template.replace("{n}", str(last)).encode())
        self.assertLess(len(content) - unit, size, "a unit more than was needed")

    def test_units(self) -> None:
        """`units` gives the number of units instead of a size."""
        for units in (0, 1, 10, 1234):
            content = self.files.create_large_file("a", units=units).read_bytes()
            self.assertEqual(naive(UNITS["function"]["python"], units), content)

    def test_a_template(self) -> None:
        """In a user's template only {n} is replaced; other braces stay."""
        template = "let v{n} = {{{n}}}; // {x} é\r\n"
        content = self.files.create_large_file("a", units=12, template=template).read_bytes()
        self.assertEqual(naive(template, 12), content)
        self.assertEqual("let v11 = {{11}}; // {x} é\r", content.decode().split("\n")[11])
        by_size = self.files.create_large_file("a", 0.001, template=template).read_bytes()
        self.check(by_size, 0.001 * _MIB, template)

    def test_no_size(self) -> None:
        """A size of zero gives an empty file; any size above it at least one unit."""
        self.assertEqual(b"", self.files.create_large_file("empty", 0).read_bytes())
        self.assertGreater(self.files.create_large_file("tiny", 1e-9).stat().st_size, 0)

    def test_valid_in_its_language(self) -> None:
        """Files with numbers of one to four digits are valid in each language."""
        for language in LANGUAGES:
            for pattern in ("function", "class"):
                with self.subTest(language=language, pattern=pattern):
                    path = self.files.create_large_file("a", None, pattern, language, units=1100)
                    self.assertTrue(valid(path, language))
                    # Check the structure too, on which machines without a compiler rely.
                    self.assertIsNone(structural_problem(path.read_bytes()))

    def test_by_default_python_functions(self) -> None:
        """By default the file has Python functions, and they return what they should."""
        path = self.files.create_large_file("a.py", 0.001)
        namespace: dict[str, Any] = {}
        exec(compile(ast.parse(path.read_text()), "a.py", "exec"), namespace)
        self.assertEqual(15, namespace["function_5"](10))

    def test_memory_stays_flat(self) -> None:
        """A file of 64 MiB needs no more memory than one of 8 MiB, and less than 2 MiB."""
        peaks = []
        for size in (8, 64):
            tracemalloc.start()
            try:
                self.files.create_large_file("large", size)
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
        self.assertLess(peaks[1], 2 * _MIB)
        self.assertLess(peaks[1], 1.5 * peaks[0])

    def test_wrong_arguments_are_refused(self) -> None:
        """Unknown patterns and languages, wrong sizes, counts and templates raise an error."""
        cases: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
            ((1, "loop"), {}, ValueError, "unknown pattern 'loop'; choose one of function, class"),
            (
                (1, "Clas"),
                {},
                ValueError,
                "unknown pattern 'Clas' (did you mean 'class'?); choose one of function, class",
            ),
            (
                (1, "class", "go"),
                {},
                ValueError,
                "unknown language 'go'; choose one of python, javascript, rust, c",
            ),
            (
                (1, "class", None),
                {},
                ValueError,
                "unknown language None; choose one of python, javascript, rust, c",
            ),
            ((-1,), {}, ValueError, "size_mb must be at least 0, got -1"),
            ((float("nan"),), {}, ValueError, "size_mb must be finite, got nan"),
            ((float("inf"),), {}, ValueError, "size_mb must be finite, got inf"),
            (("1",), {}, TypeError, "size_mb must be a number, got '1'"),
            ((True,), {}, TypeError, "size_mb must be a number, got True"),
            ((), {}, TypeError, "give either size_mb or units"),
            ((1,), {"units": 1}, TypeError, "give either size_mb or units"),
            ((), {"units": -1}, ValueError, "units must be at least 0, got -1"),
            ((), {"units": 1.5}, TypeError, "units must be an int, got 1.5"),
            ((), {"units": True}, TypeError, "units must be an int, got True"),
            (
                (1,),
                {"template": "def f(): pass"},
                ValueError,
                "template must contain {n} where the number of the unit goes, got 'def f(): pass'",
            ),
            ((1,), {"template": b"{n}"}, TypeError, "template must be a str, got b'{n}'"),
            (
                (1,),
                {"template": "{n}\ud800"},
                ValueError,
                "template has a surrogate, '\\ud800', at index 3, which UTF-8 cannot encode; "
                "remove it",
            ),
        ]
        for arguments, keywords, kind, text in cases:
            with self.subTest(text), self.assertRaises(kind) as caught:
                self.files.create_large_file("a", *arguments, **keywords)
            self.assertEqual(text, str(caught.exception))
        self.assertFalse((self.files.workspace / "a").exists())


class StructureTest(unittest.TestCase):
    """`structural_problem`, which replaces a compiler that is not installed."""

    def test_it_refuses_what_the_tools_refuse(self) -> None:
        """It reports the defects that compilers report."""
        with file_generator() as files:
            for language in LANGUAGES:
                for defect in ("syntax", "unicode", "null_bytes", "utf16", "truncated_utf8"):
                    path = files.create_error_file("a", defect, language)
                    with self.subTest(language=language, defect=defect):
                        self.assertIsNotNone(structural_problem(path.read_bytes()))
                        if has_tool(language) and (language, defect) not in (
                            ("c", "unicode"), ("c", "null_bytes"), ("c", "truncated_utf8"),
                            ("javascript", "unicode"), ("javascript", "truncated_utf8"),
                        ):  # fmt: skip
                            self.assertFalse(valid(path, language))


if __name__ == "__main__":
    unittest.main()
