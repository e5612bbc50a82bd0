"""Parts of an atomic write: fill a temporary file, check that the target is not a folder."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
from collections.abc import Callable
from typing import Final

from itf.exception_notes import add_note

__all__ = ["BINARY", "check_no_folder", "fill_new_file", "write_all"]

__unittest = True

BINARY: Final = getattr(os, "O_BINARY", 0)
"""Flag for `os.open`: without it Windows translates line ends; other systems do not have it."""


def check_no_folder(path: pathlib.Path) -> bool:
    """Return whether a file exists.

    Raises:
        IsADirectoryError: The path is a folder.  `os.replace` would raise the
            same error, but only after a large file was written.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return True


def fill_new_file(path: pathlib.Path, fill: Callable[[int], int], mode: int | None) -> int:
    """Create a file, call a function that fills it, and set its permission bits.

    Args:
        path: The file, which must not exist.
        fill: Function that gets the file's descriptor and returns the size in bytes.
        mode: Permission bits; None for 0666 without the bits of the umask.

    Returns:
        The file's size in bytes.

    Raises:
        OSError: Writing failed; a note says after how many bytes.  The caller
            removes the file.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
    try:
        size = fill(file)
    except OSError as error:
        written = os.lseek(file, 0, os.SEEK_CUR)
        add_note(error, f"writing failed after {written} bytes; the partial file is removed")
        raise
    finally:
        os.close(file)
    if mode is not None:
        os.chmod(path, mode)
    return size


def write_all(file: int, chunk: bytes | memoryview) -> int:
    """Write all bytes of a chunk to a descriptor, and return their number."""
    size = written = os.write(file, chunk)
    while size < len(chunk):
        # A write is short if the disk is nearly full or a size limit is near.
        # The next write raises the error, if there is one.
        written = os.write(file, memoryview(chunk)[size:])
        size += written
    return size
