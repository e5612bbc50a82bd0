"""Plans for trees of files that are given as nested mappings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from itf.file_generation.file_content import encode_content
from itf.file_generation.path_checks import Parts
from itf.safe_repr import safe_repr

__all__ = ["Tree", "plan_tree"]

__unittest = True

Tree: TypeAlias = "Mapping[str, str | bytes | Tree]"
"""Mapping from name to the content of a file, or to a mapping with the content of a folder."""


def plan_tree(
    tree: Tree, subdir: object, check_name: Callable[[object, object], Parts]
) -> dict[Parts, bytes | None]:
    """Check a tree, and return the content of each file, and None for each folder.

    The whole tree is checked here, before its first file is written, so that an
    error leaves no half of a tree behind.

    Args:
        tree: The tree.
        subdir: Folder of the workspace that contains the tree.
        check_name: Function that checks a name in a folder and returns the path
            components of the two.

    Returns:
        Bytes or None by path components; each folder before its content.

    Raises:
        TypeError: A content is not text, bytes or a mapping.
        ValueError: A name occurs twice, a name is used for both a file and a
            folder, or a mapping contains itself.
    """
    planned: dict[Parts, bytes | None] = {}
    for parts, content, shown in _walk(tree, subdir, check_name):
        old = planned.get(parts)
        if parts in planned and not (old is content is None):
            raise ValueError(f"{shown} occurs twice in the tree; give it once")
        for depth in range(1, len(parts)):
            if planned.get(parts[:depth]) is not None:
                raise ValueError(f"{shown} is below a name that the same tree uses for a file")
            # Record the parent as a folder, so that a later entry of the tree
            # cannot use its name for a file.
            planned.setdefault(parts[:depth], None)
        planned[parts] = content
    return planned


def _walk(
    tree: Tree, subdir: object, check_name: Callable[[object, object], Parts]
) -> Iterator[tuple[Parts, bytes | None, str]]:
    """Yield path components, content and displayed name of each entry, folders first."""
    # A stack instead of recursion: a path may have about 2,000 components, more
    # than Python's recursion limit.
    pending: list[tuple[Any, object, frozenset[int]]] = [(tree, subdir, frozenset())]
    while pending:
        inner, folder, ancestors = pending.pop()
        if not isinstance(inner, Mapping):
            raise TypeError(
                f"a tree must be a mapping from name to content, got {safe_repr(inner)}"
            )
        if id(inner) in ancestors:
            raise ValueError(f"the tree contains itself, at {safe_repr(folder)}")
        for name, content in inner.items():
            parts = check_name(name, folder)
            shown = "/".join(parts)
            if isinstance(content, Mapping):
                yield parts, None, repr(shown)
                pending.append((content, shown, ancestors | {id(inner)}))
            else:
                yield parts, encode_content(f"the content of {shown!r}", content), repr(shown)
