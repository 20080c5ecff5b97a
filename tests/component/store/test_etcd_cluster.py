"""An etcd of three members, of which some die, and one that asks for a user."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.store.etcd import EtcdStore, Servers
from pybernetes.store.etcd.keys import KeySpace
from pybernetes.store.interface import Change, KeyExists, Revision, Unavailable
from tests.component.store.etcd_server import EtcdMember, EtcdServer, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PODS = "/registry/pods/"
SPACE = KeySpace(prefix="/registry/")
WRITERS = 6


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[EtcdMember]]:
    members = [EtcdMember(tmp_path / name, name) for name in "abc"]
    for member in members:
        member.cluster = members
    with ExitStack() as stack:
        for member in members:
            stack.enter_context(member)
        leader(members)
        yield members


def leader(members: list[EtcdMember]) -> EtcdMember:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        for member in members:
            if member.running and member.leads:
                return member
        time.sleep(0.05)
    raise AssertionError("no leader")


@pytest.fixture
async def store(members: list[EtcdMember]) -> AsyncIterator[EtcdStore]:
    members[0].kill()  # the first endpoint is down from the start
    store = await EtcdStore.open(Servers(tuple(member.url for member in members)), SPACE)
    await asyncio.to_thread(members[0].start)
    yield store
    await store.close()


async def created(store: EtcdStore, key: str) -> Revision:
    """As soon as the members agree on a leader again; the last try to come through may have been thought lost."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await store.create(key, b"")
            except Unavailable:
                await asyncio.sleep(0.1)
            except KeyExists as error:
                return error.current.mod_revision


async def test_killing_the_leader_under_load_loses_nothing_and_repeats_nothing(
    members: list[EtcdMember], store: EtcdStore
) -> None:
    begin = await store.revision()
    watch = store.watch(PODS, from_revision=Revision(begin + 1))
    written: dict[str, Revision] = {}
    unknown: set[str] = set()
    changes: list[Change] = []

    async def write(writer: int) -> None:
        number = 0
        while True:
            number += 1
            key = f"{PODS}{writer}-{number}"
            try:
                written[key] = await store.create(key, b"v")
            except Unavailable:
                unknown.add(key)
            await asyncio.sleep(0.005)

    async def follow() -> None:
        async for change in watch:
            changes.append(change)

    tasks = [asyncio.create_task(write(number)) for number in range(WRITERS)]
    following = asyncio.create_task(follow())
    for _ in range(4):
        before = len(written)
        dead = await asyncio.to_thread(leader, members)
        dead.kill()
        async with asyncio.timeout(30):
            while len(written) < before + 50:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(dead.start)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last = await created(store, f"{PODS}last")
    async with asyncio.timeout(20):
        while not changes or changes[-1].revision < last:
            await asyncio.sleep(0.01)
    following.cancel()

    revisions = [change.revision for change in changes]
    assert revisions == sorted(set(revisions))
    told = {change.key: change.revision for change in changes}
    assert len(told) == len(changes)
    assert written.items() <= told.items()
    # A writer that was cancelled does not know either.
    assert told.keys() - written.keys() - unknown - {f"{PODS}last"} <= {
        f"{PODS}{n}-{told_last(told, n)}" for n in range(WRITERS)
    }
    page = await store.range(PODS)
    assert {entry.key: entry.mod_revision for entry in page.entries} == told


def told_last(told: dict[str, Revision], writer: int) -> int:
    return max(int(key.rpartition("-")[2]) for key in told if key.startswith(f"{PODS}{writer}-"))


async def test_without_a_majority_nothing_is_read_or_written_and_with_one_again_it_goes_on(
    members: list[EtcdMember], store: EtcdStore
) -> None:
    await store.create(f"{PODS}a", b"1")
    alive = await asyncio.to_thread(leader, members)
    for member in members:
        if member is not alive:
            member.kill()
    store._connections.timeout_s = 1.0
    async with asyncio.timeout(20):
        for call in (store.create(f"{PODS}b", b""), store.get(f"{PODS}a"), store.writable()):
            with pytest.raises(Unavailable):
                await call
    for member in members:
        if member is not alive:
            await asyncio.to_thread(member.start)
    async with asyncio.timeout(20):
        while True:
            try:
                await store.create(f"{PODS}c", b"")
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    assert {entry.key for entry in (await store.range(PODS)).entries} >= {f"{PODS}a", f"{PODS}c"}


# Users


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd with users, who are known by their certificates."""
    now = SystemClock().now()
    authority = pki.Authority.create("etcd-ca", now)
    authority.issue("etcd", ip_addresses=("127.0.0.1",), usages=(*pki.SERVER, *pki.CLIENT), now=now).save(
        tmp_path / "server.crt", tmp_path / "server.key"
    )
    for name in ("root", "kube-apiserver", "stranger"):
        authority.issue(name, now=now).save(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    flags = (f"--cert-file={tmp_path}/server.crt", f"--key-file={tmp_path}/server.key", "--client-cert-auth")
    with EtcdServer(tmp_path, *flags, f"--trusted-ca-file={tmp_path}/ca.crt") as server:
        server.credentials = (
            f"--cacert={tmp_path}/ca.crt", f"--cert={tmp_path}/root.crt", f"--key={tmp_path}/root.key",
        )  # fmt: skip
        server.ctl("user", "add", "root:secret")
        server.ctl("user", "add", "kube-apiserver:secret")
        server.ctl("role", "add", "registry")
        server.ctl("role", "grant-permission", "registry", "readwrite", "/registry/", "/registry1")  # with the marker
        server.ctl("user", "grant-role", "root", "root")
        server.ctl("user", "grant-role", "kube-apiserver", "registry")
        server.ctl("auth", "enable")
        yield server


def servers(tmp_path: Path, server: EtcdServer, name: str) -> Servers:
    return Servers((server.url,), f"{tmp_path}/ca.crt", f"{tmp_path}/{name}.crt", f"{tmp_path}/{name}.key")


async def test_a_user_of_etcd_reaches_what_its_role_lets_it(tmp_path: Path, guarded: EtcdServer) -> None:
    store = await EtcdStore.open(servers(tmp_path, guarded, "kube-apiserver"), SPACE)
    created = await store.create(f"{PODS}a", b"1")
    changed = store.watch(PODS, from_revision=created)
    async with asyncio.timeout(10):
        assert (await anext(changed)).revision == created
    await store.close()


async def test_who_is_no_user_of_etcd_is_refused_in_a_sentence(tmp_path: Path, guarded: EtcdServer) -> None:
    with pytest.raises(Unavailable, match=r"cannot read from etcd at .*: etcd: .*(user|permission|auth)") as refusal:
        await EtcdStore.open(servers(tmp_path, guarded, "stranger"), SPACE)
    assert "Traceback" not in str(refusal.value)


async def test_a_permission_that_is_taken_away_is_said(tmp_path: Path, guarded: EtcdServer) -> None:
    store = await EtcdStore.open(servers(tmp_path, guarded, "kube-apiserver"), SPACE)
    await store.create(f"{PODS}a", b"1")
    guarded.ctl("role", "revoke-permission", "registry", "/registry/", "/registry1")
    with pytest.raises(Unavailable, match="permission denied"):
        await store.create(f"{PODS}b", b"1")
    await store.close()
