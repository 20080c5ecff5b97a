"""The default FlowSchemas and levels are maintained as upstream does (annotation `apf.kubernetes.io/autoupdate-spec`)."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.apiserver.bootstrap.objects import FLOW_AUTOUPDATE, flow_control_objects
from pybernetes.apiserver.bootstrap.reconcile import maintain_flow_control
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS

LEVELS = PRIORITY_LEVEL_CONFIGURATIONS


def default(name: str, *, generation: int = 1, annotation: str | None = "true", **spec: Any) -> Object:
    found = next(obj for resource, obj in flow_control_objects() if resource is LEVELS and name_of(obj) == name)
    annotations = {} if annotation is None else {FLOW_AUTOUPDATE: annotation}
    return {
        "metadata": {"name": name, "generation": generation, "annotations": annotations},
        "spec": {**found["spec"], **spec},
    }


def shares(number: int) -> Any:
    return {"limited": {"nominalConcurrencyShares": number, "limitResponse": {"type": "Reject"}}}


@pytest.mark.parametrize(
    ("name", "generation", "annotation", "kept", "annotated"),
    [
        ("system", 2, "true", False, "true"),
        ("system", 2, "false", True, "false"),
        ("system", 1, None, False, "true"),
        ("system", 2, None, True, "false"),
        ("catch-all", 2, "false", False, "true"),
    ],
)
async def test_a_changed_spec_is_kept_or_brought_back(
    cluster: Any, name: str, generation: int, annotation: str | None, kept: bool, annotated: str
) -> None:
    cluster.put(LEVELS, default(name, generation=generation, annotation=annotation, **shares(7)))
    await maintain_flow_control(cluster, cluster)
    found = cluster.get(LEVELS, "", name)
    assert (found["spec"]["limited"]["nominalConcurrencyShares"] == 7) is kept
    assert found["metadata"]["annotations"][FLOW_AUTOUPDATE] == annotated


async def test_the_shares_of_the_exempt_level_are_the_users(cluster: Any) -> None:
    cluster.put(LEVELS, default("exempt", generation=2, exempt={"nominalConcurrencyShares": 5, "lendablePercent": 10}))
    await maintain_flow_control(cluster, cluster)
    assert cluster.get(LEVELS, "", "exempt")["spec"]["exempt"]["nominalConcurrencyShares"] == 5


async def test_what_is_missing_is_made_and_what_was_a_default_once_is_deleted(cluster: Any) -> None:
    cluster.put(FLOW_SCHEMAS, {"metadata": {"name": "old", "annotations": {FLOW_AUTOUPDATE: "true"}}, "spec": {}})
    cluster.put(FLOW_SCHEMAS, {"metadata": {"name": "mine"}, "spec": {}})
    await maintain_flow_control(cluster, cluster)
    names = {name_of(found) for found in cluster.list(FLOW_SCHEMAS)}
    assert {"exempt", "catch-all", "global-default", "mine"} < names and "old" not in names
    writes = len(cluster.writes)
    await maintain_flow_control(cluster, cluster)
    assert len(cluster.writes) == writes
