"""`pyb up`: a cluster of one node on this machine.

    look (preflight) → make (certificates, kubeconfigs, configuration) → start (the supervisor, in the background)
    → put in place through the API what is ours (addons) → wait until the node is Ready and the images are there

Every step may be repeated; a cluster that runs already is left as it is.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pybernetes.cli import containerd, credentials, machine, preflight, state
from pybernetes.cli.components import API_PORT, CLUSTER_DOMAIN, KUBERNETES_SERVICE_IP, components, tcp_ports
from pybernetes.cli.credentials import ApiAddress
from pybernetes.cli.failure import Failure, leaves
from pybernetes.cli.layout import DATA_DIR, LOG_DIR, RUN_DIR, Layout
from pybernetes.cli.processes import stop
from pybernetes.machinery import log
from pybernetes.machinery.clock import Clock, SystemClock, parse_time
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import condition

if TYPE_CHECKING:
    from pybernetes.client.rest import Client

READY_TIMEOUT_S = 120.0
POLL_S = 0.02
WATCH_POLL_S = 0.5
RESTARTS_MOST = 4  # of one component while the cluster starts
NODE_LEASES = "kube-node-lease"
STOP_GRACE_S = 10.0
_STARTED = b"started"

Say = Callable[[str], None]


def layout_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where the cluster is."""
    for name, default, text in (
        ("--log-dir", LOG_DIR, "Where the components' logs go."),
        ("--run-dir", RUN_DIR, "Where sockets and process ids go."),
        ("--data-dir", DATA_DIR, "Where the cluster's state is kept."),
    ):
        command = click.option(name, type=click.Path(path_type=Path), default=default, show_default=True, help=text)(command)
    return command


@click.command("up")
@layout_options
@click.option("--node-ip", default="", help="This node's address; default: the one that it uses towards others.")
@click.option("--node-name", default="", help="This node's name; default: the host name.")
def command(data_dir: Path, run_dir: Path, log_dir: Path, node_ip: str, node_name: str) -> None:
    """Start a cluster on this machine, and wait until its node is Ready."""
    layout = Layout(data_dir, run_dir, log_dir)
    clock = SystemClock()
    began = clock.monotonic()
    if start(layout, clock, click.echo, node_ip, node_name):
        click.echo(f"The cluster is ready, after {clock.monotonic() - began:.1f} s.")
        click.echo(f"  export KUBECONFIG={layout.admin_kubeconfig}\n  pyb kubectl get nodes")
    else:
        click.echo("The cluster is already running: `pyb status` shows it, `pyb down` stops it.")


def start(layout: Layout, clock: Clock, say: Say, node_ip: str = "", node_name: str = "") -> bool:
    """Bring the cluster up. False if it was running already. Raises `Failure`."""
    running = state.load(layout.state_file)
    if running is not None:
        if running.supervisor.is_alive():
            _wait_ready(layout, running.api, clock, say, since=None)
            return False
        # The supervisor was killed. Its components go with it; whoever lingers must not meet its successor.
        stop(running.processes(), STOP_GRACE_S, clock)
        layout.containerd_socket.unlink(
            missing_ok=True
        )  # a killed one leaves it, and its being there means to us that one runs
    if os.geteuid() != 0:
        raise Failure(next(preflight.problems(())))
    address = ApiAddress(
        node_ip=node_ip or machine.node_ip(),
        port=API_PORT,
        service_ip=KUBERNETES_SERVICE_IP,
        cluster_domain=CLUSTER_DOMAIN,
        node_name=node_name or machine.node_name(),
    )
    found = list(preflight.problems(tcp_ports(address)))
    if found:
        raise Failure("\n       ".join(found))
    since = clock.now()
    _prepare(layout, address, clock)
    _start_supervisor(layout, address)
    _wait_ready(layout, address, clock, say, since=since)
    return True


def _prepare(layout: Layout, address: ApiAddress, clock: Clock) -> None:
    try:
        for directory, mode in ((layout.data, 0o711), (layout.run, 0o711), (layout.logs, 0o755)):
            directory.mkdir(parents=True, exist_ok=True, mode=mode)
        credentials.ensure(layout, address, clock.now(), SystemEntropy())
        containerd.write_config(layout)
    except OSError as error:
        raise Failure(f"Cannot write the cluster's files: {error}. Make room, or choose another --data-dir.") from error
    machine.set_sysctls(layout.sysctls_file)


def _start_supervisor(layout: Layout, address: ApiAddress) -> None:
    """Fork it into a session of its own. Returns once it has started every component; raises `Failure`."""
    reading, writing = os.pipe()
    # Two forks: the supervisor is nobody's child, and no terminal is its own.
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        # A daemon keeps nothing of who started it: a lock of the caller's would be held for as long as the cluster runs.
        os.closerange(3, writing)
        os.closerange(writing + 1, os.sysconf("SC_OPEN_MAX"))
        _supervise(layout, address, writing)
    os.waitpid(child, 0)
    os.close(writing)
    # One read, not until the end: the components are forks too, and hold the other side open as long as they live.
    told = os.read(reading, len(_STARTED))
    os.close(reading)
    if told != _STARTED:
        raise Failure(f"The supervisor did not start: its log is {layout.log('supervisor')}.")


def _supervise(layout: Layout, address: ApiAddress, writing: int) -> None:
    """In the background process. Never returns."""
    code = 1
    try:
        import setproctitle

        output = os.open(layout.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir("/")
        setproctitle.setproctitle("pyb up")
        log.configure()
        from pybernetes.cli.supervisor import Supervisor

        def on_started() -> None:
            os.write(writing, _STARTED)
            os.close(writing)

        Supervisor(components(layout, address), layout, address, SystemClock(), SystemEntropy()).run(on_started)
        code = 0
    except BaseException:
        log.logger("supervisor").exception("The supervisor failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait_ready(layout: Layout, address: ApiAddress, clock: Clock, say: Say, *, since: datetime | None) -> None:
    import uvloop

    try:
        uvloop.run(_until_ready(layout, address, clock, say, since))
    except Exception as error:  # not except*: what such a block raises is a group, in the first releases that have it
        causes = leaves(error)
        for failure in causes:
            if isinstance(failure, Failure):
                raise failure from None
        for cause in causes:
            if isinstance(cause, StatusError):
                raise Failure(f"The API server refused what a cluster needs: {cause}.") from error
            if isinstance(cause, TimeoutError):
                raise Failure(
                    f"The cluster is not ready after {READY_TIMEOUT_S:.0f} s: `pyb status` shows which component is ill, "
                    f"and the logs are in {layout.logs}."
                ) from error
        raise


async def _until_ready(layout: Layout, address: ApiAddress, clock: Clock, say: Say, since: datetime | None) -> None:
    from pybernetes.cli import addons
    from pybernetes.client import kubeconfig

    began = clock.monotonic()

    def reached(what: str) -> None:
        say(f"  {what:<24} {clock.monotonic() - began:5.2f} s")

    async with asyncio.timeout(READY_TIMEOUT_S), asyncio.TaskGroup() as group:
        group.create_task(_import_images(layout, reached))
        watching = group.create_task(_fail_with_a_component(layout, clock))
        client = kubeconfig.connect(str(layout.admin_kubeconfig))
        try:
            await _until_api_ready(client, clock)
            reached("API server ready")
            await addons.ensure(client, address, (layout.pki / "bootstrap-token").read_text())
            await _until_node_ready(client, address.node_name, clock, since)
            reached("node Ready")
            await _until_well(layout, clock)
            watching.cancel()
        finally:
            await client.close()


async def _until_api_ready(client: Client, clock: Clock) -> None:
    while True:
        with suppress(OSError, StatusError):
            await client.raw("GET", "/readyz")
            return
        await clock.sleep(POLL_S)


async def _until_node_ready(client: Client, name: str, clock: Clock, since: datetime | None) -> None:
    """`since`: the kubelet must have been heard of later than that; a node that was Ready before it stopped still says so."""
    from pybernetes.machinery.resources import LEASES, NODES

    while True:
        with suppress(OSError, StatusError):
            node = await client.get(NODES, name)
            ready = condition(node.get("status", {}).get("conditions"), "Ready")
            if ready is not None and ready["status"] == "True":
                if since is None:
                    return
                lease = await client.get(LEASES, name, NODE_LEASES)
                if parse_time(lease["spec"]["renewTime"]) >= since:
                    return
        await clock.sleep(POLL_S)


async def _until_well(layout: Layout, clock: Clock) -> None:
    """Until every component says that it is well: the proxy and the DNS know their Services then."""
    from pybernetes.cli.status import health_of

    while True:
        running = state.load(layout.state_file)
        components = running.components if running is not None else ()
        if set(await asyncio.gather(*(asyncio.to_thread(health_of, each) for each in components))) == {"ok"}:
            return
        await clock.sleep(POLL_S)


async def _fail_with_a_component(layout: Layout, clock: Clock) -> None:
    """Raises `Failure` once a component has ended often enough to show that it will not run."""
    before: dict[str, int] = {}
    while True:
        running = state.load(layout.state_file)
        for each in running.components if running is not None else ():
            if each.restarts - before.setdefault(each.name, each.restarts) >= RESTARTS_MOST:
                raise Failure(
                    f"The {each.name} ends as soon as it starts: `pyb logs {each.name}` tells why, `pyb down` cleans up."
                )
        await clock.sleep(WATCH_POLL_S)


async def _import_images(layout: Layout, reached: Say) -> None:
    from pybernetes.cli import images

    while not layout.containerd_socket.exists():
        await asyncio.sleep(POLL_S)
    await asyncio.to_thread(images.import_images, layout)
    reached("images imported")
