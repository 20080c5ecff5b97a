"""Tokens are asked of the server; a node gets those of its pods only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pybernetes.machinery.http.messages import Request

PATH = "/api/v1/namespaces/default/serviceaccounts/default/token"
NODE = "node-token"


@pytest.fixture
def authentication(tmp_path: Path) -> dict[str, Any]:
    return {"service_account_max_token_expiration_s": 7200}


def asked(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


async def test_a_token_is_its_accounts(server: Any, who: Any) -> None:
    response = await server.send("POST", PATH, asked(expirationSeconds=9000))
    assert response.status == 201
    assert response.headers["Warning"] == '299 - "requested expiration of 9000 seconds shortened to 7200 seconds"'
    answer = json.loads(response.body)
    user = await who(answer["status"]["token"])
    assert (user["username"], user["uid"]) == ("system:serviceaccount:default:default", answer["metadata"]["uid"])
    assert user["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


async def test_a_node_gets_tokens_of_its_pods_only(server: Any) -> None:
    pod: Any = {"metadata": {"name": "p"}, "spec": {"nodeName": "a", "containers": [{"name": "c", "image": "i"}]}}
    made = await server.ask("POST", "/api/v1/namespaces/default/pods", pod)
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}

    async def as_node(node: str, **spec: Any) -> Any:
        headers = {
            "authorization": "Bearer test-admin", "content-type": "application/json",
            "impersonate-user": f"system:node:{node}", "impersonate-group": "system:nodes",
        }  # fmt: skip
        response = await server.api.handle(Request("POST", PATH, "", headers, json.dumps(asked(**spec)).encode()))
        return response.status, json.loads(response.body).get("message", "")

    assert await as_node("a", boundObjectRef=reference) == (201, "")
    assert (await as_node("a"))[0] == 403
    status, message = await as_node("a", boundObjectRef={**reference, "uid": ""})
    assert (status, "node requested token with a pod binding without a uid" in message) == (403, True)
    assert (await as_node("b", boundObjectRef=reference))[0] == 403
