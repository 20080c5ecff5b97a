"""A webhook server over TLS, and short ways to configure it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server as HttpServer
from pybernetes.machinery.http.tls import server_context

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"


class Hooks:
    """The server; each path answers as `answers` says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.peers: set[str] = set()
        self.ca_bundle = ""
        self.http = HttpServer(self._handle, clock=SystemClock())

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.http.port}"

    async def _handle(self, request: Request) -> Response:
        review = json.loads(request.body)
        self.asked.append((request.path, review))
        self.peers.add(request.peer)
        answer = self.answers[request.path](review["request"])
        if hasattr(answer, "__await__"):
            answer = await answer
        if isinstance(answer, Response):
            return answer
        version = review["apiVersion"]
        body = {"kind": "AdmissionReview", "apiVersion": version, "response": {"uid": review["request"]["uid"], **answer}}
        return Response(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def of(self, path: str) -> list[Any]:
        """The requests asked at that path."""
        return [review["request"] for asked, review in self.asked if asked == path]

    def webhook(self, path: str, **fields: Any) -> dict[str, Any]:
        """A webhook that wants every ConfigMap, but for the fields given."""
        rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
        return {
            "name": f"{path.strip('/')}.hooks.example.com",
            "clientConfig": {"url": self.url + path, "caBundle": self.ca_bundle},
            "rules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            **fields,
        }


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[Hooks]:
    made = Hooks()
    now = SystemClock().now()
    authority = pki.Authority.create("hook-ca", now)
    names = ["hook.default.svc"]
    authority.issue("hook", (), names, ["127.0.0.1"], usages=pki.SERVER, now=now).save(
        tmp_path / "hook.crt", tmp_path / "hook.key"
    )
    made.ca_bundle = base64.b64encode(authority.certificate_pem).decode()
    await made.http.start("127.0.0.1", 0, server_context(str(tmp_path / "hook.crt"), str(tmp_path / "hook.key")))
    yield made
    await made.http.stop(0)


@pytest.fixture
def configure(server: Any) -> Callable[..., Any]:
    async def configure(kind: str, *webhooks: Any, name: str = "test") -> None:
        body = {"metadata": {"name": name}, "webhooks": list(webhooks)}
        path = f"{CONFIGURATIONS}/{kind.lower()}webhookconfigurations"
        answer = await server.send("POST", path, body)
        assert answer.status == 201, answer.body

    return configure
