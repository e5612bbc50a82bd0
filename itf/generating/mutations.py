"""A fuzzer's small damage to a file: one place, a few bytes, the same for the same seed."""

from __future__ import annotations

import os
import random
import stat
from typing import Final, NamedTuple

from itf.exceptions import WorkspaceEscapeError
from itf.forks import lock_of
from itf.generating.place import Place

__all__ = ["Mutation", "mutate_file"]

__unittest = True

# At most so many bytes are cut out, doubled, or exchanged.
_MOST_BYTES: Final = 32

# From this size on, in bytes, a file is damaged in its place: to move what is
# behind the damage would take long, and fill the holes of a sparse file.
_LARGE: Final = 64 * 1024 * 1024

# What parsers and decoders stumble over.
_INTERESTING: Final = (
    b"\x00", b"\x7f", b"\x80", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\n", b"\r", b"\t", b"'", b'"', b"\\", b"(", b")", b"[", b"{", b"}", b"%s", b"/*",
)  # fmt: skip


class Mutation(NamedTuple):
    """What was done to a file: at one place, bytes were replaced by others.

    ``content[:offset] + removed + rest`` became ``content[:offset] + inserted + rest``,
    so that it can be told, and taken back.
    """

    kind: str
    """``flip``, ``set``, ``insert``, ``delete``, ``double``, ``swap`` or ``truncate``."""
    offset: int
    """Where, in bytes from the start."""
    removed: bytes
    """What was there."""
    inserted: bytes
    """What is there now."""

    def __str__(self) -> str:
        return f"{self.kind} at byte {self.offset}: {self.removed!r} -> {self.inserted!r}"


class _Dice:
    # Of all that a Random has, random() alone gives the same in every version.

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, end: int) -> int:
        return int(self._random() * end)

    def piece(self, size: int) -> tuple[int, int]:
        """Choose a place and a length, at least 1, within a size of at least 1."""
        offset = self.below(size)
        return offset, 1 + self.below(min(_MOST_BYTES, (size - offset) // 2))


def mutate_file(place: Place, parts: tuple[str, ...], seed: int) -> Mutation:
    """Damage a file, and say how."""
    # Two threads that read the same content would undo one another's damage.
    with lock_of(place, "_itf_mutating"):
        with place.opened(parts, os.O_RDONLY) as file:
            status = os.fstat(file)
            content = b"" if status.st_size >= _LARGE else _read(file)
        if status.st_size >= _LARGE:
            return _damage_in_place(place, parts, seed)
        mutation = _choose(content, _Dice(seed))
        head, tail = content[: mutation.offset], content[mutation.offset + len(mutation.removed) :]
        place.write(parts, [head + mutation.inserted + tail], stat.S_IMODE(status.st_mode))
        return mutation


def _read(file: int) -> bytes:
    with open(file, "rb", closefd=False) as stream:
        return stream.read()


def _damage_in_place(place: Place, parts: tuple[str, ...], seed: int) -> Mutation:
    dice = _Dice(seed)
    with place.opened(parts, os.O_RDWR) as file:
        status = os.fstat(file)
        if status.st_nlink > 1:
            raise WorkspaceEscapeError(
                f"{str(place.path_of(parts))!r} has another name (a hard link), maybe outside "
                "of the workspace, and would be damaged there, too; make a copy of it"
            )
        offset = dice.below(status.st_size)
        os.lseek(file, offset, os.SEEK_SET)
        flipped = _flip(os.read(file, 1), dice)
        os.lseek(file, offset, os.SEEK_SET)
        os.write(file, flipped.inserted)
    return flipped._replace(offset=offset)


def _choose(content: bytes, dice: _Dice) -> Mutation:
    """Choose a mutation of some content, which it always changes."""
    if not content:
        return _insert(content, dice)
    kinds = (_flip, _set, _insert, _delete, _double, _swap, _truncate)
    mutation = kinds[dice.below(len(kinds))](content, dice)
    # Two equal pieces were exchanged, or a byte was set to what it was.
    return mutation if mutation.removed != mutation.inserted else _flip(content, dice)


def _flip(content: bytes, dice: _Dice) -> Mutation:
    offset = dice.below(len(content))
    old = content[offset]
    return Mutation("flip", offset, bytes((old,)), bytes((old ^ 1 << dice.below(8),)))


def _set(content: bytes, dice: _Dice) -> Mutation:
    offset = dice.below(len(content))
    new = _INTERESTING[dice.below(len(_INTERESTING))]
    return Mutation("set", offset, content[offset : offset + len(new)], new)


def _insert(content: bytes, dice: _Dice) -> Mutation:
    offset = dice.below(len(content) + 1)
    return Mutation("insert", offset, b"", _INTERESTING[dice.below(len(_INTERESTING))])


def _delete(content: bytes, dice: _Dice) -> Mutation:
    offset, length = dice.piece(len(content))
    return Mutation("delete", offset, content[offset : offset + length], b"")


def _double(content: bytes, dice: _Dice) -> Mutation:
    offset, length = dice.piece(len(content))
    return Mutation("double", offset, b"", content[offset : offset + length])


def _swap(content: bytes, dice: _Dice) -> Mutation:
    offset, length = dice.piece(len(content))
    removed = content[offset : offset + 2 * length]
    return Mutation("swap", offset, removed, removed[length:] + removed[:length])


def _truncate(content: bytes, dice: _Dice) -> Mutation:
    length = 1 + dice.below(min(_MOST_BYTES, len(content) // 2))
    return Mutation("truncate", len(content) - length, content[-length:], b"")
