"""The engines that the contract suite runs over, each as a way to open a store on an empty place, and to open it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pybernetes.apiserver.encryption.encryption import Encryption
from pybernetes.apiserver.encryption.store import Resources
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.store.embedded import EmbeddedStore, MemoryLog, SqliteLog
from pybernetes.store.etcd import EtcdStore, Servers
from pybernetes.store.etcd.keys import KeySpace
from pybernetes.store.interface import Store
from tests.component.store.etcd_server import EtcdServer, PybEtcd, missing

Open = Callable[[], Awaitable[Store]]

ENCRYPT_ALL = """
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources: [{resources: ["*.*"], providers: [{aesgcm: {keys: [{name: k, secret: AAAAAAAAAAAAAAAAAAAAAA==}]}}]}]
"""


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """Debian's etcd, shared: tests keep to a prefix of their own, or `empty` it first."""
    if why := missing():
        pytest.skip(why)
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="session")
def pyb_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """`pyb etcd`, shared as well."""
    if why := missing():  # etcdctl empties it
        pytest.skip(why)
    with PybEtcd(tmp_path_factory.mktemp("pyb-etcd")) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "etcd", "pyb_etcd", "encrypted"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store: Store
    if request.param.endswith("etcd"):
        server: EtcdServer = request.getfixturevalue(request.param)
        server.empty()
        store = await EtcdStore.open(Servers((server.url,)), KeySpace(prefix="/test/", served=""))
    else:
        store = await EmbeddedStore.open(SqliteLog(tmp_path / "store") if request.param == "sqlite" else MemoryLog())
    if request.param == "encrypted":
        (tmp_path / "encryption.yaml").write_text(ENCRYPT_ALL)
        encryption = await Encryption.open(
            f"{tmp_path}/encryption.yaml", reload=False, clock=SystemClock(), entropy=SystemEntropy(), server_id=""
        )
        store = encryption.wrap(store, Resources({}))
    yield store
    await store.close()


@pytest.fixture
async def reopen(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the store on disk; called again, closes it first."""
    current: list[Store] = []

    async def open_() -> Store:
        while current:
            await current.pop().close()
        current.append(await EmbeddedStore.open(SqliteLog(tmp_path / "store")))
        return current[-1]

    yield open_
    for store in current:
        await store.close()
