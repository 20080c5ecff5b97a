"""What hooks annotate is in the audit log."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.apiserver.audit import policy
from tests.component.apiserver.audit_events import listing

EVENTS: list[Any] = []


@pytest.fixture
def configuration(tmp_path: Any) -> dict[str, Any]:
    EVENTS.clear()
    (tmp_path / "policy.yaml").write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
    return {"audit_policy": policy.load(tmp_path / "policy.yaml"), "audit_backends": listing(EVENTS)}


async def test_annotations_of_hooks_and_about_them_are_recorded(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/note"] = lambda _: {"allowed": True, "auditAnnotations": {"why": "because"}}
    away = {"url": "https://127.0.0.1:1/x"}
    await configure(
        "Mutating", hooks.webhook("/note"), hooks.webhook("/away", clientConfig=away, failurePolicy="Ignore"), name="m"
    )
    await server.ask("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c"}})
    (event,) = [found for found in EVENTS if found["stage"] == "ResponseComplete" and found["verb"] == "create"
                and found["objectRef"]["resource"] == "configmaps"]  # fmt: skip
    annotations = event["annotations"]
    assert annotations["note.hooks.example.com/why"] == "because"
    assert annotations["mutation.webhook.admission.k8s.io/round_0_index_0"] == (
        '{"configuration":"m","webhook":"note.hooks.example.com","mutated":false}'
    )
    assert annotations["failed-open.mutation.webhook.admission.k8s.io/round_0_index_1"] == "away.hooks.example.com"
