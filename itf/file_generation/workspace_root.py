"""The directory that generated files go into: checked paths, atomic writes, removal at the end."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import pathlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from itf.exceptions import WorkspaceError
from itf.file_generation.atomic_write import BINARY, check_no_folder, fill_new_file, write_all
from itf.file_generation.path_checks import (
    TEMPORARY_NAME_BYTES,
    Parts,
    check_lengths,
    raise_escape_error,
    split_name,
)
from itf.file_generation.relative_paths import resolve_below
from itf.fork_safety import fork_safe_lock

__all__ = ["WorkspaceRoot"]

__unittest = True

_TEMPORARY_PREFIX: Final = ".itf-"

# Error numbers of rmdir for a folder that is not empty; they differ between systems.
_NOT_EMPTY: Final = (errno.ENOTEMPTY, errno.EEXIST)


class WorkspaceRoot:
    """A directory in which files are created and changed, and from which no path leads out.

    Each method resolves the links in its path first, and raises
    `WorkspaceEscapeError` if the result is not below the directory.

    Args:
        root: The directory; a path without links.

    Thread safety: every method, from any thread.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        # Resolved paths of the files and folders that `remove_created` removes.
        # A path is added before it is created and discarded if the creation
        # fails, so that an interrupt in between leaves nothing behind.  What
        # existed before is never in the set.  No lock: set methods are atomic.
        self._created: set[Parts] = set()

    def check_name(self, name: object, subdir: object = "") -> Parts:
        """Return the components of a name that is allowed and not too long.

        Raises:
            TypeError, ValueError, WorkspaceEscapeError: See `path_checks.split_name`.
            OSError: See `path_checks.check_lengths`.
        """
        parts = split_name(name, subdir, self.root)
        check_lengths(parts, self.root)
        return parts

    def check_path(self, path: object) -> Parts:
        """Return the components of a relative name, or of an absolute path below the root."""
        if isinstance(path, str | os.PathLike) and os.path.isabs(path):
            absolute = pathlib.Path(os.fsdecode(path))
            # The user may reach the root through a link, such as /tmp on macOS.
            without_links = pathlib.Path(os.path.realpath(absolute.parent), absolute.name)
            for candidate in (absolute, without_links):
                if candidate.is_relative_to(self.root):
                    return self.check_name(candidate.relative_to(self.root))
            raise_escape_error(str(absolute), "it is not below it", self.root)
        return self.check_name(path)

    def path_of(self, parts: Parts) -> pathlib.Path:
        """Return the absolute path of path components; links in it are not resolved."""
        return self.root.joinpath(*parts)

    def create_folder(self, parts: Parts) -> None:
        """Create a folder and its missing parents; an existing folder is no error.

        Raises:
            NotADirectoryError: A file has the name of one of the folders.
        """
        self._create_folders(resolve_below(self.root, parts, follow_last=True))

    def create_new(self, parts: Parts, create: Callable[[pathlib.Path], object]) -> None:
        """Create something whose name must be free; missing parent folders are created.

        Args:
            parts: Path components of the name.  A link counts as a name in use.
            create: Function that creates it at a path, and raises
                FileExistsError if the name is in use.

        Raises:
            FileExistsError: The name is in use.
        """
        resolved = resolve_below(self.root, parts, follow_last=False)
        self._create_folders(resolved[:-1])
        try:
            self._create(resolved, lambda: create(self.path_of(resolved)))
        except FileExistsError:
            path = str(self.path_of(parts))
            message = "this name is in use; choose another"
            raise FileExistsError(errno.EEXIST, message, path) from None

    def _create_folders(self, parts: Parts) -> None:
        """Create a folder and its missing parents, given by its resolved path."""
        if self.path_of(parts).is_dir():
            return
        if not self.root.is_dir():
            # A test may remove the whole workspace and go on.  Another thread
            # may be restoring it too.
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.root, stat.S_IRWXU)
        for depth in range(1, len(parts) + 1):
            folder = self.path_of(parts[:depth])
            try:
                self._create(parts[:depth], functools.partial(os.mkdir, folder))
            except FileExistsError:
                if not folder.is_dir():
                    raise NotADirectoryError(
                        errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)
                    ) from None

    def _create(self, parts: Parts, create: Callable[[], object]) -> None:
        """Call a function that creates something new, and record the path for removal."""
        # Without the lock, of two threads that create the same path, the thread
        # that fails could discard the path that the other one has recorded.
        with fork_safe_lock(self, "_itf_creating"):
            recorded_before = parts in self._created
            self._created.add(parts)
            try:
                create()
            except OSError:
                if not recorded_before:
                    self._created.discard(parts)
                raise

    def write_tree(self, planned: Mapping[Parts, bytes | None]) -> None:
        """Write the files and create the folders of a plan made by `trees.plan_tree`."""
        for parts, content in planned.items():
            if content is None:
                self.create_folder(parts)
            else:
                self.write_file(parts, [content])

    def write_file(
        self, parts: Parts, chunks: Iterable[bytes | memoryview], mode: int | None = None
    ) -> int:
        """Write a file atomically from chunks of bytes; see `fill_file`.

        Args:
            parts: Path components of the file.
            chunks: The content.  Each chunk is written before the next is
                requested, so an iterator may reuse its buffer.
            mode: Permission bits; None for 0666 without the bits of the umask.

        Returns:
            The file's size in bytes.
        """
        return self.fill_file(parts, lambda file: sum(write_all(file, c) for c in chunks), mode)

    def fill_file(self, parts: Parts, fill: Callable[[int], int], mode: int | None = None) -> int:
        """Write a file atomically with a function that fills it.

        The file is written under a temporary name in its folder and renamed when
        it is complete.  So other threads and processes never see a part of it,
        and after an error or an interrupt the old file is unchanged.

        Args:
            parts: Path components of the file.
            fill: Function that gets the descriptor of the empty file, writes the
                content and returns the size in bytes.
            mode: Permission bits; None for 0666 without the bits of the umask.

        Returns:
            The file's size in bytes.

        Raises:
            IsADirectoryError: The name is that of a folder.
            OSError: The file cannot be written.  The error has the file's path.
        """
        resolved = resolve_below(self.root, parts, follow_last=True)
        self._create_folders(resolved[:-1])
        path = self.path_of(resolved)
        try:
            exists_before = check_no_folder(path)
            random = os.urandom((TEMPORARY_NAME_BYTES - len(_TEMPORARY_PREFIX)) // 2).hex()
            temporary = (*resolved[:-1], f"{_TEMPORARY_PREFIX}{random}")
            self._created.add(temporary)
            try:
                size = fill_new_file(self.path_of(temporary), fill, mode)
                if not exists_before:
                    self._created.add(resolved)
                os.replace(self.path_of(temporary), path)
            except BaseException:
                # If this fails too, the path stays recorded: `remove_created`
                # tries again, and reports it.
                with contextlib.suppress(OSError):
                    os.unlink(self.path_of(temporary))
                raise
            self._created.discard(temporary)
        except OSError as error:
            # The error of a write names no file, that of os.replace names two.
            error.filename = str(self.path_of(parts))
            if error.filename2 is not None:
                del error.filename2  # setting it to None would show "-> None" in the message
            raise
        return size

    @contextlib.contextmanager
    def open_file(self, parts: Parts, flags: int) -> Iterator[int]:
        """Open an existing regular file, and yield its descriptor.

        Args:
            parts: Path components of the file.
            flags: Flags of `os.open`, such as ``os.O_RDONLY``.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The name is that of a folder, a fifo or another special file.
        """
        path = self.path_of(resolve_below(self.root, parts, follow_last=True))
        try:
            # Before opening, because opening a fifo waits for its other end.
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise ValueError(f"{str(self.path_of(parts))!r} is not a regular file; name one")
            file = os.open(path, flags | BINARY)
        except OSError as error:
            error.filename = str(self.path_of(parts))
            raise
        try:
            yield file
        finally:
            os.close(file)

    def change_mode(self, parts: Parts, mode: int) -> None:
        """Change the permission bits of a file or folder.

        Raises:
            OSError: With errno ELOOP: the name itself is a link.
        """
        path = self.path_of(resolve_below(self.root, parts, follow_last=False))
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        os.chmod(path, mode)

    def remove_created(self) -> None:
        """Remove the files and folders that were created here, and nothing else.

        A folder stays if it contains something that was not created here.
        Nothing is removed behind a link that has replaced a folder.

        Raises:
            WorkspaceError: Something could not be removed; the error lists the
                paths with the reasons.
        """
        failures: list[tuple[str, str]] = []
        # Longest paths first: the content of a folder before the folder.
        for parts in sorted(self._created, key=lambda parts: (-len(parts), parts)):
            try:
                self._remove(parts)
            except OSError as error:
                reason = f"{type(error).__name__}: {error.strerror}"
                failures.append((str(self.path_of(parts)), reason))
        self._created.clear()
        if failures:
            listed = "\n".join(f"  {path!r}: {reason}" for path, reason in failures)
            raise WorkspaceError(
                f"{len(failures)} of the files created in {self.root} could not be removed:\n"
                f"{listed}",
                [path for path, _ in failures],
            )

    def _remove(self, parts: Parts) -> None:
        try:
            self._remove_entry(parts)
        except PermissionError:
            # create_unreadable or the test may have taken the permissions of a
            # parent folder away.  Folders that existed before are not changed.
            for depth in range(1, len(parts)):
                if parts[:depth] in self._created:
                    self.change_mode(parts[:depth], stat.S_IRWXU)
            self._remove_entry(parts)

    def _remove_entry(self, parts: Parts) -> None:
        path = self.path_of(parts)
        if os.path.realpath(path.parent) != str(path.parent):
            return  # a link has replaced one of the folders, so the file is gone
        # FileNotFoundError: the test has removed it.  NotADirectoryError: the
        # test has replaced the folder by a file.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                return
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno not in _NOT_EMPTY:
                    raise
