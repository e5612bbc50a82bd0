from __future__ import annotations

import codecs
import pathlib
import re
import unittest

from itf import TestFileGenerator, test_file_generator as file_generator
from itf.generating.defects import DEFECTS
from tests.generating.languages import LANGUAGES, has_tool, problem_of, valid

# What ends a line, in one language or another.
_LINE_ENDS = re.compile(rb"\r\n|\n|\r")


class DefectTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.files = file_generator()
        self.files.setUp()
        self.addCleanup(self.files.tearDown)

    def path(self, defect: str, language: str) -> pathlib.Path:
        return self.files.create_error_file(f"{defect}-{language}", defect, language)

    def content(self, defect: str, language: str) -> bytes:
        return self.path(defect, language).read_bytes()

    def check(self, content: bytes, language: str) -> bool:
        """Say whether the language's own tool takes some content."""
        return valid(self.files.create_file("checked", content), language)


class EncodingTest(DefectTestCase):
    """Files with which a decoder has to do."""

    def decoding_error(self, content: bytes) -> UnicodeDecodeError:
        with self.assertRaises(UnicodeDecodeError) as caught:
            content.decode("utf-8")
        return caught.exception

    def test_unicode(self) -> None:
        """A byte that never occurs, a continuation without a start, a sequence cut short."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("unicode", language)
                reasons = []
                for piece in re.findall(rb"[\x80-\xff]+", content):
                    reasons.append(self.decoding_error(piece + b'"').reason)
                self.assertEqual(
                    ["invalid start byte", "invalid start byte", "invalid continuation byte"],
                    reasons,
                )
                self.assertTrue(self.check(re.sub(rb"[\x80-\xff]", b"", content), language))
        self.refused("unicode", "python", "rust")

    def refused(self, defect: str, *languages: str) -> None:
        for language in languages:
            with self.subTest(defect=defect, refused_by=language):
                self.assertFalse(valid(self.path(defect, language), language))

    def test_binary(self) -> None:
        """Every byte value, and zero bytes; no parser takes it."""
        for language in LANGUAGES:
            content = self.content("binary", language)
            self.assertEqual((256, b"\x7fELF"), (len(set(content)), content[:4]))
            self.decoding_error(content)
        self.refused("binary", *LANGUAGES)

    def test_truncated_utf8(self) -> None:
        """The last byte of the last character is missing; with it, the file is valid."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("truncated_utf8", language)
                error = self.decoding_error(content)
                self.assertEqual(
                    ("unexpected end of data", len(content) - 1), (error.reason, error.start)
                )
                self.assertTrue((content + b"\xa9").decode().endswith("café"))
                self.assertTrue(self.check(content + b"\xa9", language))
        self.refused("truncated_utf8", "python", "rust")

    def test_overlong_utf8(self) -> None:
        """A slash in two, three and four bytes, which no decoder may take."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("overlong_utf8", language)
                pieces = re.findall(rb"[\x80-\xff]+", content)
                self.assertEqual([2, 3, 4], [len(piece) for piece in pieces])
                for piece in pieces:
                    self.decoding_error(piece)
                    # What a decoder makes of it that does not look.
                    bits = piece[0] & (0x7F >> len(piece))
                    for byte in piece[1:]:
                        bits = bits << 6 | byte & 0x3F
                    self.assertEqual("/", chr(bits))
        self.refused("overlong_utf8", "python", "rust")

    def test_surrogate(self) -> None:
        """Surrogates, one and a pair, which only a decoder that lets them pass can read."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("surrogate", language)
                self.decoding_error(content)
                self.assertIn('"\ud800 \ud83d\ude00"', content.decode("utf-8", "surrogatepass"))
        self.refused("surrogate", "python", "rust")

    def test_bom(self) -> None:
        """Compilers take the mark; text that keeps it, they do not."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("bom", language)
                self.assertEqual(codecs.BOM_UTF8, content[:3])
                self.assertNotEqual(content.decode("utf-8"), content.decode("utf-8-sig"))
                if has_tool(language):
                    self.assertTrue(self.check(content, language))
                self.assertTrue(self.check(content[3:], language))
        with self.assertRaisesRegex(SyntaxError, "U\\+FEFF"):
            compile(self.content("bom", "python").decode("utf-8"), "file", "exec")

    def test_utf16(self) -> None:
        """No UTF-8, and no parser takes it; decoded as what it is, it is valid."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("utf16", language)
                self.assertEqual(0, self.decoding_error(content).start)
                self.assertTrue(self.check(content.decode("utf-16").encode(), language))
        self.refused("utf16", *LANGUAGES)


class TextTest(DefectTestCase):
    """Files that are UTF-8."""

    def test_syntax(self) -> None:
        """Text that the language's own tool refuses."""
        for language in LANGUAGES:
            with self.subTest(language):
                self.assertTrue(self.content("syntax", language).decode())
                self.assertFalse(valid(self.path("syntax", language), language))

    def test_mixed_newlines(self) -> None:
        """CR LF, LF and CR; valid, and who splits at LF alone counts fewer lines."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("mixed_newlines", language)
                ends = _LINE_ENDS.findall(content)
                self.assertEqual({b"\r\n", b"\n", b"\r"}, set(ends))
                self.assertLess(content.count(b"\n"), len(ends))
                self.assertTrue(self.check(content, language))

    def test_null_bytes(self) -> None:
        """A zero byte in the midst of valid text: refused, or by C warned of."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("null_bytes", language)
                self.assertEqual(1, content.decode().count("\0"))
                self.assertTrue(self.check(content.replace(b"\0", b""), language))
                if language != "c":
                    self.assertFalse(self.check(content, language))
        if has_tool("c"):
            problem = problem_of(self.path("null_bytes", "c"), "c", "-Werror") or ""
            self.assertIn("null character", problem)

    def test_long_line(self) -> None:
        """Valid, with a line of more than 1 MiB."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("long_line", language)
                self.assertGreater(max(map(len, content.split(b"\n"))), 1024 * 1024)
                self.assertTrue(self.check(content, language))

    def test_deep_nesting(self) -> None:
        """Balanced, and valid if it is less deep; as deep as it is, three of four give up."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("deep_nesting", language)
                self.assertIn(b"(" * 10_000 + b"1" + b")" * 10_000, content)
                shallow = content.replace(b"(" * 9_900, b"").replace(b")" * 9_900, b"")
                self.assertEqual(100, shallow.count(b"("))
                self.assertTrue(self.check(shallow, language))
                if has_tool(language):
                    self.assertEqual(language == "c", self.check(content, language))
        problem = problem_of(self.path("deep_nesting", "python"), "python")
        self.assertRegex(problem or "", "too many nested parentheses|RecursionError|MemoryError")

    def test_tabs_and_spaces(self) -> None:
        """Lines of one function are indented by spaces and by a tab: Python's TabError."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("tabs_and_spaces", language)
                self.assertRegex(content, rb"(?m)^    \S")
                self.assertRegex(content, rb"(?m)^\t\S")
                if language != "python":
                    self.assertTrue(self.check(content, language))
        with self.assertRaises(TabError):
            compile(self.content("tabs_and_spaces", "python"), "file", "exec")

    def test_empty(self) -> None:
        """No bytes, which is valid."""
        for language in LANGUAGES:
            self.assertEqual(b"", self.content("empty", language))
            self.assertTrue(self.check(b"", language))

    def test_no_final_newline(self) -> None:
        """Valid, in several lines of which the last does not end."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("no_final_newline", language)
                self.assertGreater(len(content.splitlines()), 3)
                self.assertNotIn(content[-1:], (b"\n", b"\r"))
                self.assertTrue(self.check(content, language))


class ChoiceTest(DefectTestCase):
    def test_every_defect_is_documented_and_tested(self) -> None:
        """The docstring's table has each of them, and this module a test of its name."""
        text = TestFileGenerator.create_error_file.__doc__ or ""
        self.assertEqual(list(DEFECTS), re.findall(r"(?m)^ +``(\w+)`` +\S", text))
        tests = {
            name
            for case in (EncodingTest, TextTest)
            for name in unittest.defaultTestLoader.getTestCaseNames(case)
        }
        self.assertEqual({f"test_{name}" for name in DEFECTS}, tests)

    def test_the_content_depends_on_the_language(self) -> None:
        """Each language has a file of its own, but for two that are the same in all."""
        for defect in DEFECTS:
            contents = {self.content(defect, language) for language in LANGUAGES}
            self.assertEqual(1 if defect in ("binary", "empty") else 4, len(contents), defect)

    def test_what_there_is_not(self) -> None:
        """Unknown errors and languages are told, all that there are, and the one that was meant."""
        defects = ", ".join(DEFECTS)
        for arguments, text in (
            (("runtime",), f"unknown error_type 'runtime'; there are {defects}"),
            (
                ("utf-16",),
                f"unknown error_type 'utf-16' (did you mean 'utf16'?); there are {defects}",
            ),
            (
                ("Syntax",),
                f"unknown error_type 'Syntax' (did you mean 'syntax'?); there are {defects}",
            ),
            (([],), f"unknown error_type []; there are {defects}"),
            (("syntax", "go"), "unknown language 'go'; there are python, javascript, rust, c"),
            (
                ("syntax", "javascripts"),
                "unknown language 'javascripts' (did you mean 'javascript'?); "
                "there are python, javascript, rust, c",
            ),
        ):
            with self.subTest(text), self.assertRaises(ValueError) as caught:
                self.files.create_error_file("a", *arguments)  # type: ignore[arg-type]
            self.assertEqual(text, str(caught.exception))
        self.assertFalse((self.files.workspace / "a").exists())


if __name__ == "__main__":
    unittest.main()
