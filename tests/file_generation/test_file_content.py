from __future__ import annotations

import os
import unittest

from itf.file_generation.file_content import encode_content, size_in_bytes
from tests.file_generation.given_directory import GivenDirectoryTestCase


class SizeTest(unittest.TestCase):
    """`size_in_bytes`."""

    def test_a_part_of_a_byte_is_a_byte(self) -> None:
        """Sizes are rounded up."""
        for size, expected in ((0, 0), (1, 1024**2), (0.5, 1024**2 // 2), (1e-9, 1), (2.0, 2**21)):
            self.assertEqual(expected, size_in_bytes(size))

    def test_very_large_sizes(self) -> None:
        """A size whose number of bytes is beyond the range of floats is exact."""
        self.assertEqual(int(1e308) * 1024**2, size_in_bytes(1e308))
        self.assertEqual(10**400 * 1024**2, size_in_bytes(10**400))


class ContentTest(GivenDirectoryTestCase):
    """`encode_content`, and the methods that use it."""

    def test_text_and_bytes(self) -> None:
        """Text becomes UTF-8 without a change of line ends, bytes-like objects become bytes."""
        self.assertEqual(b"\xc3\xa4\r\n", encode_content("content", "ä\r\n"))
        for value in (b"\xff", bytearray(b"\xff"), memoryview(b"\xff")):
            self.assertEqual(b"\xff", encode_content("content", value))

    def test_a_surrogate_in_a_content(self) -> None:
        """A surrogate in a text raises ValueError with its index, and writes nothing."""
        for create in (
            lambda: self.files.create_file("a", "ab\ud800"),
            lambda: self.files.create_tree({"a": "ab\ud800"}),
        ):
            with self.assertRaisesRegex(
                ValueError,
                r"content.* has a surrogate, '\\ud800', at index 2, which UTF-8 cannot encode; "
                "give bytes",
            ):
                create()
        self.assertEqual([], os.listdir(self.root))


if __name__ == "__main__":
    unittest.main()
