"""What a cluster changes on its machine, listed so that before and after can be compared."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from pybernetes.cli.components import CGROUP_ROOT
from pybernetes.cli.machine import SYSCTLS
from tests.e2e.cluster import node_processes


def traces(scratch: Path) -> set[str]:
    """One line for each thing that a cluster in this directory may leave. Equal sets: nothing was left.

    What somebody else's live containerd has on this machine is not looked at.
    """
    processes = list(node_processes())
    commands = "\n".join(command for _, command, _ in processes)
    listening = Path("/proc/net/unix").read_text()
    results = (path for path in _entries("/var/lib/cni/results") if path.name.rsplit("-", 2)[1] not in commands)
    return {
        *(f"process {pid}: {command}" for pid, command, cgroups in processes if _is_ours(command, cgroups, scratch)),
        *(f"mount {line.split()[4]}" for line in _lines("/proc/self/mountinfo") if str(scratch) in line),
        *(f"link {line.split()[0]}" for line in _output("ip", "-brief", "link")),
        *(f"route {line}" for line in _output("ip", "route", "show", "table", "all")),
        *(f"rule {line}" for line in _output("ip", "rule")),
        *(f"network namespace {path.name}" for path in _entries("/run/netns")),
        *(f"nftables {line}" for line in _output("nft", "list", "tables")),
        *(f"cgroup {path}" for root in _entries("/sys/fs/cgroup") if (path := root / CGROUP_ROOT.lstrip("/")).exists()),
        *(f"network result {path}" for path in results),
        *(f"shim socket {path}" for path in _entries("/run/containerd/s") if str(path) not in listening),
        *(f"sysctl {name} = {Path('/proc/sys', name).read_text().strip()}" for name in SYSCTLS),
    }


def _is_ours(command: str, cgroups: str, scratch: Path) -> bool:
    return str(scratch) in command or f":{CGROUP_ROOT}/" in cgroups


def _entries(directory: str) -> Iterable[Path]:
    path = Path(directory)
    return path.iterdir() if path.is_dir() else ()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _output(*words: str) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
    return [line for line in done.stdout.splitlines() if line.strip()]
