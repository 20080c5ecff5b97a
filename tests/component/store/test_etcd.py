"""The etcd engine against Debian's etcd and `pyb etcd`: what the contract does not say, and what may go wrong in between."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.store.etcd import EtcdStore, Servers
from pybernetes.store.etcd.compactor import KEY, Compactor
from pybernetes.store.etcd.connections import Connections
from pybernetes.store.etcd.keys import KeySpace
from pybernetes.store.interface import Change, Compacted, Revision, StoreError, Unavailable, Watch
from tests.component.store.etcd_server import EtcdServer, PybEtcd, free_port, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PODS = "/registry/pods/"
A, B, C = PODS + "default/a", PODS + "default/b", PODS + "default/c"

Open = Callable[..., Awaitable[EtcdStore]]


@pytest.fixture
async def open_store() -> AsyncIterator[Open]:
    """Opens a store on some servers; closed in the end."""
    opened: list[EtcdStore] = []

    async def open_(*servers: EtcdServer | str, space: KeySpace | None = None, **files: str) -> EtcdStore:
        urls = tuple(server if isinstance(server, str) else server.url for server in servers)
        opened.append(await EtcdStore.open(Servers(urls, **files), space or KeySpace()))
        return opened[-1]

    yield open_
    for store in opened:
        await store.close()


@pytest.fixture(params=[EtcdServer, PybEtcd])
def own_etcd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdServer]:
    """One that a test may kill."""
    with request.param(tmp_path) as server:
        yield server


@pytest.fixture(params=["etcd", "pyb_etcd"])
def clean_etcd(request: pytest.FixtureRequest) -> EtcdServer:
    server: EtcdServer = request.getfixturevalue(request.param)
    server.empty()
    return server


async def take(watch: Watch, count: int, within_s: float = 10) -> list[Change]:
    async with asyncio.timeout(within_s):
        return [await anext(watch) for _ in range(count)]


async def eventually(store: EtcdStore, write: Callable[[], Awaitable[Revision]]) -> Revision:
    """Try until etcd is there again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await write()
            except Unavailable:
                await asyncio.sleep(0.05)


# Keys


async def test_keys_are_in_etcd_where_upstream_has_them(clean_etcd: EtcdServer, open_store: Open) -> None:
    store = await open_store(clean_etcd)
    await store.create(A, b"value")
    assert clean_etcd.ctl("get", "/registry/pods/default/a") == "/registry/pods/default/a\nvalue\n"


async def test_a_prefix_keeps_several_clusters_apart_on_one_etcd(clean_etcd: EtcdServer, open_store: Open) -> None:
    one = await open_store(clean_etcd, space=KeySpace(prefix="/one/"))
    other = await open_store(clean_etcd, space=KeySpace(prefix="/other/"))
    await one.create(A, b"1")
    await other.create(A, b"2")
    await other.create(B, b"2")
    assert [entry.value for entry in (await one.range("")).entries] == [b"1"]
    kept = [key for key in clean_etcd.ctl("get", "", "--prefix", "--keys-only").split() if "/pods/" in key]
    assert kept == ["/one/pods/default/a", "/other/pods/default/a", "/other/pods/default/b"]


# Several stores on one etcd


async def test_what_one_store_writes_another_reads_at_once_and_watches(clean_etcd: EtcdServer, open_store: Open) -> None:
    one, other = await open_store(clean_etcd), await open_store(clean_etcd)
    watch = other.watch(PODS, from_revision=Revision(await other.revision() + 1))
    for number in range(50):
        revision = await one.create(f"{PODS}{number}", b"")
        found = await other.get(f"{PODS}{number}")
        assert found is not None and found.mod_revision == revision
    assert [change.key for change in await take(watch, 50)] == [f"{PODS}{number}" for number in range(50)]


async def test_reads_are_current_though_revisions_go_to_keys_of_others(clean_etcd: EtcdServer, open_store: Open) -> None:
    store = await open_store(clean_etcd)
    told: list[Revision] = []
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 1), on_progress=told.append)
    waiting = asyncio.create_task(take(watch, 1))
    for _ in range(3):
        clean_etcd.ctl("put", "/somebody/else", "x")
        before = await store.revision()
        assert await store.get(A) is None
        async with asyncio.timeout(5):
            while told[-1:] != [before]:
                await asyncio.sleep(0.01)
    created = await store.create(A, b"")
    assert [change.revision for change in await waiting] == [created]
    assert "/registry/" not in clean_etcd.ctl("get", "/", "--prefix", "--keys-only").replace(A, "")


async def test_keys_that_go_in_one_transaction_are_all_seen(clean_etcd: EtcdServer, open_store: Open) -> None:
    store = await open_store(clean_etcd)
    for key in (A, B, C):
        await store.create(key, b"")
    before = await store.revision()
    watch = store.watch(PODS, from_revision=Revision(before + 1))
    await asyncio.to_thread(clean_etcd.ctl, "del", PODS, "--prefix")
    gone = await take(watch, 3)
    assert sorted(change.key for change in gone) == [A, B, C]
    assert {change.revision for change in gone} == {before + 1}
    assert (await store.range(PODS)).entries == []
    assert len((await store.range(PODS, revision=before)).entries) == 3


async def test_pages_of_a_revision_from_before_this_process_are_read_from_etcd(
    clean_etcd: EtcdServer, open_store: Open
) -> None:
    one = await open_store(clean_etcd)
    for key in (A, B, C):
        await one.create(key, b"1")
    then = await one.range(PODS, limit=1)
    a = then.entries[0]
    await one.update(a.key, b"2", mod_revision=a.mod_revision)
    await one.close()

    other = await open_store(clean_etcd)
    page = await other.range(PODS, revision=then.revision, limit=1)
    assert (page.entries, page.remaining) == ([a], 2)
    rest = await other.range(PODS, revision=then.revision, after=A)
    assert ([entry.key for entry in rest.entries], rest.remaining) == ([B, C], 0)
    clean_etcd.ctl("compact", str(await other.revision()))
    with pytest.raises(Compacted):
        await other.range(PODS, revision=then.revision)


async def test_many_entries_are_loaded_in_pages(
    clean_etcd: EtcdServer, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await open_store(clean_etcd)
    await asyncio.gather(*(one.create(f"{PODS}{number:03}", b"") for number in range(95)))
    monkeypatch.setattr("pybernetes.store.etcd.follower.PAGE", 10)
    other = await open_store(clean_etcd)
    assert (await other.range("")).entries == (await one.range("")).entries


# Compaction


async def test_stores_compact_together_what_is_older_than_an_interval(clean_etcd: EtcdServer, open_store: Open) -> None:
    store = await open_store(clean_etcd)
    clock, entropy = SystemClock(), SystemEntropy()
    connections = Connections(Servers((clean_etcd.url,)), clock=clock, entropy=entropy)
    one, other = (Compactor(connections, clock=clock, interval_s=1) for _ in range(2))
    first = await store.create(A, b"1")
    await one.take_turn()  # notes where the history is
    await other.take_turn()
    second = await store.update(A, b"2", mod_revision=first)
    assert clean_etcd.ctl("get", A, f"--rev={first}").split() == [A, "1"]
    await one.take_turn()
    await other.take_turn()
    assert clean_etcd.ctl("get", KEY.decode(), "--print-value-only").strip() == str(first + 1)
    with pytest.raises(RuntimeError, match="compacted"):
        clean_etcd.ctl("get", A, f"--rev={first}")
    assert clean_etcd.ctl("get", A, f"--rev={second}").split() == [A, "2"]
    await connections.close()


async def test_a_store_that_missed_what_was_compacted_reads_anew_and_says_so(
    tmp_path: Path, own_etcd: EtcdServer, open_store: Open
) -> None:
    store = await open_store(own_etcd)
    created = await store.create(A, b"1")
    watch = store.watch(PODS, from_revision=Revision(created + 1))
    waiting = asyncio.create_task(take(watch, 1, within_s=20))
    await asyncio.sleep(0)
    # The store cannot reach etcd, while another client can, at another port.
    own_etcd.kill()
    usual, own_etcd.url = own_etcd.url, f"http://127.0.0.1:{free_port()}"
    usual_port, own_etcd.port = own_etcd.port, int(own_etcd.url.rpartition(":")[2])
    own_etcd.start()
    own_etcd.ctl("put", A, "2")
    own_etcd.ctl("del", A)
    put = own_etcd.ctl("put", B, "3", "--write-out=json")
    own_etcd.ctl("compact", put.split('"revision":')[1].split(",")[0])
    own_etcd.kill()
    own_etcd.url, own_etcd.port = usual, usual_port
    own_etcd.start()
    with pytest.raises(Compacted):
        await waiting
    assert [(entry.key, entry.value) for entry in (await store.range(PODS)).entries] == [(B, b"3")]
    again = store.watch(PODS, from_revision=Revision(await store.revision() + 1))
    await store.create(C, b"")
    assert [change.key for change in await take(again, 1)] == [C]


# Trouble


async def test_the_death_of_etcd_is_unavailable_and_watches_go_on_after_it(own_etcd: EtcdServer, open_store: Open) -> None:
    store = await open_store(own_etcd)
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 1))
    await store.create(A, b"1")
    own_etcd.kill()
    async with asyncio.timeout(15):
        answers = await asyncio.gather(store.create(B, b""), store.get(A), store.revision(), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    own_etcd.start()
    revision = await eventually(store, lambda: store.create(C, b"3"))
    changes = [change for change in await take(watch, 2) if change.key != B]
    if len(changes) == 1:  # B was written after all, as `Unavailable` says it may
        changes += await take(watch, 1)
    assert [change.key for change in changes] == [A, C]
    assert changes[-1].revision == revision


async def test_an_etcd_that_hangs_is_unavailable_in_bounded_time(own_etcd: EtcdServer, open_store: Open) -> None:
    store = await open_store(own_etcd)
    store._connections.timeout_s = 1.0
    own_etcd.signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            async with asyncio.timeout(15):
                await store.create(A, b"")
    finally:
        own_etcd.signal(signal.SIGCONT)
    assert await eventually(store, lambda: store.create(B, b""))


async def test_another_endpoint_takes_over_from_one_that_is_gone(clean_etcd: EtcdServer, open_store: Open) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    store = await open_store(gone, clean_etcd)
    created = await store.create(A, b"1")
    assert (await store.range(PODS)).revision == created


async def test_the_watch_moves_to_another_endpoint_when_its_own_dies(clean_etcd: EtcdServer, open_store: Open) -> None:
    passing = await asyncio.start_server(lambda *streams: forward(clean_etcd.port, *streams), "127.0.0.1", 0)
    port = passing.sockets[0].getsockname()[1]
    store = await open_store(f"http://127.0.0.1:{port}", clean_etcd)
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 1))
    waiting = asyncio.create_task(take(watch, 2))
    await store.create(A, b"")
    passing.close()
    for task in FORWARDING:
        task.cancel()
    await eventually(store, lambda: store.create(B, b""))
    assert [change.key for change in await waiting] == [A, B]


FORWARDING: set[asyncio.Task[None]] = set()


async def forward(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, passed on to a port until it is cancelled."""

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()

    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    tasks = {asyncio.create_task(copy(reader, inner_writer)), asyncio.create_task(copy(inner_reader, writer))}
    FORWARDING.update(tasks)
    await asyncio.gather(*tasks, return_exceptions=True)
    FORWARDING.difference_update(tasks)


async def test_an_etcd_that_went_back_in_time_is_read_anew_and_watchers_are_told(
    own_etcd: EtcdServer, open_store: Open
) -> None:
    store = await open_store(own_etcd)
    for number in range(20):
        await store.create(f"{PODS}{number}", b"")
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 1))
    waiting = asyncio.create_task(take(watch, 1, within_s=20))
    await asyncio.sleep(0)
    own_etcd.kill()
    own_etcd.wipe()
    own_etcd.start()
    with pytest.raises(Compacted):
        await waiting
    created = await eventually(store, lambda: store.create(A, b"new"))
    assert created < 20
    assert [entry.key for entry in (await store.range("")).entries] == [A]


async def test_no_etcd_at_the_start_is_said_in_a_sentence(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybernetes.store.etcd.engine.OPEN_TIMEOUT_S", 1.0)
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=f"cannot read from etcd at {url}"):
        await open_store(url)


@pytest.mark.parametrize("endpoint", ["ftp://a", "http://", "http://a/b", "https://a:b"])
async def test_what_is_no_endpoint_is_refused(open_store: Open, endpoint: str) -> None:
    with pytest.raises(ValueError):
        await open_store(endpoint)


async def test_a_value_larger_than_etcd_takes_is_refused_and_not_unknown(clean_etcd: EtcdServer, open_store: Open) -> None:
    store = await open_store(clean_etcd)
    with pytest.raises(StoreError, match="no request as large") as refusal:
        await store.create(A, bytes(2 << 20))
    assert not isinstance(refusal.value, Unavailable)
    assert await store.get(A) is None


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    now = SystemClock().now()
    authority = pki.Authority.create("etcd-ca", now)
    authority.issue("etcd", ip_addresses=("127.0.0.1",), usages=(*pki.SERVER, *pki.CLIENT), now=now).save(
        tmp_path / "server.crt", tmp_path / "server.key"
    )
    authority.issue("kube-apiserver-etcd-client", now=now).save(tmp_path / "client.crt", tmp_path / "client.key")
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    return authority


@pytest.fixture(params=[EtcdServer, PybEtcd])
def secure_etcd(request: pytest.FixtureRequest, tmp_path: Path, authority: pki.Authority) -> Iterator[EtcdServer]:
    flags = (f"--cert-file={tmp_path}/server.crt", f"--key-file={tmp_path}/server.key", "--client-cert-auth")
    with request.param(tmp_path, *flags, f"--trusted-ca-file={tmp_path}/ca.crt") as server:
        yield server


async def test_etcd_is_spoken_to_over_tls_with_a_client_certificate(
    tmp_path: Path, secure_etcd: EtcdServer, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"ca_file": f"{tmp_path}/ca.crt", "cert_file": f"{tmp_path}/client.crt", "key_file": f"{tmp_path}/client.key"}
    store = await open_store(secure_etcd, **files)
    created = await store.create(A, b"1")
    watch = store.watch(PODS, from_revision=created)
    assert [change.key for change in await take(watch, 1)] == [A]

    monkeypatch.setattr("pybernetes.store.etcd.engine.OPEN_TIMEOUT_S", 1.0)
    with pytest.raises(Unavailable):  # without a certificate of ours
        await open_store(secure_etcd, ca_file=files["ca_file"])
    now = SystemClock().now()
    (tmp_path / "other.crt").write_bytes(pki.Authority.create("other", now).certificate_pem)
    with pytest.raises(Unavailable):  # nor is an etcd trusted that another authority vouches for
        await open_store(secure_etcd, **{**files, "ca_file": f"{tmp_path}/other.crt"})


async def test_a_renewed_client_certificate_is_taken_up(
    tmp_path: Path, authority: pki.Authority, secure_etcd: EtcdServer, open_store: Open
) -> None:
    files = {"ca_file": f"{tmp_path}/ca.crt", "cert_file": f"{tmp_path}/client.crt", "key_file": f"{tmp_path}/client.key"}
    now = SystemClock().now()
    short = authority.issue("short", lifetime=timedelta(seconds=3), now=now)
    short.save(tmp_path / "client.crt", tmp_path / "client.key")
    store = await open_store(secure_etcd, **files)
    await store.create(A, b"1")
    await asyncio.sleep(4)
    authority.issue("long", now=now).save(tmp_path / "client.crt", tmp_path / "client.key")
    secure_etcd.kill()
    secure_etcd.start()
    assert await eventually(store, lambda: store.create(B, b"2"))
    assert len((await store.range(PODS)).entries) == 2
