"""Compare a wheel with the tree that it was built from.

Usage: python .ci/check_wheel.py WHEEL TREE
"""

from __future__ import annotations

import email
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path


def complaints(wheel: zipfile.ZipFile, tree: Path) -> Iterator[str]:
    """Yield, a sentence each, what is wrong with ``wheel``."""
    names = {name for name in wheel.namelist() if not name.endswith("/")}
    info = next(name for name in names if name.endswith(".dist-info/METADATA"))
    info = info.removesuffix("/METADATA")

    source = {
        path.relative_to(tree).as_posix()
        for path in (tree / "itf").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in names if not name.startswith(f"{info}/")}
    for name in sorted(source - shipped):
        yield f"{name} is not in the wheel; see packages and package_data in setup.cfg"
    for name in sorted(shipped - source):
        yield f"{name} is in the wheel and does not belong there"
    if "itf/py.typed" not in shipped:
        yield "itf/py.typed is not in the wheel: the types would be ignored"

    licence = f"{info}/licenses/LICENSE"
    if licence not in names or wheel.read(licence) != (tree / "LICENSE").read_bytes():
        yield f"{licence} is not the tree's LICENSE"

    metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    expected = {"Name": "itf", "License-Expression": "MIT", "Requires-Python": ">=3.11"}
    for field, value in expected.items():
        if metadata[field] != value:
            yield f"{field} is {metadata[field]!r}, not {value!r}"
    if metadata.get_all("Requires-Dist"):
        yield f"itf has no dependencies, the wheel says {metadata.get_all('Requires-Dist')}"
    description = metadata.get_payload(decode=True)
    readme = (tree / "README.md").read_bytes()
    if not isinstance(description, bytes) or description.strip() != readme.strip():
        yield "the description is not README.md"


def main(wheel: Path, tree: Path) -> int:
    """Print what is wrong with ``wheel``; return the exit code."""
    with zipfile.ZipFile(wheel) as archive:
        found = list(complaints(archive, tree))
        count = len(archive.namelist())
    for complaint in found:
        print(f"{wheel.name}: {complaint}")
    if not found:
        print(f"{wheel.name}: {count} files, as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
