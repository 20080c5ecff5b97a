"""`pyb snapshot`: a running API server saved, restored, and started again; and files that are no snapshots."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pybernetes.cli.main import pyb
from pybernetes.client.kubeconfig import ConfigError, connect
from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.errors import Forbidden, StatusError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import CONFIG_MAPS, NAMESPACES
from pybernetes.store import bolt
from pybernetes.store.embedded import EmbeddedStore, SqliteLog
from pybernetes.store.interface import Entry
from tests.component.store.etcd_server import EtcdServer, free_port


def run_pyb(*arguments: str) -> Result:
    return CliRunner().invoke(pyb, arguments)


@contextmanager
def api_server(directory: Path, *flags: str) -> Iterator[Path]:
    """`pyb apiserver` on a directory; gives the administrator's kubeconfig."""
    port = free_port()
    tokens = directory / "tokens.csv"
    directory.mkdir(exist_ok=True)
    tokens.write_text("nobody,nobody,nobody\n")
    command = [
        sys.executable, "-m", "pybernetes", "apiserver", f"--data-dir={directory}", f"--secure-port={port}",
        "--bind-address=127.0.0.1", f"--token-auth-file={tokens}", *flags,
    ]  # fmt: skip
    kubeconfig = directory / "kubeconfig"
    pki = directory / "pki"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {
                    "server": f"https://127.0.0.1:{port}", "certificate-authority": f"{pki}/ca.crt"}}],
                "users": [{"name": "u", "user": {
                    "client-certificate": f"{pki}/admin.crt", "client-key": f"{pki}/admin.key"}},
                    {"name": "n", "user": {"token": "nobody"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}},
                             {"name": "n", "context": {"cluster": "c", "user": "n"}}],
            }
        )
    )  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            asyncio.run(_wait_ready(kubeconfig, process))
            yield kubeconfig
        finally:
            process.terminate()


async def _wait_ready(kubeconfig: Path, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 30
    while True:
        if process.poll() is not None:
            assert process.stderr
            raise RuntimeError(process.stderr.read().decode())
        try:
            client = connect(kubeconfig)
            await client.get(NAMESPACES, "default")
            await client.close()
            return
        except (OSError, ConfigError, StatusError, ConnectionFailed):  # its certificates may not be there yet
            if time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(0.05)


def config_map(name: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"name": name}}


async def _write(client: Client, numbers: range) -> None:
    for number in numbers:
        await client.create(CONFIG_MAPS, config_map(f"c{number:04}"))


async def _names(kubeconfig: Path) -> list[str]:
    client = connect(kubeconfig)
    listed = await client.list(CONFIG_MAPS, "default")
    await client.close()
    return sorted(name_of(item) for item in listed["items"] if name_of(item).startswith("c"))


async def _save_while_writing(kubeconfig: Path, file: Path) -> Result:
    client = connect(kubeconfig)
    await _write(client, range(50))
    writing = asyncio.create_task(_write(client, range(50, 100_000)))
    result = await asyncio.to_thread(run_pyb, "snapshot", "save", str(file), "--kubeconfig", str(kubeconfig))
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await client.close()
    return result


def test_a_cluster_saved_while_it_is_written_to_is_restored_as_it_was_then(tmp_path: Path) -> None:
    file = tmp_path / "cluster.snapshot"
    with api_server(tmp_path / "one") as kubeconfig:
        result = asyncio.run(_save_while_writing(kubeconfig, file))
        assert result.exit_code == 0, result.output
        assert result.output.startswith("Saved revision ")
        in_the_end = asyncio.run(_names(kubeconfig))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = run_pyb("snapshot", "show", str(file))
    assert shown.exit_code == 0 and " configmaps\n" in shown.output

    result = run_pyb("snapshot", "restore", str(file), "--store", str(tmp_path / "two"))
    assert result.exit_code == 0, result.output
    with api_server(tmp_path / "two") as kubeconfig:
        then = asyncio.run(_names(kubeconfig))
        # Written one after the other, so a moment of it is the first ones, without a gap.
        assert then == in_the_end[: len(then)]
        assert len(then) >= 50
        made = asyncio.run(_create(kubeconfig, "new"))
        assert int(made["metadata"]["resourceVersion"]) > 1_000_000_000


async def _create(kubeconfig: Path, name: str) -> Object:
    client = connect(kubeconfig)
    made = await client.create(CONFIG_MAPS, config_map(name))
    await client.close()
    return made


def test_only_administrators_may_take_a_snapshot(tmp_path: Path) -> None:
    async def ask(kubeconfig: Path) -> None:
        client = connect(kubeconfig, context="n")
        try:
            await client.raw("GET", "/pybernetes/snapshot")
        finally:
            await client.close()

    with api_server(tmp_path / "one") as kubeconfig, pytest.raises(Forbidden):
        asyncio.run(ask(kubeconfig))


def test_a_cluster_on_etcd_is_saved_as_well(etcd: EtcdServer, tmp_path: Path) -> None:
    etcd.empty()
    with api_server(tmp_path / "one", f"--etcd-servers={etcd.url}") as kubeconfig:
        asyncio.run(_create(kubeconfig, "c1"))
        result = run_pyb("snapshot", "save", str(tmp_path / "s"), "--kubeconfig", str(kubeconfig))
        assert result.exit_code == 0, result.output
    assert run_pyb("snapshot", "restore", str(tmp_path / "s"), "--store", str(tmp_path / "two")).exit_code == 0
    with api_server(tmp_path / "two") as kubeconfig:
        assert asyncio.run(_names(kubeconfig)) == ["c1"]


# Files


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    async def make() -> None:
        store = await EmbeddedStore.open(SqliteLog(tmp_path / "from"))
        await store.create("/registry/pods/default/a", b"1", lease=await store.grant(60))
        await store.snapshot(tmp_path / "snapshot")
        await store.close()

    asyncio.run(make())
    return tmp_path / "snapshot"


def _sealed(data: bytes) -> bytes:
    return data + hashlib.sha256(data).digest()


def _bolt(**buckets: dict[bytes, bytes]) -> bytes:
    file = io.BytesIO()
    bolt.write(file, {name.encode(): sorted(items.items()) for name, items in buckets.items()})
    return _sealed(file.getvalue())


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda data: b"", "it is too short"),
        (lambda data: b"apiVersion: v1\n" * 100, "does not end with a checksum"),
        (lambda data: data[:-512], "does not match its checksum"),
        (lambda data: data[:-100], "does not end with a checksum"),
        (_flip, "does not match its checksum"),
        (lambda data: _sealed(bytes(8192)), "no database as etcd has them"),
        (lambda data: _sealed(data[: 4 * 4096]), "it has 16384 bytes of"),
        (lambda data: _bolt(songs={b"a": b"b"}), "a database, but not of etcd's or of Pybernetes"),
        (lambda data: _bolt(key={}, lease={}, meta={}, pybernetes={b"format": b"7"}), "has format 7, and this Pybernetes"),
        (lambda data: _bolt(key={bytes(17): b"\x0a\x02/\xff"}, lease={}, meta={}), "a key that is no text"),
    ],
    ids=["empty", "text", "cut", "cut within", "flipped", "zeros", "half", "other program's", "newer", "binary key"],
)
def test_what_is_no_snapshot_is_refused_in_a_sentence(
    tmp_path: Path, snapshot: Path, spoil: Callable[[bytes], bytes], sentence: str
) -> None:
    snapshot.write_bytes(spoil(snapshot.read_bytes()))
    for command in (["restore", str(snapshot), "--store", str(tmp_path / "to"), "--replace"], ["show", str(snapshot)]):
        result = run_pyb("snapshot", *command)
        assert (result.exit_code, "Traceback" in result.output) == (1, False)
        assert sentence in result.output
    assert not (tmp_path / "to").exists()


def test_a_missing_file_a_database_and_a_directory_are_no_snapshots(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "db").execute("CREATE TABLE song (title TEXT)").connection.close()
    for path, sentence in (("none", "No such file"), (".", "Is a directory"), ("db", "checksum")):
        result = run_pyb("snapshot", "restore", str(tmp_path / path), "--store", str(tmp_path / "to"))
        assert result.exit_code == 1 and sentence in result.output


def test_a_store_is_replaced_only_if_asked_to_and_kept_then(tmp_path: Path, snapshot: Path) -> None:
    arguments = ["snapshot", "restore", str(snapshot), "--store", str(tmp_path / "from")]
    refused = run_pyb(*arguments)
    assert refused.exit_code == 1 and "holds a store already" in refused.output and "--replace puts it aside" in refused.output
    for number in (1, 2):
        result = run_pyb(*arguments, "--replace")
        assert result.exit_code == 0, result.output
        assert f"The store that was there is in {tmp_path}/from/replaced-{number}" in result.output
    assert asyncio.run(_entries(tmp_path / "from/replaced-1")) == asyncio.run(_entries(tmp_path / "from"))


async def _entries(directory: Path) -> list[Entry]:
    store = await EmbeddedStore.open(SqliteLog(directory))
    found = (await store.range("")).entries
    await store.close()
    return list(found)


def test_a_store_in_use_is_not_replaced(tmp_path: Path, snapshot: Path) -> None:
    async def attempt() -> Result:
        store = await EmbeddedStore.open(SqliteLog(tmp_path / "from"))
        result = await asyncio.to_thread(
            run_pyb, "snapshot", "restore", str(snapshot), "--store", str(tmp_path / "from"), "--replace"
        )
        await store.close()
        return result

    result = asyncio.run(attempt())
    assert result.exit_code == 1 and "in use by process" in result.output


def test_saving_says_why_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert "exists already" in run_pyb("snapshot", "save", str(tmp_path / "there")).output
    result = run_pyb("snapshot", "save", str(tmp_path / "new"), "--data-dir", str(tmp_path))
    assert result.exit_code == 1 and "Cannot save a snapshot" in result.output and "admin.kubeconfig" in result.output
    assert shutil.disk_usage(tmp_path).free and not list(tmp_path.glob("new*"))
