import json

import pytest

from pybernetes.machinery import errors
from pybernetes.machinery.http.messages import Response

PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def table(*rows, columns=(("Name", 0), ("Ready", 0), ("IP", 1))):
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "5"},
        "columnDefinitions": [{"name": name, "priority": priority} for name, priority in columns],
        "rows": [
            {
                "cells": list(cells),
                "object": {"metadata": {"name": cells[0], "namespace": "default", "labels": {"app": cells[0]}}},
            }
            for cells in rows
        ],
    }


def pod(name, **fields):
    return {"metadata": {"name": name, "namespace": "default"}, **fields}


async def test_the_servers_table_is_shown_without_its_wide_columns(cluster):
    cluster.on("GET", PODS, table(["web", "1/1", "10.0.0.1"], ["longer-name", "0/1", None]))
    result = await cluster.kubectl("get", "po")
    assert result.out == "NAME          READY\nweb           1/1\nlonger-name   0/1\n"
    assert result.code == 0
    assert len(cluster.requests) == 1
    assert cluster.requests[0].headers["accept"].startswith("application/json;as=Table")


async def test_wide_output_labels_and_namespaces_add_columns(cluster):
    cluster.on("GET", "/api/v1/pods", table(["web", "1/1", None]))
    result = await cluster.kubectl("get", "pods", "-A", "-owide", "--show-labels", "-L", "app", "--no-headers")
    assert result.out == "default   web   1/1   <none>   web   app=web\n"


async def test_several_resources_are_told_apart_by_prefix(cluster):
    cluster.on("GET", PODS, table(["web", "1/1", ""]))
    cluster.on("GET", CONFIG_MAPS, table(["cfg", 1], columns=(("Name", 0), ("Data", 0))))
    result = await cluster.kubectl("get", "pods,cm")
    assert result.out == "NAME      READY\npod/web   1/1\n\nNAME            DATA\nconfigmap/cfg   1\n"


async def test_nothing_found_is_said_on_standard_error(cluster):
    cluster.on("GET", PODS, table())
    cluster.on("GET", "/api/v1/nodes", table())
    assert (await cluster.kubectl("get", "pods")).err == "No resources found in default namespace.\n"
    assert (await cluster.kubectl("get", "nodes")).err == "No resources found\n"


async def test_what_is_missing_is_told_and_the_rest_is_shown(cluster):
    cluster.on("GET", f"{PODS}/a", table(["a", "1/1", ""]))
    result = await cluster.kubectl("get", "pod/nope", "pod/a")
    assert result.out == "NAME   READY\na      1/1\n"
    assert result.err == 'Error from server (NotFound): pods "nope" not found\n'
    assert result.code == 1
    ignored = await cluster.kubectl("get", "pod", "nope", "--ignore-not-found")
    assert (ignored.code, ignored.out, ignored.err) == (0, "", "")


async def test_long_lists_are_fetched_page_by_page(cluster):
    first, second = table(["a", "", ""]), table(["b", "", ""])
    first["metadata"]["continue"] = "more"
    cluster.on("GET", PODS, lambda request: second if "continue=more" in request.query else first)
    result = await cluster.kubectl("get", "pods", "-l", "x=y")
    assert result.out.splitlines()[1:] == ["a", "b"] or [line.strip() for line in result.out.splitlines()[1:]] == ["a", "b"]
    assert [request.query for request in cluster.requests] == [
        "labelSelector=x%3Dy&limit=500",
        "labelSelector=x%3Dy&limit=500&continue=more",
    ]


async def test_json_has_sorted_keys_gos_escapes_and_no_managed_fields(cluster):
    obj = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "managedFields": [{}]}, "x": "<&>"}
    cluster.on("GET", f"{PODS}/a", obj)
    result = await cluster.kubectl("get", "pod", "a", "-o", "json")
    assert '"x": "\\u003c\\u0026\\u003e"' in result.out
    assert "managedFields" not in result.out
    assert list(json.loads(result.out)) == ["apiVersion", "kind", "metadata", "x"]


async def test_several_objects_become_one_list(cluster):
    cluster.on("GET", PODS, {"kind": "PodList", "metadata": {}, "items": [pod("a"), pod("b")]})
    result = await cluster.kubectl("get", "pods", "-oyaml")
    assert result.out.startswith("apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n")
    assert (await cluster.kubectl("get", "pods", "-oname")).out == "pod/a\npod/b\n"
    assert (await cluster.kubectl("get", "pods", "-o=jsonpath={.items[*].metadata.name}")).out == "a b"


async def test_columns_of_ones_own(cluster):
    cluster.on("GET", PODS, {"items": [pod("a", spec={"containers": [{"image": "x"}, {"image": "y"}]}), pod("b")]})
    result = await cluster.kubectl("get", "pods", "-o", "custom-columns=N:.metadata.name,IMAGES:.spec.containers[*].image")
    assert result.out == "N     IMAGES\na     x,y\nb     <none>\n"


async def test_sorting_is_by_size_for_numbers_and_quantities(cluster):
    items = [pod("a", n="100m"), pod("b", n="2"), pod("c", n="1")]
    cluster.on("GET", PODS, {"items": items})
    result = await cluster.kubectl("get", "pods", "--sort-by=.n", "-oname")
    assert result.out.split() == ["pod/a", "pod/c", "pod/b"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["get", "pods", "a", "-l", "x=y"], "error: name cannot be provided when a selector is specified\n"),
        (["get", "pods", "a", "-A"], "error: a resource cannot be retrieved by name across all namespaces\n"),
        (["get", "pods/a/b"], "error: arguments in resource/name form may not have more than one slash\n"),
        (["get", "pods/a", "b"], "error: there is no need to specify a resource type as a separate argument"),
        (["get", "pods", "--nope"], "error: unknown flag: --nope\nSee 'kubectl get --help' for usage.\n"),
        (["get", "pods", "-o", "nope"], 'error: unable to match a printer suitable for the output format "nope"'),
        (["gte", "pods"], 'error: unknown command "gte" for "kubectl"\n\nDid you mean this?\n\tget\n'),
    ],
)
async def test_mistakes_are_told_before_anything_is_asked(cluster, args, sentence):
    result = await cluster.kubectl(*args)
    assert result.code == 1
    assert result.err.startswith(sentence)
    assert cluster.requests == []


async def test_an_unknown_resource_is_told_after_asking_the_server(cluster):
    cluster.on("GET", "/api", {"kind": "APIVersions", "versions": []})
    cluster.on("GET", "/apis", {"kind": "APIGroupList", "groups": []})
    result = await cluster.kubectl("get", "nopes")
    assert result.err == 'error: the server doesn\'t have a resource type "nopes"\n'


async def test_a_custom_resource_is_found_by_discovery(cluster):
    cluster.on("GET", "/api", {"kind": "APIVersions", "versions": []})
    versions = [{"groupVersion": "x.io/v1"}]
    cluster.on("GET", "/apis", {"groups": [{"name": "x.io", "versions": versions, "preferredVersion": versions[0]}]})
    entry = {
        "name": "widgets",
        "singularName": "widget",
        "kind": "Widget",
        "namespaced": True,
        "shortNames": ["wd"],
        "verbs": ["list"],
    }
    cluster.on("GET", "/apis/x.io/v1", {"resources": [entry, {"name": "widgets/status", "kind": "Widget"}]})
    cluster.on("GET", "/apis/x.io/v1/namespaces/shop/widgets", {"items": [{"metadata": {"name": "w", "namespace": "shop"}}]})
    assert (await cluster.kubectl("get", "wd", "-n", "shop", "-oname")).out == "widget.x.io/w\n"


async def test_watching_goes_on_from_what_was_shown(cluster):
    event = json.dumps({"type": "MODIFIED", "object": {**table(["web", "1/1", ""]), "columnDefinitions": None}})

    def answer(request):
        if "watch=true" in request.query:
            assert "resourceVersion=5" in request.query
            return Response(200, {}, event.encode() + b"\n")
        return table(["web", "0/1", ""])

    cluster.on("GET", PODS, answer)
    result = await cluster.kubectl("get", "pods", "-w")
    assert result.out == "NAME   READY\nweb    0/1\nweb    1/1\n"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errors.Unauthorized("Unauthorized"), "error: You must be logged in to the server (Unauthorized)\n"),
        (errors.forbidden("", "pods", "", "no"), "Error from server (Forbidden): pods is forbidden: no\n"),
        (Response(500, {}, b"boom"), "Error from server: boom\n"),
    ],
)
async def test_the_servers_refusals_are_told_as_upstream_tells_them(cluster, error, sentence):
    cluster.on("GET", PODS, error)
    result = await cluster.kubectl("get", "pods")
    assert (result.code, result.err) == (1, sentence)


async def test_a_warning_is_shown_once(cluster):
    body = json.dumps(table(["a", "", ""])).encode()
    cluster.on("GET", f"{PODS}/a", Response(200, {"Warning": '299 - "v1 is \\"old\\""'}, body))
    result = await cluster.kubectl("get", "pod/a", "pod/a")
    assert result.err == 'Warning: v1 is "old"\n'
