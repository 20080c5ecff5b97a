"""The loop of the proxy: when something changed, work out the rules wanted and program the difference."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from pybernetes.client.informer import InformerFactory
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, labels_of
from pybernetes.machinery.resources import ENDPOINT_SLICES, NODES, SERVICES
from pybernetes.proxy import nft, ruleset, topology
from pybernetes.proxy.options import Options
from pybernetes.proxy.ruleset import IPV4, IPV6, Ruleset, Settings
from pybernetes.proxy.topology import Frontend, Node

log = logger("proxy")

FAMILIES = (IPV4, IPV6)
RETRY_FIRST_S = 0.5

Apply = Callable[[str], Awaitable[None]]
ForgetFlows = Callable[[Iterable[tuple[str, int, str]]], Awaitable[None]]


class Proxier:
    """Keeps the node's rules equal to the Services. `run` for ever; `healthy` tells whether the last programming worked."""

    def __init__(
        self,
        factory: InformerFactory,
        options: Options,
        node_name: str,
        *,
        clock: Clock,
        entropy: Entropy,
        apply: Apply = nft.apply,
        forget_flows: ForgetFlows = nft.forget_udp_flows,
    ) -> None:
        self._options = options
        self._node_name = node_name
        self._clock = clock
        self._entropy = entropy
        self._apply = apply
        self._forget_flows = forget_flows
        self._services = factory.informer(SERVICES)
        self._slices = factory.informer(ENDPOINT_SLICES)
        self._nodes = factory.informer(NODES, field_selector=f"metadata.name={node_name}")
        self._changed = asyncio.Event()
        self._present: dict[str, tuple[Ruleset, list[Frontend]]] = {}  # as programmed, by family; empty: not known
        self.synced = asyncio.Event()
        self.healthy = True
        for informer in (self._services, self._slices):
            informer.add_handler(self._wake, self._wake, self._wake)
        # A node's status changes with every heartbeat; only where it is matters here.
        self._nodes.add_handler(self._wake, self._wake_if_moved, self._wake)

    def _wake(self, *_: Any) -> None:
        self._changed.set()

    def _wake_if_moved(self, old: Object, new: Object) -> None:
        if _node(old, self._node_name) != _node(new, self._node_name):
            self._changed.set()

    async def run(self) -> None:
        for informer in (self._services, self._slices, self._nodes):
            await informer.wait_synced()
        retry_s = RETRY_FIRST_S
        self._changed.set()
        while True:
            await self._changed.wait()
            # Changes come in bursts (a rollout): what comes within this time is one transaction.
            await self._clock.sleep(self._options.min_sync_period_s)
            self._changed.clear()
            try:
                await self._sync()
            except nft.NftFailed as error:
                log.error("Could not program the rules; trying again", err=error, delay_s=round(retry_s, 1))
                self.healthy = False
                self._present.clear()  # whatever is there now: replace it
                self._changed.set()
                await self._clock.sleep(jittered(retry_s, self._entropy))
                retry_s = min(retry_s * 2, self._options.sync_period_s)
            else:
                self.healthy = True
                self.synced.set()
                retry_s = RETRY_FIRST_S

    async def _sync(self) -> None:
        known = self._nodes.get("", self._node_name)
        node = _node(known, self._node_name) if known else Node(self._node_name)
        slices = topology.slices_by_service(self._slices.list())
        services = self._services.list()
        wanted: dict[str, tuple[Ruleset, list[Frontend]]] = {}
        transaction, stale = "", set()
        for family in FAMILIES:
            frontends = list(topology.frontends(services, slices, node, family.api))
            rules = ruleset.build(frontends, family, self._settings(node, family))
            wanted[family.name] = rules, frontends
            present = self._present.get(family.name)
            if present is None or present[0].settings != rules.settings:
                transaction += ruleset.replace(rules)
            else:
                transaction += ruleset.update(present[0], rules)
            stale |= ruleset.stale_udp(present[1] if present else (), frontends)
        if transaction:
            await self._apply(transaction)
        self._present = wanted
        if stale:
            await self._forget_flows(stale)

    def _settings(self, node: Node, family: ruleset.Family) -> Settings:
        # Upstream's nftables mode answers node ports on the node's primary addresses unless told otherwise.
        addresses = tuple(address for address in node.addresses if (":" in address) == (family is IPV6))
        return Settings(self._options.cluster_cidr, self._options.masquerade_all, addresses)


def _node(obj: Object, name: str) -> Node:
    addresses = (obj.get("status") or {}).get("addresses") or ()
    return Node(
        name,
        labels_of(obj).get(topology.ZONE_LABEL, ""),
        tuple(each["address"] for each in addresses if each["type"] == "InternalIP"),
    )
