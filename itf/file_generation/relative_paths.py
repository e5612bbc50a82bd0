"""Resolution of relative paths: links are followed, and the result must be below the workspace."""

from __future__ import annotations

import errno
import os
import pathlib
from typing import NoReturn

from itf.file_generation.path_checks import Parts, raise_escape_error

__all__ = ["raise_link_error", "resolve_below"]

__unittest = True


def resolve_below(root: pathlib.Path, parts: Parts, *, follow_last: bool) -> Parts:
    """Return the components of a path after all links in it were followed; ``()`` for the root.

    A missing file or folder is no error.  The check holds for the links that
    exist now: a link that another process creates between this call and the use
    of the result is followed by the system, wherever it leads.

    Args:
        root: Directory of the workspace; a path without links.
        parts: Components of the path below the root.
        follow_last: Whether the last component is followed if it is a link.
            False for a name that must not exist yet, and for removal.

    Raises:
        WorkspaceEscapeError: The result is not below the root.
        OSError: With errno ELOOP: the links form a loop.
    """
    path = root.joinpath(*parts)
    if follow_last:
        real = pathlib.Path(os.path.realpath(path))
        # realpath returns the path of a link only if that link is part of a loop.
        if real.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    else:
        real = pathlib.Path(os.path.realpath(path.parent), path.name)
    if not real.is_relative_to(root):
        raise_link_error(root, parts)
    return real.relative_to(root).parts


def raise_link_error(root: pathlib.Path, parts: Parts) -> NoReturn:
    """Raise the error for a path on which a link leads out of the workspace."""
    target = os.path.realpath(root.joinpath(*parts))
    raise_escape_error(os.path.join(*parts), f"a link on its way leads to {target!r}", root)
