"""A directory out of which no name leads, and the removal of what was made in it."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NoReturn

from itf.exceptions import WorkspaceError, WorkspaceEscapeError
from itf.forks import lock_of
from itf.generating.names import check_lengths, parts_of, refuse
from itf.generating.walk import HAS_FOLDERS, Spot, Walk, refuse_link
from itf.notes import add_note

__all__ = ["Place", "write_all"]

__unittest = True

Parts = tuple[str, ...]

_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows would change line ends
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY

# A fifo in the file's place must not be waited for.
_OLD_FILE: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY

# What the systems say of a folder that still has something in it.
_NOT_EMPTY: Final = (errno.ENOTEMPTY, errno.EEXIST)

# Stands for any name in a folder, where it is the folder that is wanted.
_ANY: Final = ("-",)


class Place:
    """A directory, and every way to a name in it.

    Names go through `itf.generating.walk.Walk`, which no link leads astray.

    Args:
        root: The directory, a path without links.

    Thread safety: every method, from any thread.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        # The ways to what was made here, files and folders.  What was there
        # before is never among them.  Methods of a set are atomic.
        self._made: set[Parts] = set()

    def parts_of(self, name: object, subdir: object = "") -> Parts:
        """Return the parts of a name that is not too long; see `names.parts_of`."""
        parts = parts_of(name, subdir, self.root)
        check_lengths(parts, self.root)
        return parts

    def parts_of_path(self, path: object) -> Parts:
        """Return the parts of a name, or of a whole path below the root."""
        if isinstance(path, str | os.PathLike) and os.path.isabs(path):
            whole = pathlib.Path(os.fsdecode(path))
            # Another name of the root, if the user's own way to it has links.
            for candidate in (whole, pathlib.Path(os.path.realpath(whole.parent), whole.name)):
                if candidate.is_relative_to(self.root):
                    return self.parts_of(candidate.relative_to(self.root))
            refuse(str(whole), "it is not below it", self.root)
        return self.parts_of(path)

    def path_of(self, parts: Parts) -> pathlib.Path:
        """Return the path of a name."""
        return self.root.joinpath(*parts)

    @contextlib.contextmanager
    def spot(
        self,
        parts: Parts,
        *,
        make: bool = False,
        follow: bool = True,
        follow_last: bool = True,
    ) -> Iterator[Spot]:
        """Find a name, and hold its folder open meanwhile.

        Args:
            parts: The way to it.
            make: Make the folders that are missing.
            follow: Follow links on the way, if they stay inside; else there may be none.
            follow_last: Follow the name itself, too, if it is a link.

        Raises:
            WorkspaceEscapeError: A link leads out.
        """
        if not HAS_FOLDERS:
            yield self._checked_spot(parts, make, follow, follow_last)
            return
        walk = Walk(
            self.root,
            parts,
            make=self._make if make else None,
            follow=follow,
            follow_last=follow_last,
        )
        try:
            yield walk.arrive()
        finally:
            walk.close()

    def _checked_spot(self, parts: Parts, make: bool, follow: bool, follow_last: bool) -> Spot:
        # For a system that has no better way: checked first, and used after that.
        path = self.path_of(parts)
        folder = os.path.realpath(path.parent)
        if not follow and folder != str(path.parent):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent))
        real = pathlib.Path(os.path.realpath(path) if follow_last else folder)
        if not real.is_relative_to(self.root):
            refuse_link(self.root, parts)
        if follow_last and real.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        way = (real if follow_last else real / path.name).relative_to(self.root).parts
        for depth in range(1, len(way)) if make else ():
            above = self.path_of(way[:depth])
            with contextlib.suppress(FileExistsError):
                self._make(way[:depth], lambda above=above: os.mkdir(above))  # type: ignore[misc]
        return Spot(None, str(self.path_of(way[:-1])), way)

    def make_folder(self, parts: Parts) -> None:
        """Make a folder, and those above it, unless they are there."""
        with (
            contextlib.suppress(WorkspaceEscapeError),
            self.spot(parts + _ANY, make=True, follow_last=False),
        ):
            return
        refuse_link(self.root, parts)  # by its own name

    def write_tree(self, planned: Mapping[Parts, bytes | None]) -> None:
        """Write files, and make folders, as `trees.plan_tree` plans them."""
        for parts, content in planned.items():
            if content is None:
                self.make_folder(parts)
            else:
                self.write(parts, [content])

    def make_new(self, parts: Parts, make: Callable[[Spot], object]) -> None:
        """Make something that must not be there yet, and the folders above it.

        Args:
            parts: The way to it; a link is a name that is taken.
            make: Makes it, and raises FileExistsError if the name is taken.

        Raises:
            FileExistsError: The name is taken.
        """
        with self.spot(parts, make=True, follow_last=False) as spot:
            try:
                self._make(spot.parts, lambda: make(spot))
            except FileExistsError:
                path = str(self.path_of(parts))
                raise FileExistsError(
                    errno.EEXIST, "this name is taken; give another", path
                ) from None

    def _make(self, parts: Parts, make: Callable[[], object]) -> None:
        """Make something that must not be there yet, and know that it was made here."""
        # Held, so that of two threads that want the same one, the one that is
        # late does not take it for something of the user's.
        with lock_of(self, "_itf_making"):
            known = parts in self._made
            # Known before it is there, so that no interruption leaves it behind.
            self._made.add(parts)
            try:
                make()
            except OSError:
                if not known:
                    self._made.discard(parts)
                raise

    def write(
        self, parts: Parts, chunks: Iterable[bytes | memoryview], mode: int | None = None
    ) -> int:
        """Write a file whole, or not at all.

        It is written under another name, and takes its own at the end: readers,
        and other writers of the same name, never see half of it; if it fails or
        is interrupted, what was there is there.

        Args:
            parts: The way to it.
            chunks: Its content; each is written before the next is asked for.
            mode: Its permissions; by default those that the umask leaves.

        Returns:
            Its size in bytes.
        """
        return self.fill(parts, lambda file: sum(write_all(file, chunk) for chunk in chunks), mode)

    def fill(self, parts: Parts, fill: Callable[[int], int], mode: int | None = None) -> int:
        """Write a file whole, or not at all, as `write` does, by a function.

        Args:
            parts: The way to it.
            fill: Called with the descriptor of the new file; returns its size.
            mode: Its permissions; by default those that the umask leaves.

        Returns:
            Its size in bytes.
        """
        with self.spot(parts, make=True) as spot:
            old = spot.status()
            if old is not None and stat.S_ISDIR(old.st_mode):
                # Now, and not when all of it is written.
                raise IsADirectoryError(
                    errno.EISDIR, os.strerror(errno.EISDIR), str(self.path_of(parts))
                )
            name = f".itf-{os.urandom(8).hex()}"
            draft = spot._replace(parts=(*spot.parts[:-1], name))
            # Known before it is there, so that no interruption leaves it behind.
            self._made.add(draft.parts)
            try:
                size = self._draft(draft, fill, mode)
                self._put(draft, spot)
            except BaseException as error:
                if isinstance(error, OSError):
                    # The system does not say of which file, or names the draft.
                    error.filename = str(self.path_of(parts))
                    if error.filename2 is not None:
                        del error.filename2  # a None would be shown
                # What cannot be removed now is at the end, or is told then.
                with contextlib.suppress(OSError):
                    os.unlink(draft.name, dir_fd=spot.folder)
                raise
            self._made.discard(draft.parts)
        return size

    def _put(self, draft: Spot, spot: Spot) -> None:
        """Give a draft its name."""
        if spot.status() is None:
            self._made.add(spot.parts)
        os.replace(draft.name, spot.name, src_dir_fd=spot.folder, dst_dir_fd=spot.folder)

    def _draft(self, draft: Spot, fill: Callable[[int], int], mode: int | None) -> int:
        file = os.open(draft.name, _NEW_FILE, 0o666, dir_fd=draft.folder)
        try:
            size = fill(file)
            if mode is not None and os.chmod in os.supports_fd:
                os.chmod(file, mode)
        except OSError as error:
            reached = os.lseek(file, 0, os.SEEK_CUR)
            add_note(error, f"{reached} bytes of it had been written; they are removed again")
            raise
        finally:
            os.close(file)
        if mode is not None and os.chmod not in os.supports_fd:
            os.chmod(draft.name, mode)
        return size

    @contextlib.contextmanager
    def opened(self, parts: Parts, flags: int) -> Iterator[int]:
        """Open a plain file that is there, and give its descriptor.

        Raises:
            FileNotFoundError: There is none.
            ValueError: It is something else.
        """
        with self.spot(parts) as spot:
            status = spot.status()
            if status is not None and not stat.S_ISREG(status.st_mode):
                self._refuse_kind(parts)
            try:
                file = os.open(spot.name, flags | _OLD_FILE, dir_fd=spot.folder)
            except OSError as error:
                error.filename = str(self.path_of(parts))
                raise
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    self._refuse_kind(parts)  # it was put there just now
                yield file
            finally:
                os.close(file)

    def _refuse_kind(self, parts: Parts) -> NoReturn:
        raise ValueError(f"{str(self.path_of(parts))!r} is not a plain file; name one")

    def change_mode(self, parts: Parts, mode: int) -> None:
        """Change the permissions of a file or folder, which is no link."""
        with self.spot(parts, follow=False, follow_last=False) as spot:
            if not hasattr(os, "O_PATH"):
                follows = os.chmod not in os.supports_follow_symlinks
                os.chmod(spot.name, mode, dir_fd=spot.folder, follow_symlinks=follows)
                return
            # Of this very file: by its name one could be led away by a link.
            file = os.open(spot.name, os.O_PATH | os.O_NOFOLLOW, dir_fd=spot.folder)
            try:
                os.chmod(f"/proc/self/fd/{file}", mode)
            finally:
                os.close(file)

    def remove_made(self) -> None:
        """Remove what was made here, and nothing else.

        What somebody else put into a folder stays, and so does the folder; behind
        a link nothing is removed.

        Raises:
            WorkspaceError: Something could not be removed.  It lists what.
        """
        left: list[tuple[str, str]] = []
        # The longest first: what is in a folder before the folder.
        for parts in sorted(self._made, key=lambda parts: (-len(parts), parts)):
            try:
                self._remove(parts)
            except OSError as error:
                reason = f"{type(error).__name__}: {error.strerror}"
                left.append((str(self.path_of(parts)), reason))
        self._made.clear()
        if left:
            listed = "\n".join(f"  {path!r}: {reason}" for path, reason in left)
            raise WorkspaceError(
                f"{len(left)} of the files made in {self.root} could not be removed:\n{listed}",
                [path for path, _ in left],
            )

    def _remove(self, parts: Parts) -> None:
        try:
            self._remove_at_once(parts)
        except PermissionError:
            # The folders that were made here may have been closed, by us or by the test.
            for depth in range(1, len(parts)):
                if parts[:depth] in self._made:
                    self.change_mode(parts[:depth], stat.S_IRWXU)
            self._remove_at_once(parts)

    def _remove_at_once(self, parts: Parts) -> None:
        # It is gone, or there is something else where its folder was.
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            self.spot(parts, follow=False, follow_last=False) as spot,
        ):
            status = spot.status()
            if status is None:
                return
            if not stat.S_ISDIR(status.st_mode):
                os.unlink(spot.name, dir_fd=spot.folder)
                return
            try:
                os.rmdir(spot.name, dir_fd=spot.folder)
            except OSError as error:
                if error.errno not in _NOT_EMPTY:
                    raise


def write_all(file: int, chunk: bytes | memoryview) -> int:
    """Write a chunk to a descriptor, whole, and return its size."""
    size = written = os.write(file, chunk)
    while size < len(chunk):
        # What fits, before the disk is full or a limit is reached.
        written = os.write(file, memoryview(chunk)[size:])
        size += written
    return size
