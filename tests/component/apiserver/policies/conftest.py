"""Short ways to make policies, bind them, and see what becomes of writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

GROUP = "/apis/admissionregistration.k8s.io/v1"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}


def rules(*given: Any) -> dict[str, Any]:
    return {"resourceRules": list(given) or [RULE]}


@pytest.fixture
def validating(server: Any) -> Callable[..., Any]:
    """Make a ValidatingAdmissionPolicy for ConfigMaps, and bind it unless `bindings` does."""

    async def make(*validations: Any, name: str = "p", bindings: Any = None, **spec: Any) -> None:
        given = [{"expression": each} if isinstance(each, str) else each for each in validations]
        body = {"metadata": {"name": name}, "spec": {"matchConstraints": rules(), "validations": given, **spec}}
        answer = await server.ask("POST", f"{GROUP}/validatingadmissionpolicies", body)
        assert answer["kind"] == "ValidatingAdmissionPolicy", answer
        for index, binding in enumerate([{}] if bindings is None else bindings):
            bound = {"policyName": name, "validationActions": ["Deny"], **binding}
            body = {"metadata": {"name": f"b{index}"}, "spec": bound}
            answer = await server.ask("POST", f"{GROUP}/validatingadmissionpolicybindings", body)
            assert answer["kind"] == "ValidatingAdmissionPolicyBinding", answer

    return make


@pytest.fixture
def mutating(server: Any) -> Callable[..., Any]:
    """Make a MutatingAdmissionPolicy for ConfigMaps, and bind it; a mutation is an apply configuration unless it is a list."""

    async def make(*mutations: str, name: str = "m", binding: Any = None, **spec: Any) -> None:
        given = [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": text}} if text.lstrip().startswith("[")
            else {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}
            for text in mutations
        ]  # fmt: skip
        body = {
            "metadata": {"name": name},
            "spec": {"matchConstraints": rules(), "mutations": given, "reinvocationPolicy": "Never", **spec},
        }
        answer = await server.ask("POST", f"{GROUP}/mutatingadmissionpolicies", body)
        assert answer["kind"] == "MutatingAdmissionPolicy", answer
        body = {"metadata": {"name": name}, "spec": {"policyName": name, **(binding or {})}}
        answer = await server.ask("POST", f"{GROUP}/mutatingadmissionpolicybindings", body)
        assert answer["kind"] == "MutatingAdmissionPolicyBinding", answer

    return make


@pytest.fixture
def write(server: Any) -> Callable[..., Any]:
    """Create a ConfigMap: the answer."""

    async def create(name: str = "c", *, query: str = "", headers: Any = None, labels: Any = None, **data: str) -> Any:
        body = {"metadata": {"name": name, **({"labels": labels} if labels else {})}, "data": data}
        return await server.ask("POST", f"{CONFIG_MAPS}{query}", body, **(headers or {}))

    return create
