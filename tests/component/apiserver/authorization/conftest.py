"""A webhook server over TLS that answers reviews, and the kubeconfig that leads to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pybernetes.client import kubeconfig
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server as HttpServer
from pybernetes.machinery.http.tls import server_context


class Reviewer:
    """Answers each review with the status that `answer` gives (or with the `Response` that it is), and remembers all."""

    def __init__(self, directory: Path) -> None:
        self.answer: Callable[[Any], Any] = lambda review: {"allowed": True}
        self.asked: list[Any] = []
        self.requests: list[Request] = []
        self.certificates: list[bytes | None] = []
        self.http = HttpServer(self._handle, clock=SystemClock())
        self.directory = directory
        self.kubeconfig = directory / "webhook.kubeconfig"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.http.port}/authorize"

    async def _handle(self, request: Request) -> Response:
        review = json.loads(request.body)
        self.asked.append(review)
        self.requests.append(request)
        self.certificates.append(request.peer_certificate)
        answer = self.answer(review)
        if hasattr(answer, "__await__"):
            answer = await answer
        if isinstance(answer, Response):
            return answer
        return Response(200, {"Content-Type": "application/json"}, json.dumps({**review, "status": answer}).encode())


@pytest.fixture
async def reviewer(tmp_path: Path) -> AsyncIterator[Reviewer]:
    made = Reviewer(tmp_path)
    now = SystemClock().now()
    authority = pki.Authority.create("reviewer-ca", now)
    (tmp_path / "reviewer-ca.crt").write_bytes(authority.certificate_pem)
    authority.issue("reviewer", (), (), ["127.0.0.1"], usages=pki.SERVER, now=now).save(
        tmp_path / "reviewer.crt", tmp_path / "reviewer.key"
    )
    for name in ("first", "second"):
        authority.issue(name, (), now=now).save(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
    context = server_context(str(tmp_path / "reviewer.crt"), str(tmp_path / "reviewer.key"), str(tmp_path / "reviewer-ca.crt"))
    await made.http.start("127.0.0.1", 0, context)
    config = kubeconfig.build(server=made.url, certificate_authority=authority.certificate_pem)
    for part in ("crt", "key"):
        (tmp_path / f"client.{part}").write_bytes((tmp_path / f"first.{part}").read_bytes())
    config["users"][0]["user"] = {"client-certificate": "client.crt", "client-key": "client.key"}
    kubeconfig.write(made.kubeconfig, config)
    yield made
    await made.http.stop(0)
