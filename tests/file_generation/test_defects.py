from __future__ import annotations

import codecs
import pathlib
import re
import unittest

from itf import TestFileGenerator, test_file_generator as file_generator
from itf.file_generation.defects import DEFECTS
from tests.file_generation.language_checks import LANGUAGES, has_tool, problem_of, valid

# Line ends that at least one of the languages accepts.
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
        """Return whether some content is valid source code."""
        return valid(self.files.create_file("checked", content), language)


class EncodingTest(DefectTestCase):
    """Defects that concern the encoding."""

    def decoding_error(self, content: bytes) -> UnicodeDecodeError:
        with self.assertRaises(UnicodeDecodeError) as caught:
            content.decode("utf-8")
        return caught.exception

    def test_unicode(self) -> None:
        """The file has three kinds of invalid UTF-8; without the bytes above 0x7F it is valid."""
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
        """The file has every byte value and an ELF header; every parser refuses it."""
        for language in LANGUAGES:
            content = self.content("binary", language)
            self.assertEqual((256, b"\x7fELF"), (len(set(content)), content[:4]))
            self.decoding_error(content)
        self.refused("binary", *LANGUAGES)

    def test_truncated_utf8(self) -> None:
        """Only the last byte of the last character is missing; with that byte the file is valid."""
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
        """The file has "/" in two, three and four bytes, which UTF-8 decoders refuse."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("overlong_utf8", language)
                pieces = re.findall(rb"[\x80-\xff]+", content)
                self.assertEqual([2, 3, 4], [len(piece) for piece in pieces])
                for piece in pieces:
                    self.decoding_error(piece)
                    # Decode the sequence as a careless decoder does.
                    bits = piece[0] & (0x7F >> len(piece))
                    for byte in piece[1:]:
                        bits = bits << 6 | byte & 0x3F
                    self.assertEqual("/", chr(bits))
        self.refused("overlong_utf8", "python", "rust")

    def test_surrogate(self) -> None:
        """The file has a single surrogate and a pair; only errors='surrogatepass' decodes them."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("surrogate", language)
                self.decoding_error(content)
                self.assertIn('"\ud800 \ud83d\ude00"', content.decode("utf-8", "surrogatepass"))
        self.refused("surrogate", "python", "rust")

    def test_bom(self) -> None:
        """Compilers accept the byte order mark; Python's compile() refuses it inside a str."""
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
        """The file is not UTF-8 and every parser refuses it; decoded as UTF-16 it is valid."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("utf16", language)
                self.assertEqual(0, self.decoding_error(content).start)
                self.assertTrue(self.check(content.decode("utf-16").encode(), language))
        self.refused("utf16", *LANGUAGES)


class TextTest(DefectTestCase):
    """Defects in files that are correct UTF-8."""

    def test_syntax(self) -> None:
        """The file is UTF-8, and the language's parser refuses it."""
        for language in LANGUAGES:
            with self.subTest(language):
                self.assertTrue(self.content("syntax", language).decode())
                self.assertFalse(valid(self.path("syntax", language), language))

    def test_mixed_newlines(self) -> None:
        """The file is valid and has CR LF, LF and CR, so counting LF gives too few lines."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("mixed_newlines", language)
                ends = _LINE_ENDS.findall(content)
                self.assertEqual({b"\r\n", b"\n", b"\r"}, set(ends))
                self.assertLess(content.count(b"\n"), len(ends))
                self.assertTrue(self.check(content, language))

    def test_null_bytes(self) -> None:
        """The file has one zero byte; parsers refuse it, C compilers warn."""
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
        """The file is valid and has a line longer than 1 MiB."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("long_line", language)
                self.assertGreater(max(map(len, content.split(b"\n"))), 1024 * 1024)
                self.assertTrue(self.check(content, language))

    def test_deep_nesting(self) -> None:
        """With 100 of its 10,000 parentheses the file is valid; with all, only C accepts it."""
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
        """One line is indented by a tab, the others by spaces; Python raises TabError."""
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
        """The file has no bytes, and is valid."""
        for language in LANGUAGES:
            self.assertEqual(b"", self.content("empty", language))
            self.assertTrue(self.check(b"", language))

    def test_no_final_newline(self) -> None:
        """The file is valid, has several lines, and the last has no line end."""
        for language in LANGUAGES:
            with self.subTest(language):
                content = self.content("no_final_newline", language)
                self.assertGreater(len(content.splitlines()), 3)
                self.assertNotIn(content[-1:], (b"\n", b"\r"))
                self.assertTrue(self.check(content, language))


class ChoiceTest(DefectTestCase):
    def test_every_defect_is_documented_and_tested(self) -> None:
        """Each defect has a row in the docstring's table and a test of its name here."""
        text = TestFileGenerator.create_error_file.__doc__ or ""
        self.assertEqual(list(DEFECTS), re.findall(r"(?m)^ +``(\w+)`` +\S", text))
        tests = {
            name
            for case in (EncodingTest, TextTest)
            for name in unittest.defaultTestLoader.getTestCaseNames(case)
        }
        self.assertEqual({f"test_{name}" for name in DEFECTS}, tests)

    def test_the_content_depends_on_the_language(self) -> None:
        """The content differs between languages, except for `binary` and `empty`."""
        for defect in DEFECTS:
            contents = {self.content(defect, language) for language in LANGUAGES}
            self.assertEqual(1 if defect in ("binary", "empty") else 4, len(contents), defect)

    def test_unknown_names_are_refused(self) -> None:
        """An unknown defect or language raises ValueError with all choices and a suggestion."""
        defects = ", ".join(DEFECTS)
        for arguments, text in (
            (("runtime",), f"unknown error_type 'runtime'; choose one of {defects}"),
            (
                ("utf-16",),
                f"unknown error_type 'utf-16' (did you mean 'utf16'?); choose one of {defects}",
            ),
            (
                ("Syntax",),
                f"unknown error_type 'Syntax' (did you mean 'syntax'?); choose one of {defects}",
            ),
            (([],), f"unknown error_type []; choose one of {defects}"),
            (("syntax", "go"), "unknown language 'go'; choose one of python, javascript, rust, c"),
            (
                ("syntax", "javascripts"),
                "unknown language 'javascripts' (did you mean 'javascript'?); "
                "choose one of python, javascript, rust, c",
            ),
        ):
            with self.subTest(text), self.assertRaises(ValueError) as caught:
                self.files.create_error_file("a", *arguments)  # type: ignore[arg-type]
            self.assertEqual(text, str(caught.exception))
        self.assertFalse((self.files.workspace / "a").exists())


if __name__ == "__main__":
    unittest.main()
