from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.apiserver.requests import DEFAULT_FORMAT, Format, integer, negotiate, parse_query, parse_target, remaining_path
from pybernetes.machinery.errors import BadRequest, NotAcceptable
from pybernetes.machinery.http.messages import Request


def info(method: str, target: str) -> RequestInfo:
    path, _, query = target.partition("?")
    return parse_target(Request(method, path, query), parse_query(query))


@pytest.mark.parametrize(
    ("method", "target", "wanted"),
    [
        ("GET", "/api/v1/pods", ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods?watch=true", ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods?watch=false", ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/watch/namespaces/n/pods", ("watch", "", "v1", "pods", "", "n", "")),
        ("GET", "/api/v1/namespaces/n/pods/p", ("get", "", "v1", "pods", "", "n", "p")),
        ("HEAD", "/api/v1/namespaces/n/pods/p", ("get", "", "v1", "pods", "", "n", "p")),
        ("GET", "/api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Dp", ("list", "", "v1", "pods", "", "n", "p")),
        ("DELETE", "/api/v1/namespaces/n/pods", ("deletecollection", "", "v1", "pods", "", "n", "")),
        ("POST", "/api/v1/namespaces/n/pods/p/binding", ("create", "", "v1", "pods", "binding", "n", "p")),
        ("GET", "/api/v1/namespaces/n", ("get", "", "v1", "namespaces", "", "n", "n")),
        ("PUT", "/api/v1/namespaces/n/finalize", ("update", "", "v1", "namespaces", "finalize", "n", "n")),
        ("PATCH", "/apis/apps/v1/namespaces/n/deployments/d/scale", ("patch", "apps", "v1", "deployments", "scale", "n", "d")),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", (
            "get", "rbac.authorization.k8s.io", "v1", "clusterroles", "", "", "system:node",
        )),
    ],
)  # fmt: skip
def test_a_path_names_verb_and_target(method: str, target: str, wanted: tuple[str, ...]) -> None:
    found = info(method, target)
    assert found.is_resource
    assert (found.verb, found.group, found.version, found.resource, found.subresource, found.namespace, found.name) == wanted


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v2"])
def test_other_paths_name_no_resource(path: str) -> None:
    assert info("GET", path) == RequestInfo("get", path)


def test_what_follows_proxy_is_kept_as_it_was_sent() -> None:
    path = "/api/v1/namespaces/n/services/s:80/proxy/a%20b/c"
    assert remaining_path(path, info("GET", path)) == "/a%20b/c"


@given(st.text(max_size=60))
def test_no_path_is_too_strange_to_parse(text: str) -> None:
    info("GET", f"/api/v1/{text}")
    info("DELETE", f"/apis/{text}?{text}")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", DEFAULT_FORMAT),
        ("application/json", DEFAULT_FORMAT),
        ("*/*", DEFAULT_FORMAT),
        ("application/vnd.kubernetes.protobuf,application/json", Format("application/vnd.kubernetes.protobuf")),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", DEFAULT_FORMAT),
        ("application/yaml", Format("application/yaml")),
        ("application/json;q=0.5, application/yaml", Format("application/yaml")),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Format(shape="table")),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", DEFAULT_FORMAT),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Format(shape="partial", of_list=True)),
    ],
)
def test_the_first_range_that_we_have_wins(accept: str, wanted: Format) -> None:
    assert negotiate(accept) == wanted


def test_the_plain_format_is_one_object_so_that_it_may_be_compared_by_identity() -> None:
    assert negotiate("application/xml,application/json") is DEFAULT_FORMAT


def test_what_has_no_message_is_not_offered_in_protobuf_but_its_metadata_is() -> None:
    assert negotiate("application/vnd.kubernetes.protobuf,application/json", binary=False) is DEFAULT_FORMAT
    partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    assert negotiate(partial, binary=False).shape == "partial"
    with pytest.raises(NotAcceptable):
        negotiate("application/vnd.kubernetes.protobuf", binary=False)


def test_what_we_have_not_is_not_acceptable() -> None:
    with pytest.raises(NotAcceptable):
        negotiate("application/xml")


@pytest.mark.parametrize(("text", "wanted"), [("", None), ("7", 7), ("-1", -1), ("+2", 2), ("9223372036854775807", 2**63 - 1)])
def test_integers_are_read_as_go_reads_them(text: str, wanted: int | None) -> None:
    assert integer({"limit": text}, "limit") == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1_0", "invalid syntax"), (" 1", "invalid syntax"), ("１", "invalid syntax"), ("1e3", "invalid syntax"),
        ("9223372036854775808", "value out of range"), ("9" * 5000, "value out of range"),
    ],
)  # fmt: skip
def test_what_only_looks_like_an_integer_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        integer({"limit": text}, "limit")
