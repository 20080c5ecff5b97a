import pytest

from pybernetes.client.events import EVENTS, EventRecorder
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.http.messages import Response


@pytest.fixture
def pod():
    return {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
    }  # fmt: skip


@pytest.fixture
def recorder(client, clock, entropy):
    return EventRecorder(client, "kubelet", "n1", clock=clock, entropy=entropy)


async def events(client):
    return (await client.list(EVENTS))["items"]


async def test_an_event_names_its_object_source_and_times(client, recorder, pod):
    recorder.event(pod, "Normal", "Started", "Started container web", field_path="spec.containers{web}")
    await recorder.flush()
    (event,) = await events(client)
    assert event["metadata"]["name"] == f"web.{1795255200 * 10**9:x}"
    assert event["metadata"]["namespace"] == "shop"
    assert event["involvedObject"] == {
        "kind": "Pod", "apiVersion": "v1", "name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
        "fieldPath": "spec.containers{web}",
    }  # fmt: skip
    assert event["source"] == {"component": "kubelet", "host": "n1"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-11-21T10:00:00Z"
    assert (event["type"], event["reason"], event["count"]) == ("Normal", "Started", 1)


async def test_a_repeated_event_is_counted(client, clock, recorder, pod):
    for _ in range(3):
        recorder.event(pod, "Warning", "BackOff", "Back-off restarting")
        clock.time_s += 5
    await recorder.flush()
    (event,) = await events(client)
    assert event["count"] == 3
    assert event["lastTimestamp"] == "2026-11-21T10:00:10Z"


async def test_a_counted_event_that_expired_is_created_anew_with_its_count(client, api, recorder, pod):
    recorder.event(pod, "Warning", "BackOff", "Back-off")
    await recorder.flush()
    api.objects.clear()
    recorder.event(pod, "Warning", "BackOff", "Back-off")
    await recorder.flush()
    (event,) = await events(client)
    assert event["count"] == 2


async def test_many_similar_messages_become_one_event(client, recorder, pod):
    for number in range(15):
        recorder.event(pod, "Warning", "Unhealthy", f"probe {number} failed")
    await recorder.flush()
    found = await events(client)
    combined = [event for event in found if event["message"].startswith("(combined from similar events): ")]
    assert len(found) == 11
    assert [event["count"] for event in combined] == [5]
    assert combined[0]["message"].endswith("probe 14 failed")


async def test_one_object_cannot_flood_the_server(client, api, recorder, pod):
    for _ in range(100):
        recorder.event(pod, "Warning", "BackOff", "Back-off")
    await recorder.flush()
    assert len(api.requests) == 25


async def test_an_object_without_namespace_has_its_events_in_default(client, recorder):
    recorder.event({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}}, "Normal", "NodeReady", "ready")
    await recorder.flush()
    assert (await events(client))[0]["metadata"]["namespace"] == "default"


@pytest.mark.parametrize("fault", [ConnectionFailed("refused"), Response(403, {})])
async def test_a_failure_to_write_is_never_raised(api, recorder, pod, fault):
    api.faults = [fault]
    recorder.event(pod, "Normal", "Started", "x")
    await recorder.flush()
