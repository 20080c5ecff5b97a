"""/metrics as dashboards read it: upstream's names, types and labels, from real requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

MAPS = "/api/v1/namespaces/default/configmaps"
POSTED = {
    "group": "", "version": "v1", "resource": "configmaps", "subresource": "", "verb": "POST", "scope": "resource",
    "dry_run": "", "component": "apiserver",
}  # fmt: skip


class Samples:
    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.types = {family.name: family.type for family in families}
        self._samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, /, **labels: str) -> float:
        """The sum of those that have these labels."""
        return sum(one.value for one in self._samples if one.name == name and labels.items() <= one.labels.items())

    def labels(self, name: str) -> list[set[str]]:
        return [set(one.labels) for one in self._samples if one.name == name]


async def scrape(server: Any, path: str = "/metrics") -> Samples:
    return Samples((await server.send("GET", path)).body.decode())


async def test_requests_are_counted_with_upstreams_labels(server: Any) -> None:
    await server.ask("POST", MAPS, {"metadata": {"name": "m"}})
    await server.ask("POST", f"{MAPS}?dryRun=All", {"metadata": {"name": "n"}})
    await server.ask("GET", f"{MAPS}/absent")
    await server.ask("GET", "/api/v1/configmaps")
    applied = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"}}'
    await server.send("PATCH", f"{MAPS}/m?fieldManager=t", applied, content_type="application/apply-patch+yaml")
    await server.send("GET", "/apis/made.up/v1/things")
    found = await scrape(server)
    total = "apiserver_request_total"
    assert found.types["apiserver_request"] == "counter"
    assert found.value(total, **POSTED, code="201") == 1
    assert found.value(total, **{**POSTED, "dry_run": "All"}, code="201") == 1
    assert found.value(total, verb="GET", resource="configmaps", scope="resource", code="404") == 1
    assert found.value(total, verb="LIST", resource="configmaps", scope="cluster", code="200") == 1
    assert found.value(total, verb="APPLY", resource="configmaps", code="200") == 1
    assert found.value(total, resource="things") == 0  # strangers make no series
    assert all(labels == {*POSTED, "code"} for labels in found.labels(total))
    for name in ("apiserver_request_duration_seconds", "apiserver_request_sli_duration_seconds"):
        assert found.types[name] == "histogram" and found.value(f"{name}_count", **POSTED) == 1
        assert found.value(f"{name}_bucket", **POSTED, le="60") == 1
    assert found.value("apiserver_response_sizes_count", verb="LIST", resource="configmaps") == 1
    assert found.value("apiserver_response_sizes_bucket", verb="LIST", resource="configmaps", le="100000") == 1


async def test_long_requests_are_counted_while_they_last(server: Any) -> None:
    await server.ask("POST", MAPS, {"metadata": {"name": "m"}})
    watch = await server.send("GET", f"{MAPS}?watch=1")
    await anext(watch.body)
    found = await scrape(server)
    labels = {"verb": "WATCH", "resource": "configmaps", "scope": "namespace", "version": "v1"}
    assert found.value("apiserver_longrunning_requests", **labels) == 1
    assert found.value("apiserver_watch_events_total", resource="configmaps", group="", version="v1") >= 1
    assert found.value("apiserver_watch_events_sizes_count", resource="configmaps") >= 1
    assert found.value("apiserver_init_events_total", resource="configmaps") >= 1
    assert found.value("apiserver_request_duration_seconds_count", verb="WATCH") == 0
    await watch.body.aclose()
    assert (await scrape(server)).value("apiserver_longrunning_requests", **labels) == 0


async def test_the_store_admission_and_the_build_are_measured(server: Any) -> None:
    await server.ask("POST", MAPS, {"metadata": {"name": "m"}})
    found = await scrape(server)
    stored = await server.ask("GET", "/api/v1/configmaps")
    assert found.value("apiserver_resource_objects", group="", resource="configmaps") == len(stored["items"])
    assert found.value("apiserver_storage_objects", resource="clusterroles.rbac.authorization.k8s.io") > 10
    created = {"operation": "create", "group": "", "resource": "configmaps"}
    assert found.value("etcd_request_duration_seconds_count", **created) >= 1
    assert found.value("etcd_requests_total", **created) >= 1
    asked = {"operation": "CREATE", "rejected": "false"}
    assert found.value("apiserver_admission_step_admission_duration_seconds_count", **asked, type="admit") >= 1
    name = "apiserver_admission_controller_admission_duration_seconds_count"
    assert found.value(name, **asked, name="NamespaceLifecycle", type="admit") >= 1
    await server.ask("POST", "/api/v1/namespaces/absent/configmaps", {"metadata": {"name": "m"}})
    assert (await scrape(server)).value(name, operation="CREATE", rejected="true", name="NamespaceLifecycle") == 1
    assert found.value("kubernetes_build_info", git_version="v1.36.0", major="1", minor="36") == 1
    assert found.value("process_resident_memory_bytes") > 1e6


async def test_flow_control_is_measured(server: Any) -> None:
    await server.send("GET", "/version", authorization="Bearer nobody")
    found = await scrape(server)
    flow = {"priority_level": "global-default", "flow_schema": "global-default"}
    assert found.value("apiserver_flowcontrol_dispatched_requests_total", **flow) == 1
    assert found.value("apiserver_flowcontrol_current_executing_seats", **flow) == 0
    assert found.value("apiserver_flowcontrol_current_executing_requests", priority_level="exempt") == 1  # this one
    assert found.value("apiserver_flowcontrol_nominal_limit_seats", priority_level="workload-low") == 245
    assert found.value("apiserver_flowcontrol_work_estimated_seats_bucket", **flow, le="1") == 1


async def test_what_waits_for_a_place_is_left_out_of_the_sli(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    door = server.api._door
    wait = door.wait

    async def slow(*of: Any) -> Any:
        await asyncio.sleep(0.3)
        return await wait(*of)

    monkeypatch.setattr(door, "enter_at_once", lambda seat: False)
    monkeypatch.setattr(door, "wait", slow)
    await server.ask("GET", f"{MAPS}/absent")
    monkeypatch.undo()
    found = await scrape(server)
    of = {"verb": "GET", "resource": "configmaps"}
    assert found.value("apiserver_request_duration_seconds_sum", **of) > 0.3
    assert found.value("apiserver_request_sli_duration_seconds_sum", **of) < 0.2
    assert found.value("apiserver_request_duration_seconds_bucket", **of, le="0.2") == 0
    assert found.value("apiserver_request_sli_duration_seconds_bucket", **of, le="0.2") == 1
    assert found.value("apiserver_request_sli_duration_seconds_count", **of) == 1


async def test_slis_tell_what_probes_have_found(server: Any) -> None:
    await server.send("GET", "/readyz")
    server.api.lifecycle.leaving = True
    await server.send("GET", "/readyz")
    found = await scrape(server, "/metrics/slis")
    assert found.value("kubernetes_healthcheck", name="etcd", type="readyz") == 1
    assert found.value("kubernetes_healthcheck", name="shutdown", type="readyz") == 0
    assert found.value("kubernetes_healthchecks_total", name="shutdown", type="readyz", status="success") == 1
    assert found.value("kubernetes_healthchecks_total", name="shutdown", type="readyz", status="error") == 1
