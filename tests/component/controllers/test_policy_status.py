"""The type checks of ValidatingAdmissionPolicies, against the documents of a real server."""

from __future__ import annotations

from typing import Any

from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import VALIDATING_ADMISSION_POLICIES

DEPLOYMENTS = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}


def policy(name: str, *validations: Any, rules: Any = None, **spec: Any) -> Object:
    matching = {"resourceRules": rules or [DEPLOYMENTS]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {"matchConstraints": matching, "validations": list(validations), **spec},
    }  # fmt: skip


async def checked(plane: Any, obj: Object) -> Any:
    """The type checking in the policy's status, once there is one."""
    await plane.admin.create(VALIDATING_ADMISSION_POLICIES, obj)

    async def done() -> Any:
        found = await plane.get(VALIDATING_ADMISSION_POLICIES, obj["metadata"]["name"], "")
        status = found["status"]
        return status if status.get("observedGeneration") == found["metadata"]["generation"] else None

    return (await plane.until(done))["typeChecking"]


def test_expressions_that_confuse_types_are_warned_of(control_plane: Any) -> None:
    """Conformance: ValidatingAdmissionPolicy should type check validation expressions."""

    async def scenario(plane: Any) -> None:
        right = policy("right", {"expression": "object.spec.replicas > 1"})
        assert await checked(plane, right) == {}
        said = "'wants replicas > 1, got ' + object.spec.replicas"
        wrong = policy("wrong", {"expression": "object.spec.replicas > '1'", "messageExpression": said})
        assert await checked(plane, wrong) == {"expressionWarnings": [
            {
                "fieldRef": "spec.validations[0].expression",
                "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to "
                "'(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n",
            },
            {
                "fieldRef": "spec.validations[0].messageExpression",
                "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:28: found no matching overload for '_+_' applied to "
                f"'(string, int)'\n | {said}\n | ...........................^\n",
            },
        ]}  # fmt: skip

    control_plane(scenario)


def test_fields_are_looked_for_however_deep_and_through_variables(control_plane: Any) -> None:
    async def scenario(plane: Any) -> None:
        given = policy(
            "deep",
            {"expression": "variables.containers.all(c, c.image != '' && !has(c.imagePullSecret))"},
            {"expression": "variables.containers.all(c, c.ports.all(p, p.containerPort > 1024))"},
            {"expression": "object.metadata.labels['a'] == 'b' && object.metadata.creationTimestamp.getFullYear() > 2020"},
            variables=[{"name": "containers", "expression": "object.spec.template.spec.containers"}],
        )  # fmt: skip
        (warning,) = (await checked(plane, given))["expressionWarnings"]
        assert (
            warning["fieldRef"] == "spec.validations[0].expression"
            and "undefined field 'imagePullSecret'" in warning["warning"]
        )

    control_plane(scenario)


def test_every_kind_that_a_policy_names_is_looked_at(control_plane: Any) -> None:
    async def scenario(plane: Any) -> None:
        rule = {**DEPLOYMENTS, "resources": ["statefulsets", "deployments", "deployments/scale", "*"]}
        given = policy("many", {"expression": "object.spec.serviceName == ''"}, rules=[rule])
        (warning,) = (await checked(plane, given))["expressionWarnings"]
        assert warning["warning"].startswith("apps/v1, Kind=Deployment: ") and "StatefulSet" not in warning["warning"]
        everything = policy("every", {"expression": "object.nope"}, rules=[{**DEPLOYMENTS, "apiGroups": ["*"]}])
        everything["spec"]["validations"][0]["expression"] = "object.nope == 1"
        assert await checked(plane, everything) == {}

    control_plane(scenario)


def test_a_changed_policy_is_checked_again(control_plane: Any) -> None:
    async def scenario(plane: Any) -> None:
        assert await checked(plane, policy("p", {"expression": "object.spec.replicas > 1"})) == {}
        change = {"spec": {"validations": [{"expression": "object.spec.replica > 1"}]}}
        await plane.admin.patch(VALIDATING_ADMISSION_POLICIES, "p", "", change)

        async def warned() -> Any:
            found = await plane.get(VALIDATING_ADMISSION_POLICIES, "p", "")
            return found["status"]["typeChecking"].get("expressionWarnings")

        (warning,) = await plane.until(warned)
        assert "undefined field 'replica'" in warning["warning"]

    control_plane(scenario)
