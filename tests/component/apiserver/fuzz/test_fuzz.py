"""Any request whatever gets an answer, and never one that blames the server.

PYBERNETES_FUZZ_EXAMPLES is how many of each sort are tried (default 150; hundreds of thousands find the rest).
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.meta import Resource
from pybernetes.machinery.resources import BUILTIN, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, SUBRESOURCES
from pybernetes.machinery.schema import schema_for
from tests.component.apiserver.fuzz.nearly_right import JUNK, WORDS, objects

EXAMPLES = int(os.environ.get("PYBERNETES_FUZZ_EXAMPLES", "150"))
TYPED = [resource for resource in BUILTIN if resource.verbs & {"create"} and "DeleteOptions" not in resource.kind]
# There is no kubelet, nor anything else to relay to.
RELAYED = frozenset(("log", "exec", "attach", "portforward", "proxy"))
PARAMETERS = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch",
    "sendInitialEvents", "dryRun", "fieldManager", "fieldValidation", "force", "gracePeriodSeconds", "orphanDependents",
    "propagationPolicy", "pretty", "timeout", "includeObject",
)  # fmt: skip
TEXTS = WORDS | st.sampled_from((
    "All", "Strict", "Warn", "Exact", "NotOlderThan", "Foreground", "Orphan", "None", "metadata.name=fuzz", "spec.nodeName=",
    "a!=b", "app in (a,b),!c", "99999999999999999999", "1_0", " 1", "１", "5s", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ",
))  # fmt: skip
ACCEPTED = st.sampled_from((
    "application/json", "", "*/*", "application/yaml", "application/vnd.kubernetes.protobuf", "text/html",
    "application/json;as=",
    "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", ";;;", "application/json;q=x",
))  # fmt: skip
PATCHES = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)  # fmt: skip
CONTENT_TYPES = st.sampled_from(
    (*PATCHES, "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "", "text/plain")
)
# Upstream blames itself for these, and so do we.
UPSTREAMS_OWN = (
    b"failed to create typed patch object", b"failed to convert new typed object",
    b"resourceVersion should not be set on objects to be created", b"strconv.ParseUint: parsing",
)  # fmt: skip
queries = st.dictionaries(st.sampled_from(PARAMETERS), TEXTS, max_size=3)


def path_of(resource: Resource, name: str, subresource: str) -> str:
    return resource.path("default", quote(name, safe=""), subresource) if name else resource.path("default")


def encoded(query: dict[str, str]) -> str:
    return "&".join(f"{name}={quote(value, errors='surrogatepass')}" for name, value in query.items())


@st.composite
def bodies(draw: st.DrawFn, resource: Resource) -> bytes:
    if draw(st.integers(0, 12)) == 0:
        return draw(
            st.binary(max_size=40) | st.sampled_from((b"{", b"k8s\x00\n\x04\x0a\x02v1", b"[1,2", b"- a\n- b: &x [*x]\n"))
        )
    return json.dumps(draw(objects(resource))).encode("utf-8", "surrogatepass")


@st.composite
def json_patches(draw: st.DrawFn) -> bytes:
    operation = st.fixed_dictionaries(
        {"op": st.sampled_from(("add", "remove", "replace", "move", "copy", "test", "x"))},
        optional={
            "path": st.sampled_from(("", "/", "/spec", "/metadata/labels/a", "/metadata/name", "/data/~0~1", "/x/-", "/-1"))
            | WORDS,
            "from": st.sampled_from(("/spec", "/metadata", "/nothing")),
            "value": JUNK | WORDS,
        },
    )
    return json.dumps(draw(st.lists(operation, max_size=3) | JUNK)).encode("utf-8", "surrogatepass")


@st.composite
def requests(draw: st.DrawFn) -> Request:
    resource = draw(st.sampled_from(TYPED))
    name = draw(st.sampled_from(("", "fuzz", "fuzz-2")) | WORDS)
    below = sorted(SUBRESOURCES.get(resource, {}).keys() - RELAYED)
    subresource = draw(st.sampled_from(("", *below))) if name else ""
    method = draw(st.sampled_from(("GET", "POST", "PUT", "PATCH", "DELETE", "POST", "PUT", "PATCH", "HEAD", "OPTIONS")))
    content_type = draw(st.sampled_from(PATCHES) if method == "PATCH" and draw(st.integers(0, 9)) else CONTENT_TYPES)
    body = draw(json_patches() if content_type == PATCHES[0] else bodies(resource)) if method not in ("GET", "HEAD") else b""
    headers = {"authorization": "Bearer test-admin", "accept": draw(ACCEPTED), "content-type": content_type}
    return Request(method, path_of(resource, name, subresource), encoded(draw(queries)), headers, body)


async def body_of(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])


class Asked:
    """A server on the fixtures' loop, for tests that hypothesis calls many times over."""

    def __init__(self, server: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop

    async def answer(self, request: Request) -> tuple[int, bytes]:
        async with asyncio.timeout(20):
            response = await self._server.api.handle(request)
            return response.status, await body_of(response)


def check(request: Request, status: int, body: bytes) -> None:
    shown = f"{request.method} {request.path}?{request.query} {request.headers} {request.body!r}"
    as_upstream = status == 500 and any(sentence in body for sentence in UPSTREAMS_OWN)
    assert 200 <= status < 500 or as_upstream, f"{shown}\nwas answered {status}: {body[:2000]!r}"
    if status >= 400 and request.headers["accept"] == "application/json" and request.method != "HEAD":
        assert json.loads(body)["kind"] == "Status", shown


async def make_something_to_change(server: Any) -> None:
    """Objects that updates, patches and deletions find."""
    container = {"name": "c", "image": "example.com/i"}
    labels = {"labels": {"a": "b"}}
    template = {"metadata": labels, "spec": {"containers": [container]}}
    once = {"containers": [container], "restartPolicy": "Never"}
    workload = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    for path, obj in (
        ("/api/v1/namespaces/default/configmaps", {"data": {"a": "b"}}),
        ("/api/v1/namespaces/default/secrets", {"stringData": {"a": "b"}}),
        ("/api/v1/namespaces/default/pods", {"spec": {"containers": [container]}}),
        ("/api/v1/namespaces/default/services", {"spec": {"ports": [{"port": 80}]}}),
        ("/api/v1/nodes", {}),
        ("/api/v1/namespaces/default/serviceaccounts", {}),
        ("/apis/apps/v1/namespaces/default/deployments", {"spec": workload}),
        ("/apis/apps/v1/namespaces/default/replicasets", {"spec": workload}),
        ("/apis/apps/v1/namespaces/default/statefulsets", {"spec": {**workload, "serviceName": "x"}}),
        ("/apis/apps/v1/namespaces/default/daemonsets", {"spec": workload}),
        ("/apis/batch/v1/namespaces/default/jobs", {"spec": {"template": {"spec": once}}}),
    ):  # fmt: skip
        response = await server.send("POST", path, {"metadata": {"name": "fuzz"}, **obj})
        assert response.status == 201, response.body


async def test_any_request_to_any_resource_is_answered_with_what_is_wrong_with_it(server: Any) -> None:
    await make_something_to_change(server)
    asked = Asked(server, asyncio.get_running_loop())
    await asyncio.to_thread(_run, asked, asyncio.get_running_loop(), requests(), EXAMPLES * 4)


@pytest.mark.parametrize("resource", TYPED, ids=lambda found: f"{found.plural}.{found.version}.{found.group}")
async def test_objects_that_are_nearly_right_are_taken_or_refused(server: Any, resource: Resource) -> None:
    asked = Asked(server, asyncio.get_running_loop())

    def create(body: bytes) -> Request:
        headers = {"authorization": "Bearer test-admin", "accept": "application/json", "content-type": "application/json"}
        query = "" if resource in (NAMESPACES, CUSTOM_RESOURCE_DEFINITIONS) else "dryRun=All"
        return Request("POST", path_of(resource, "", ""), query, headers, body)

    assert schema_for(resource.gvk)
    await asyncio.to_thread(_run, asked, asyncio.get_running_loop(), bodies(resource).map(create), max(EXAMPLES // 10, 5))


def _run(asked: Asked, loop: asyncio.AbstractEventLoop, strategy: st.SearchStrategy[Request], examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=False)
    @given(strategy)
    def each(request: Request) -> None:
        check(request, *asyncio.run_coroutine_threadsafe(asked.answer(request), loop).result())

    each()
