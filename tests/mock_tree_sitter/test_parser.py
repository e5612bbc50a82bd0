from __future__ import annotations

import pickle
import unittest
from typing import Any

from itf.mock_tree_sitter import Language, Parser, Point, Range, Tree
from tests.mock_tree_sitter.tree_support import LANGUAGES, SyntaxTestCase, mutated, parse, walked
from tests.support import in_threads

_SOURCE = b"def f(a):\n    return a\nx = 1\n"


class ParserTestCase(SyntaxTestCase):
    def setUp(self) -> None:
        self.parser = Parser(Language("python"))

    def assert_raises(
        self, kind: type[Exception], text: str, *arguments: Any, **named: Any
    ) -> None:
        with self.assertRaises(kind) as caught:
            self.parser.parse(*arguments, **named)
        self.assertEqual(text, str(caught.exception))


class SourceTest(ParserTestCase):
    def test_bytes_like_sources(self) -> None:
        """bytes, bytearray and memoryview give the same tree."""
        for source in (_SOURCE, bytearray(_SOURCE), memoryview(_SOURCE)):
            tree = self.parser.parse(source)  # type: ignore[arg-type]
            self.assertEqual((_SOURCE, 2), (tree.source, tree.root_node.child_count))

    def test_a_read_callback(self) -> None:
        """The callback is called with the next byte and point until it returns nothing."""
        for size in (1, 5, 1000):
            for end in (b"", None):
                with self.subTest(size=size, end=end):
                    self.check_reading(size, end)

    def check_reading(self, size: int, end: bytes | None) -> None:
        asked: list[tuple[int, Point]] = []

        def read(offset: int, point: Point) -> bytes | None:
            asked.append((offset, point))
            return _SOURCE[offset : offset + size] or end

        self.assertEqual(_SOURCE, self.parser.parse(read).source)
        self.assertEqual(len(_SOURCE), asked[-1][0])
        for offset, point in asked:
            self.assertEqual(self.point(_SOURCE, offset), point)

    def test_a_failing_read_callback(self) -> None:
        """An exception of the callback propagates; a str from the callback raises TypeError."""

        def fail(offset: int, point: Point) -> bytes:
            raise LookupError("gone")

        with self.assertRaisesRegex(LookupError, "gone"):
            self.parser.parse(fail)
        self.assert_raises(
            TypeError, "read callable must return a bytestring, not str", lambda offset, point: "x"
        )

    def test_invalid_arguments(self) -> None:
        """An invalid argument raises an error with py-tree-sitter's message."""
        tree = self.parser.parse(b"x")
        for kind, text, arguments, named in (
            (
                TypeError,
                "source must be a bytestring or a callable, not str; encode it first",
                ("x",),
                {},
            ),
            (TypeError, "source must be a bytestring or a callable, not int", (3,), {}),
            (TypeError, "source must be a bytestring or a callable, not NoneType", (None,), {}),
            (TypeError, "parse() argument 2 must be a Tree, not str", (b"x", "y"), {}),
            (TypeError, "encoding must be str, not int", (b"x",), {"encoding": 3}),
            (
                ValueError,
                "encoding must be 'utf8', 'utf16', 'utf16le', or 'utf16be', not 'latin1'",
                (b"x", tree),
                {"encoding": "latin1"},
            ),
        ):
            with self.subTest(text):
                self.assert_raises(kind, text, *arguments, **named)
        with self.assertRaises(TypeError):
            self.parser.parse()  # type: ignore[call-arg]

    def test_an_old_tree_is_ignored(self) -> None:
        """A parse with an old tree gives the same tree as a parse without it."""
        old = self.parser.parse(b"x = 1")
        old.edit(5, 5, 6, (0, 5), (0, 5), (0, 6))
        tree = self.parser.parse(b"x = 12", old)
        self.assertEqual(str(parse(b"x = 12").root_node), str(tree.root_node))
        self.assertEqual((0, 6), tree.root_node.byte_range)

    def test_other_encodings(self) -> None:
        """For UTF-16 source, bytes, columns and node texts are those of the UTF-16 bytes."""
        text = "é = '𝄞'\nß"
        for encoding, codec in (
            ("utf16le", "utf-16-le"),
            ("utf16be", "utf-16-be"),
            ("utf16", "utf-16-le"),
        ):
            with self.subTest(encoding):
                source = text.encode(codec)
                tree = self.parser.parse(source, encoding=encoding)
                assignment, name = tree.root_node.children
                self.assertEqual((0, 16), assignment.byte_range)
                self.assertEqual("é = '𝄞'".encode(codec), assignment.text)
                self.assertEqual("ß".encode(codec), name.text)
                self.assertEqual((Point(1, 0), Point(1, 2)), (name.start_point, name.end_point))
                self.assertEqual(len(source), tree.root_node.end_byte)
        for broken in (b"\xd8", b"\x00\xd8", b"x\x00\x00\xd8y\x00", b"\x00\xdcx"):
            self.assertEqual(
                len(broken), self.parser.parse(broken, encoding="utf16le").root_node.end_byte
            )

    def test_included_ranges(self) -> None:
        """Only source inside the ranges is parsed, and nodes keep their original positions."""
        ranges = [Range((0, 3), (0, 8), 3, 8), Range((1, 3), (1, 8), 12, 17)]
        self.parser.included_ranges = ranges
        tree = self.parser.parse(b"<% x = 1\n%> y = 2 %>")
        self.assertEqual([(3, 8), (12, 17)], [n.byte_range for n in tree.root_node.children])
        self.assertEqual(ranges, tree.included_ranges)
        self.assertEqual((3, 17), tree.root_node.byte_range)
        self.assertEqual(b"y = 2", tree.root_node.children[1].text)
        self.assertEqual(ranges, Parser(Language("python"), included_ranges=ranges).included_ranges)
        del self.parser.included_ranges
        self.assertEqual(1, len(self.parser.included_ranges))
        for wrong, kind, text in (
            ([ranges[1], ranges[0]], ValueError, "Included ranges cannot overlap"),
            ([3], TypeError, "Item at index 0 is not a Range object"),
        ):
            with self.assertRaises(kind) as caught:
                self.parser.included_ranges = wrong  # type: ignore[assignment]
            self.assertEqual(text, str(caught.exception))


class LanguageOfParserTest(ParserTestCase):
    def test_language_attribute(self) -> None:
        """The language can be set and deleted; without a language, parse raises ValueError."""
        self.assertEqual(Language("python"), self.parser.language)
        self.parser.language = Language("rust")
        self.assertEqual("source_file", self.parser.parse(b"").root_node.type)
        del self.parser.language
        self.assertIsNone(self.parser.language)
        self.assert_raises(
            ValueError,
            "Parsing failed: the parser has no language; set its `language` first",
            b"x",
        )
        with self.assertRaises(TypeError) as caught:
            self.parser.language = "python"  # type: ignore[assignment]
        self.assertEqual(
            "language must be assigned a Language object, not str", str(caught.exception)
        )
        with self.assertRaises(TypeError) as caught:
            Parser("python")  # type: ignore[arg-type]
        self.assertEqual("__init__() argument 1 must be a Language, not str", str(caught.exception))

    def test_pickling(self) -> None:
        """An unpickled parser has the same language and the same ranges."""
        self.parser.included_ranges = [Range((0, 0), (0, 1), 0, 1)]
        other = pickle.loads(pickle.dumps(self.parser))
        self.assertEqual(self.parser.language, other.language)
        self.assertEqual(self.parser.included_ranges, other.included_ranges)
        self.assertEqual(b"x", other.parse(b"x = 1").root_node.children[0].text)

    def test_reset_changes_nothing(self) -> None:
        """After a reset, the parser parses as before."""
        self.parser.reset()
        self.assertEqual(2, self.parser.parse(_SOURCE).root_node.child_count)


class AnySourceTest(ParserTestCase):
    def test_random_damage(self) -> None:
        """Each of 1,000 damaged sources gives a consistent tree, and the same tree again."""
        for seed in range(1000):
            language, source = mutated(seed)
            with self.subTest(seed=seed, language=language, source=source):
                tree = parse(source, language)
                self.assert_sound(tree)
                self.assertEqual(str(tree.root_node), str(parse(source, language).root_node))

    def test_eight_threads_with_one_parser(self) -> None:
        """Each thread gets the tree of its source, and all can walk one tree at the same time."""
        sources = [(b"x%d = f(%d)\n" % (number, number)) * 50 for number in range(8)]
        shared = self.parser.parse(_SOURCE * 20)
        expected = [node.type for node in walked(shared)]

        def work(number: int) -> list[Tree]:
            trees = [self.parser.parse(sources[number]) for _ in range(10)]
            self.assertEqual(expected, [node.type for node in walked(shared)])
            self.assertEqual(expected.count("("), sum(n.type == "(" for n in walked(shared)))
            self.assertEqual(Point(2, 0), shared.root_node.children[1].start_point)
            return trees

        for source, trees in zip(sources, in_threads(8, work), strict=True):
            for tree in trees:
                self.assertEqual(source, tree.source)
                self.assertEqual(50, tree.root_node.child_count)
        ids = {tree.root_node.id for trees in in_threads(8, work) for tree in trees}
        self.assertEqual(80, len(ids))


class LanguageTest(unittest.TestCase):
    def test_kinds(self) -> None:
        """Kinds map to numbers and back; 0 is the end of the source, 65535 is ERROR."""
        for name in (*LANGUAGES, "unknown"):
            language = Language(name)
            self.assertEqual(
                (name, 15, None), (language.name, language.abi_version, language.semantic_version)
            )
            for number in range(1, language.node_kind_count):
                kind = language.node_kind_for_id(number)
                assert kind is not None
                named = language.node_kind_is_named(number)
                self.assertEqual(number, language.id_for_node_kind(kind, named))
                self.assertTrue(language.node_kind_is_visible(number))
            self.assertEqual("end", language.node_kind_for_id(0))
            self.assertFalse(language.node_kind_is_visible(0))
            self.assertEqual("ERROR", language.node_kind_for_id(65535))
            self.assertEqual(65535, language.id_for_node_kind("ERROR", True))
            self.assertIsNone(language.node_kind_for_id(60000))
            self.assertIsNone(language.id_for_node_kind("nothing", True))

    def test_fields(self) -> None:
        """Fields map to numbers from 1 on, and back."""
        language = Language("python")
        for number in range(1, language.field_count + 1):
            name = language.field_name_for_id(number)
            assert name is not None
            self.assertEqual(number, language.field_id_for_name(name))
        self.assertIsNone(language.field_name_for_id(0))
        self.assertIsNone(language.field_name_for_id(999))
        self.assertIsNone(language.field_id_for_name("nothing"))

    def test_languages_compare_by_name(self) -> None:
        """Languages of the same name are equal with equal hash; a name must be a str."""
        language = Language("python")
        self.assertEqual(language, language.copy())
        self.assertEqual(hash(language), hash(Language("python")))
        self.assertNotEqual(language, Language("rust"))
        self.assertEqual(language, pickle.loads(pickle.dumps(language)))
        self.assertNotEqual(language, "python")
        self.assertRegex(repr(language), r'<Language id=\d+, version=15, name="python">')
        with self.assertRaises(TypeError) as caught:
            Language(3)  # type: ignore[arg-type]
        self.assertEqual("the name of a language is a str, not int", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
