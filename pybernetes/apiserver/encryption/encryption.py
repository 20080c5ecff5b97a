"""Encryption at rest as one thing: the configuration in use, its plugins, and the next one when the file changes.

A configuration becomes a `_Generation`: its transformers by resource, and its plugins, which run as long as it does. A changed
file makes another generation, which is used once its plugins are healthy; the one before it ends when what it had under way
must be over. A file that cannot be used changes nothing, and is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pybernetes.apiserver.encryption import configuration
from pybernetes.apiserver.encryption.configuration import Configuration, Provider
from pybernetes.apiserver.encryption.metrics import Metrics
from pybernetes.apiserver.encryption.store import ROOT, EncryptedStore, Resources
from pybernetes.apiserver.encryption.transformers import ByPrefix, Identity, Keyed, Prefixed, Transformer
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.errors import aggregate
from pybernetes.machinery.http.health import Check
from pybernetes.machinery.log import logger
from pybernetes.store.interface import Store

if TYPE_CHECKING:
    from pybernetes.apiserver.encryption.kms import Plugin

log = logger("apiserver")

CHECK = "kms-providers"
POLL_S = 60.0
RETRY_FIRST_S = 1.0
HEALTH_WAIT_S, HEALTH_POLL_S = 10.0, 0.1  # for the plugins of a new configuration
NO_KMS_V1 = (
    "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  "
    "Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature."
)
_UNNAMED_KEY = {
    "aesgcm": "no matching key was found for the provided AES transformer",
    "aescbc": "no matching key was found for the provided AES transformer",
    "secretbox": "no matching key was found for the provided Secretbox transformer",
}


class Encryption:
    """The providers of `--encryption-provider-config`. `run` must be running for plugins, and for changes of the file."""

    def __init__(self, path: str, *, reload: bool, clock: Clock, entropy: Entropy, metrics: Metrics, poll_s: float) -> None:
        self.metrics = metrics
        self._path = path
        self._reload = reload
        self._clock = clock
        self._entropy = entropy
        self._poll_s = poll_s
        self._stores: list[EncryptedStore] = []
        self._generation = _Generation(Configuration((), ""), {}, ())

    @classmethod
    async def open(
        cls, path: str, *, reload: bool, clock: Clock, entropy: Entropy, server_id: str, poll_s: float = POLL_S
    ) -> Encryption:
        """Raises ValueError with a sentence for the operator. A plugin that is not there yet is waited for later."""
        made = cls(
            path, reload=reload, clock=clock, entropy=entropy, metrics=Metrics(clock, server_id), poll_s=poll_s
        )  # fmt: skip
        made._generation = made._build(configuration.load(path, reload=reload))
        for plugin in made._generation.plugins:
            if why := await plugin.check():
                log.warning("Key management plugin failed its health check", name=plugin.name, err=why)
        if reload:
            made.metrics.loaded(made._generation.configuration.hash)
        return made

    def wrap(self, store: Store, resources: Resources, *, prefix: str = ROOT) -> EncryptedStore:
        made = EncryptedStore(store, resources, self, prefix=prefix)
        self._stores.append(made)
        return made

    @property
    def checks(self) -> Mapping[str, Check]:
        """For the health endpoints."""
        return {CHECK: self._check} if self._reload or self._generation.plugins else {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self._generation.run(), name="encryption")
            retry_s = RETRY_FIRST_S
            pause_s = self._poll_s
            while self._reload:
                await self._clock.sleep(jittered(pause_s, self._entropy, factor=0.1))
                before = self._generation
                try:
                    await self._take_up_changes()
                    pause_s, retry_s = self._poll_s, RETRY_FIRST_S
                except ValueError as error:
                    pause_s, retry_s = min(retry_s, self._poll_s), min(2 * retry_s, self._poll_s)
                    self.metrics.failed_to_reload()
                    log.error("Error processing encryption config file", file=self._path, err=str(error))
                if self._generation is not before:
                    group.create_task(_end_later(running, before, self._clock))
                    running = group.create_task(self._generation.run(), name="encryption")

    async def close(self) -> None:
        await self._generation.close()

    # Providers

    @property
    def active(self) -> bool:
        return bool(self._generation.by_resource)

    def of(self, resource: str) -> Transformer | None:
        return self._generation.of(resource)

    # The file

    async def _take_up_changes(self) -> None:
        """Raises ValueError."""
        known = self._generation.configuration.hash
        if configuration.read(self._path)[1] == known:
            return
        found = configuration.load(self._path, reload=True)
        if found.hash == known:
            return
        made = self._build(found)
        try:
            await self._wait_healthy(made)
        except BaseException:
            await made.close()
            raise
        self._generation = made
        self.metrics.reloaded(found.hash)
        log.info("Loaded encryption configuration", file=self._path)
        await self._revive()

    async def _wait_healthy(self, made: _Generation) -> None:
        deadline_s = self._clock.monotonic() + max(made.grace_s, HEALTH_WAIT_S)
        while why := await made.check():
            if self._clock.monotonic() > deadline_s:
                raise ValueError(f"health check for new transformers failed, polling error context deadline exceeded: {why}")
            await self._clock.sleep(HEALTH_POLL_S)

    async def _check(self) -> str | None:
        return await self._generation.check()

    async def _revive(self) -> None:
        for store in self._stores:
            await store.revive()

    # From a configuration to transformers

    def _build(self, found: Configuration) -> _Generation:
        """Raises ValueError."""
        by_resource: dict[tuple[str, str], list[Prefixed]] = {}
        plugins: list[Plugin] = []
        try:
            for rule in found.rules:
                transformers = [self._provider(provider, plugins) for provider in rule.providers]
                for name in rule.resources:
                    group, plural = configuration.split(name)
                    for mask, shown in (((group, "*"), f"*.{group}"), (("*", "*"), "*.*")):
                        if mask in by_resource:
                            raise ValueError(f'resource "{name}" is masked by earlier rule "{shown}"')
                    by_resource.setdefault((group, plural), []).extend(transformers)
        except ValueError as error:
            raise ValueError(f"error while building transformers: {error}") from error
        made = {name: self._by_prefix(transformers, "no matching prefix found") for name, transformers in by_resource.items()}
        return _Generation(found, made, plugins)

    def _provider(self, provider: Provider, plugins: list[Plugin]) -> Prefixed:
        if provider.kms is not None:
            if provider.kms.api_version == "v1":
                raise ValueError(NO_KMS_V1)
            from pybernetes.apiserver.encryption.kms import Plugin  # loads gRPC

            plugin = Plugin(
                provider.kms, clock=self._clock, entropy=self._entropy, metrics=self.metrics, on_recovery=self._revive
            )  # fmt: skip
            plugins.append(plugin)
            return Prefixed(f"k8s:enc:kms:v2:{plugin.name}:".encode(), plugin)
        if not provider.keys:
            return Prefixed(b"", Identity())
        keys = [
            Prefixed(f"{key.name}:".encode(), Keyed(provider.kind, key, self._entropy.token_bytes)) for key in provider.keys
        ]
        return Prefixed(f"k8s:enc:{provider.kind}:v1:".encode(), self._by_prefix(keys, _UNNAMED_KEY[provider.kind]))

    def _by_prefix(self, transformers: Sequence[Prefixed], otherwise: str) -> ByPrefix:
        return ByPrefix(transformers, otherwise, self.metrics)


class _Generation:
    """What one configuration comes to."""

    def __init__(
        self, found: Configuration, by_resource: Mapping[tuple[str, str], Transformer], plugins: Sequence[Plugin]
    ) -> None:
        self.configuration = found
        self.by_resource = by_resource
        self.plugins = plugins
        self.grace_s = 2 * sum(plugin.timeout_s for plugin in plugins)
        self._chosen: dict[str, Transformer | None] = {}

    def of(self, resource: str) -> Transformer | None:
        """The resource's own, else its group's, else everybody's."""
        if resource in self._chosen:
            return self._chosen[resource]
        group, plural = configuration.split(resource)
        known = self.by_resource
        found = known.get((group, plural)) or known.get((group, "*")) or known.get(("*", "*"))
        self._chosen[resource] = found
        return found

    async def check(self) -> str | None:
        whys = []
        for index, plugin in enumerate(self.plugins):
            if why := await plugin.check():
                whys.append(f"kms-provider-{index}: {why}")
        return aggregate(whys) or None

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for plugin in self.plugins:
                    group.create_task(plugin.run(), name=f"kms {plugin.name}")
        finally:
            await self.close()

    async def close(self) -> None:
        for plugin in self.plugins:
            await plugin.close()


async def _end_later(running: asyncio.Task[None], generation: _Generation, clock: Clock) -> None:
    await clock.sleep(generation.grace_s)
    running.cancel()
