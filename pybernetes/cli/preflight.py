"""What a cluster needs of the machine, looked at before anything is started.

Each check returns one sentence that says what is wrong and what to do, or None. Nothing here changes the machine.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

CNI_PLUGINS = Path("/usr/lib/cni")
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "busybox": "busybox-static",
}
CGROUP_CONTROLLERS = ("cpu", "memory", "pids")


def problems(ports: Iterable[tuple[str, int, str]]) -> Iterator[str]:
    """All that would stop a cluster. `ports`: (address, port, who needs it), TCP."""
    if os.geteuid() != 0:
        # The other checks mean little without it.
        yield "A cluster needs root (it makes namespaces, mounts and nftables rules): run it again with sudo."
        return
    checks = (missing_programs(), missing_cni_plugins(), missing_kernel_features(), ports_in_use(ports))
    for found in checks:
        yield from found


def missing_programs() -> Iterator[str]:
    missing = [program for program in PACKAGES if shutil.which(program) is None]
    if missing:
        packages = " ".join(sorted({PACKAGES[program] for program in missing}))
        yield f"Not installed: {', '.join(missing)}. On Debian: apt-get install {packages}"


def missing_cni_plugins() -> Iterator[str]:
    missing = [name for name in ("bridge", "host-local", "loopback", "portmap") if not (CNI_PLUGINS / name).exists()]
    if missing:
        plugins = ", ".join(missing)
        yield f"No CNI plugin {plugins} in {CNI_PLUGINS}. On Debian: apt-get install containernetworking-plugins"


def missing_kernel_features() -> Iterator[str]:
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        yield "The kernel has no overlay file system: load it with `modprobe overlay`, or use a kernel that has it."
    if not Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        yield (
            "The kernel does not filter bridged packets, which Services need: load it with `modprobe br_netfilter`, "
            "or use a kernel that has it."
        )
    controllers = _cgroup_controllers()
    absent = [name for name in CGROUP_CONTROLLERS if name not in controllers]
    if absent:
        yield f"No cgroup controller {', '.join(absent)}: enable it in the kernel (and mount /sys/fs/cgroup)."
    if shutil.which("nft"):
        tried = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, timeout=10, check=False)
        if tried.returncode != 0:
            yield f"nftables does not work here ({tried.stderr.strip()}): use a kernel with CONFIG_NF_TABLES."


def _cgroup_controllers() -> set[str]:
    """The controllers that are mounted, in a v2 hierarchy or in v1 ones."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        return set(unified.read_text().split())
    return {name for name in CGROUP_CONTROLLERS if Path("/sys/fs/cgroup", name).is_dir()}


def ports_in_use(ports: Iterable[tuple[str, int, str]]) -> Iterator[str]:
    for address, port, user in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                yield f"Port {port}, which {user} needs, is in use: stop what uses it (`ss -ltnp 'sport = :{port}'` names it)."
