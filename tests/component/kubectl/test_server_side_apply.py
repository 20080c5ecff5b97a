"""The stock kubectl applies on the server's side."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

Kubectl = Callable[..., Awaitable[Any]]

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "web:%d", ports: [{containerPort: 80}]}
"""


def manifest(replicas: int, version: int) -> bytes:
    return (MANIFEST % (replicas, version)).encode()


async def test_apply_conflict_force_and_field_managers(theirs: Kubectl) -> None:
    made = await theirs("apply", "--server-side", "-f", "-", stdin=manifest(1, 1))
    assert made.out == "deployment.apps/web serverside-applied\n", made
    assert (await theirs("diff", "--server-side", "-f", "-", stdin=manifest(1, 1))).code == 0
    assert (await theirs("scale", "deployment/web", "--replicas=3")).code == 0
    refused = await theirs("apply", "--server-side", "-f", "-", stdin=manifest(1, 2))
    assert refused.code != 0
    owner = 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas'
    assert f"Apply failed with 1 conflict: {owner}" in refused.err
    forced = await theirs("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest(1, 2))
    assert forced.code == 0, forced
    shown = await theirs("get", "deployment", "web", "-o", "json", "--show-managed-fields")
    [entry] = json.loads(shown.out)["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("kubectl", "Apply")


async def test_what_was_applied_by_the_client_is_taken_over(theirs: Kubectl) -> None:
    assert (await theirs("apply", "-f", "-", stdin=manifest(1, 1))).code == 0
    taken = await theirs("apply", "--server-side", "-f", "-", stdin=manifest(2, 2))
    assert taken.code == 0, taken
    shown = await theirs("get", "deployment", "web", "-o", "json", "--show-managed-fields")
    managers = [(entry["manager"], entry["operation"]) for entry in json.loads(shown.out)["metadata"]["managedFields"]]
    assert managers == [("kubectl-last-applied", "Apply"), ("kubectl", "Apply")]
