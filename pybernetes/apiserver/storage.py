"""Which store a server keeps its objects in: the embedded one, unless `--etcd-servers` names etcd; and how encrypted."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from pybernetes.apiserver.encryption.store import ROOT, EncryptedStore, NoProviders, Resources
from pybernetes.apiserver.identity import server_id
from pybernetes.apiserver.options import Options
from pybernetes.apiserver.registry.kinds import stored_under
from pybernetes.machinery import resources
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.store.interface import Store, StoreError

if TYPE_CHECKING:
    from pybernetes.apiserver.encryption.encryption import Encryption


async def open_store(options: Options, *, clock: Clock, entropy: Entropy) -> Store:
    """Raises OSError or ValueError with a sentence for the operator."""
    try:
        if options.etcd_servers:
            return await _open_etcd(options, clock, entropy)
        from pybernetes.store.embedded import EmbeddedStore, SqliteLog

        return await EmbeddedStore.open(SqliteLog(Path(options.data_dir)), clock=clock, entropy=entropy)
    except StoreError as error:
        raise OSError(str(error)) from error


async def open_encryption(options: Options, *, clock: Clock, entropy: Entropy) -> Encryption | None:
    """What `--encryption-provider-config` asks for, if anything. Raises ValueError."""
    path, reload = options.encryption_provider_config, options.encryption_provider_config_automatic_reload
    if reload and not path:
        raise ValueError("--encryption-provider-config-automatic-reload must be set with --encryption-provider-config")
    if not path:
        return None
    from pybernetes.apiserver.encryption.encryption import Encryption  # loads cryptography and prometheus-client

    return await Encryption.open(
        path, reload=reload, clock=clock, entropy=entropy, server_id=server_id(socket.gethostname())
    )  # fmt: skip


def encrypted(store: Store, encryption: Encryption | None, options: Options) -> Store:
    """The store as everything above sees it; without encryption, what is encrypted is at least told apart."""
    from pybernetes.apiserver.registry.all import STRATEGIES

    paths = Resources(stored_under(STRATEGIES, resources.BUILTIN))
    if encryption is None:
        return EncryptedStore(store, paths, NoProviders())
    return encryption.wrap(store, paths, prefix=_etcd_prefix(options) if options.etcd_servers else ROOT)


def _etcd_prefix(options: Options) -> str:
    return f"/{options.etcd_prefix.strip('/')}/"


async def _open_etcd(options: Options, clock: Clock, entropy: Entropy) -> Store:
    from pybernetes.store.etcd import EtcdStore, Servers
    from pybernetes.store.etcd.keys import KeySpace

    servers = Servers(options.etcd_servers, options.etcd_cafile, options.etcd_certfile, options.etcd_keyfile)
    # The image reads below /registry/ whatever the keys are called in etcd.
    space = KeySpace(prefix=_etcd_prefix(options), served=ROOT)
    return await EtcdStore.open(
        servers, space, clock=clock, entropy=entropy, compaction_interval_s=options.etcd_compaction_interval_s
    )
