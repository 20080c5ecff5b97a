"""Backends that remember, and the events that they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pybernetes.apiserver.audit.backends import Losses
from pybernetes.machinery.meta import Object


class Remembering:
    """`keeps`: what it says of every batch."""

    def __init__(self) -> None:
        self.batches: list[list[Object]] = []
        self.keeps = True
        self.closed = False

    async def process(self, events: Sequence[Object]) -> bool:
        self.batches.append(list(events))
        return self.keeps

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def backend() -> Remembering:
    return Remembering()


@pytest.fixture
def losses() -> Losses:
    return Losses()


@pytest.fixture
def event() -> Callable[..., Object]:
    """An event as a record makes it, with changes."""

    def make(number: int = 0, **fields: Any) -> Object:
        return {
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": f"id-{number}",
            "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/ns/pods?limit=1", "verb": "list",
            "user": {"username": "joe", "groups": ["a", "b"]}, "sourceIPs": ["10.0.0.1"], "userAgent": "kubectl",
            "objectRef": {"resource": "pods", "namespace": "ns"}, "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": "2026-11-27T10:00:00.120000Z", "stageTimestamp": "2026-11-27T10:00:00.130000Z",
            **fields,
        }  # fmt: skip

    return make
