"""Objects through the generic registry: written, read, changed, deleted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"


def config_map(name: str = "one", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, **fields.pop("metadata", {})}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"a": "1"}, **fields}


async def test_an_object_is_stored_with_what_the_server_says_about_it(server: Any) -> None:
    made = await server.ask("POST", MAPS, config_map(metadata={"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z"}))
    assert made["metadata"]["uid"] != "mine"
    assert made["metadata"]["creationTimestamp"] > "2020"
    assert made["metadata"]["namespace"] == "default"
    assert await server.ask("GET", f"{MAPS}/one") == made


async def test_stored_bytes_begin_with_what_is_spliced_around(server: Any) -> None:
    await server.ask("POST", MAPS, config_map(labels={}))
    entry = server.api.image.table("/registry/configmaps/").entries["/registry/configmaps/default/one"]
    assert entry.value.startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"one"')
    assert b"resourceVersion" not in entry.value


async def test_a_list_gives_items_without_kind_and_one_revision(server: Any) -> None:
    for name in ("b", "a", "c"):
        await server.ask("POST", MAPS, config_map(name))
    found = await server.ask("GET", MAPS)
    assert [item["metadata"]["name"] for item in found["items"]] == ["a", "b", "c"]
    assert all("kind" not in item for item in found["items"])
    assert int(found["metadata"]["resourceVersion"]) >= int(found["items"][2]["metadata"]["resourceVersion"])


async def test_a_long_list_is_streamed_and_is_the_same(server: Any) -> None:
    for number in range(450):
        await server.send("POST", MAPS, config_map(f"m{number:03}"))
    response = await server.send("GET", MAPS)
    assert not isinstance(response.body, bytes)
    text = b"".join([chunk async for chunk in response.body])
    assert [item["metadata"]["name"] for item in json.loads(text)["items"]] == [f"m{number:03}" for number in range(450)]


async def test_an_update_from_an_old_version_is_a_conflict_and_one_without_version_wins(server: Any) -> None:
    first = await server.ask("POST", MAPS, config_map())
    await server.ask("PUT", f"{MAPS}/one", {**first, "data": {"b": "2"}})
    stale = await server.send("PUT", f"{MAPS}/one", {**first, "data": {"c": "3"}})
    assert stale.status == 409
    assert (await server.ask("PUT", f"{MAPS}/one", config_map()))["data"] == {"a": "1"}


async def test_a_write_that_changes_nothing_takes_no_revision(server: Any) -> None:
    first = await server.ask("POST", MAPS, config_map())
    again = await server.ask("PUT", f"{MAPS}/one", first)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_many_patches_at_once_all_arrive(server: Any) -> None:
    await server.ask("POST", MAPS, config_map())
    patches = [server.send("PATCH", f"{MAPS}/one", {"data": {f"k{n}": "x"}}, content_type=MERGE) for n in range(5)]
    assert {response.status for response in await asyncio.gather(*patches)} == {200}
    assert len((await server.ask("GET", f"{MAPS}/one"))["data"]) == 6


async def test_names_are_made_and_made_anew_when_taken(server: Any) -> None:
    names = {(await server.ask("POST", MAPS, {"metadata": {"generateName": "g-"}}))["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("g-") and len(name) == 7 for name in names)


async def test_a_finalizer_holds_an_object_until_it_is_taken_off(server: Any) -> None:
    await server.ask("POST", MAPS, config_map(metadata={"finalizers": ["example.com/hold"]}))
    marked = await server.ask("DELETE", f"{MAPS}/one")
    assert "deletionTimestamp" in marked["metadata"]
    refused = await server.send(
        "PATCH", f"{MAPS}/one", {"metadata": {"finalizers": ["example.com/hold", "e.com/x"]}}, content_type=MERGE
    )
    assert refused.status == 422
    await server.ask("PATCH", f"{MAPS}/one", {"metadata": {"finalizers": None}}, content_type=MERGE)
    assert (await server.send("GET", f"{MAPS}/one")).status == 404


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_a_propagation_policy_becomes_a_finalizer(server: Any, policy: str, finalizer: str) -> None:
    await server.ask("POST", MAPS, config_map())
    marked = await server.ask("DELETE", f"{MAPS}/one?propagationPolicy={policy}")
    assert marked["metadata"]["finalizers"] == [finalizer]


async def test_dry_run_says_what_would_be_and_stores_nothing(server: Any) -> None:
    made = await server.send("POST", f"{MAPS}?dryRun=All", config_map())
    assert made.status == 201
    assert b"resourceVersion" not in made.body
    assert (await server.send("GET", f"{MAPS}/one")).status == 404


async def test_unknown_fields_warn_or_refuse_as_asked(server: Any) -> None:
    warned = await server.send("POST", MAPS, config_map(bogus=1))
    assert (warned.status, warned.headers["Warning"]) == (201, '299 - "unknown field \\"bogus\\""')
    assert (await server.send("POST", f"{MAPS}?fieldValidation=Strict", config_map("two", bogus=1))).status == 400
    assert "Warning" not in (await server.send("POST", f"{MAPS}?fieldValidation=Ignore", config_map("two", bogus=1))).headers


async def test_yaml_goes_in_and_out(server: Any) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text\ndata:\n  a: b\n"
    made = await server.send("POST", MAPS, text, content_type="application/yaml", accept="application/yaml")
    assert made.status == 201
    assert b"data:\n  a: b\n" in made.body


async def test_what_a_user_may_not_do_is_forbidden_and_an_unknown_token_is_no_user(server: Any) -> None:
    assert (await server.send("GET", MAPS, authorization="Bearer nobody")).status == 403
    assert (await server.send("GET", MAPS, authorization="Bearer wrong")).status == 401


async def test_a_stale_page_goes_on_in_its_own_time(server: Any) -> None:
    for name in ("a", "b", "c", "d"):
        await server.ask("POST", MAPS, config_map(name))
    first = await server.ask("GET", f"{MAPS}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 2
    await server.ask("DELETE", f"{MAPS}/c")
    await server.ask("POST", MAPS, config_map("bb"))
    rest = await server.ask("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c", "d"]
    assert "continue" not in rest["metadata"]


async def test_a_page_of_forgotten_history_says_how_to_go_on(server: Any) -> None:
    for name in ("a", "b", "c"):
        await server.ask("POST", MAPS, config_map(name))
    first = await server.ask("GET", f"{MAPS}?limit=1")
    last = await server.ask("POST", MAPS, config_map("d"))
    await server.api.image.store.compact(int(last["metadata"]["resourceVersion"]))
    gone = await server.ask("GET", f"{MAPS}?limit=1&continue={first['metadata']['continue']}")
    assert (gone["code"], gone["reason"]) == (410, "Expired")
    rest = await server.ask("GET", f"{MAPS}?continue={gone['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c", "d"]


async def test_a_revision_that_is_to_come_is_not_there_yet(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybernetes.apiserver.registry.reading.TOO_NEW_WAIT_S", 0.01)
    answer = await server.ask("GET", f"{MAPS}?resourceVersion=999999")
    assert (answer["code"], answer["reason"], answer["details"]["retryAfterSeconds"]) == (504, "Timeout", 1)


async def test_events_end_with_their_lease(server: Any) -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": "default"}, "reason": "Because"}
    assert (await server.send("POST", "/api/v1/namespaces/default/events", event)).status == 201
    assert server.api.image.table("/registry/events/").entries["/registry/events/default/e"].lease


async def test_a_negative_limit_is_none(server: Any) -> None:
    await server.ask("POST", MAPS, {"metadata": {"name": "a"}})
    assert [item["metadata"]["name"] for item in (await server.ask("GET", f"{MAPS}?limit=-1"))["items"]] == ["a"]


async def test_a_pod_without_containers_is_told_what_it_lacks(server: Any) -> None:
    answer = await server.ask("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "a"}, "spec": {}})
    assert answer["code"] == 422
    assert "spec.containers: Required value" in answer["message"]


async def test_what_is_no_binding_is_refused_by_its_type(server: Any) -> None:
    answer = await server.ask("POST", "/api/v1/namespaces/default/bindings", {"metadata": True, "target": {"name": "n"}})
    assert (answer["code"], answer["reason"]) == (400, "BadRequest")


async def test_json_patches_of_things_that_are_no_operations_are_refused(server: Any) -> None:
    await server.ask("POST", MAPS, {"metadata": {"name": "a"}})
    answer = await server.ask("PATCH", f"{MAPS}/a", [None], content_type="application/json-patch+json")
    assert (answer["code"], answer["reason"]) == (400, "BadRequest")
