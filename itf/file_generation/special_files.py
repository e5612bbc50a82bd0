"""Special files: loops of links, files without permissions, and sparse files."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Mapping
from typing import Final

from itf.file_generation.atomic_write import write_all
from itf.file_generation.file_content import encode_content
from itf.file_generation.path_checks import Parts
from itf.file_generation.trees import Tree, plan_tree
from itf.file_generation.workspace_root import WorkspaceRoot
from itf.safe_repr import safe_repr
from itf.validation import check_integer

__all__ = [
    "LOOP_KINDS",
    "create_link_loop",
    "create_new_folder",
    "create_sparse_file",
    "create_unreadable",
    "is_readable",
]

__unittest = True

# File sizes and offsets are signed 64-bit integers.
_LARGEST_FILE_SIZE: Final = 2**63 - 1

LOOP_KINDS: Final = ("links", "folder")
"""Kinds of loops that `create_link_loop` creates."""


def create_link_loop(root: WorkspaceRoot, parts: Parts, kind: str, length: int) -> None:
    """Create links that point to one another in a circle, or a link to its own folder.

    Args:
        root: The workspace.
        parts: Path components of the first link.
        kind: One of `LOOP_KINDS`.
        length: Number of links in the circle, at least 1; ignored for ``folder``.

    Raises:
        FileExistsError: The name of one of the links is in use.
    """
    *folder, first = parts
    if kind == "folder":
        root.create_new(parts, lambda path: os.symlink(os.curdir, path))
        return
    names = [first, *(f"{first}-{number}" for number in range(2, length + 1))]
    # Check all names before the first link is created: "-2" makes a name longer.
    links = [root.check_name(os.path.join(*folder, name)) for name in names]
    for link, target in zip(links, [*names[1:], first], strict=True):
        root.create_new(link, functools.partial(os.symlink, target))


def create_new_folder(root: WorkspaceRoot, parts: Parts) -> None:
    """Create a folder.

    Raises:
        FileExistsError: The name is in use, also if it is that of a folder.
    """
    root.create_new(parts, os.mkdir)


def create_unreadable(root: WorkspaceRoot, parts: Parts, content: str | bytes | Tree) -> None:
    """Create a file, or a folder if the content is a mapping, without any permission bits.

    Raises:
        FileExistsError: The folder's name is in use.  A file is replaced.
    """
    if not isinstance(content, Mapping):
        root.write_file(parts, [encode_content("content", content)], mode=0)
        return
    planned = plan_tree(content, os.path.join(*parts), root.check_name)
    create_new_folder(root, parts)
    root.write_tree(planned)
    # Last, because nothing can be written into the folder without permissions.
    root.change_mode(parts, 0)


def is_readable(path: str | os.PathLike[str]) -> bool:
    """Return whether this thread can read a file or list a folder.

    The permission bits do not tell: root can read everything.
    """
    try:
        os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return False
    return True


def create_sparse_file(
    root: WorkspaceRoot, parts: Parts, size: int, data: Mapping[int, bytes]
) -> None:
    """Create a file that uses disk space for some pieces of data alone; the rest reads as zeros.

    Args:
        root: The workspace.
        parts: Path components of the file.
        size: Size of the file in bytes.
        data: Bytes to write, by their offset from the start of the file.

    Raises:
        TypeError: The data is not a mapping of int to bytes.
        ValueError: A piece of data goes beyond the size, or an offset is negative.
        OSError: With errno EFBIG: the file system does not allow the size.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"data must be a mapping from offset to bytes, got {safe_repr(data)}")
    pieces: dict[int, bytes] = {}
    for offset, value in data.items():
        piece = encode_content("data", value)
        end = check_integer("an offset in data", offset, 0) + len(piece)
        if end > size:
            raise ValueError(f"data ends at byte {end}, beyond the size of {size}")
        pieces[offset] = piece

    def fill(file: int) -> int:
        if size > _LARGEST_FILE_SIZE:
            # os.truncate would raise OverflowError, which has no file name.
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        os.truncate(file, size)
        for offset, piece in pieces.items():
            os.lseek(file, offset, os.SEEK_SET)
            write_all(file, piece)
        return size

    root.fill_file(parts, fill)
