"""Several mutating policies, bindings and parameters for one write: each is asked in turn, and some a second time."""

from __future__ import annotations

from typing import Any

from tests.component.apiserver.policies.conftest import CONFIG_MAPS, GROUP, rules

ENDPOINTS = "/api/v1/namespaces/default/endpoints"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["endpoints"]}
MATCHED = {"matchConstraints": rules(RULE)}
PARAMETERS = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
COUNT = "?'n': optional.of(string(int(object.metadata.annotations['n']) + 1))"
SAY = "Object{metadata: Object.metadata{annotations: params.data}}"


def counting(*also: str) -> str:
    return f"Object{{metadata: Object.metadata{{annotations: {{{', '.join([COUNT, *also])}}}}}}}"


async def annotated(server: Any, **annotations: str) -> dict[str, str]:
    body = {"metadata": {"name": "e", "annotations": annotations}}
    answer = await server.ask("POST", f"{ENDPOINTS}?dryRun=All", body)
    assert answer["kind"] == "Endpoints", answer["message"]
    return dict(answer["metadata"]["annotations"])


async def configure(server: Any, name: str, data: dict[str, str], **labels: str) -> None:
    await server.ask("POST", CONFIG_MAPS, {"metadata": {"name": name, "labels": labels}, "data": data})


async def test_there_is_one_more_round_for_the_policies_that_want_it(server: Any, mutating: Any) -> None:
    for name, again in (("first", "IfNeeded"), ("second", "IfNeeded"), ("third", "Never")):
        await mutating(counting(f"'{name}': 'true'"), name=name, reinvocationPolicy=again, **MATCHED)
    assert await annotated(server, n="0") == {"n": "5", "first": "true", "second": "true", "third": "true"}


async def test_each_parameter_of_a_policy_is_a_call_and_has_another_round(server: Any, mutating: Any) -> None:
    await configure(server, "one", {"first": "true"}, say="yes")
    await configure(server, "two", {"second": "true"}, say="yes")
    await configure(server, "three", {"third": "true"})
    selected = {"paramRef": {"selector": {"matchLabels": {"say": "yes"}}, "parameterNotFoundAction": "Allow"}}
    named = {"paramRef": {"name": "three", "parameterNotFoundAction": "Allow"}}
    await mutating(SAY, counting(), name="a", binding=selected, reinvocationPolicy="IfNeeded", **PARAMETERS, **MATCHED)
    await mutating(SAY, counting(), name="b", binding=named, **PARAMETERS, **MATCHED)
    assert await annotated(server, n="0") == {"n": "5", "first": "true", "second": "true", "third": "true"}


async def test_a_policy_may_be_bound_more_than_once(server: Any, mutating: Any) -> None:
    for name in ("one", "two"):
        await configure(server, name, {name: "true"})
    ref = {"parameterNotFoundAction": "Allow", "namespace": "default"}
    await mutating(SAY, name="a", binding={"paramRef": {**ref, "name": "one"}}, **PARAMETERS, **MATCHED)
    other = {"metadata": {"name": "again"}, "spec": {"policyName": "a", "paramRef": {**ref, "name": "two"}}}
    await server.ask("POST", f"{GROUP}/mutatingadmissionpolicybindings", other)
    assert await annotated(server, n="0") == {"n": "0", "one": "true", "two": "true"}


async def test_mutations_choose_by_what_optional_fields_hold(server: Any, mutating: Any) -> None:
    marked = "object.metadata.?annotations['mark'] == optional.of('m')"
    await mutating(
        f"{marked} ? Object{{metadata: Object.metadata{{annotations: {{'marked': 'm'}}}}}} : Object{{}}",
        f"object.metadata.?annotations['mark'].hasValue() ? Object{{}} : {counting()}",
        matchConditions=[{"name": "any", "expression": f"object.metadata.?annotations['n'] == optional.of('1') || {marked}"}],
        **MATCHED,
    )
    assert await annotated(server, mark="m") == {"mark": "m", "marked": "m"}
    assert await annotated(server, n="1") == {"n": "2"}
    assert await annotated(server, n="2") == {"n": "2"}


async def test_a_status_is_mutated_by_policies_that_match_it(server: Any, mutating: Any) -> None:
    rule = {**RULE, "resources": ["namespaces/status"]}
    condition = "Object.status.conditions{type: 'NamespaceDeletionContentFailure', message: 'mutated'}"
    await mutating(f"Object{{status: Object.status{{conditions: [{condition}]}}}}", matchConstraints=rules(rule))
    space = await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    assert "conditions" not in space["status"]
    space["status"]["conditions"] = [{"type": "NamespaceDeletionContentFailure", "status": "Unknown"}]
    answer = await server.ask("PUT", "/api/v1/namespaces/n/status", space)
    (only,) = answer["status"]["conditions"]
    assert (only["status"], only["message"]) == ("Unknown", "mutated")


async def test_metrics_tell_of_mutations_and_of_conditions(server: Any, mutating: Any) -> None:
    conditions = [{"name": "some", "expression": "object.metadata.annotations['n'] != '3'"}]
    await mutating(counting(), name="m", matchConditions=conditions, **MATCHED)
    for n in ("1", "7", "3"):
        await annotated(server, n=n)
    samples = {
        (sample.name, sample.labels.get("kind")): sample.value
        for source in server.api.metric_sources
        for family in source()
        for sample in family.samples
    }
    assert samples["apiserver_mutating_admission_policy_check_total", None] == 2
    assert samples["apiserver_admission_match_condition_exclusions_total", "policy"] == 1
    assert samples["apiserver_admission_match_condition_evaluation_seconds_count", "policy"] >= 3
