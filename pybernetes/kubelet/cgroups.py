"""cgroups of pods: `kubepods[/<qos>]/pod<uid>`, on version 1 hierarchies and on version 2, with the cgroupfs driver.

Containers' own cgroups are the runtime's; these are their parents: they bound the pod as a whole and weigh the QoS classes
against each other. A controller that the machine lacks is left out; a missing limit never keeps a pod from running.

Source: "Pod level cgroups" (KEP on node allocatable) for names, shares and quotas.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object
from pybernetes.machinery.pod_resources import pod_limits, pod_requests, qos_class

log = logger("kubelet.cgroups")

SHARES_MIN = 2
SHARES_PER_CPU = 1024
QUOTA_MIN_US = 1000
# With those that hold no controller: the runtime makes its cgroups there too, and what is not ours to remove is left for good.
V1_TREES = ("cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb", "blkio", "devices", "freezer", "perf_event", "net_cls",
            "net_prio", "rdma", "misc", "systemd", "unified")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """0 is "no limit"; shares are version 1's."""

    cpu_shares: int = SHARES_MIN
    cpu_quota_us: int = 0
    cpu_period_us: int = 100_000
    memory_bytes: int = 0
    pids: int = 0


def shares(milli_cpu: int) -> int:
    return min(max(milli_cpu * SHARES_PER_CPU // 1000, SHARES_MIN), 262_144)


def quota_us(milli_cpu: int, period_us: int) -> int:
    return max(milli_cpu * period_us // 1000, QUOTA_MIN_US) if milli_cpu else 0


def pod_limits_of(pod: Object, *, period_us: int = 100_000, enforce_quota: bool = True, pids: int = 0) -> Limits:
    """The bounds of a pod's own cgroup: limits apply only where every container has one."""
    requests, limits = pod_requests(pod), pod_limits(pod)
    cpu = limits["cpu"].milli if "cpu" in limits else 0
    return Limits(
        cpu_shares=shares(requests["cpu"].milli) if "cpu" in requests else SHARES_MIN,
        cpu_quota_us=quota_us(cpu, period_us) if enforce_quota else 0,
        cpu_period_us=period_us,
        memory_bytes=limits["memory"].value if "memory" in limits else 0,
        pids=max(pids, 0),
    )


def oom_score_adj(pod: Object, container: Object, memory_capacity_bytes: int) -> int:
    """Who dies first when memory runs out: -997 is never, 1000 at once (Node-pressure eviction, "Node out of memory")."""
    if (pod["spec"].get("priority") or 0) >= 2_000_000_000:
        return -997  # node-critical
    qos = qos_class(pod)
    if qos == "Guaranteed":
        return -997
    if qos == "BestEffort":
        return 1000
    from pybernetes.machinery.quantity import parse

    request = ((container.get("resources") or {}).get("requests") or {}).get("memory")
    requested = parse(request).value if request else 0
    score = 1000 - (1000 * requested) // max(memory_capacity_bytes, 1)
    return min(max(score, 3), 999)


class Cgroups:
    """Makes and removes pods' cgroups. `root` is the cgroup below which `kubepods` stands ("" or "/": the top)."""

    def __init__(self, root: str = "", *, mount: Path = Path("/sys/fs/cgroup")) -> None:
        self._prefix = root.strip("/")
        self._v2 = (mount / "cgroup.controllers").exists()
        self._trees: dict[str, Path] = {}
        if self._v2:
            self._trees[""] = mount
        else:
            for controller in V1_TREES:
                if (mount / controller / "cgroup.procs").exists():
                    self._trees[controller] = mount / controller

    @property
    def version(self) -> int:
        return 2 if self._v2 else 1

    def parent_of(self, pod: Object) -> str:
        """The CRI's `cgroup_parent`: absolute within the hierarchy."""
        qos = qos_class(pod).lower()
        parts = [self._prefix, "kubepods", *([] if qos == "guaranteed" else [qos]), f"pod{pod['metadata']['uid']}"]
        return "/" + "/".join(part for part in parts if part)

    def set_up(self) -> None:
        """The `kubepods` tree. BestEffort gets the least share; Burstable's follows its pods' requests (set_qos_shares)."""
        self._make(self._join("kubepods"))
        for qos in ("besteffort", "burstable"):
            self._make(self._join("kubepods", qos))
        self._write(self._join("kubepods", "besteffort"), Limits(cpu_shares=SHARES_MIN))

    def set_burstable_shares(self, milli_cpu: int) -> None:
        self._write(self._join("kubepods", "burstable"), Limits(cpu_shares=shares(milli_cpu)))

    def create(self, pod: Object, limits: Limits) -> None:
        path = self.parent_of(pod).strip("/")
        self._make(path)
        self._write(path, limits)

    def remove(self, uid: str) -> None:
        """The pod's cgroup and those below it, in each hierarchy; what still runs in it is killed."""
        for tree in self._trees.values():
            for qos in ("", "besteffort", "burstable"):
                top = tree / self._join("kubepods", qos, f"pod{uid}")
                if top.is_dir():
                    self._remove_tree(top)

    def tear_down(self) -> None:
        """Remove the whole `kubepods` tree (of a node that is taken down), and the root if that leaves it empty."""
        for tree in self._trees.values():
            top = tree / self._join("kubepods")
            if top.is_dir():
                self._remove_tree(top)
            if self._prefix:
                with suppress(OSError):  # not ours alone, or not there
                    (tree / self._prefix).rmdir()

    def pod_uids(self) -> set[str]:
        """Of the pods that have a cgroup: what an orphan leaves behind is found by this."""
        found = set()
        for tree in self._trees.values():
            for qos in ("", "besteffort", "burstable"):
                top = tree / self._join("kubepods", qos)
                if top.is_dir():
                    found |= {entry.name[3:] for entry in top.iterdir() if entry.name.startswith("pod") and entry.is_dir()}
        return found

    def _join(self, *parts: str) -> str:
        return "/".join(part for part in (self._prefix, *parts) if part)

    def _make(self, path: str) -> None:
        for controller, tree in self._trees.items():
            directory = tree
            for part in path.split("/"):
                parent, directory = directory, directory / part
                if directory.is_dir():
                    continue
                try:
                    directory.mkdir(exist_ok=True)
                    if self._v2:
                        self._enable_controllers(parent)
                    elif controller == "cpuset":
                        for name in ("cpuset.cpus", "cpuset.mems"):  # empty at first: nothing could run
                            _write(directory / name, (parent / name).read_text().strip())
                except OSError as error:
                    log.warning("Cannot make a cgroup", path=str(directory), error=str(error))
                    break

    def _enable_controllers(self, parent: Path) -> None:
        available = (parent / "cgroup.controllers").read_text().split()
        for controller in available:
            _write(parent / "cgroup.subtree_control", f"+{controller}")

    def _write(self, path: str, limits: Limits) -> None:
        if self._v2:
            directory = self._trees[""] / path
            weight = 1 + ((limits.cpu_shares - 2) * 9999) // 262_142
            quota = str(limits.cpu_quota_us) if limits.cpu_quota_us else "max"
            files = {
                "cpu.weight": str(weight),
                "cpu.max": f"{quota} {limits.cpu_period_us}",
                "memory.max": str(limits.memory_bytes) if limits.memory_bytes else "max",
                "pids.max": str(limits.pids) if limits.pids else "max",
            }
            for name, value in files.items():
                _write(directory / name, value)
            return
        v1 = {
            "cpu/cpu.shares": str(limits.cpu_shares),
            "cpu/cpu.cfs_period_us": str(limits.cpu_period_us),
            "cpu/cpu.cfs_quota_us": str(limits.cpu_quota_us) if limits.cpu_quota_us else "-1",
            "memory/memory.limit_in_bytes": str(limits.memory_bytes) if limits.memory_bytes else "-1",
            "pids/pids.max": str(limits.pids) if limits.pids else "max",
        }
        for name, value in v1.items():
            controller, _, file = name.partition("/")
            if controller in self._trees:
                _write(self._trees[controller] / path / file, value)

    def _remove_tree(self, top: Path) -> None:
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                for pid in (Path(directory) / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            except (OSError, ValueError):
                pass
            try:
                os.rmdir(directory)
            except OSError as error:
                log.debug("Cgroup is still in use", path=directory, error=str(error))


def _write(path: Path, value: str) -> None:
    if not path.exists():
        return  # the machine lacks this controller, or this file of it
    try:
        path.write_text(value)
    except OSError as error:
        log.debug("Cannot write a cgroup file", path=str(path), value=value, error=str(error))
