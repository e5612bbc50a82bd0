"""Chunks on disk, under the digest of what they were made from.

Any number of threads and processes may share a directory: an entry is written beside its place
and moved there in one step, so that a reader sees all of it or none. A writer that is killed may
leave a ``*.tmp`` file, which nobody reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from .chunker import Chunk
from .config import Config, get
from .errors import CacheError
from .parser import Parser

__all__ = ["Cache"]

_FORMAT: Final = 1  # counts up when Chunk or the way files are cut changes


class Cache:
    """The cache that the configuration names; a cache that is not enabled holds nothing.

    Thread safety: every method, from any thread.
    """

    def __init__(self, config: Config, parser: Parser | None = None) -> None:
        self._config = config
        # Another parser may cut another way: it has entries of its own.
        self._parser = f"{type(parser).__module__}.{type(parser).__qualname__}"

    def load(self, code: bytes, path: str) -> list[Chunk] | None:
        """Return the chunks of source code as those of ``path``, or None.

        Raises:
            CacheError: The entry is there and cannot be read.
        """
        if not get(self._config, "cache.enabled"):
            return None
        entry = self.entry_path(code)
        try:
            chunks = _decode(entry.read_bytes(), path)
            if chunks is None:
                entry.unlink(missing_ok=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CacheError(str(entry), str(error)) from error
        return chunks

    def store(self, code: bytes, chunks: Sequence[Chunk]) -> None:
        """Keep the chunks of source code.

        Raises:
            CacheError: The entry cannot be written.
        """
        if not get(self._config, "cache.enabled"):
            return
        entry = self.entry_path(code)
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(".tmp", dir=entry.parent)
            try:
                with open(descriptor, "wb") as file:
                    file.write(_encode(chunks))
                os.replace(temporary, entry)
            except BaseException:  # also Ctrl-C: nobody else will remove the file
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise CacheError(str(entry), str(error)) from error

    def entry_path(self, code: bytes) -> Path:
        """Return where the entry of this source code is under the present configuration."""
        made_with = (
            _FORMAT,
            self._parser,
            get(self._config, "parser.encoding"),
            get(self._config, "chunker.min_lines"),
            get(self._config, "chunker.max_lines"),
            sorted(set(get(self._config, "chunker.chunk_types"))),
        )
        key = hashlib.sha256(json.dumps(made_with).encode())
        key.update(code)
        return Path(get(self._config, "cache.directory"), f"{key.hexdigest()}.json")


def _encode(chunks: Sequence[Chunk]) -> bytes:
    records = [asdict(chunk) | {"path": ""} for chunk in chunks]
    return json.dumps({"digest": _digest(records), "chunks": records}).encode()


def _decode(data: bytes, path: str) -> list[Chunk] | None:
    """Return the chunks of an entry, or None if it is not what was once written."""
    try:
        entry = json.loads(data)
        records = entry["chunks"]
        if entry["digest"] != _digest(records):
            return None
        return [Chunk(**(record | {"path": path})) for record in records]
    except (ValueError, TypeError, KeyError, RecursionError):  # no JSON, or not of our shape
        return None


def _digest(records: object) -> str:
    return hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()
