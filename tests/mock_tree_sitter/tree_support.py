from __future__ import annotations

import random
import unittest
from collections.abc import Iterator

from itf import sample_code_files
from itf.mock_tree_sitter import Language, Node, Parser, Point, Tree, TreeCursor

__all__ = ["LANGUAGES", "SyntaxTestCase", "mutated", "parse", "walked", "written"]

LANGUAGES = {"python": "py", "javascript": "js", "rust": "rs", "c": "c"}

# Insertions that are likely to make a source invalid.
_PIECES = (
    *(b"( ) [ ] { } \" ' \"\"\" ''' \\ # : , ; = * ** @ ` /".split()),
    *(b"// /* */ ! := -> => ... 0x 1e #[".split()),
    *(b"def class if else match case lambda for in async with try except yield print type".split()),
    *(b"struct fn pub( export import from f\" f'{ rb' \xff \0 \xef\xbb\xbf \xe4\xbd\xa0".split()),
    *(b"\n", b"\r\n", b"\t", b"    ", b"\\\n", b"#\n", b"\x0c"),
)


def parse(source: bytes | str, language: str = "python") -> Tree:
    """Parse a source of a language."""
    return Parser(Language(language)).parse(source.encode() if isinstance(source, str) else source)


def walked(tree: Tree) -> Iterator[Node]:
    """Yield all nodes of a tree in preorder, using a cursor."""
    cursor: TreeCursor = tree.walk()
    while True:
        assert cursor.node is not None
        yield cursor.node
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def written(node: Node) -> str:
    """Return a node's S-expression as `str` does, with tokens included."""
    parts: list[str] = []
    waiting: list[tuple[Node | str, str | None]] = [(node, None)]
    while waiting:
        item, field = waiting.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        label = f"{field}: " if field else ""
        name = item.type if item.is_named else f'"{item.type}"'
        if not item.is_named and not item.child_count:
            parts.append(f" {label}{name}")
            continue
        parts.append(f" {label}({name}")
        waiting.append((")", None))
        children = [
            (child, item.field_name_for_child(index)) for index, child in enumerate(item.children)
        ]
        waiting.extend(reversed(children))
    return "".join(parts).strip()


def mutated(seed: int) -> tuple[str, bytes]:
    """Return a language and a randomly damaged source in it; the seed determines both."""
    rng = random.Random(seed)
    language = rng.choice([*LANGUAGES, "python", "python", "unknown"])
    suffix = LANGUAGES.get(language, "c")
    source = sample_code_files()[f"example.{suffix}"].encode()
    if rng.randrange(3) == 0:
        return language, b" ".join(rng.choices(_PIECES, k=rng.randrange(60)))
    for _ in range(rng.randrange(1, 8)):
        place = rng.randrange(len(source) + 1)
        match rng.randrange(3):
            case 0:
                source = source[:place] + rng.choice(_PIECES) + source[place:]
            case 1:
                source = source[:place] + source[place + rng.randrange(40) :]
            case _:
                source = source[:place] + bytes([rng.randrange(256)]) + source[place + 1 :]
    return language, source


class SyntaxTestCase(unittest.TestCase):
    """Base with assertions about trees."""

    def assert_sound(self, tree: Tree) -> None:
        """Check that spans are nested and ordered, and that bytes, points and text agree."""
        source = tree.source
        root = tree.root_node
        self.assertIsNone(root.parent)
        self.assertEqual(len(source), root.end_byte)
        count = 0
        for node in walked(tree):
            count += 1
            start, end = node.byte_range
            self.assertLessEqual(0, start)
            self.assertLessEqual(start, end)
            self.assertEqual(source[start:end], node.text)
            self.assertEqual(self.point(source, start), node.start_point)
            self.assertEqual(self.point(source, end), node.end_point)
            for child in node.children:
                self.assertLessEqual(start, child.start_byte)
                self.assertLessEqual(child.end_byte, node.end_byte)
                self.assertEqual(node, child.parent)
                start = child.end_byte
        self.assertEqual(root.descendant_count, count)

    def point(self, source: bytes, offset: int) -> Point:
        """Return row and column of a byte, by a simple count as the reference."""
        before = source[:offset]
        return Point(before.count(b"\n"), offset - before.rfind(b"\n") - 1)

    def only(self, source: bytes | str, language: str = "python") -> Node:
        """Parse a source, and return the only child of the root."""
        (node,) = parse(source, language).root_node.children
        return node
