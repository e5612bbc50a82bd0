from __future__ import annotations

import re
import sys
import unicodedata
import unittest

from itf.mock_tree_sitter import python_names
from itf.mock_tree_sitter.python_names import is_name
from tests.mock_tree_sitter.tree_support import parse

# Unicode version of the tables, the same as that of Python 3.15.
_TABLES = (17, 0)


def characters(ranges: str) -> list[str]:
    """Return the characters of ranges that are given in hexadecimal."""
    bounds = [[int(end, 16) for end in span.split("-")] for span in ranges.split()]
    return [chr(code) for pair in bounds for code in range(pair[0], pair[-1] + 1)]


class NameTest(unittest.TestCase):
    def test_identifiers_of_this_python(self) -> None:
        """Each character that this Python allows in an identifier, the parser allows too."""
        for code in range(0x80, sys.maxunicode + 1):
            if 0xD800 <= code < 0xE000:
                continue  # surrogates, which UTF-8 does not have
            for word in (chr(code), "a" + chr(code)):
                if word.isidentifier() and not is_name(word.encode()):
                    self.fail(f"{word!r} (U+{code:04X}) is a name to Python, not to the parser")

    def test_the_tables_are_those_of_python_3_15(self) -> None:
        """On a Python with this Unicode version or a newer one, tables and Python agree."""
        starts = characters(python_names._STARTS)
        followers = characters(python_names._FOLLOWERS)
        self.assertEqual((13919, 249), (len(starts), len(followers)))
        version = tuple(map(int, unicodedata.unidata_version.split(".")[:2]))
        for word in [*starts, *(f"a{follower}" for follower in followers)]:
            self.assertTrue(is_name(word.encode()), ascii(word))
            if version >= _TABLES:
                self.assertTrue(word.isidentifier(), ascii(word))
        for follower in followers:
            self.assertFalse(is_name(follower.encode()), ascii(follower))

    def test_new_letters_in_source_on_every_python(self) -> None:
        """A letter of Unicode 17.0 is an identifier, also on a Python with an older Unicode."""
        for word in ("\ua7f1", "a\u1acf", "\U00033479\U00011b60", "\u088f\u4f60\xe9_1"):
            with self.subTest(ascii(word)):
                self.assertEqual(
                    "(module (expression_statement (identifier)))",
                    str(parse(word).root_node),
                )

    def test_invalid_identifiers(self) -> None:
        """Symbols, words that begin with a digit, and invalid UTF-8 are no identifiers."""
        for word in ("€", "\U0001f600", "\u1acf", "\u30fb", "a€", "\u0661a"):
            with self.subTest(ascii(word)):
                self.assertFalse(is_name(word.encode()))
                self.assertTrue(parse(word).root_node.has_error)
        self.assertFalse(is_name(b"a\xff"))
        self.assertIsNone(re.search(r"[\x00-\x7f]", "".join(characters(python_names._STARTS))))


if __name__ == "__main__":
    unittest.main()
