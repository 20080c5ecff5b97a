"""Watches: what is seen, from when, and what it costs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pybernetes.apiserver import image
from pybernetes.apiserver import watch as watching

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"


async def make(server: Any, name: str, namespace: str = "default", **labels: str) -> Any:
    body = {"metadata": {"name": name, "labels": labels}}
    return await server.ask("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)


def seen(events: list[Any]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


async def test_a_watch_from_a_revision_gives_each_later_change_in_order(server: Any) -> None:
    first = await make(server, "a")
    await make(server, "b")
    await server.ask("PATCH", f"{MAPS}/a", {"data": {"x": "y"}}, content_type=MERGE)
    await server.ask("DELETE", f"{MAPS}/b")
    events = await server.events(f"{MAPS}?watch=1&resourceVersion={first['metadata']['resourceVersion']}", 3)
    assert seen(events) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))  # the deleted object carries the revision of its deletion


async def test_live_events_follow_the_initial_state_without_a_gap(server: Any) -> None:
    await make(server, "a")
    asking = asyncio.create_task(server.events(f"{MAPS}?watch=1", 3))
    await asyncio.sleep(0.01)
    await make(server, "b")
    await make(server, "c")
    assert seen(await asking) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def test_leaving_and_entering_a_selection_look_like_deletion_and_creation(server: Any) -> None:
    first = await make(server, "a", team="x")
    for team in ("y", "x", "x"):
        await server.ask(
            "PATCH", f"{MAPS}/a", {"metadata": {"labels": {"team": team}}, "data": {"n": team}}, content_type=MERGE
        )
    await server.ask("PATCH", f"{MAPS}/a", {"data": {"n": "z"}}, content_type=MERGE)
    url = f"{MAPS}?watch=1&labelSelector=team%3Dx&resourceVersion={first['metadata']['resourceVersion']}"
    events = await server.events(url, 3)
    assert seen(events) == [("DELETED", "a"), ("ADDED", "a"), ("MODIFIED", "a")]
    assert events[0]["object"]["metadata"]["labels"] == {"team": "x"}  # as it last matched


async def test_an_event_costs_only_the_watchers_whom_it_can_concern(server: Any) -> None:
    await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    pods = server.api.image.table("/registry/pods/")
    offered: list[str] = []
    subscriptions = []
    for target in (
        "/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn1",
        "/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn2",
        "/api/v1/namespaces/other/pods?watch=1",
        "/api/v1/namespaces/default/pods?watch=1&fieldSelector=metadata.name%3Dp",
        "/api/v1/namespaces/default/pods?watch=1&fieldSelector=metadata.name%3Dq",
        "/api/v1/pods?watch=1",
    ):
        subscriptions.append((await server.send("GET", target)).body)
    original = watching.Subscription.offer

    def counting(self: Any, event: Any) -> None:
        offered.append(str(self._index))
        original(self, event)

    watching.Subscription.offer = counting  # type: ignore[method-assign]
    try:
        pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}}
        assert (await server.send("POST", "/api/v1/namespaces/default/pods", pod)).status == 201
    finally:
        watching.Subscription.offer = original  # type: ignore[method-assign]
    assert sorted(offered) == ["('key', '/registry/pods/default/p')", "('spec.nodeName', 'n1')", "None"]
    for subscription in subscriptions:
        await subscription.aclose()
    assert pods.watcher_count == 0


async def test_watchers_share_the_bytes_of_an_event(server: Any) -> None:
    first, second = [(await server.send("GET", f"{MAPS}?watch=1")).body for _ in range(2)]
    await make(server, "a")
    lines = [await anext(first), await anext(second)]
    assert lines[0] == lines[1]
    event = server.api.image.table("/registry/configmaps/").window[-1]
    assert list(event.encoded.values()) == [lines[0]]
    await first.aclose()
    await second.aclose()


async def test_several_changes_go_out_in_one_chunk(server: Any) -> None:
    body = (await server.send("GET", f"{MAPS}?watch=1")).body
    for name in ("a", "b", "c"):
        await make(server, name)
    assert len((await anext(body)).splitlines()) == 3
    await body.aclose()


async def test_a_watcher_that_does_not_read_is_cut_off(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PENDING_LIMIT", 3)
    body = (await server.send("GET", f"{MAPS}?watch=1")).body
    for number in range(5):
        await make(server, f"m{number}")
    assert [chunk async for chunk in body] == []
    assert server.api.image.table("/registry/configmaps/").watcher_count == 0


async def test_a_watch_from_before_the_window_has_expired(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "WINDOW_FLOOR", 2)
    monkeypatch.setattr(image, "WINDOW_LIMIT", 2)
    made = [await make(server, name) for name in ("a", "b", "c", "d")]
    versions = [found["metadata"]["resourceVersion"] for found in made]
    [event] = await server.events(f"{MAPS}?watch=1&resourceVersion={versions[0]}", 1)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert seen(await server.events(f"{MAPS}?watch=1&resourceVersion={versions[1]}", 2)) == [("ADDED", "c"), ("ADDED", "d")]


async def test_initial_events_end_with_a_marked_bookmark(server: Any) -> None:
    await make(server, "a")
    target = f"{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = await server.events(target, 2)
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert events[1]["object"]["kind"] == "ConfigMap"


async def test_a_watch_ends_after_its_time(server: Any) -> None:
    assert await server.events(f"{MAPS}?watch=1&timeoutSeconds=1", 99) == []


async def test_a_table_watch_gives_its_columns_once(server: Any) -> None:
    body = (await server.send("GET", f"{MAPS}?watch=1", accept="application/json;as=Table;v=v1;g=meta.k8s.io")).body
    await make(server, "a")
    await make(server, "b")
    lines = [json.loads(line)["object"] for line in (await anext(body)).splitlines()]
    assert [bool(line["columnDefinitions"]) for line in lines] == [True, False]
    assert lines[1]["rows"][0]["cells"][0] == "b"
    await body.aclose()


async def test_what_is_written_past_the_server_is_seen_as_well(server: Any) -> None:
    body = (await server.send("GET", f"{MAPS}?watch=1")).body
    value = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"direct","namespace":"default"}}'
    await server.api.image.store.create("/registry/configmaps/default/direct", value)
    assert json.loads(await anext(body))["object"]["metadata"]["name"] == "direct"
    assert (await server.send("GET", f"{MAPS}/direct")).status == 200
    await body.aclose()
