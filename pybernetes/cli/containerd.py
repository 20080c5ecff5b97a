"""A containerd of the cluster's own: its configuration and the command that starts it.

The machine's containerd, if there is one, has other roots and another socket and is left alone.
"""

from __future__ import annotations

from pathlib import Path

from pybernetes.cli.layout import Layout
from pybernetes.cli.preflight import CNI_PLUGINS

PAUSE_IMAGE = "localhost/pybernetes/pause:1"


def write_config(layout: Layout) -> None:
    """Write the configuration (version 2, as of containerd 1.6)."""
    layout.containerd_run.mkdir(parents=True, exist_ok=True, mode=0o711)
    layout.cni_conf.mkdir(parents=True, exist_ok=True)
    layout.containerd_config.write_text(config(layout, restrict_oom_score_adj=not may_lower_oom_score()))


def argv(layout: Layout) -> tuple[str, ...]:
    return ("containerd", "--config", str(layout.containerd_config))


def config(layout: Layout, *, restrict_oom_score_adj: bool) -> str:
    return f"""\
version = 2
root = "{layout.containerd_root}"
state = "{layout.containerd_state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]

[grpc]
  address = "{layout.containerd_socket}"

[ttrpc]
  address = "{layout.containerd_socket}.ttrpc"

[plugins."io.containerd.internal.v1.opt"]
  path = "{layout.containerd_root}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = {str(restrict_oom_score_adj).lower()}
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{layout.cni_conf}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{layout.containerd_run}/runc"
"""


def may_lower_oom_score() -> bool:
    """Whether a process here may lower its `oom_score_adj` (CAP_SYS_RESOURCE); some containers' hosts lack it."""
    score = Path("/proc/self/oom_score_adj")
    before = score.read_text()
    try:
        score.write_text(str(max(int(before) - 1, -1000)))
        score.write_text(before)
    except OSError:
        return False
    return True
