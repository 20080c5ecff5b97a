"""The images that a cluster starts with, built on this machine from its static busybox: no registry is asked.

An image is written as an OCI image layout in a tar file (https://github.com/opencontainers/image-spec), the same bytes for
the same busybox, and imported into the cluster's containerd.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pybernetes.cli.containerd import PAUSE_IMAGE
from pybernetes.cli.failure import Failure
from pybernetes.cli.layout import Layout

BUSYBOX_IMAGE = "localhost/pybernetes/busybox:1"
IMPORT_TIMEOUT_S = 60

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# The applets that examples and probes call by name; `busybox NAME` runs the others.
APPLETS = (
    "cat", "chmod", "cp", "date", "dd", "df", "echo", "env", "false", "find", "grep", "head", "hostname", "httpd", "id", "ip",
    "kill", "ln", "ls", "mkdir", "mount", "mv", "nc", "netstat", "nslookup", "ping", "printf", "ps", "pwd", "rm", "sed", "seq",
    "sh", "sleep", "sort", "stat", "stty", "sync", "tail", "tar", "test", "top", "touch", "true", "tty", "umount", "uname",
    "vi", "wc", "wget", "whoami", "xargs", "yes",
)  # fmt: skip
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
}
# Process 1 of a pod: it holds the namespaces, reaps orphans where the pod shares its process namespace, and goes on SIGTERM.
PAUSE_SCRIPT = "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait $!; done"


@dataclass(frozen=True, slots=True)
class Image:
    """A name and its runtime configuration (OCI image spec, "config")."""

    name: str
    config: Mapping[str, object]


IMAGES = (
    Image(PAUSE_IMAGE, {"Entrypoint": ["/bin/sh", "-c", PAUSE_SCRIPT], "Env": ["PATH=/bin"]}),
    Image(BUSYBOX_IMAGE, {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]}),
)


def archive(images: Iterable[Image], busybox: bytes) -> bytes:
    """One OCI layout with all of the images, which share their only layer."""
    layer = _layer(busybox)
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    blobs = {_digest(packed): packed}
    manifests = []
    for image in images:
        config = _json(
            {
                "architecture": _architecture(),
                "os": "linux",
                "config": image.config,
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
                "history": [{"created_by": "pybernetes"}],
            }
        )
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": _descriptor(config, "application/vnd.oci.image.config.v1+json"),
                "layers": [_descriptor(packed, "application/vnd.oci.image.layer.v1.tar+gzip")],
            }
        )
        blobs[_digest(config)] = config
        blobs[_digest(manifest)] = manifest
        manifests.append(
            {
                **_descriptor(manifest, "application/vnd.oci.image.manifest.v1+json"),
                "annotations": {"io.containerd.image.name": image.name},
            }
        )
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": manifests}),
        **{"blobs/" + digest.replace(":", "/"): blob for digest, blob in blobs.items()},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in files.items():
            _add_file(tar, path, data, 0o644)
    return buffer.getvalue()


def import_images(layout: Layout, images: Iterable[Image] = IMAGES) -> None:
    """Make the images known to the cluster's containerd. Those already there are left; raises `Failure`."""
    wanted = list(images)
    present = set(_ctr(layout, "images", "ls", "-q").split())
    missing = [image for image in wanted if image.name not in present]
    if not missing:
        return
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Failure("busybox is not installed. On Debian: apt-get install busybox-static")
    layout.images.mkdir(parents=True, exist_ok=True)
    path = layout.images / f"import-{os.getpid()}.tar"
    try:
        path.write_bytes(archive(missing, Path(busybox).read_bytes()))
        _ctr(layout, "images", "import", str(path))
    finally:
        path.unlink(missing_ok=True)


def _ctr(layout: Layout, *arguments: str) -> str:
    command = ["ctr", "--address", str(layout.containerd_socket), "--namespace", "k8s.io", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, check=True)
    except subprocess.CalledProcessError as error:
        raise Failure(f"containerd refused `ctr {' '.join(arguments)}`: {error.stderr.strip()}") from error
    return done.stdout


def _layer(busybox: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        directories = ("bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "usr/bin", "var", "var/www")
        for name in directories:
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(directory)
        _add_file(tar, "bin/busybox", busybox, 0o755)
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path, text in FILES.items():
            _add_file(tar, path, text.encode(), 0o644)
    return buffer.getvalue()


def _add_file(tar: tarfile.TarFile, path: str, data: bytes, mode: int) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(data), mode
    tar.addfile(member, io.BytesIO(data))


def _architecture() -> str:
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
