"""What HTTP clients of all kinds rely on, asked with curl and with bare connections."""

from __future__ import annotations

import gzip
import http.client
import json
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.component.clients.cluster import TOKEN, Cluster


class Answer(NamedTuple):
    status: int
    content_type: str
    version: str
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Curl = Callable[..., Answer]


@pytest.fixture
def curl(cluster: Cluster) -> Curl:
    """`curl FLAGS TARGET`, as an administrator."""

    def run(*words: str, stdin: str = "") -> Answer:
        *flags, target = words
        said = r"\n%{http_code} %{content_type} %{http_version}"
        command = [
            "curl", "--silent", "--max-time", "20", "--cacert", str(cluster.authority), "--write-out", said,
            "-H", f"Authorization: Bearer {TOKEN}", *flags, cluster.url + target,
        ]  # fmt: skip
        body, _, facts = cluster.call(command, stdin=stdin).out.rpartition("\n")
        status, content_type, version = facts.split(" ")
        return Answer(int(status), content_type, version, body)

    return run


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("", '{"metadata":{"name":"x"}}', 201),
        ("application/json", '{"metadata":{"name":"x"}}', 201),
        ("APPLICATION/JSON;charset=UTF-8", '{"metadata":{"name":"x"}}', 201),
        ("application/yaml", "metadata: {name: x}", 201),
        ("application/x-www-form-urlencoded", '{"metadata":{"name":"x"}}', 415),
        ("text/plain", '{"metadata":{"name":"x"}}', 415),
        ("application/json", "metadata: {name: x}", 400),
        ("application/vnd.kubernetes.protobuf", "nonsense", 400),
    ],
)
def test_a_body_is_what_its_content_type_says(curl: Curl, namespace: str, content_type: str, body: str, status: int) -> None:
    answer = curl("-H", f"Content-Type: {content_type}", "--data", body, f"/api/v1/namespaces/{namespace}/configmaps")
    assert answer.status == status, answer.body


def test_bodies_come_in_chunks_or_after_a_question_and_over_either_version(curl: Curl, namespace: str) -> None:
    target = f"/api/v1/namespaces/{namespace}/configmaps"
    ways = ("--http1.1", "Transfer-Encoding: chunked"), ("--http1.1", "Expect: 100-continue"), ("--http2", "X-Own: 1")
    for number, (version, header) in enumerate(ways):
        body = json.dumps({"metadata": {"name": f"cm-{number}"}, "data": {"blob": "x" * 500_000}})
        flags = (version, "-H", header, "-H", "Content-Type: application/json", "--data-binary", "@-")
        answer = curl(*flags, target, stdin=body)
        assert (answer.status, answer.version) == (201, version.removeprefix("--http")), header


@pytest.mark.parametrize(
    ("accept", "status", "content_type"),
    [
        ("*/*", 200, "application/json"),
        ("application/*", 200, "application/json"),
        ("text/html, application/json;q=0.5", 200, "application/json"),
        ("application/yaml", 200, "application/yaml"),
        ("application/vnd.kubernetes.protobuf, application/json", 200, "application/vnd.kubernetes.protobuf"),
        ("application/cbor, application/json", 200, "application/json"),
        ("application/json;as=Table;v=v2;g=meta.k8s.io, application/json;as=Table;v=v1;g=meta.k8s.io", 200, "application/json"),
        ("text/html", 406, "application/json"),
        ("application/json;as=Nonsense;v=v1;g=meta.k8s.io", 406, "application/json"),
    ],
)
def test_the_first_acceptable_form_is_given(curl: Curl, accept: str, status: int, content_type: str) -> None:
    answer = curl("-H", f"Accept: {accept}", "--output", "/dev/null", "/api/v1/namespaces/default")
    assert (answer.status, answer.content_type) == (status, content_type)


def test_people_see_indented_json_and_programs_do_not(curl: Curl) -> None:
    assert curl("/api/v1/namespaces/default").body.startswith('{\n  "kind": "Namespace"')
    assert curl("/api/v1/namespaces/default?pretty=false").body.startswith('{"kind":"Namespace"')
    assert curl("-A", "program", "/api/v1/namespaces/nope").body.startswith('{"kind":"Status"')
    assert curl("-A", "program", "/api/v1/namespaces/nope?pretty=true").body.startswith('{\n  "kind": "Status"')
    assert curl("-A", "program", "/version").body.startswith('{\n  "major": "1"')


def test_slashes_methods_and_long_selectors(curl: Curl) -> None:
    for target in ("/api/", "/apis/", "/api/v1/", "/apis/apps/v1/", "/api/v1/namespaces/", "/api/v1/namespaces/default/"):
        assert curl(target).status == 200, target
    assert curl("/api/v1/nothing").status == 404
    assert curl("--head", "/api/v1/namespaces/default").status == 200
    for method in ("OPTIONS", "TRACE", "SOMETHING"):
        assert curl("-X", method, "/api/v1/namespaces").status == 405, method
    names = ",".join(f"value-{number}" for number in range(3000))
    assert curl(f"/api/v1/pods?labelSelector=a+in+({names})").json["items"] == []


def test_large_lists_are_packed_for_who_takes_it(cluster: Cluster, namespace: str) -> None:
    for number in range(3):
        body = {"metadata": {"name": f"cm-{number}"}, "data": {"blob": "x" * 100_000}}
        assert cluster.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)[0] == 201
    target = f"/api/v1/namespaces/{namespace}/configmaps"
    plain = cluster.request("GET", target)[1]
    _, packed, headers = cluster.request("GET", target, **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert len(packed) < len(plain) / 10
    assert gzip.decompress(packed) == plain


def test_pages_of_allowed_origins_may_ask(curl: Curl) -> None:
    asks = ("-A", "program", "--include", "-H", "Origin: https://board.example.com")
    allowed = curl(*asks, "-X", "OPTIONS", "-H", "Authorization:", "/api/v1/pods")
    assert allowed.status == 204
    assert "access-control-allow-origin: https://board.example.com" in allowed.body.lower()
    assert "access-control-allow-origin" not in curl("--include", "-H", "Origin: https://evil.example", "/api").body.lower()


def test_one_connection_serves_many_requests_and_errors(cluster: Cluster) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=cluster.tls(), timeout=10)
    for target, status in (("/api/v1/pods", 200), ("/api/v1/nope", 404), ("/api/v1/pods?limit=x", 400), ("/healthz", 200)) * 3:
        connection.request("GET", target, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.will_close) == (status, False)
    connection.close()


def test_all_kinds_are_watched_at_once_over_one_connection_in_protobuf(cluster: Cluster, namespace: str) -> None:
    targets = []
    groups = cluster.get("/apis")["groups"]
    for path in ("/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)):
        if "example" not in path:  # custom kinds have no protobuf
            resources = cluster.get(path)["resources"]
            targets += [f"{path}/{found['name']}" for found in resources if "watch" in found["verbs"]]
    assert len(targets) > 50
    accept = "application/vnd.kubernetes.protobuf;stream=watch,application/json"
    common = [
        "--silent", "--cacert", str(cluster.authority), "-H", f"Authorization: Bearer {TOKEN}", "-H", f"Accept: {accept}",
        "--output", "/dev/null", "--write-out", r"%{http_code} %{http_version} %{num_connects} %{content_type}\n",
    ]  # fmt: skip
    words: list[str] = ["curl", "--parallel", "--parallel-max", "200"]
    for target in targets:
        words += ([] if words[-1] == "200" else ["--next"]) + [*common, f"{cluster.url}{target}?watch=1&timeoutSeconds=2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    lines = [line.split(" ") for line in done.stdout.splitlines()]
    assert len(lines) == len(targets), done.stderr
    assert {(status, version) for status, version, *_ in lines} == {("200", "2")}
    assert {line[3] for line in lines} == {"application/vnd.kubernetes.protobuf;stream=watch"}
    assert sum(int(line[2]) for line in lines) <= 2
