"""A tree of files out of nested mappings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from itf.generating.arguments import as_bytes
from itf.texts import safe_repr

__all__ = ["Tree", "plan_tree"]

__unittest = True

Tree: TypeAlias = "Mapping[str, str | bytes | Tree]"
"""By name, the content of a file, or what is in a folder."""

Parts = tuple[str, ...]


def plan_tree(
    tree: Tree, subdir: object, parts_of: Callable[[object, object], Parts]
) -> dict[Parts, bytes | None]:
    """Return what is to be made, by its place: a file's content, or None for a folder.

    All of it is checked: what is wrong is told before anything is written.

    Args:
        tree: The tree.
        subdir: The folder that it is to be in.
        parts_of: Checks a name and its folder, and returns their parts.

    Raises:
        TypeError: A content is neither text nor bytes nor a mapping.
        ValueError: A name occurs twice, is both a file and a folder, or a
            mapping is inside itself.
    """
    planned: dict[Parts, bytes | None] = {}
    for parts, content, where in _walk(tree, subdir, parts_of):
        old = planned.get(parts)
        if parts in planned and not (old is content is None):
            raise ValueError(f"{where} is in the tree twice; give it once")
        for depth in range(1, len(parts)):
            if planned.get(parts[:depth]) is not None:
                raise ValueError(f"{where} is below a name that is a file in the same tree")
            # A folder by now: nothing that comes later may be a file there.
            planned.setdefault(parts[:depth], None)
        planned[parts] = content
    return planned


def _walk(
    tree: Tree, subdir: object, parts_of: Callable[[object, object], Parts]
) -> Iterator[tuple[Parts, bytes | None, str]]:
    """Yield each name of a tree, each folder before what is in it."""
    # Without recursion, for a tree may be nested as deep as names can be long.
    todo: list[tuple[Any, object, frozenset[int]]] = [(tree, subdir, frozenset())]
    while todo:
        inner, folder, above = todo.pop()
        if not isinstance(inner, Mapping):
            raise TypeError(f"a tree must be a mapping of names, got {safe_repr(inner)}")
        if id(inner) in above:
            raise ValueError(f"the tree is inside itself, at {safe_repr(folder)}")
        for name, content in inner.items():
            parts = parts_of(name, folder)
            where = "/".join(parts)
            if isinstance(content, Mapping):
                yield parts, None, repr(where)
                todo.append((content, where, above | {id(inner)}))
            else:
                yield parts, as_bytes(f"the content of {where!r}", content), repr(where)
