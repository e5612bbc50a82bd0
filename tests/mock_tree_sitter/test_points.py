from __future__ import annotations

import copy
import pickle
import unittest

from itf.mock_tree_sitter import Point, Range


class PointTest(unittest.TestCase):
    def test_a_point_is_a_tuple(self) -> None:
        """A point compares and hashes like a tuple, and keeps its class in pickles and copies."""
        point = Point(1, 2)
        self.assertEqual((1, 2), (point.row, point.column))
        self.assertEqual((1, 2), point)
        self.assertEqual(hash((1, 2)), hash(point))
        self.assertLess(point, Point(1, 3))
        self.assertEqual(point, Point(row=1, column=2))
        row, column = point
        self.assertEqual((1, 2), (row, column))
        self.assertEqual("<Point row=1, column=2>", repr(point))
        for other in (pickle.loads(pickle.dumps(point)), copy.deepcopy(point)):
            self.assertEqual((Point, point), (type(other), other))

    def test_a_point_needs_two_integers(self) -> None:
        """Other arguments raise TypeError."""
        for arguments in ((1,), ("a", 2), (1.5, 2)):
            with self.assertRaises(TypeError):
                Point(*arguments)  # type: ignore[arg-type]

    def test_edit(self) -> None:
        """edit returns the point and its byte after an edit that begins at the point."""
        self.assertEqual((Point(2, 3), 9), Point(1, 1).edit(4, 4, 9, (1, 1), (1, 1), (2, 3)))


class RangeTest(unittest.TestCase):
    def test_attributes(self) -> None:
        """A range has points and bytes, compares by them, and is immutable."""
        one = Range((0, 1), Point(0, 3), 1, 3)
        self.assertEqual((Point(0, 1), Point(0, 3)), (one.start_point, one.end_point))
        self.assertIsInstance(one.start_point, Point)
        self.assertEqual((1, 3), (one.start_byte, one.end_byte))
        same = Range(start_point=(0, 1), end_point=(0, 3), start_byte=1, end_byte=3)
        self.assertEqual((one, hash(one)), (same, hash(same)))
        self.assertNotEqual(one, Range((0, 1), (0, 4), 1, 4))
        self.assertNotEqual(one, ((0, 1), (0, 3), 1, 3))
        self.assertEqual(
            "<Range start_point=(0, 1), end_point=(0, 3), start_byte=1, end_byte=3>", repr(one)
        )
        with self.assertRaises(AttributeError):
            one.start_byte = 3  # type: ignore[misc]

    def test_an_end_before_the_start_is_refused(self) -> None:
        """This raises ValueError for bytes and for points; a malformed point raises TypeError."""
        for arguments, kind, text in (
            (((0, 0), (0, 3), 3, 0), ValueError, "Invalid byte range: 3 to 0"),
            (((0, 3), (0, 0), 0, 3), ValueError, "Invalid point range: (0, 3) to (0, 0)"),
            ((1, (0, 0), 0, 3), TypeError, "a point is a row and a column, not int"),
        ):
            with self.subTest(text), self.assertRaises(kind) as caught:
                Range(*arguments)  # type: ignore[arg-type]
            self.assertEqual(text, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
