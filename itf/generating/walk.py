"""The way to a name below a directory, on which no link leads out."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from itf.generating.names import refuse

__all__ = ["HAS_FOLDERS", "Spot", "Walk", "refuse_link"]

__unittest = True

# As many links as Linux follows.
_MOST_LINKS: Final = 40

# Whether files can be named by a folder that is held open, which cannot be
# swapped for a link between the check and the use.  Windows has no such calls.
HAS_FOLDERS: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")

# A folder on the way needs not be readable, if the system can do without (Linux).
_FOLDER: Final = (
    getattr(os, "O_PATH", os.O_RDONLY)
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
)

# What the systems say of a link, or a file, where a folder was to be.
_NO_FOLDER: Final = (errno.ENOTDIR, errno.ELOOP, errno.EMLINK)


class Spot(NamedTuple):
    """Where a name is: its folder, held open, and the name in there."""

    folder: int | None
    """The folder's descriptor; None where the system cannot do that."""
    path: str
    """The folder's path, for systems that have no descriptor of it."""
    parts: tuple[str, ...]
    """The whole way from the root, without links; the last part is the name."""

    @property
    def name(self) -> str:
        """What to pass to the functions of `os`, along with ``dir_fd=folder``."""
        return self.at(self.parts[-1])

    def at(self, name: str) -> str:
        """Return the same for another name in this folder."""
        return name if self.folder is not None else os.path.join(self.path, name)

    def status(self) -> os.stat_result | None:
        """Return what is there, a link as a link, or None."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None


class Walk:
    """A walk from a directory to a name, part by part.

    Each folder is opened from the one before, and never through a link; a link
    is read, and its parts are walked in their turn.  So there is no moment
    between a check and a use in which somebody could put a link there.

    Args:
        root: The directory.
        parts: The way to the name.
        make: Called for each folder that is missing, with the way to it and a
            function that makes it; None if none is to be made.
        follow: Follow links on the way, if they stay inside; else there may be none.
        follow_last: Follow the name itself, too, if it is a link.
    """

    def __init__(
        self,
        root: pathlib.Path,
        parts: tuple[str, ...],
        *,
        make: Callable[[tuple[str, ...], Callable[[], object]], object] | None,
        follow: bool,
        follow_last: bool,
    ) -> None:
        self._root = root
        self._parts = parts
        self._make = make
        self._follow = follow
        self._follow_last = follow_last
        self._folder = -1
        # The way so far, without links.
        self._at: tuple[str, ...] = ()

    def arrive(self) -> Spot:
        """Walk all the way; call `close` when done with what it returns.

        Raises:
            WorkspaceEscapeError: A link leads out.
            NotADirectoryError: Something else is where a folder was to be.
            IsADirectoryError: A link leads to the root itself.
        """
        self._start()
        todo = [*reversed(self._parts)]
        detours = 0
        while todo:
            part = todo.pop()
            if part == os.pardir:
                if not self._at:
                    refuse_link(self._root, self._parts)
                todo += reversed(self._at[:-1])
                self._start()
                continue
            if todo and self._enter(part):
                continue
            link = None
            if todo or self._follow_last:
                link = self._read_link(part, last=not todo)
            if link is None and not todo:
                return Spot(self._folder, str(self._root.joinpath(*self._at)), (*self._at, part))
            detours += 1
            if detours > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path_of(part))
            # No link any more: somebody has just put a folder in its place.
            todo += [part] if link is None else self._parts_of_link(link)
        raise IsADirectoryError(
            errno.EISDIR, os.strerror(errno.EISDIR), str(self._root.joinpath(*self._parts))
        )

    def close(self) -> None:
        """Let go of the folder."""
        folder, self._folder = self._folder, -1
        if folder >= 0:
            os.close(folder)

    def _start(self) -> None:
        self.close()
        self._at = ()
        try:
            self._folder = os.open(self._root, _FOLDER)
        except FileNotFoundError:
            if self._make is None:
                raise
            # A test may have removed the whole.
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._root, stat.S_IRWXU)
            self._folder = os.open(self._root, _FOLDER)
        except OSError as error:
            if error.errno not in _NO_FOLDER or not self._root.is_symlink():
                raise
            if self._follow:
                refuse_link(self._root, self._parts)
            # No link may be on this way, and the root is one by now.
            raise NotADirectoryError(
                errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self._root)
            ) from None

    def _enter(self, part: str) -> bool:
        """Open the next folder, made if need be; False if there is something else."""
        try:
            folder = self._open(part)
        except FileNotFoundError as error:
            if self._make is None:
                error.filename = self._path_of(part)
                raise
            # If it exists now, another thread has made it, or another program.
            with contextlib.suppress(FileExistsError):
                self._make((*self._at, part), lambda: os.mkdir(part, dir_fd=self._folder))
            folder = self._open(part)
        if folder is None:
            return False
        self.close()
        self._folder = folder
        self._at = (*self._at, part)
        return True

    def _open(self, part: str) -> int | None:
        try:
            return os.open(part, _FOLDER, dir_fd=self._folder)
        except OSError as error:
            if error.errno in _NO_FOLDER:
                return None
            error.filename = self._path_of(part)
            raise

    def _read_link(self, part: str, *, last: bool) -> str | None:
        """Return where a link leads; None if it is a folder, or the last and no link.

        Raises:
            NotADirectoryError: A folder was to be here, or a link that may be followed.
        """
        try:
            link = os.readlink(part, dir_fd=self._folder)
            if self._follow:
                return link
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            if last or stat.S_ISDIR(
                os.stat(part, dir_fd=self._folder, follow_symlinks=False).st_mode
            ):
                return None
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._path_of(part))

    def _parts_of_link(self, link: str) -> list[str]:
        """Return the parts that a link leads through, the last first."""
        if os.path.isabs(link):
            real = pathlib.Path(os.path.realpath(link))
            if not real.is_relative_to(self._root):
                refuse_link(self._root, self._parts)
            self._start()
            return [*reversed(real.relative_to(self._root).parts)]
        return [part for part in reversed(link.split("/")) if part not in ("", ".")]

    def _path_of(self, part: str) -> str:
        return str(self._root.joinpath(*self._at, part))


def refuse_link(root: pathlib.Path, parts: tuple[str, ...]) -> None:
    """Raise the error for a link that leads out."""
    real = os.path.realpath(root.joinpath(*parts))
    refuse(os.path.join(*parts), f"a link on its way leads to {real!r}", root)
