"""The embedded store as a process of its own, which others know as an etcd."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path

from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.log import logger
from pybernetes.store.embedded import EmbeddedStore, HistoryLimits, SqliteLog
from pybernetes.store.face.server import FaceServer, Listen
from pybernetes.store.face.service import Identity, Service
from pybernetes.store.interface import StoreError

LOGGER = logger("etcd")


@dataclass(frozen=True, slots=True)
class Options:
    """Flags: etcd's names and defaults."""

    name: str = "default"
    data_dir: str = ""  # default: NAME.etcd
    listen_client_urls: tuple[str, ...] = ("http://localhost:2379",)
    advertise_client_urls: tuple[str, ...] = ()  # default: those listened to
    cert_file: str = ""
    key_file: str = ""
    trusted_ca_file: str = ""
    client_cert_auth: bool = False


async def run(options: Options) -> None:
    """Serve until cancelled. Raises OSError or ValueError with a sentence for the operator."""
    if bool(options.cert_file) != bool(options.key_file):
        raise ValueError("--cert-file and --key-file go together")
    if options.client_cert_auth and not options.trusted_ca_file:
        raise ValueError("--client-cert-auth needs --trusted-ca-file: whose certificates are to be trusted?")
    clock = SystemClock()
    directory = Path(options.data_dir or f"{options.name}.etcd")
    log = SqliteLog(directory)
    # Clients say what is to be forgotten (they compact); memory alone sets bounds here.
    limits = HistoryLimits(age_s=math.inf)
    try:
        store = await EmbeddedStore.open(log, clock=clock, entropy=SystemEntropy(), limits=limits)
    except StoreError as error:
        raise OSError(str(error)) from error
    try:
        identity = Identity(options.name, options.advertise_client_urls or options.listen_client_urls)
        service = Service(store, log, directory, identity, clock=clock)
        await service.begin()
        listen = Listen(
            options.listen_client_urls, options.cert_file, options.key_file, options.trusted_ca_file, options.client_cert_auth
        )  # fmt: skip
        server = FaceServer(service, listen)
        await server.start()
        LOGGER.info("Serving", urls=",".join(options.listen_client_urls), revision=store.memory.revision)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.shield(server.stop())
    finally:
        await store.close()
