"""What file systems have beside plain files: loops, closed doors, and holes."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Final

from itf.generating.arguments import as_bytes, check_count
from itf.generating.place import Place, write_all
from itf.generating.trees import Tree, plan_tree
from itf.generating.walk import Spot
from itf.texts import safe_repr

__all__ = ["LOOPS", "can_be_read", "make_folder", "make_loop", "make_sparse", "make_unreadable"]

__unittest = True

# What the systems count the bytes of a file with.
_LARGEST: Final = 2**63 - 1

LOOPS: Final = ("links", "folder")
"""The kinds of `make_loop`."""

Parts = tuple[str, ...]


def make_loop(place: Place, parts: Parts, kind: str, length: int) -> None:
    """Make links from one to the next and back, or a link to the folder that it is in."""
    *folder, first = parts
    if kind == "folder":
        place.make_new(parts, lambda spot: _link(os.curdir, spot))
        return
    names = [first, *(f"{first}-{number}" for number in range(2, length + 1))]
    # All are checked before the first is made.
    ways = [place.parts_of(os.path.join(*folder, name)) for name in names]
    for way, target in zip(ways, [*names[1:], first], strict=True):
        place.make_new(way, lambda spot, target=target: _link(target, spot))  # type: ignore[misc]


def _link(target: str, spot: Spot) -> None:
    os.symlink(target, spot.name, dir_fd=spot.folder)


def make_folder(place: Place, parts: Parts) -> None:
    """Make a folder that must not be there yet."""
    place.make_new(parts, lambda spot: os.mkdir(spot.name, dir_fd=spot.folder))


def make_unreadable(place: Place, parts: Parts, content: str | bytes | Tree) -> None:
    """Make a file, or for a mapping a folder, without any permission."""
    if not isinstance(content, Mapping):
        place.write(parts, [as_bytes("content", content)], mode=0)
        return
    planned = plan_tree(content, os.path.join(*parts), place.parts_of)
    make_folder(place, parts)
    place.write_tree(planned)
    place.change_mode(parts, 0)


def can_be_read(path: str | os.PathLike[str]) -> bool:
    """Say whether this thread can read a file or list a folder, whatever its permissions are."""
    try:
        os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return False
    return True


def make_sparse(place: Place, parts: Parts, size: int, data: Mapping[int, bytes]) -> None:
    """Make a file of holes, with data at some offsets."""
    if not isinstance(data, Mapping):
        raise TypeError(f"data must be a mapping of offsets, got {safe_repr(data)}")
    islands: dict[int, bytes] = {}
    for offset, piece in data.items():
        island = as_bytes("data", piece)
        end = check_count("an offset in data", offset) + len(island)
        if end > size:
            raise ValueError(f"data ends at byte {end}, beyond the size of {size}")
        islands[offset] = island

    def fill(file: int) -> int:
        if size > _LARGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        os.truncate(file, size)
        for offset, island in islands.items():
            os.lseek(file, offset, os.SEEK_SET)
            write_all(file, island)
        return size

    place.fill(parts, fill)
