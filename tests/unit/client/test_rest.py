from contextlib import aclosing

import orjson
import pytest

from pybernetes.client.rest import PatchType
from pybernetes.machinery import errors
from pybernetes.machinery.http.messages import Response


async def test_an_object_is_created_read_changed_and_deleted(client, pods):
    created = await client.create(pods, {"kind": "Pod", "metadata": {"name": "a", "namespace": "default"}})
    assert created == await client.get(pods, "a", "default")
    updated = await client.update(pods, {**created, "spec": {"x": 1}})
    assert updated["metadata"]["resourceVersion"] == "2"
    with pytest.raises(errors.Conflict):
        await client.update(pods, created)
    await client.delete(pods, "a", "default", uid="u", grace_period_s=0)
    with pytest.raises(errors.NotFound) as caught:
        await client.get(pods, "a", "default")
    assert str(caught.value) == 'pods "a" not found'


async def test_deleting_sends_its_preconditions(client, api, pods):
    api.put_pod("a")
    await client.delete(pods, "a", "default", uid="u", resource_version="1", grace_period_s=0, propagation_policy="Orphan")
    assert orjson.loads(api.requests[-1].body) == {
        "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Orphan",
        "preconditions": {"uid": "u", "resourceVersion": "1"},
    }  # fmt: skip


async def test_a_patch_says_its_format_and_manager(client, api, pods):
    api.put_pod("a")
    await client.patch(pods, "a", "default", {"spec": {}}, PatchType.APPLY, field_manager="me", force=True)
    request = api.requests[-1]
    assert request.headers["content-type"] == "application/apply-patch+yaml"
    assert request.query == "fieldManager=me&force=true"


async def test_the_server_asking_for_patience_is_given_it(client, api, clock, pods):
    api.put_pod("a")
    api.faults = [Response(429, {"retry-after": "3"}), Response(503, {"retry-after": "1"}, b"starting")]
    await client.get(pods, "a", "default")
    assert clock.slept == [3, 1]


async def test_failures_without_a_delay_are_not_retried(client, api, clock, pods):
    api.faults = [Response(503, {}, b"no backend")]
    with pytest.raises(errors.ServiceUnavailable, match="no backend"):
        await client.get(pods, "a", "default")
    assert clock.slept == []


async def test_a_watch_gives_events_in_order_across_any_chunking(client, api, pods):
    events = [{"type": "ADDED", "object": {"metadata": {"name": str(n)}}} for n in range(4)]
    text = b"".join(orjson.dumps(event) + b"\n" for event in events)
    for size in (1, 7, 50, len(text)):

        async def chunks(size=size):
            for start in range(0, len(text), size):
                yield text[start : start + size]

        api.faults = [Response(200, {}, chunks())]
        assert [event._asdict() async for event in client.watch(pods)] == events


async def test_an_error_event_is_raised_as_the_error_it_is(client, api, pods):
    api.compacted = 5
    with pytest.raises(errors.Expired):
        async for _ in client.watch(pods, resource_version="1"):
            pass


async def test_closing_a_watch_closes_the_servers_side(client, api, pods):
    closed = []

    async def body():
        try:
            yield b'{"type":"ADDED","object":{}}\n'
            await api.changed.wait()
        finally:
            closed.append(True)

    api.faults = [Response(200, {}, body())]
    async with aclosing(client.watch(pods)) as events:
        await anext(events)
    assert closed == [True]


async def test_names_are_escaped_into_the_path(client, api, pods):
    with pytest.raises(errors.StatusError):
        await client.get(pods, "a/../b?", "default")
    assert api.requests[-1].path == "/api/v1/namespaces/default/pods/a%2F..%2Fb%3F"
