"""Small random damage to a file, as a fuzzer does it; the same seed does the same damage."""

from __future__ import annotations

import os
import random
import stat
from typing import Final, NamedTuple

from itf.exceptions import WorkspaceEscapeError
from itf.file_generation.path_checks import Parts
from itf.file_generation.workspace_root import WorkspaceRoot
from itf.fork_safety import fork_safe_lock

__all__ = ["Mutation", "mutate_file"]

__unittest = True

# Largest number of bytes that one mutation deletes, duplicates or swaps.
_LONGEST_PIECE: Final = 32

# Size in bytes from which a file is changed in place.  Inserting bytes would
# rewrite everything behind them, which is slow, and fills the holes of a sparse file.
_IN_PLACE_SIZE: Final = 64 * 1024 * 1024

# Bytes that parsers and decoders often handle wrongly.
_TROUBLESOME_BYTES: Final = (
    b"\x00", b"\x7f", b"\x80", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\n", b"\r", b"\t", b"'", b'"', b"\\", b"(", b")", b"[", b"{", b"}", b"%s", b"/*",
)  # fmt: skip


class Mutation(NamedTuple):
    """A change of a file: at one offset, some bytes were replaced by others.

    ``content[:offset] + removed + rest`` became ``content[:offset] + inserted + rest``,
    so the change can be reported and undone.
    """

    kind: str
    """``flip``, ``set``, ``insert``, ``delete``, ``double``, ``swap`` or ``truncate``."""
    offset: int
    """Bytes from the start of the file."""
    removed: bytes
    """Bytes that were there before."""
    inserted: bytes
    """Bytes that are there now."""

    def __str__(self) -> str:
        return f"{self.kind} at byte {self.offset}: {self.removed!r} -> {self.inserted!r}"


class _SeededChoices:
    """Random choices that are the same for a seed in every version of Python.

    `random.Random` promises that for its method ``random()`` alone.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, end: int) -> int:
        """Choose an integer from 0 to before end."""
        return int(self._random() * end)

    def piece(self, size: int) -> tuple[int, int]:
        """Choose the offset and length (1 or more) of a piece of a content of a size above 0."""
        offset = self.below(size)
        return offset, 1 + self.below(min(_LONGEST_PIECE, (size - offset) // 2))


def mutate_file(root: WorkspaceRoot, parts: Parts, seed: int) -> Mutation:
    """Damage a regular file, and return the change."""
    # Without the lock, two threads could read the same content, and the thread
    # that writes last would undo the other thread's mutation.
    with fork_safe_lock(root, "_itf_mutating"):
        with root.open_file(parts, os.O_RDONLY) as file:
            status = os.fstat(file)
            content = b"" if status.st_size >= _IN_PLACE_SIZE else _read(file)
        if status.st_size >= _IN_PLACE_SIZE:
            return _mutate_in_place(root, parts, seed)
        mutation = _choose_mutation(content, _SeededChoices(seed))
        head, tail = content[: mutation.offset], content[mutation.offset + len(mutation.removed) :]
        root.write_file(parts, [head + mutation.inserted + tail], stat.S_IMODE(status.st_mode))
        return mutation


def _read(file: int) -> bytes:
    with open(file, "rb", closefd=False) as stream:
        return stream.read()


def _mutate_in_place(root: WorkspaceRoot, parts: Parts, seed: int) -> Mutation:
    """Flip one bit of a large file without replacing the file."""
    choices = _SeededChoices(seed)
    with root.open_file(parts, os.O_RDWR) as file:
        status = os.fstat(file)
        if status.st_nlink > 1:
            raise WorkspaceEscapeError(
                f"{str(root.path_of(parts))!r} has another name (a hard link), perhaps outside "
                "the workspace, and would be changed there too; mutate a copy of it"
            )
        offset = choices.below(status.st_size)
        os.lseek(file, offset, os.SEEK_SET)
        flipped = _flip(os.read(file, 1), choices)
        os.lseek(file, offset, os.SEEK_SET)
        os.write(file, flipped.inserted)
    return flipped._replace(offset=offset)


def _choose_mutation(content: bytes, choices: _SeededChoices) -> Mutation:
    """Choose a mutation that changes the content."""
    if not content:
        return _insert(content, choices)
    kinds = (_flip, _set, _insert, _delete, _double, _swap, _truncate)
    mutation = kinds[choices.below(len(kinds))](content, choices)
    # "swap" of two equal pieces and "set" to the same bytes change nothing; a
    # flipped bit always does.
    return mutation if mutation.removed != mutation.inserted else _flip(content, choices)


def _flip(content: bytes, choices: _SeededChoices) -> Mutation:
    offset = choices.below(len(content))
    old = content[offset]
    return Mutation("flip", offset, bytes((old,)), bytes((old ^ 1 << choices.below(8),)))


def _set(content: bytes, choices: _SeededChoices) -> Mutation:
    offset = choices.below(len(content))
    new = _TROUBLESOME_BYTES[choices.below(len(_TROUBLESOME_BYTES))]
    return Mutation("set", offset, content[offset : offset + len(new)], new)


def _insert(content: bytes, choices: _SeededChoices) -> Mutation:
    offset = choices.below(len(content) + 1)
    new = _TROUBLESOME_BYTES[choices.below(len(_TROUBLESOME_BYTES))]
    return Mutation("insert", offset, b"", new)


def _delete(content: bytes, choices: _SeededChoices) -> Mutation:
    offset, length = choices.piece(len(content))
    return Mutation("delete", offset, content[offset : offset + length], b"")


def _double(content: bytes, choices: _SeededChoices) -> Mutation:
    offset, length = choices.piece(len(content))
    return Mutation("double", offset, b"", content[offset : offset + length])


def _swap(content: bytes, choices: _SeededChoices) -> Mutation:
    offset, length = choices.piece(len(content))
    removed = content[offset : offset + 2 * length]
    return Mutation("swap", offset, removed, removed[length:] + removed[:length])


def _truncate(content: bytes, choices: _SeededChoices) -> Mutation:
    length = 1 + choices.below(min(_LONGEST_PIECE, len(content) // 2))
    return Mutation("truncate", len(content) - length, content[-length:], b"")
