"""What a Service reserves is neither leaked nor taken back too early, whatever is interrupted."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

import pytest

from pybernetes.apiserver.registry.core import services
from pybernetes.apiserver.registry.core.config_maps import STRATEGY as CONFIG_MAPS
from pybernetes.apiserver.registry.core.service_allocation import address_object
from pybernetes.apiserver.registry.core.service_repair import Repair, decide
from pybernetes.apiserver.registry.uninterrupted import whole


def service(name: str, *ips: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"clusterIPs": [*ips]}}


def reservation(of: dict[str, Any], ip: str) -> dict[str, Any]:
    return address_object(of, ipaddress.ip_address(ip))


WEB = service("web", "10.96.0.7")
HEADLESS = service("headless", "None")


def test_reservations_that_are_as_they_should_be_are_left_alone() -> None:
    assert decide([WEB, HEADLESS], [reservation(WEB, "10.96.0.7")]) == Repair([], [])


def test_an_address_of_no_service_is_released() -> None:
    assert decide([], [reservation(WEB, "10.96.0.7")]).leaked == ["10.96.0.7"]


def test_a_missing_reservation_is_made() -> None:
    assert decide([WEB], []) == Repair([reservation(WEB, "10.96.0.7")], [])


def test_an_address_reserved_for_another_goes_to_whoever_holds_it() -> None:
    other = reservation(service("other"), "10.96.0.7")
    assert decide([WEB], [other]) == Repair([reservation(WEB, "10.96.0.7")], ["10.96.0.7"])


def test_addresses_that_others_made_are_left_alone() -> None:
    foreign = reservation(WEB, "10.96.0.7")
    foreign["metadata"]["labels"] = {}
    assert decide([], [foreign]) == Repair([], [])


@pytest.mark.parametrize(("strategy", "ends"), [(services.STRATEGY, True), (CONFIG_MAPS, False)])
async def test_a_write_that_reserves_ends_before_its_caller_learns_of_the_cancellation(strategy: Any, ends: bool) -> None:
    ended = []

    async def write() -> None:
        await asyncio.sleep(0.01)
        ended.append(True)

    caller = asyncio.create_task(whole(strategy, write()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert bool(ended) is ends
