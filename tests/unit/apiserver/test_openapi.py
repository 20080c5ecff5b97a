"""OpenAPI documents: definitions, and where their descriptions come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver import openapi_descriptions
from pybernetes.apiserver.openapi import OpenApi
from pybernetes.machinery.http.messages import Request


async def definitions(path: str) -> Any:
    response = await OpenApi().serve(Request("GET", path, "", {}, b""))
    assert isinstance(response.body, bytes)
    document = json.loads(response.body)
    return document["definitions"] if path.endswith("v2") else document["components"]["schemas"]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = {"description": "a port", "properties": {"port": {"description": "its number"}}}
    path = tmp_path / "_definitions.json"
    path.write_text(json.dumps({"$defs": {"io.k8s.api.core.v1.ServicePort": port}}))
    monkeypatch.setattr(openapi_descriptions, "source", lambda: path)


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3/api/v1"])
async def test_definitions_and_their_properties_are_described_where_descriptions_are_installed(path: str) -> None:
    port = (await definitions(path))["io.k8s.api.core.v1.ServicePort"]
    assert port["description"] == "a port"
    assert port["properties"]["port"]["description"] == "its number"
    assert "description" not in port["properties"]["name"]


async def test_without_them_documents_have_all_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi_descriptions, "source", lambda: None)
    port = (await definitions("/openapi/v3/api/v1"))["io.k8s.api.core.v1.ServicePort"]
    assert port["properties"]["port"] == {"type": "integer", "format": "int32", "default": 0}
    assert port["required"] == ["port"]


async def test_version_3_says_which_values_are_never_absent() -> None:
    schemas = await definitions("/openapi/v3/api/v1")
    assert schemas["io.k8s.api.core.v1.Container"]["properties"]["args"]["items"]["default"] == ""
    assert schemas["io.k8s.api.core.v1.ConfigMap"]["properties"]["data"]["additionalProperties"]["default"] == ""
    assert "default" not in schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["nodeName"]
