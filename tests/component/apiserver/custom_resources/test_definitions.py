"""The life of definitions and of their versions.

Conformance: CustomResourceDefinition resources (`test/e2e/apimachinery/custom_resource_definition.go`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.component.apiserver.conftest import Server

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = f"{DEFINITIONS}/widgets.example.com"
MERGE = "application/merge-patch+json"
OPEN: Any = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}


def version(name: str = "v1", *, storage: bool = True, served: bool = True, **more: Any) -> Any:
    return {"name": name, "served": served, "storage": storage, "schema": OPEN, **more}


def definition(*versions: Any, plural: str = "widgets", kind: str = "Widget", **names: Any) -> Any:
    return {
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind, **names},
            "versions": list(versions or (version(),)),
        },
    }  # fmt: skip


def path(version: str, name: str = "", plural: str = "widgets") -> str:
    return f"/apis/example.com/{version}/namespaces/default/{plural}" + (f"/{name}" if name else "")


async def status_of(server: Server, target: str, wanted: int) -> None:
    async with asyncio.timeout(5):
        while (await server.send("GET", target)).status != wanted:
            await asyncio.sleep(0.002)


async def change(server: Server, **spec: Any) -> Any:
    return await server.ask("PATCH", NAME, {"spec": spec}, content_type=MERGE)


async def storage_hashes(server: Server) -> set[str]:
    """Of v1 and v2."""
    lists = [await server.ask("GET", f"/apis/example.com/{name}") for name in ("v1", "v2")]
    return {found["resources"][0]["storageVersionHash"] for found in lists}


async def store_in_v2(server: Server) -> Any:
    before = await storage_hashes(server)
    changed = await change(server, versions=[version("v1", storage=False), version("v2")])
    async with asyncio.timeout(5):
        while await storage_hashes(server) == before:
            await asyncio.sleep(0.002)
    return changed


async def conditions(server: Server, target: str = NAME) -> dict[str, tuple[str, str]]:
    found = (await server.ask("GET", target))["status"]["conditions"]
    return {each["type"]: (each["status"], each["reason"]) for each in found or ()}


async def test_definitions_are_listed_and_deleted_by_label(server: Server):
    """Conformance: listing custom resource definition objects works."""
    for number in range(10):
        made = definition(plural=f"things{number}", kind=f"Thing{number}")
        made["metadata"]["labels"] = {"e2e": "list"}
        await server.ask("POST", DEFINITIONS, made)
    await server.ask("POST", DEFINITIONS, definition())
    selected = f"{DEFINITIONS}?labelSelector=e2e%3Dlist"
    assert len((await server.ask("GET", selected))["items"]) == 10
    assert (await server.send("DELETE", selected)).status == 200
    async with asyncio.timeout(5):
        while (await server.ask("GET", selected))["items"]:
            await asyncio.sleep(0.005)
    assert [item["metadata"]["name"] for item in (await server.ask("GET", DEFINITIONS))["items"]] == ["widgets.example.com"]


async def test_the_status_is_read_updated_and_patched_by_itself(server: Server):
    """Conformance: getting/updating/patching custom resource definition status sub-resource works."""
    await server.ask("POST", DEFINITIONS, definition())
    await status_of(server, path("v1"), 200)
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set by an e2e test"}
    found = await server.ask("GET", f"{NAME}/status")
    found["status"]["conditions"].append({**condition, "lastTransitionTime": None})
    found["spec"]["names"]["shortNames"] = ["nope"]
    updated = await server.ask("PUT", f"{NAME}/status", found)
    assert updated["status"]["conditions"][-1]["type"] == "StatusUpdate"
    assert "shortNames" not in updated["spec"]["names"]
    patch = {"metadata": {"annotations": {"patched": "true"}}, "status": {"storedVersions": ["v1", "v0"]}}
    patched = await server.ask("PATCH", f"{NAME}/status", patch, content_type=MERGE)
    assert patched["status"]["storedVersions"] == ["v1", "v0"]
    assert "annotations" not in patched["metadata"]
    refused = await change(server, versions=[version()])
    assert refused["code"] == 422 and "v0 was previously a storage version" in refused["message"]


async def test_defaults_reach_requests_and_what_is_stored(server: Server):
    """Conformance: custom resource defaulting for requests and from storage works."""

    def schema(**properties: Any) -> Any:
        return version(schema={"openAPIV3Schema": {"type": "object", "properties": properties}})

    text = {"type": "string"}
    await server.ask("POST", DEFINITIONS, definition(schema(a=text, b=text)))
    await status_of(server, path("v1"), 200)
    made = await server.ask("POST", path("v1"), {"kind": "Widget", "metadata": {"name": "one"}})
    assert "a" not in made
    await change(server, versions=[schema(a={**text, "default": "A"}, b=text)])
    async with asyncio.timeout(5):
        while (await server.ask("GET", path("v1", "one"))).get("a") != "A":
            await asyncio.sleep(0.002)
    assert (await server.ask("POST", path("v1"), {"metadata": {"name": "two"}}))["a"] == "A"
    await change(server, versions=[schema(a=text, b={**text, "default": "B"})])
    async with asyncio.timeout(5):
        while (await server.ask("GET", path("v1", "two"))).get("b") != "B":
            await asyncio.sleep(0.002)
    assert (await server.ask("GET", path("v1", "two")))["a"] == "A"
    assert "a" not in await server.ask("GET", path("v1", "one"))


async def test_a_stored_version_stays_listed_until_it_is_taken_out_of_the_status(server: Server):
    await server.ask("POST", DEFINITIONS, definition(version("v1"), version("v2", storage=False)))
    await status_of(server, path("v1"), 200)
    await server.ask("POST", path("v1"), {"metadata": {"name": "w"}, "a": 1})
    assert (await store_in_v2(server))["status"]["storedVersions"] == ["v1", "v2"]
    refused = await change(server, versions=[version("v2")])
    assert refused["code"] == 422 and "status.storedVersions[0]" in refused["message"]
    await server.ask("PUT", path("v2", "w"), await server.ask("GET", path("v2", "w")))  # migrates it
    await server.ask("PATCH", f"{NAME}/status", {"status": {"storedVersions": ["v2"]}}, content_type=MERGE)
    assert (await change(server, versions=[version("v2")]))["status"]["storedVersions"] == ["v2"]
    await status_of(server, path("v1"), 404)
    assert (await server.ask("GET", path("v2", "w")))["a"] == 1


async def test_objects_of_a_version_that_was_forgotten_too_early_say_so(server: Server):
    await server.ask("POST", DEFINITIONS, definition(version("v1"), version("v2", storage=False)))
    await status_of(server, path("v1"), 200)
    await server.ask("POST", path("v1"), {"metadata": {"name": "w"}})
    await change(server, versions=[version("v1", storage=False), version("v2")])
    await server.ask("PATCH", f"{NAME}/status", {"status": {"storedVersions": ["v2"]}}, content_type=MERGE)
    await change(server, versions=[version("v2")])
    await status_of(server, path("v1"), 404)
    answer = await server.ask("GET", path("v2"))
    assert (answer["code"], answer["message"]) == (500, "request to convert CR from an invalid group/version: example.com/v1")


async def test_a_version_is_switched_off_and_on_and_its_watches_end(server: Server):
    await server.ask("POST", DEFINITIONS, definition(version("v1"), version("v2", storage=False)))
    await status_of(server, path("v2"), 200)
    watching = asyncio.create_task(server.events(path("v2") + "?watch=true", 1))
    await asyncio.sleep(0.05)
    await change(server, versions=[version("v1"), version("v2", storage=False, served=False)])
    assert await watching == []
    await status_of(server, path("v2"), 404)
    listed = await server.ask("GET", "/apis/example.com")
    assert [found["version"] for found in listed["versions"]] == ["v1"]
    await change(server, versions=[version("v1"), version("v2", storage=False)])
    await status_of(server, path("v2"), 200)


async def test_a_deprecated_version_warns_with_every_answer(server: Server):
    deprecated = version("v1beta1", storage=False, deprecated=True)
    worded = version("v1alpha1", storage=False, deprecated=True, deprecationWarning="use v1, please")
    await server.ask("POST", DEFINITIONS, definition(version("v1"), deprecated, worded))
    await status_of(server, path("v1beta1"), 200)
    warnings = {name: (await server.send("GET", path(name))).headers.get("Warning") for name in ("v1", "v1beta1", "v1alpha1")}
    assert warnings == {
        "v1": None, "v1beta1": '299 - "example.com/v1beta1 Widget is deprecated"', "v1alpha1": '299 - "use v1, please"'
    }  # fmt: skip


async def test_a_format_that_is_none_is_warned_of_when_it_comes(server: Server):
    text = {"type": "string", "format": "nope"}
    properties = {"a": text, "b": {"type": "string", "format": "date-time"}, "c": {"type": "integer", "format": "int32"}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}}
    made = await server.send("POST", DEFINITIONS, definition(version(schema=schema)))
    assert made.headers["Warning"] == '299 - "unrecognized format \\"nope\\""'
    changed = await server.send("PATCH", NAME, {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
    assert "Warning" not in changed.headers


async def test_discovery_tells_the_storage_version_by_its_hash(server: Server):
    await server.ask("POST", DEFINITIONS, definition(version("v1"), version("v2", storage=False)))
    await status_of(server, path("v1"), 200)

    assert len(await storage_hashes(server)) == 1
    await store_in_v2(server)
    assert len(await storage_hashes(server)) == 1


async def test_names_that_are_taken_are_granted_when_they_are_free_again(server: Server):
    await server.ask("POST", DEFINITIONS, definition(shortNames=["wd"]))
    await status_of(server, path("v1"), 200)
    other = f"{DEFINITIONS}/gadgets.example.com"
    await server.ask("POST", DEFINITIONS, definition(plural="gadgets", kind="Gadget", shortNames=["wd"]))
    async with asyncio.timeout(5):
        while (await conditions(server, other)).get("NamesAccepted") != ("False", "ShortNamesConflict"):
            await asyncio.sleep(0.002)
    assert (await conditions(server, other))["Established"] == ("False", "NotAccepted")
    assert (await server.send("GET", path("v1", plural="gadgets"))).status == 404
    await server.ask("DELETE", NAME)
    await status_of(server, path("v1", plural="gadgets"), 200)
    assert (await conditions(server, other)) == {
        "NamesAccepted": ("True", "NoConflicts"), "Established": ("True", "InitialNamesAccepted")
    }  # fmt: skip


async def test_a_definition_on_its_way_out_says_how_far_it_is(server: Server):
    await server.ask("POST", DEFINITIONS, definition())
    await status_of(server, path("v1"), 200)
    await server.ask("POST", path("v1"), {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}})
    await server.ask("DELETE", NAME)
    async with asyncio.timeout(5):
        while (found := (await conditions(server)).get("Terminating")) != ("True", "InstanceDeletionInProgress"):
            assert found is None or found[0] == "True", found
            await asyncio.sleep(0.002)
