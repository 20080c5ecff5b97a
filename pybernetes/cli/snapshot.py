"""`pyb snapshot`: copies of a cluster's state, and clusters from copies."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import click

from pybernetes.cli import state
from pybernetes.cli.failure import Failure
from pybernetes.cli.layout import DATA_DIR, Layout
from pybernetes.cli.up import layout_options

ANSWER_TIMEOUT_S = 600.0  # until the server has written its copy
SILENCE_TIMEOUT_S = 60.0  # between two pieces


@click.group("snapshot")
def command() -> None:
    """Save the cluster's state to a file, or restore it from one.

    A snapshot is a file as etcd's: `etcdctl snapshot status` and `etcdctl snapshot restore` understand it, and one that
    `etcdctl snapshot save` made can be restored here. It holds every Secret. The cluster's certificates and keys are not in it.
    """


@command.command("save")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--kubeconfig", type=click.Path(path_type=Path), default=None, help="Default: the administrator's, in the data directory."
)
@click.option("--data-dir", type=click.Path(path_type=Path), default=DATA_DIR, show_default=True, help="Of the cluster.")
def save(file: Path, kubeconfig: Path | None, data_dir: Path) -> None:
    """Write the state of the running cluster to a new FILE; it goes on working."""
    from pybernetes.store.snapshot import load

    if file.exists():
        raise Failure(f"{file} exists already: choose another name, or remove it.")
    kubeconfig = kubeconfig or Layout(data_dir).admin_kubeconfig
    part = file.with_name(file.name + ".part")
    try:
        asyncio.run(_fetch(kubeconfig, part))
        found = load(part)
        os.rename(part, file)
    except Exception as error:
        raise Failure(f"Cannot save a snapshot: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    click.echo(f"Saved revision {found.revision}: {len(found.entries)} objects, {_size(file)}, in {file}.")


async def _fetch(kubeconfig: Path, part: Path) -> None:
    from pybernetes.apiserver.snapshots import PATH
    from pybernetes.client.kubeconfig import connect
    from pybernetes.store.files import make_private, sync

    client = connect(kubeconfig)
    try:
        response = await client.raw("GET", PATH, stream=True, timeout_s=ANSWER_TIMEOUT_S)
        assert isinstance(response.body, AsyncIterator)
        make_private(part)
        with part.open("wb") as file:
            while True:
                async with asyncio.timeout(SILENCE_TIMEOUT_S):
                    data = await anext(response.body, b"")
                if not data:
                    break
                file.write(data)
        sync(part)
    finally:
        await client.close()


@command.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@layout_options
@click.option("--store", "store_dir", type=click.Path(path_type=Path), help="Restore to this directory of a store alone.")
@click.option("--replace", is_flag=True, help="Put aside the store that is there.")
def restore(file: Path, data_dir: Path, run_dir: Path, log_dir: Path, store_dir: Path | None, replace: bool) -> None:
    """Make the state of a stopped cluster what FILE says; `pyb up` then starts it.

    With --store, it is the directory that `pyb apiserver --data-dir` or `pyb etcd --data-dir` has.
    """
    from pybernetes.store.embedded.restoring import restore
    from pybernetes.store.interface import StoreError
    from pybernetes.store.snapshot import load

    layout = Layout(data_dir, run_dir, log_dir)
    running = None if store_dir else state.load(layout.state_file)
    if running is not None and running.supervisor.is_alive():
        raise Failure("The cluster is running: stop it first with `pyb down`.")
    target = store_dir or layout.store
    aside = None
    try:
        load(file)  # before anything is touched
        if replace:
            aside = _put_aside(target)
        restored = restore(file, target)
    except (StoreError, OSError) as error:
        hint = " (--replace puts it aside)" if "holds a store already" in str(error) else ""
        raise Failure(f"Cannot restore: {error}{hint}.") from error
    click.echo(f"Restored {len(restored.entries)} objects to {target}; revisions go on from {restored.revision}.")
    if aside:
        click.echo(f"The store that was there is in {aside}.")


def _put_aside(directory: Path) -> Path | None:
    """Move a store's files into a directory beside them; None if there is no store. Raises `InUse`."""
    from pybernetes.store.embedded.sqlite_log import FILES, claim

    if not (directory / "state.db").exists():
        return None
    with claim(directory):
        number = 1
        while (aside := directory / f"replaced-{number}").exists():
            number += 1
        aside.mkdir(mode=0o700)
        for name in FILES:
            if (directory / name).exists():
                os.rename(directory / name, aside / name)
    return aside


@command.command("show")
@click.argument("file", type=click.Path(path_type=Path))
def show(file: Path) -> None:
    """Check FILE, and say what it holds."""
    from pybernetes.store.interface import StoreError
    from pybernetes.store.snapshot import load

    try:
        found = load(file)
    except StoreError as error:
        raise Failure(f"{error}.") from error
    click.echo(f"Revision {found.revision}, {len(found.entries)} objects, {len(found.leases)} leases, {_size(file)}.")
    resources = Counter(_resource(entry.key) for entry in found.entries)
    for name, count in sorted(resources.items()):
        click.echo(f"{count:8} {name}")


def _resource(key: str) -> str:
    """The part of a key that says what it is of: `/registry/apps/deployments/…` is stored below its group, `pods` is not."""
    parts = key.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "registry" else "others"


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f} MiB"
