"""`pyb status`: each component, its health, its address, its memory; the nodes."""

from __future__ import annotations

import asyncio
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from pybernetes.cli import state
from pybernetes.cli.failure import Failure
from pybernetes.cli.layout import Layout
from pybernetes.cli.state import ComponentState
from pybernetes.cli.up import layout_options
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import condition, name_of

HEALTH_TIMEOUT_S = 2.0
MIB = 2**20


@click.command("status")
@layout_options
def command(data_dir: Path, run_dir: Path, log_dir: Path) -> None:
    """Show each component and the nodes. Exits 1 unless all are well."""
    layout = Layout(data_dir, run_dir, log_dir)
    running = state.load(layout.state_file)
    if running is None:
        raise Failure("No cluster is running here: `pyb up` starts one.")
    if not running.supervisor.is_alive():
        raise Failure("The supervisor is gone: `pyb up` brings the cluster back, `pyb down` cleans up after it.")
    rows, memory_total, all_well = [], 0, True
    for component in running.components:
        health = health_of(component)
        memory = component.process.memory_bytes() if component.process else 0
        if component.name != "containerd":
            memory_total += memory
        all_well &= health == "ok"
        pid = str(component.process.pid) if component.process else "-"
        rows.append((component.name, health, pid, str(component.restarts), f"{memory / MIB:.0f} MiB", component.address))
    supervisor_memory = running.supervisor.memory_bytes()
    memory_total += supervisor_memory
    rows.append(("supervisor", "ok", str(running.supervisor.pid), "0", f"{supervisor_memory / MIB:.0f} MiB", ""))
    _table(("COMPONENT", "HEALTH", "PID", "RESTARTS", "MEMORY", "ADDRESS"), rows)
    click.echo(f"\nMemory, all but containerd: {memory_total / MIB:.0f} MiB (proportional set size)\n")
    nodes = asyncio.run(_nodes(layout))
    all_well &= all(ready == "Ready" for _, ready, _, _ in nodes) and bool(nodes)
    _table(("NODE", "STATUS", "VERSION", "ADDRESS"), nodes)
    raise SystemExit(0 if all_well else 1)


def health_of(component: ComponentState) -> str:
    """ "ok", or in a word or two what is wrong."""
    if component.process is None or not component.process.is_alive():
        return "not running"
    if not component.health:
        return "ok"
    # Health is told to anyone, and these are our own processes on loopback: there is nothing that TLS could prove here.
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(component.health, timeout=HEALTH_TIMEOUT_S, context=context) as answer:
            return "ok" if answer.status == 200 else f"HTTP {answer.status}"
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except OSError:
        return "no answer"


async def _nodes(layout: Layout) -> list[tuple[str, str, str, str]]:
    from pybernetes.client import kubeconfig
    from pybernetes.machinery.resources import NODES

    client = kubeconfig.connect(layout.admin_kubeconfig)
    try:
        listed = await client.list(NODES)
    except (OSError, StatusError) as error:
        raise Failure(f"The API server does not answer: {error}. Its log: `pyb logs apiserver`.") from error
    finally:
        await client.close()
    rows = []
    for node in listed["items"]:
        status = node.get("status", {})
        ready = condition(status.get("conditions"), "Ready")
        address = next((each["address"] for each in status.get("addresses", ()) if each["type"] == "InternalIP"), "")
        version = status.get("nodeInfo", {}).get("kubeletVersion", "")
        rows.append((name_of(node), "Ready" if ready and ready["status"] == "True" else "NotReady", version, address))
    return rows


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
