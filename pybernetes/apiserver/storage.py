"""Which store a server keeps its objects in: the embedded one, unless `--etcd-servers` names etcd."""

from __future__ import annotations

from pathlib import Path

from pybernetes.apiserver.options import Options
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.store.interface import Store, StoreError


async def open_store(options: Options, *, clock: Clock, entropy: Entropy) -> Store:
    """Raises OSError or ValueError with a sentence for the operator."""
    try:
        if options.etcd_servers:
            return await _open_etcd(options, clock, entropy)
        from pybernetes.store.embedded import EmbeddedStore, SqliteLog

        return await EmbeddedStore.open(SqliteLog(Path(options.data_dir)), clock=clock, entropy=entropy)
    except StoreError as error:
        raise OSError(str(error)) from error


async def _open_etcd(options: Options, clock: Clock, entropy: Entropy) -> Store:
    from pybernetes.store.etcd import EtcdStore, Servers
    from pybernetes.store.etcd.keys import KeySpace

    servers = Servers(options.etcd_servers, options.etcd_cafile, options.etcd_certfile, options.etcd_keyfile)
    # The image reads below /registry/ whatever the keys are called in etcd.
    space = KeySpace(prefix=f"/{options.etcd_prefix.strip('/')}/", served="/registry/")
    return await EtcdStore.open(
        servers, space, clock=clock, entropy=entropy, compaction_interval_s=options.etcd_compaction_interval_s
    )
