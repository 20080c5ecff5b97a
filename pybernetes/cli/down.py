"""`pyb down`: stop the cluster and leave nothing behind: no process, mount, namespace, nftables table or cgroup.

It works from what is found on the machine, not from what is remembered: after a crash, a kill or half a start it cleans up just
the same, and twice is as good as once.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import click

from pybernetes.cli import containerd, host_ports, machine, preflight, state
from pybernetes.cli.components import CGROUP_ROOT
from pybernetes.cli.failure import Failure
from pybernetes.cli.layout import Layout
from pybernetes.cli.processes import ProcessRef, stop
from pybernetes.cli.up import layout_options
from pybernetes.machinery.clock import Clock, SystemClock

SUPERVISOR_GRACE_S = 60.0  # it grants each component its own
CONTAINER_GRACE_S = 2
CONTAINERD_TIMEOUT_S = 20.0
BRIDGE = "cni0"
NETWORK = "pybernetes"
CNI_RESULTS = Path("/var/lib/cni/results")
SHIM_SOCKETS = Path("/run/containerd/s")
NFT_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"), ("ip", "pybernetes-cni"))


@click.command("down")
@layout_options
@click.option("--purge", is_flag=True, help="Delete the cluster's data and logs too.")
def command(data_dir: Path, run_dir: Path, log_dir: Path, purge: bool) -> None:
    """Stop the cluster; its data stays unless --purge."""
    layout = Layout(data_dir, run_dir, log_dir)
    if os.geteuid() != 0:
        raise Failure(next(preflight.problems(())))
    was_there = layout.run.exists()
    take_down(layout, SystemClock())
    if purge:
        for directory in (layout.data, layout.logs):
            shutil.rmtree(directory, ignore_errors=True)
        click.echo("The cluster is stopped, and its data deleted.")
    elif was_there:
        click.echo(f"The cluster is stopped. Its data is in {layout.data}: `pyb up` brings it back, --purge deletes it.")
    else:
        click.echo("No cluster is running.")


def take_down(layout: Layout, clock: Clock) -> None:
    """Stop and remove everything but data and logs."""
    running = state.load(layout.state_file)
    if running is not None:
        stop([running.supervisor], SUPERVISOR_GRACE_S, clock)
        stop(running.processes(), SUPERVISOR_GRACE_S, clock)
    if layout.containerd_state.exists():
        _remove_pods(layout, clock)
    _kill_leftovers(layout, clock)
    _unmount(layout)
    _remove_network(layout)
    _remove_dead_shim_sockets()
    _remove_cgroups()
    machine.restore_sysctls(layout.sysctls_file)
    shutil.rmtree(layout.run, ignore_errors=True)


def _remove_pods(layout: Layout, clock: Clock) -> None:
    """Let the runtime end the pods itself: it knows their namespaces, snapshots and network. A containerd is lent to it."""
    from pybernetes.kubelet.cri.client import RuntimeUnavailable

    with subprocess.Popen(containerd.argv(layout), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            # What the runtime cannot end is ended by force below.
            with suppress(TimeoutError, RuntimeUnavailable):
                asyncio.run(_remove_sandboxes(layout))
        finally:
            with suppress(ProcessLookupError):
                stop([ProcessRef.of(daemon.pid)], SUPERVISOR_GRACE_S, clock)


async def _remove_sandboxes(layout: Layout) -> None:
    from pybernetes.kubelet.cri.client import Runtime, RuntimeFailed

    runtime = Runtime(f"unix://{layout.containerd_socket}")

    async def remove(sandbox_id: str) -> None:
        await runtime.stop_sandbox(sandbox_id)
        await runtime.remove_sandbox(sandbox_id)

    try:
        async with asyncio.timeout(CONTAINERD_TIMEOUT_S):
            await runtime.wait_ready(CONTAINERD_TIMEOUT_S)
            while True:
                with suppress(RuntimeFailed):  # the socket is there a little before the CRI plugin
                    containers = await runtime.list_containers()
                    break
                await asyncio.sleep(0.05)
            stops = (runtime.stop_container(container.id, CONTAINER_GRACE_S) for container in containers)
            await asyncio.gather(*stops, return_exceptions=True)
            sandboxes = await runtime.list_sandboxes()
            await asyncio.gather(*(remove(sandbox.id) for sandbox in sandboxes), return_exceptions=True)
    finally:
        await runtime.close()


def _kill_leftovers(layout: Layout, clock: Clock) -> None:
    """Whatever still runs for this cluster: shims (they name our socket) and processes in our cgroups."""
    ours = f"{layout.containerd_socket}"
    leftovers = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ProcessLookupError):
            if (
                f"-address\0{ours}" in (process / "cmdline").read_text()
                or f":{CGROUP_ROOT}/" in (process / "cgroup").read_text()
            ):
                leftovers.append(ProcessRef.of(int(process.name)))
    for leftover in leftovers:
        leftover.send(signal.SIGKILL)
    stop(leftovers, 0.0, clock)


def _unmount(layout: Layout) -> None:
    """Everything mounted below our directories, deepest first (which is also how network namespaces are let go)."""
    below = tuple(f"{directory}/" for directory in (layout.run, layout.data))
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # Field 5 is the mount point, its spaces and the like in octal (proc(5)).
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4])
        if point.startswith(below):
            points.append(point)
    for point in sorted(points, reverse=True):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False, timeout=10)


def _remove_network(layout: Layout) -> None:
    if shutil.which("ip"):
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False, timeout=10)
    if shutil.which("nft"):
        for family, table in NFT_TABLES:
            subprocess.run(["nft", "delete", "table", family, table], capture_output=True, check=False, timeout=10)
        host_ports.remove_chains()
    # Each lease names a container that is gone now, and so does each result that the runtime keeps for the day of its end.
    shutil.rmtree(layout.address_leases, ignore_errors=True)
    for result in CNI_RESULTS.glob(f"{NETWORK}-*"):
        result.unlink(missing_ok=True)


def _remove_dead_shim_sockets() -> None:
    """A shim that was killed leaves the file of its socket where all containerds of a machine have theirs."""
    listening = Path("/proc/net/unix").read_text()
    for path in SHIM_SOCKETS.glob("*"):
        if str(path) not in listening:
            path.unlink(missing_ok=True)


def _remove_cgroups() -> None:
    """Remove our cgroups, children before parents, in every hierarchy (v1 has one for each controller)."""
    roots = {Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()}
    for root in roots:
        ours = root / CGROUP_ROOT.lstrip("/")
        if ours.is_dir():
            for directory, _, _ in os.walk(ours, topdown=False):
                with suppress(OSError):
                    os.rmdir(directory)
