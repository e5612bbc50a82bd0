"""Which names are names of files below a directory."""

from __future__ import annotations

import errno
import os
import pathlib
from typing import Final, NoReturn

from itf.exceptions import WorkspaceEscapeError
from itf.texts import safe_repr

__all__ = ["as_given", "check_lengths", "parts_of", "refuse"]

__unittest = True

# Where the system does not say: what nearly all of them take.
_USUAL_LIMITS: Final = {"PC_NAME_MAX": 255, "PC_PATH_MAX": 4096}


def parts_of(name: object, subdir: object, root: pathlib.Path) -> tuple[str, ...]:
    """Return the parts of a name below a directory.

    Args:
        name: The name, or the path, of a file.
        subdir: The folder it is below; ``""`` for the directory itself.
        root: The directory, for the message.

    Raises:
        TypeError: One of the two is no text.
        ValueError: Together they do not name a file.
        WorkspaceEscapeError: They lead out, as far as can be told from the text.
    """
    below, own = _text("subdir", subdir), _text("name", name)
    asked = os.path.join(below, own)
    parts = pathlib.PurePath(asked)
    if parts.is_absolute() or parts.drive or ".." in parts.parts or os.path.isabs(own):
        refuse(asked, "it is absolute or has a '..'", root)
    if not parts.parts or not pathlib.PurePath(own).parts or "\0" in asked:
        raise ValueError(f"{asked!r} is not the name of a file")
    return tuple(_on_disk(part) for part in parts.parts)


def refuse(asked: str, reason: str, root: str | os.PathLike[str]) -> NoReturn:
    """Raise the error for a name that leads out."""
    raise WorkspaceEscapeError(
        f"{asked!r} leads out of the workspace {os.fspath(root)!r}: {reason}; "
        "give a relative name below it"
    )


def check_lengths(parts: tuple[str, ...], root: pathlib.Path) -> None:
    """Refuse a name that the file system, or a path that the system, does not take.

    Raises:
        OSError: With errno ENAMETOOLONG, the limit, and what was got.
    """
    most = _limit("PC_NAME_MAX", root)
    for part in parts:
        size = len(os.fsencode(part))
        if size > most:
            raise OSError(
                errno.ENAMETOOLONG,
                f"a name of {size} bytes, and the file system takes {most}; shorten",
                as_given(part),
            )
    # With the zero byte that ends a path in C.
    size, most = len(os.fsencode(root.joinpath(*parts))) + 1, _limit("PC_PATH_MAX", root)
    if size > most:
        raise OSError(
            errno.ENAMETOOLONG,
            f"a path of {size - 1} bytes, and the system opens {most - 1}; shorten",
            as_given(os.path.join(*parts)),
        )


def _text(label: str, value: object) -> str:
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"{label} must be a str, got {safe_repr(value)}")
    return text


def _on_disk(part: str) -> str:
    """Return a name that stands for the same bytes, UTF-8, whatever the locale.

    In a locale without UTF-8 Python could not open an "ä".  The text it could,
    with a surrogate for each byte, is what `os.listdir` gives there.
    """
    try:
        return os.fsdecode(part.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{part!r} is not the name of a file: no name on disk has a {part[error.start]!r}"
        ) from None


def as_given(part: str) -> str:
    """Return the text of a name on disk: what `parts_of` was given for it."""
    return os.fsencode(part).decode("utf-8", "surrogateescape")


def _limit(name: str, root: pathlib.Path) -> int:
    try:
        return os.pathconf(root, name) if hasattr(os, "pathconf") else _USUAL_LIMITS[name]
    except (OSError, ValueError):
        # The directory is gone, or the system does not know.
        return _USUAL_LIMITS[name]
