"""A conversion webhook over TLS."""

from __future__ import annotations

import asyncio
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


def convert(obj: Any, api_version: str) -> Any:
    """v1 has `hostPort`, v2 `host` and `port`: upstream's example."""
    made = {**obj, "apiVersion": api_version}
    if api_version.endswith("/v2") and "hostPort" in made:
        made["host"], _, made["port"] = made.pop("hostPort").partition(":")
    elif not api_version.endswith("/v2") and "host" in made:
        made["hostPort"] = f"{made.pop('host')}:{made.pop('port')}"
    return made


class ConversionWebhook:
    """Converts by `convert`; answers may be changed by `spoil`, and held up by `gate`. At /admit it patches as `patch` says."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.admitted: list[Any] = []
        self.patch: list[Any] = []
        self.convert: Callable[[Any, str], Any] = convert
        self.spoil: Callable[[Any], Any] = lambda review: review
        self.gate = asyncio.Event()
        self.gate.set()
        self.ca_bundle = ""
        self.http = HttpServer(self._handle, clock=SystemClock())

    @property
    def conversion(self) -> Any:
        """What a definition says of it."""
        client = {"url": f"https://127.0.0.1:{self.http.port}/convert", "caBundle": self.ca_bundle}
        return {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1", "v1beta1"], "clientConfig": client}}

    async def _handle(self, request: Request) -> Response:
        review = json.loads(request.body)
        if request.path == "/admit":
            self.admitted.append(review["request"])
            patch = base64.b64encode(json.dumps(self.patch).encode()).decode()
            response = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}
            return _json({**review, "response": response})
        self.asked.append(review)
        await self.gate.wait()
        wanted = review["request"]["desiredAPIVersion"]
        objects = [self.convert(obj, wanted) for obj in review["request"]["objects"]]
        answer = {
            "kind": review["kind"], "apiVersion": review["apiVersion"],
            "response": {"uid": review["request"]["uid"], "convertedObjects": objects, "result": {"status": "Success"}},
        }  # fmt: skip
        answer = self.spoil(answer)
        if isinstance(answer, Response):
            return answer
        return _json(answer)


def _json(answer: Any) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())


@pytest.fixture
async def webhook(tmp_path: Path) -> AsyncIterator[ConversionWebhook]:
    made, now = ConversionWebhook(), SystemClock().now()
    authority = pki.Authority.create("conversion-ca", now)
    keys = tmp_path / "conversion.crt", tmp_path / "conversion.key"
    authority.issue("conversion", (), ["converter.default.svc"], ["127.0.0.1"], usages=pki.SERVER, now=now).save(*keys)
    made.ca_bundle = base64.b64encode(authority.certificate_pem).decode()
    await made.http.start("127.0.0.1", 0, server_context(str(keys[0]), str(keys[1])))
    yield made
    made.gate.set()
    await made.http.stop(0)
