"""`hostPath`: a path of the node, after the check that its `type` asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pybernetes.kubelet.volumes.interface import Context, Files, Kind, VolumeError, nothing
from pybernetes.machinery.meta import Object

_CHECKS: dict[str, tuple[Callable[[Path], bool], str]] = {
    "Directory": (Path.is_dir, "a directory"),
    "File": (Path.is_file, "a file"),
    "Socket": (Path.is_socket, "a socket file"),
    "CharDevice": (Path.is_char_device, "a character device"),
    "BlockDevice": (Path.is_block_device, "a block device"),
}


def write(context: Context, volume: Object, directory: Path, files: Files) -> Path:
    source = volume["hostPath"]
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    check = _CHECKS.get(kind.removesuffix("OrCreate"))
    if check is not None and not check[0](path):
        raise VolumeError(f"hostPath type check failed: {path} is not {check[1]}")
    return path


KIND = Kind("hostPath", "kubernetes.io~host-path", nothing, write)
