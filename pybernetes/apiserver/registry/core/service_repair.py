"""Reservations of Service addresses, made right after a crash: an `IPAddress` of no Service goes, a missing one comes back.

A Service and its reservations are separate writes; a server killed between them leaves one without the other. Upstream repairs
every few minutes; a server whose writes are seen through (`registry.uninterrupted`) needs it at its start alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.apiserver.registry.core.service_allocation import MANAGED_BY_LABEL, MANAGER, address_object
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery.errors import AlreadyExists
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, labels_of, name_of, namespace_of
from pybernetes.machinery.resources import IP_ADDRESSES, SERVICES

log = logger("apiserver")


@dataclass(frozen=True, slots=True)
class Repair:
    """What to write."""

    missing: Sequence[Object]
    leaked: Sequence[str]  # names of IPAddresses


def decide(services: Sequence[Object], addresses: Sequence[Object]) -> Repair:
    """What it takes until each address of a Service is reserved for it, and no other is that we reserved."""
    holders = {
        str(ipaddress.ip_address(ip)): service
        for service in services
        for ip in service["spec"].get("clusterIPs") or ()
        if ip != "None"
    }
    reserved = {name_of(address): address for address in addresses}
    leaked = [
        name
        for name, address in reserved.items()
        if labels_of(address).get(MANAGED_BY_LABEL) == MANAGER and _parent(address) != _names(holders.get(name))
    ]
    missing = [
        address_object(service, ipaddress.ip_address(ip))
        for ip, service in holders.items()
        if ip not in reserved or ip in leaked
    ]
    return Repair(missing, leaked)


def _parent(address: Object) -> tuple[str, str]:
    parent = (address.get("spec") or {}).get("parentRef") or {}
    return parent.get("namespace", ""), parent.get("name", "")


def _names(service: Object | None) -> tuple[str, str] | None:
    return None if service is None else (namespace_of(service), name_of(service))


async def repair(reader: Reader, writer: Writer) -> None:
    wanted = decide(reader.list(SERVICES), reader.list(IP_ADDRESSES))
    for name in wanted.leaked:
        log.warning("Releasing an address that no Service holds", address=name)
        await writer.delete(IP_ADDRESSES, "", name)
    for address in wanted.missing:
        log.warning("Reserving the address of a Service anew", address=name_of(address))
        try:
            await writer.create(IP_ADDRESSES, address)
        except AlreadyExists:
            pass  # another server was quicker
