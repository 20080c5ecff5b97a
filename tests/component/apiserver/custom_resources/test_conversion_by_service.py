"""A conversion webhook that is named by its Service, and one whose definition was there before the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pybernetes.machinery.resources import ENDPOINT_SLICES
from tests.component.apiserver.custom_resources.test_conversion import define, path, test_cr

if TYPE_CHECKING:
    from tests.component.apiserver.conftest import Server
    from tests.component.apiserver.custom_resources.conftest import ConversionWebhook


@pytest.fixture
def configuration() -> dict[str, Any]:
    return {"enable_aggregator_routing": True}


async def test_a_service_is_resolved_when_there_is_something_to_convert(server: Server, webhook: ConversionWebhook):
    client = {
        "service": {"namespace": "default", "name": "converter", "path": "/crdconvert", "port": 9443},
        "caBundle": webhook.ca_bundle,
    }
    conversion = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client}}
    await define(server, webhook, conversion=conversion)
    await server.ask("POST", path("v1"), test_cr())
    failed = await server.ask("GET", path("v2", "a"))
    assert failed["message"] == (
        "conversion for stable.example.com/v1, Kind=TestCr failed: conversion webhook for /, Kind= failed: "
        'Post "https://converter.default.svc:9443/crdconvert?timeout=30s": service "converter" not found'
    )
    ports = [{"name": "https", "port": 9443}]
    await server.ask(
        "POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "converter"}, "spec": {"ports": ports}}
    )
    await server.api.writer.create(  # written past validation, which refuses loopback addresses
        ENDPOINT_SLICES,
        {
            "metadata": {"name": "converter-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "converter"}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}],
            "ports": [{"name": "https", "port": webhook.http.port}],
        },
    )  # fmt: skip
    assert (await server.ask("GET", path("v2", "a")))["host"] == "host"


async def test_what_was_stored_before_a_restart_is_converted_after_it(server: Server, webhook: ConversionWebhook):
    from pybernetes.apiserver.server import ApiServer
    from pybernetes.machinery.clock import SystemClock
    from pybernetes.machinery.entropy import SystemEntropy

    await define(server, webhook)
    await server.ask("POST", path("v1"), test_cr())
    second = ApiServer(server.api.image.store, clock=SystemClock(), entropy=SystemEntropy(), config=server.api.config)
    running = asyncio.create_task(second.run())
    await second.wait_ready()
    try:
        found = await type(server)(second).ask("GET", path("v2"))
        assert [item["host"] for item in found["items"]] == ["host"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await second.close()
