"""Answers in protobuf, as clients in Go ask for them: the envelope, lists, watches, metadata alone, errors."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from pybernetes.machinery import protobuf
from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.meta import GroupVersionKind

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MEDIA = "application/vnd.kubernetes.protobuf"
GO = f"{MEDIA},application/json"  # what client-go sends
ANY = GroupVersionKind("", "v1", "Other")
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}}


def numbers(data: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for number, _, value in protobuf._wire(data):
        found.setdefault(number, []).append(value)
    return found


def decoded(response: Response) -> Any:
    assert response.headers["Content-Type"] == MEDIA
    assert isinstance(response.body, bytes)
    return protobuf.decode(response.body, ANY)


def events(data: bytes) -> list[tuple[str, Any]]:
    """The frames of a watch: a length, a bare WatchEvent."""
    found = []
    while data:
        (size,) = struct.unpack_from(">L", data)
        event = numbers(data[4 : 4 + size])
        data = data[4 + size :]
        found.append((event[1][0].decode(), protobuf.decode(numbers(event[2][0])[1][0], ANY)))
    return found


async def test_a_write_and_a_read_give_the_object_that_json_gives(server: Any) -> None:
    made = await server.send("POST", PODS, POD, accept=GO)
    assert made.status == 201
    in_json = await server.ask("GET", f"{PODS}/p")
    assert decoded(made) == in_json
    assert decoded(await server.send("GET", f"{PODS}/p", accept=GO)) == in_json


async def test_a_list_holds_its_metadata_and_items_without_types(server: Any) -> None:
    for number in range(450):  # more than a chunk
        await server.ask("POST", MAPS, {"metadata": {"name": f"m{number:03}"}, "data": {"n": str(number)}})
    response = await server.send("GET", f"{MAPS}?limit=420", accept=GO)
    in_json = await server.ask("GET", f"{MAPS}?limit=420")
    envelope = numbers(response.body[4:])
    assert numbers(envelope[1][0]) == {1: [b"v1"], 2: [b"ConfigMapList"]}
    content = numbers(envelope[2][0])
    metadata = numbers(content[1][0])
    assert metadata[2] == [in_json["metadata"]["resourceVersion"].encode()]
    assert metadata[3] == [in_json["metadata"]["continue"].encode()] and metadata[4] == [30]
    items = [protobuf._message("k8s.io.api.core.v1.ConfigMap", item, 0) for item in content[2]]
    assert items == in_json["items"]


async def test_a_watch_sends_frames(server: Any) -> None:
    target = f"{MAPS}?watch=1&allowWatchBookmarks=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan"
    response = await server.send("GET", target, accept=GO)
    assert response.headers["Content-Type"] == f"{MEDIA};stream=watch"
    [bookmark] = events(await anext(response.body))
    assert bookmark[0] == "BOOKMARK"
    assert bookmark[1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await server.ask("POST", MAPS, {"metadata": {"name": "a"}})
    await server.ask("DELETE", f"{MAPS}/a")
    found = []
    async with asyncio.timeout(5):
        while len(found) < 2:
            found += events(await anext(response.body))
    assert [(type_, obj["kind"], obj["metadata"]["name"]) for type_, obj in found] == [
        ("ADDED", "ConfigMap", "a"), ("DELETED", "ConfigMap", "a"),
    ]  # fmt: skip
    await response.body.aclose()


async def test_watchers_of_both_encodings_each_get_their_own(server: Any) -> None:
    binary = (await server.send("GET", f"{MAPS}?watch=1", accept=GO)).body
    text = (await server.send("GET", f"{MAPS}?watch=1")).body
    await server.ask("POST", MAPS, {"metadata": {"name": "a"}})
    assert (await anext(text)).startswith(b'{"type":"ADDED"')
    assert events(await anext(binary))[0][0] == "ADDED"
    await text.aclose()
    await binary.aclose()


async def test_errors_are_statuses_in_protobuf(server: Any) -> None:
    response = await server.send("GET", f"{MAPS}/none", accept=GO)
    status = decoded(response)
    assert response.status == 404
    assert (status["kind"], status["reason"], status["message"]) == ("Status", "NotFound", 'configmaps "none" not found')
    deleted = await server.send("DELETE", MAPS + "/none", accept=GO)
    assert decoded(deleted)["code"] == 404


async def test_the_metadata_of_a_list_come_alone_where_they_are_asked_for(server: Any) -> None:
    # What metadata informers (of garbage collectors and quota controllers) ask for first.
    await server.ask("POST", MAPS, {"metadata": {"name": "a", "labels": {"b": "c"}}, "data": {"n": "1"}})
    accept = f"{MEDIA};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    response = await server.send("GET", MAPS, accept=accept)
    in_json = await server.ask("GET", MAPS, accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    found = decoded(response)
    assert (found["kind"], found["metadata"]) == ("PartialObjectMetadataList", in_json["metadata"])
    assert [item["metadata"] for item in found["items"]] == [item["metadata"] for item in in_json["items"]]


@pytest.mark.parametrize("suffix", ["", "?watch=1"])
async def test_metadata_alone_comes_in_protobuf_too(server: Any, suffix: str) -> None:
    """What the garbage collector's informers ask for."""
    await server.ask("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    accept = f"{MEDIA};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    if suffix:
        body = (await server.send("GET", MAPS + suffix, accept=accept)).body
        [(_, obj)] = events(await anext(body))
        await body.aclose()
    else:
        obj = decoded(await server.send("GET", f"{MAPS}/a", accept=accept))
    assert (obj["kind"], obj["apiVersion"], obj["metadata"]["name"]) == ("PartialObjectMetadata", "meta.k8s.io/v1", "a")
    assert "data" not in obj


async def test_tables_come_as_json_even_to_those_who_like_protobuf_better(server: Any) -> None:
    accept = f"{MEDIA};as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io"
    assert (await server.ask("GET", MAPS, accept=accept))["kind"] == "Table"
    assert (await server.send("GET", MAPS, accept=accept.partition(",")[0])).status == 406


async def test_reviews_scales_and_evictions(server: Any) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = decoded(await server.send("POST", path, review, accept=GO))
    assert answer["kind"] == "SelfSubjectAccessReview" and answer["status"]["allowed"] is True
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD["spec"]}
    deployment = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    apps = "/apis/apps/v1/namespaces/default/deployments"
    await server.ask("POST", apps, deployment)
    assert decoded(await server.send("GET", f"{apps}/d/scale", accept=GO))["spec"] == {"replicas": 1}
