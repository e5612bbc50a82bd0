"""Checks of a file name's text: it is relative, stays below the workspace, and is not too long."""

from __future__ import annotations

import errno
import os
import pathlib
from typing import Final, NoReturn, TypeAlias

from itf.exceptions import WorkspaceEscapeError
from itf.safe_repr import safe_repr

__all__ = [
    "TEMPORARY_NAME_BYTES",
    "Parts",
    "check_lengths",
    "original_name",
    "raise_escape_error",
    "split_name",
]

__unittest = True

Parts: TypeAlias = tuple[str, ...]
"""Components of a path relative to the workspace: ``("src", "a.py")``."""

TEMPORARY_NAME_BYTES: Final = 21
"""Length of the name under which a file is written, before it is renamed."""

# Used where os.pathconf does not exist or fails.  Nearly every file system allows these.
_COMMON_LIMITS: Final = {"PC_NAME_MAX": 255, "PC_PATH_MAX": 4096}


def split_name(name: object, subdir: object, root: pathlib.Path) -> Parts:
    """Return the path components of a name in a subfolder of the workspace.

    This function does not read the file system: links are resolved later, by
    `relative_paths.resolve_below`.

    Args:
        name: Name or relative path of a file.
        subdir: Relative path of the folder that contains it; ``""`` for the root.
        root: Directory of the workspace; used in the error message.

    Raises:
        TypeError: The name or the subfolder is not text.
        ValueError: The result is not the name of a file: it is empty, ``"."``,
            or contains a NUL or a surrogate that no file system can store.
        WorkspaceEscapeError: The path is absolute or contains ``".."``.
    """
    subdir_text, name_text = _path_text("subdir", subdir), _path_text("name", name)
    joined = os.path.join(subdir_text, name_text)
    path = pathlib.PurePath(joined)
    if path.is_absolute() or path.drive or ".." in path.parts or os.path.isabs(name_text):
        raise_escape_error(joined, "it is absolute or has a '..'", root)
    if not path.parts or not pathlib.PurePath(name_text).parts or "\0" in joined:
        raise ValueError(f"{joined!r} is not the name of a file")
    return tuple(_encode_for_disk(part) for part in path.parts)


def raise_escape_error(name: str, reason: str, root: str | os.PathLike[str]) -> NoReturn:
    """Raise the error for a name that leads out of the workspace."""
    raise WorkspaceEscapeError(
        f"{name!r} leads out of the workspace {os.fspath(root)!r}: {reason}; "
        "give a relative name below it"
    )


def check_lengths(parts: Parts, root: pathlib.Path) -> None:
    """Raise the error for a name, or a whole path, that is too long for the system.

    The system would raise the same error, but without the limit, and in a tree
    of files only after other files have been written.

    Raises:
        OSError: With errno ENAMETOOLONG, the limit and the length in bytes.
    """
    longest_name = _system_limit("PC_NAME_MAX", root)
    for part in parts:
        length = len(os.fsencode(part))
        if length > longest_name:
            raise OSError(
                errno.ENAMETOOLONG,
                f"the name has {length} bytes, the file system allows {longest_name}; shorten it",
                original_name(part),
            )
    path = os.fsencode(root.joinpath(*parts))
    # PATH_MAX counts the zero byte that ends a string in C.  A file is first
    # written under a temporary name, which may be longer than its own.
    unused_by_own_name = max(0, TEMPORARY_NAME_BYTES - len(os.fsencode(parts[-1])))
    longest_path = _system_limit("PC_PATH_MAX", root) - 1 - unused_by_own_name
    if len(path) > longest_path:
        raise OSError(
            errno.ENAMETOOLONG,
            f"the whole path has {len(path)} bytes, at most {longest_path} are possible here; "
            "shorten it",
            original_name(os.path.join(*parts)),
        )


def _path_text(label: str, value: object) -> str:
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"{label} must be a str, got {safe_repr(value)}")
    return text


def _encode_for_disk(part: str) -> str:
    """Return the text that Python's file functions turn into the UTF-8 bytes of a name.

    In a UTF-8 locale this is the name itself.  In another locale (``LC_ALL=C``)
    Python cannot encode an "ä", so each UTF-8 byte becomes a surrogate, as in
    the names that `os.listdir` returns there.
    """
    try:
        return os.fsdecode(part.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{part!r} is not the name of a file: no name on disk has a {part[error.start]!r}"
        ) from None


def original_name(part: str) -> str:
    """Return the name that `split_name` was given; the inverse of its encoding for the disk."""
    return os.fsencode(part).decode("utf-8", "surrogateescape")


def _system_limit(name: str, root: pathlib.Path) -> int:
    try:
        return os.pathconf(root, name) if hasattr(os, "pathconf") else _COMMON_LIMITS[name]
    except (OSError, ValueError):
        # The directory was removed, or this system does not know the limit's name.
        return _COMMON_LIMITS[name]
