from __future__ import annotations

import ast
import re
import tracemalloc
import unittest
from typing import Any

from itf import test_file_generator as file_generator
from itf.generating.sources import UNITS
from itf.generating.units import NumberedUnits
from tests.generating.languages import LANGUAGES, has_tool, structural_problem, valid

_MIB = 1024 * 1024
_SUFFIXES = {"python": ".py", "javascript": ".js", "rust": ".rs", "c": ".c"}

# Small ones of one and many numbers, text of several bytes a character, braces
# that are no placeholders, and units larger than what is written at once.
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
    """Write the units one by one, as they are described."""
    return b"".join(template.replace("{n}", str(n)).encode() for n in range(count))


def fast(template: str, count: int) -> bytes:
    """Write them as the library does; each chunk is good until the next only."""
    return b"".join(bytes(chunk) for chunk in NumberedUnits(template).chunks(count))


class UnitsTest(unittest.TestCase):
    """The units of a template, against one loop that makes them one by one."""

    def test_they_are_those_of_the_plain_loop(self) -> None:
        """For every count around a power of ten, where numbers become longer."""
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
        """So many units reach the size, and one less does not: for every size."""
        for template in _TEMPLATES[:5]:
            units = NumberedUnits(template)
            size, count = 0, 0
            for wanted in range(12_000):
                while size < wanted:
                    size += len(template.replace("{n}", str(count)).encode())
                    count += 1
                if units.count_for(wanted) != count:
                    self.fail(f"{template!r}: {units.count_for(wanted)} units for {wanted} bytes")

    def test_the_count_for_a_very_large_size_is_known_at_once(self) -> None:
        """Without making any: 9 numbers of 1 digit, 90 of 2, and so on, with 0 beside."""
        units = NumberedUnits("{n}\n")
        sizes = {digits: (digits + 1) * 9 * 10 ** (digits - 1) for digits in range(1, 13)}
        self.assertEqual(10**12, units.count_for(2 + sum(sizes.values())))
        self.assertEqual(10**12 + 1, units.count_for(2 + sum(sizes.values()) + 1))

    def test_a_chunk_is_a_mebibyte_at_most_and_mostly_a_tenth_at_least(self) -> None:
        """Small units are many in a chunk; one that is larger is a chunk by itself."""
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
        """At least the size asked, a unit less would be too small, and every number in order."""
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
        """By their number, in place of a size."""
        for units in (0, 1, 10, 1234):
            content = self.files.create_large_file("a", units=units).read_bytes()
            self.assertEqual(naive(UNITS["function"]["python"], units), content)

    def test_a_template(self) -> None:
        """A unit of one's own, in which only {n} is the number."""
        template = "let v{n} = {{{n}}}; // {x} é\r\n"
        content = self.files.create_large_file("a", units=12, template=template).read_bytes()
        self.assertEqual(naive(template, 12), content)
        self.assertEqual("let v11 = {{11}}; // {x} é\r", content.decode().split("\n")[11])
        by_size = self.files.create_large_file("a", 0.001, template=template).read_bytes()
        self.check(by_size, 0.001 * _MIB, template)

    def test_no_size(self) -> None:
        """Zero MiB are an empty file; a part of a byte is a byte, and so a unit."""
        self.assertEqual(b"", self.files.create_large_file("empty", 0).read_bytes())
        self.assertGreater(self.files.create_large_file("tiny", 1e-9).stat().st_size, 0)

    def test_valid_in_its_language(self) -> None:
        """Each is valid, with numbers of one to four digits."""
        for language in LANGUAGES:
            for pattern in ("function", "class"):
                with self.subTest(language=language, pattern=pattern):
                    path = self.files.create_large_file("a", None, pattern, language, units=1100)
                    self.assertTrue(valid(path, language))
                    # And by its structure, for where there is no tool.
                    self.assertIsNone(structural_problem(path.read_bytes()))

    def test_by_default_python_functions(self) -> None:
        """Without more it is functions of Python, which work."""
        path = self.files.create_large_file("a.py", 0.001)
        namespace: dict[str, Any] = {}
        exec(compile(ast.parse(path.read_text()), "a.py", "exec"), namespace)
        self.assertEqual(15, namespace["function_5"](10))

    def test_memory_stays_flat(self) -> None:
        """64 MiB need no more memory than 8 do, and little of it."""
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

    def test_what_there_is_not(self) -> None:
        """Unknown patterns and languages, wrong sizes, counts and templates, are told."""
        cases: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
            ((1, "loop"), {}, ValueError, "unknown pattern 'loop'; there are function, class"),
            (
                (1, "Clas"),
                {},
                ValueError,
                "unknown pattern 'Clas' (did you mean 'class'?); there are function, class",
            ),
            (
                (1, "class", "go"),
                {},
                ValueError,
                "unknown language 'go'; there are python, javascript, rust, c",
            ),
            (
                (1, "class", None),
                {},
                ValueError,
                "unknown language None; there are python, javascript, rust, c",
            ),
            ((-1,), {}, ValueError, "size_mb must be a number from 0 on, got -1"),
            ((float("nan"),), {}, ValueError, "size_mb must be a number from 0 on, got nan"),
            ((float("inf"),), {}, ValueError, "size_mb must be finite, got inf"),
            (("1",), {}, TypeError, "size_mb must be a number from 0 on, got '1'"),
            ((True,), {}, TypeError, "size_mb must be a number from 0 on, got True"),
            ((), {}, TypeError, "give one of size_mb and units"),
            ((1,), {"units": 1}, TypeError, "give one of size_mb and units"),
            ((), {"units": -1}, ValueError, "units must be at least 0, got -1"),
            ((), {"units": 1.5}, TypeError, "units must be an int, got 1.5"),
            ((), {"units": True}, TypeError, "units must be an int, got True"),
            (
                (1,),
                {"template": "def f(): pass"},
                ValueError,
                "template must have {n} where the number of the unit goes, got 'def f(): pass'",
            ),
            ((1,), {"template": b"{n}"}, TypeError, "template must be a str, got b'{n}'"),
            (
                (1,),
                {"template": "{n}\ud800"},
                ValueError,
                "template has a surrogate, '\\ud800', at 3, for which UTF-8 has no bytes; "
                "take it out",
            ),
        ]
        for arguments, keywords, kind, text in cases:
            with self.subTest(text), self.assertRaises(kind) as caught:
                self.files.create_large_file("a", *arguments, **keywords)
            self.assertEqual(text, str(caught.exception))
        self.assertFalse((self.files.workspace / "a").exists())


class StructureTest(unittest.TestCase):
    """What stands in for a language's own tool where there is none."""

    def test_it_refuses_what_the_tools_refuse(self) -> None:
        """It is no check that lets everything pass."""
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
