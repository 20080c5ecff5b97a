"""Mounting and unmounting, by system call: a subprocess per mount would cost more than all else in starting a pod."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MS_BIND = 0x1000
MS_REC = 0x4000
MS_REMOUNT = 0x20
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", *, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError."""
    result = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def mount_tmpfs(target: Path, *, size_bytes: int = 0, mode: str = "0755") -> None:
    """Once: an existing mount there is left as it is."""
    if is_mount(target):
        return
    options = f"mode={mode}" + (f",size={size_bytes}" if size_bytes else "")
    mount("tmpfs", str(target), "tmpfs", options=options)


def is_mount(path: Path) -> bool:
    """Whether a file system other than its parent's is mounted there (bind mounts of the same one are not seen)."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def mounts_below(top: Path) -> list[str]:
    """Mount points at or below `top`, the innermost and latest first."""
    found = []
    prefix = f"{top}/"
    with open("/proc/self/mountinfo") as table:
        for line in table:
            path = line.split(" ", 5)[4]
            if "\\" in path:
                path = path.encode().decode("unicode_escape")
            if path == str(top) or path.startswith(prefix):
                found.append(path)
    return found[::-1]


def unmount_below(top: Path) -> None:
    """Unmount everything at or below `top`. A busy mount is detached: it goes when its last user does."""
    for path in mounts_below(top):
        if _libc.umount2(os.fsencode(path), MNT_DETACH) != 0:
            number = ctypes.get_errno()
            if number not in (2, 22):  # ENOENT, EINVAL: it went by itself
                raise OSError(number, os.strerror(number), path)
