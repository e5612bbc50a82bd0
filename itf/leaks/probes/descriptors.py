"""Descriptors that outlive a test: of what kind, where they lead, where they were opened."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from itf.leaks.creation_sites import origins
from itf.leaks.leak import Leak
from itf.leaks.probes.kernel import Descriptors, descriptor_kind

# Imported where a socket is told of: who has a test without one need not wait for it.
if TYPE_CHECKING:
    import socket

__all__ = ["new_descriptors"]

__unittest = True

# What multiprocessing maps for its shared values, until the program ends; and what
# a fault plan counts in that was there when a process was forked, until it is gone.
_HARMLESS: Final = ("/pym-", "itf-fault-page")

_FAMILIES: Final = {"AF_INET": "", "AF_INET6": "6", "AF_UNIX": "unix"}
_TYPES: Final = {"SOCK_STREAM": "TCP", "SOCK_DGRAM": "UDP"}


def new_descriptors(
    before: Descriptors, after: Descriptors, harmless_pipes: frozenset[str]
) -> Iterator[Leak]:
    """Tell of the descriptors that were not there before, or were something else.

    Args:
        before: What was open before.
        after: What is open now.
        harmless_pipes: Pipes to processes that are known to be harmless.
    """
    if before is after:
        return
    for number, identity in after.items():
        if before.get(number) == identity:
            continue
        kind = descriptor_kind(number)
        if kind in harmless_pipes or kind == "?" or any(name in kind for name in _HARMLESS):
            continue
        noun, told = _describe(number, kind)
        was = " in place of what was open there" if number in before else ""
        yield Leak(
            "descriptors",
            noun,
            told,
            ("descriptor", number, identity),
            lambda number=number, identity=identity, noun=noun, told=told, was=was: (  # type: ignore[misc]
                f"{noun} {told} (fd {number}, inode {identity[0]} on device {identity[1]})"
                f"{was}{origins.text('descriptor', number, 'opened', identity)}"
            ),
            kind,
        )


def _describe(number: int, kind: str) -> tuple[str, str]:
    """Return what an open descriptor is, and where it leads."""
    if kind.startswith("socket:"):
        return "socket", _socket_text(number, kind)
    if kind.startswith("pipe:"):
        return "pipe", f"{_end_of_pipe(number)} of {kind}"
    if kind.startswith("anon_inode:"):
        name = kind.removeprefix("anon_inode:").strip("[]")
        return {"eventpoll": "epoll"}.get(name, name), kind
    if kind.startswith("/memfd:"):
        return "memfd", kind.removeprefix("/memfd:").removesuffix(" (deleted)") or "(no name)"
    if kind.endswith(" (deleted)"):
        return "deleted file", kind.removesuffix(" (deleted)")
    return ("directory" if os.path.isdir(number) else "file"), kind


def _end_of_pipe(number: int) -> str:
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        return "write end" if flags & os.O_ACCMODE == os.O_WRONLY else "read end"
    return "an end"


def _socket_text(number: int, kind: str) -> str:
    """Return the protocol and the two addresses of a socket."""
    import socket

    try:
        copy = os.dup(number)
    except OSError:
        return kind
    try:
        with socket.socket(fileno=copy) as looked_at:
            family, protocol = _named(looked_at.family), _named(looked_at.type)
            family, protocol = _FAMILIES.get(family, family), _TYPES.get(protocol, protocol)
            what = family if family == "unix" else f"{protocol}{family}"
            own = _address(looked_at.getsockname())
            try:
                peer = f" -> {_address(looked_at.getpeername())}"
            except OSError:
                peer = _listening(looked_at)
            return f"{what} {own}{peer}".rstrip()
    except OSError:
        with contextlib.suppress(OSError):
            os.close(copy)
        return kind


def _named(number: object) -> str:
    """Return the name of a family or a type; its number, where the module knows no name."""
    return str(getattr(number, "name", number))


def _listening(looked_at: socket.socket) -> str:
    import socket

    with contextlib.suppress(OSError, AttributeError):
        if looked_at.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return " (listening)"
    return ""


def _address(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:  # noqa: PLR2004 - host and port
        host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
        return f"{host}:{address[1]}"
    if isinstance(address, bytes):
        return repr(os.fsdecode(address))
    return str(address) or "(no name)"
