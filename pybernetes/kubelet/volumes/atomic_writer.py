"""Write a set of files so that a reader sees either all of the old or all of the new ones.

    key ──► ..data/key        what containers open; made once per top-level name
    ..data ──► ..2026_11_21…  swapped by one rename(2)
    ..2026_11_21…/key         the content

The layout is upstream's: programs watch `..data` to learn of an update.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = "..data"


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int
    owner: int | None = None


def write_atomically(target: Path, files: Mapping[str, File], version: str, *, fs_group: int | None = None) -> bool:
    """Make `target` hold exactly `files` (relative path -> file). `version` must be new for every call.

    True if anything had to be written. Paths have been validated: relative, without `..`.
    """
    current = target / DATA
    old = os.readlink(current) if current.is_symlink() else None
    if old is not None and _holds(target / old, files):
        return False
    fresh = target / f"..{version}"
    fresh.mkdir(mode=0o755)
    os.chmod(fresh, 0o755)
    if fs_group is not None:
        os.chown(fresh, -1, fs_group)
    for path, file in files.items():
        place = fresh / path
        for parent in reversed(place.relative_to(fresh).parents[:-1]):
            directory = fresh / parent
            if not directory.is_dir():
                directory.mkdir()
                os.chmod(directory, 0o755)
        place.write_bytes(file.data)
        mode = file.mode
        if fs_group is not None:
            os.chown(place, -1, fs_group)
            mode |= 0o440
        if file.owner is not None:
            os.chown(place, file.owner, -1)
        os.chmod(place, mode)  # not at creation: the umask must not have a say
    swap = target / f"{DATA}_tmp"
    swap.unlink(missing_ok=True)
    swap.symlink_to(fresh.name)
    os.rename(swap, current)
    wanted = {path.split("/", 1)[0] for path in files}
    for name in wanted:
        link = target / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
    for entry in os.listdir(target):
        if not entry.startswith("..") and entry not in wanted:
            (target / entry).unlink()
    if old is not None:
        shutil.rmtree(target / old, ignore_errors=True)
    return True


def _holds(directory: Path, files: Mapping[str, File]) -> bool:
    present = {
        os.path.relpath(os.path.join(parent, name), directory) for parent, _, names in os.walk(directory) for name in names
    }
    if present != set(files):
        return False
    return all((directory / path).read_bytes() == file.data for path, file in files.items())
