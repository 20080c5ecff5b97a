"""Every kind, from its creation to its end: what conformance suites do with the endpoints of each API group."""

from __future__ import annotations

import asyncio
import base64
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pybernetes.apiserver.admission import storage_object_in_use_protection
from pybernetes.machinery import resources as api
from pybernetes.machinery.meta import Resource, clone
from pybernetes.machinery.resources import BUILTIN, SUBRESOURCES
from pybernetes.machinery.schema import schema_for
from tests.component.apiserver.lifecycles.smallest import is_single, smallest

STORED = [resource for resource in BUILTIN if {"create", "get", "watch"} <= resource.verbs]
# Whose end somebody else has to agree to; nobody does here.
FINALIZED = (api.NAMESPACES, api.CUSTOM_RESOURCE_DEFINITIONS, *storage_object_in_use_protection.FINALIZERS)
# Of which the server itself writes the status.
SETTLED_BY_THE_SERVER = (
    ("apiextensions.k8s.io", "customresourcedefinitions"), ("flowcontrol.apiserver.k8s.io", "flowschemas"),
)  # fmt: skip
# Where /status writes the status and no metadata, as upstream's reset fields say.
STATUS_ALONE = (
    ("apiextensions.k8s.io", "customresourcedefinitions"), ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"), ("resource.k8s.io", "resourceclaims"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"), ("networking.k8s.io", "servicecidrs"),
)  # fmt: skip
DELETES = "gracePeriodSeconds=0&propagationPolicy=Background"


def ids(resource: Resource) -> str:
    return f"{resource.plural}.{resource.version}.{resource.group}"


@cache
def certificate_request() -> str:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    key = ec.generate_private_key(ec.SECP256R1())
    pem = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return base64.b64encode(pem).decode()


def made(resource: Resource, number: int = 1) -> Any:
    obj = smallest(resource, number)
    if resource is api.CERTIFICATE_SIGNING_REQUESTS:
        obj["spec"] = {"request": certificate_request(), "signerName": "example.com/s", "usages": ["client auth"]}
    return obj


def in_form(resource: Resource, obj: Any) -> Any:
    made = clone(obj)
    schema_for(resource.gvk).conform(made)
    if resource is api.EVENTS:  # Go always writes these two, and no schema says so
        made |= {"reportingComponent": obj["reportingComponent"], "reportingInstance": obj["reportingInstance"]}
    return made


async def ask(server: Any, code: int, method: str, target: str, body: Any = None, **headers: str) -> Any:
    answer = await server.ask(method, target, body, **headers)
    told = answer.get("code", code) if answer["kind"] == "Status" and answer.get("status") == "Failure" else code
    assert told == code, answer
    return answer


@pytest.mark.parametrize("resource", STORED, ids=ids)
async def test_a_kind_is_created_read_changed_and_deleted(server: Any, resource: Resource) -> None:
    base = resource.path("default")
    created = await ask(server, 201, "POST", base, made(resource))
    assert (created["kind"], created["apiVersion"]) == (resource.kind, resource.api_version)
    name = created["metadata"]["name"]
    assert in_form(resource, created) == created, "hooks must leave an object as Go would write it"
    one = resource.path("default", name)
    if (resource.group, resource.plural) in SETTLED_BY_THE_SERVER:
        async with asyncio.timeout(5):
            while not (created.get("status") or {}).get("conditions"):
                await asyncio.sleep(0.01)
                created = await ask(server, 200, "GET", one)
    assert await ask(server, 200, "GET", one) == created
    version = created["metadata"]["resourceVersion"]

    for target in (base, resource.path()) if resource.namespaced else (base,):
        listed = await ask(server, 200, "GET", f"{target}?labelSelector=lifecycle%3Dyes")
        assert [item["metadata"]["uid"] for item in listed["items"]] == [created["metadata"]["uid"]], target
        assert listed["kind"] == f"{resource.kind}List"

    for media in ("merge-patch", "strategic-merge-patch"):
        patch = {"metadata": {"annotations": {media: "patched"}}}
        patched = await ask(server, 200, "PATCH", one, patch, content_type=f"application/{media}+json")
        assert patched["metadata"]["annotations"][media] == "patched"
    operations = [{"op": "add", "path": "/metadata/labels/json", "value": "patched"}]
    await ask(server, 200, "PATCH", one, operations, content_type="application/json-patch+json")
    applied = {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": {"name": name, "labels": {"applied": "yes"}},
    }
    latest = await ask(server, 200, "PATCH", f"{one}?fieldManager=test", applied, content_type="application/apply-patch+yaml")
    assert {"json": "patched", "applied": "yes", "lifecycle": "yes"}.items() <= latest["metadata"]["labels"].items()

    latest["metadata"]["annotations"]["updated"] = "yes"
    updated = await ask(server, 200, "PUT", one, latest)
    assert updated["metadata"]["annotations"]["updated"] == "yes"
    if "spec" in created:
        assert updated["spec"] == created["spec"]
    latest["metadata"]["resourceVersion"] = version
    assert (await ask(server, 409, "PUT", one, latest))["reason"] == "Conflict"

    changes = await server.events(f"{base}?watch=1&labelSelector=lifecycle%3Dyes&resourceVersion={version}", 5)
    assert [change["type"] for change in changes] == ["MODIFIED"] * 5
    assert changes[-1]["object"] == updated

    deleted = await ask(server, 200, "DELETE", f"{one}?{DELETES}")
    if deleted["kind"] != "Status":
        assert deleted["metadata"]["name"] == name
    if resource not in FINALIZED:
        assert (await ask(server, 404, "GET", one))["reason"] == "NotFound"


@pytest.mark.parametrize("resource", [found for found in STORED if "deletecollection" in found.verbs], ids=ids)
async def test_those_that_a_selector_chooses_are_deleted_together(server: Any, resource: Resource) -> None:
    base = resource.path("default")
    for number in (1,) if is_single(resource) else (1, 2):
        obj = made(resource, number)
        await ask(server, 201, "POST", base, obj)
    await ask(server, 200, "DELETE", f"{base}?labelSelector=lifecycle%3Dyes&{DELETES}")
    left = (await ask(server, 200, "GET", f"{base}?labelSelector=lifecycle%3Dyes"))["items"]
    if resource in FINALIZED:
        assert left and all("deletionTimestamp" in item["metadata"] for item in left)
    else:
        assert left == []


@pytest.mark.parametrize("resource", [found for found in STORED if "status" in SUBRESOURCES.get(found, {})], ids=ids)
async def test_a_status_is_read_patched_and_replaced_by_itself(server: Any, resource: Resource) -> None:
    base = resource.path("default")
    created = await ask(server, 201, "POST", base, made(resource))
    status = resource.path("default", created["metadata"]["name"], "status")
    assert (await ask(server, 200, "GET", status))["metadata"]["uid"] == created["metadata"]["uid"]
    patch = {"metadata": {"annotations": {"of-status": "patched"}}, "spec": {}, "status": {}}
    patched = await ask(server, 200, "PATCH", status, patch, content_type="application/merge-patch+json")
    assert patched.get("spec") == created.get("spec")
    kept = (resource.group, resource.plural) in STATUS_ALONE
    assert (patched["metadata"].get("annotations") or {}).get("of-status") == (None if kept else "patched")
    replaced = await ask(server, 200, "PUT", status, patched)
    assert replaced.get("spec") == created.get("spec")
    assert replaced["metadata"].get("generation") == created["metadata"].get("generation")
