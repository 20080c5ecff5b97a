"""What this machine is: read once from the kernel, for the Node object and for the pods."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True, slots=True)
class MachineFacts:
    cpus: int
    memory_bytes: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str
    hugepages: dict[str, int]  # size in KiB as text -> bytes


def machine_facts() -> MachineFacts:
    machine_id = _read("/etc/machine-id") or _read("/var/lib/dbus/machine-id")
    return MachineFacts(
        cpus=os.cpu_count() or 1,
        memory_bytes=meminfo().get("MemTotal", 0),
        machine_id=machine_id,
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or machine_id,
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_release().get("PRETTY_NAME", "Linux"),
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
        hugepages=_hugepages(),
    )


def meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    values = {}
    for line in _read("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words:
            values[name] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
    return values


def disk_bytes(path: Path) -> tuple[int, int]:
    """(total, available to unprivileged users) of the file system that holds the path."""
    while not path.exists():
        path = path.parent
    stats = os.statvfs(path)
    return stats.f_blocks * stats.f_frsize, stats.f_bavail * stats.f_frsize


def host_name() -> str:
    return socket.gethostname().lower()


def default_ip() -> str:
    """The address from which this machine would reach the outside (nothing is sent); loopback if there is no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def seccomp_supported() -> bool:
    return Path("/proc/sys/kernel/seccomp/actions_avail").exists()


def _hugepages() -> dict[str, int]:
    found = {}
    top = Path("/sys/kernel/mm/hugepages")
    if top.is_dir():
        for entry in top.iterdir():
            size = entry.name.removeprefix("hugepages-").removesuffix("kB")
            if size.isdigit():
                found[size] = int(size) * 1024 * int(_read(str(entry / "nr_hugepages")) or 0)
    return found


def _os_release() -> dict[str, str]:
    pairs = (line.partition("=") for line in _read("/etc/os-release").splitlines())
    return {key: value.strip('"') for key, separator, value in pairs if separator}


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
