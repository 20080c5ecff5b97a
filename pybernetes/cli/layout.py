"""Where a cluster keeps its things on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATA_DIR = Path("/var/lib/pybernetes")
RUN_DIR = Path("/run/pybernetes")
LOG_DIR = Path("/var/log/pybernetes")


@dataclass(frozen=True, slots=True)
class Layout:
    """Data outlives `pyb down`; run holds sockets, process ids and mounts, and goes with it; logs stay."""

    data: Path = DATA_DIR
    run: Path = RUN_DIR
    logs: Path = LOG_DIR

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def store(self) -> Path:
        return self.data / "store"

    @property
    def kubelet(self) -> Path:
        return self.data / "kubelet"

    @property
    def address_leases(self) -> Path:
        """Which pod has which address; the kubelet's CNI configuration says so."""
        return self.kubelet / "cni"

    @property
    def pod_logs(self) -> Path:
        return self.data / "pod-logs"

    @property
    def images(self) -> Path:
        return self.data / "images"

    @property
    def containerd_root(self) -> Path:
        return self.data / "containerd"

    @property
    def containerd_run(self) -> Path:
        return self.run / "containerd"

    @property
    def containerd_state(self) -> Path:
        return self.containerd_run / "state"

    @property
    def containerd_config(self) -> Path:
        return self.containerd_run / "config.toml"

    @property
    def containerd_socket(self) -> Path:
        return self.containerd_run / "containerd.sock"

    @property
    def cni_conf(self) -> Path:
        return self.run / "cni"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.data / "admin.kubeconfig"

    @property
    def bootstrap_kubeconfig(self) -> Path:
        return self.data / "bootstrap-kubelet.kubeconfig"

    @property
    def kubelet_kubeconfig(self) -> Path:
        return self.data / "kubelet.kubeconfig"

    @property
    def state_file(self) -> Path:
        """What runs: written by the supervisor, read by `status` and `down`."""
        return self.run / "state.json"

    @property
    def sysctls_file(self) -> Path:
        """The kernel settings that `up` changed, with their former values, for `down` to put back."""
        return self.run / "sysctls.json"

    def kubeconfig(self, component: str) -> Path:
        return self.data / f"{component}.kubeconfig"

    def log(self, component: str) -> Path:
        return self.logs / f"{component}.log"
