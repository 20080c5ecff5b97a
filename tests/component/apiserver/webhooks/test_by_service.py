"""A webhook named by its Service: reached at an endpoint, known by the Service's name."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.machinery.resources import ENDPOINT_SLICES

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def configuration() -> dict[str, Any]:
    return {"enable_aggregator_routing": True}


async def test_a_service_is_resolved_and_its_name_verified(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/check"] = lambda _: {"allowed": True}
    config = {
        "service": {"namespace": "default", "name": "hook", "path": "/check", "port": 8443}, "caBundle": hooks.ca_bundle,
    }  # fmt: skip
    await configure("Validating", hooks.webhook("/check", clientConfig=config))
    failure = (
        'Internal error occurred: failed calling webhook "check.hooks.example.com": failed to call webhook: '
        'Post "https://hook.default.svc:8443/check?timeout=10s": '
    )
    config_map = {"metadata": {"name": "c"}}
    assert (await server.ask("POST", MAPS, config_map))["message"] == failure + 'service "hook" not found'
    ports = [{"name": "https", "port": 8443}]
    await server.ask("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "hook"}, "spec": {"ports": ports}})
    assert (await server.ask("POST", MAPS, config_map))["message"] == failure + ('no endpoints available for service "hook"')
    await server.api.writer.create(  # written past validation, which refuses loopback addresses
        ENDPOINT_SLICES,
        {
            "metadata": {"name": "hook-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "hook"}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}],
            "ports": [{"name": "https", "port": hooks.http.port}],
        },
    )  # fmt: skip
    assert (await server.send("POST", MAPS, config_map)).status == 201
    assert len(hooks.of("/check")) == 1
