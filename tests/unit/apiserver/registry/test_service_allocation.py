"""Cluster IPs and node ports."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import pytest

from pybernetes.apiserver.registry.core import service_allocation, services
from pybernetes.apiserver.registry.strategy import Context
from pybernetes.machinery.errors import InternalError, Invalid
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import IP_ADDRESSES, SERVICES


def service(name: str = "s", **spec: Any) -> Object:
    spec.setdefault("ports", [{"port": 80, "protocol": "TCP"}])
    spec.setdefault("selector", {"app": "a"})
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name, "namespace": "ns"}, "spec": spec}


async def create(context: Context, obj: Object) -> Object:
    services.default(obj)
    services.prepare_for_create(context, obj)
    await service_allocation.begin_create(context, obj)
    context.reader.put(SERVICES, obj)  # type: ignore[attr-defined]
    return obj


async def test_a_service_gets_an_address_of_the_range_and_its_object(context: Context) -> None:
    spec = (await create(context, service()))["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert ipaddress.ip_address(spec["clusterIP"]) in ipaddress.ip_network("10.96.0.0/16")
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    address = context.reader.get(IP_ADDRESSES, "", spec["clusterIP"])
    assert address is not None
    assert address["spec"]["parentRef"] == {"resource": "services", "namespace": "ns", "name": "s"}


async def test_the_low_part_of_the_range_is_left_to_static_assignment(context: Context) -> None:
    for i in range(50):
        spec = (await create(context, service(f"s{i}")))["spec"]
        assert int(ipaddress.ip_address(spec["clusterIP"])) - int(ipaddress.ip_address("10.96.0.0")) > 256


async def test_a_full_range_says_so_after_its_last_address(context: Context) -> None:
    small = dataclasses.replace(context, service_cidrs=("10.0.0.0/28",))
    taken = {(await create(small, service(f"s{i}")))["spec"]["clusterIP"] for i in range(14)}
    assert len(taken) == 14
    with pytest.raises(InternalError, match="range is full"):
        await create(small, service("one-more"))


async def test_a_taken_address_is_refused(context: Context) -> None:
    await create(context, service("a", clusterIP="10.96.0.10"))
    with pytest.raises(Invalid, match=r"failed to allocate IP 10\.96\.0\.10: provided IP is already allocated"):
        await create(context, service("b", clusterIP="10.96.0.10"))


async def test_an_address_outside_of_the_range_is_refused(context: Context) -> None:
    with pytest.raises(Invalid, match=r"the provided IP \(192.0.2.1\) is not in the valid range"):
        await create(context, service(clusterIP="192.0.2.1"))


async def test_nothing_stays_reserved_when_a_port_cannot_be_had(context: Context) -> None:
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30001}]
    await create(context, service("a", type="NodePort", ports=ports))
    before = len(context.reader.list(IP_ADDRESSES))
    with pytest.raises(Invalid, match=r"spec\.ports\[0\]\.nodePort: Invalid value: 30001: provided port is already allocated"):
        await create(context, service("b", type="NodePort", ports=[dict(ports[0])]))
    assert len(context.reader.list(IP_ADDRESSES)) == before


async def test_one_number_over_two_protocols_is_one_node_port(context: Context) -> None:
    ports = [{"name": "d", "port": 53, "protocol": "UDP"}, {"name": "t", "port": 53, "protocol": "TCP"}]
    spec = (await create(context, service(type="NodePort", ports=ports)))["spec"]
    assert spec["ports"][0]["nodePort"] == spec["ports"][1]["nodePort"]


async def test_a_headless_service_gets_no_address(context: Context) -> None:
    spec = (await create(context, service(clusterIP="None")))["spec"]
    assert spec["clusterIPs"] == ["None"]
    assert context.reader.list(IP_ADDRESSES) == []


async def test_a_headless_service_without_selector_is_of_both_families(context: Context) -> None:
    spec = (await create(context, service(clusterIP="None", selector=None)))["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")


async def test_dual_stack_needs_two_ranges(context: Context) -> None:
    with pytest.raises(Invalid, match="this cluster is not configured for dual-stack services"):
        await create(context, service(ipFamilyPolicy="RequireDualStack"))
    both = dataclasses.replace(context, service_cidrs=("10.96.0.0/16", "fd00::/108"))
    spec = (await create(both, service("d", ipFamilyPolicy="RequireDualStack")))["spec"]
    assert [ipaddress.ip_address(ip).version for ip in spec["clusterIPs"]] == [4, 6]


async def test_a_deleted_service_gives_its_address_back(context: Context) -> None:
    obj = await create(context, service())
    await service_allocation.after_delete(context, obj)
    assert context.reader.list(IP_ADDRESSES) == []


async def test_becoming_external_gives_up_address_and_ports(context: Context) -> None:
    old = await create(context, service(type="NodePort"))
    new = service(type="ExternalName", externalName="example.com", **{
        field: old["spec"][field] for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "ports")
    })  # fmt: skip
    new["spec"]["ports"] = [dict(port) for port in new["spec"]["ports"]]
    services.default(new)
    services.prepare_for_update(context, new, old)
    await service_allocation.begin_update(context, new, old)
    await service_allocation.after_update(context, new, old)
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & new["spec"].keys()
    assert "nodePort" not in new["spec"]["ports"][0]
    assert context.reader.list(IP_ADDRESSES) == []


async def test_an_update_that_leaves_out_what_was_allocated_keeps_it(context: Context) -> None:
    old = await create(context, service(type="NodePort"))
    new = service(type="NodePort")
    services.default(new)
    services.prepare_for_update(context, new, old)
    await service_allocation.begin_update(context, new, old)
    assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
    assert new["spec"]["ports"][0]["nodePort"] == old["spec"]["ports"][0]["nodePort"]


async def test_a_dry_run_reserves_nothing(context: Context) -> None:
    dry = dataclasses.replace(context, dry_run=True)
    assert (await create(dry, service()))["spec"]["clusterIP"]
    assert context.reader.list(IP_ADDRESSES) == []
