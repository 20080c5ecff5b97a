"""Namespaces, ConfigMaps, Secrets, ServiceAccounts."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from pybernetes.kubectl.describe.layout import Page, labels_and_annotations
from pybernetes.kubectl.session import Session
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import LIMIT_RANGES, RESOURCE_QUOTAS


async def describe_namespace(session: Session, obj: Object, page: Page) -> None:
    page.pair("Name", obj["metadata"]["name"])
    labels_and_annotations(page, obj)
    page.pair("Status", (obj.get("status") or {}).get("phase", ""))
    for resource, title, empty in (
        (RESOURCE_QUOTAS, "Resource Quotas", "No resource quota."),
        (LIMIT_RANGES, "Resource Limits", "No LimitRange resource."),
    ):
        try:
            found = (await session.request("GET", resource.path(obj["metadata"]["name"]))).get("items") or ()
        except errors.StatusError:
            found = ()
        page.line("")
        if not found:
            page.line(empty)
            continue
        page.line(title)
        for item in found:
            page.line(f"  Name: {item['metadata']['name']}")
            _amounts(page, item)


def _amounts(page: Page, item: Object) -> None:
    if hard := (item.get("status") or {}).get("hard"):
        used = item["status"].get("used") or {}
        rows = [["Resource", "Used", "Hard"], ["--------", "---", "---"]]
        page.table([*rows, *([name, used.get(name, "0"), hard[name]] for name in sorted(hard))])


async def describe_configmap(session: Session, obj: Object, page: Page) -> None:
    _named(page, obj)
    labels_and_annotations(page, obj)
    page.lines(["", "Data", "===="])
    for key, value in sorted((obj.get("data") or {}).items()):
        page.lines([f"{key}:", "----", *value.split("\n"), ""])
    page.lines(["", "BinaryData", "===="])
    for key, value in sorted((obj.get("binaryData") or {}).items()):
        page.line(f"{key}: {len(base64.b64decode(value))} bytes")
    page.line("")


async def describe_secret(session: Session, obj: Object, page: Page) -> None:
    _named(page, obj)
    labels_and_annotations(page, obj)
    page.line("")
    page.pair("Type", obj.get("type", ""))
    page.lines(["", "Data", "===="])
    for key, value in sorted((obj.get("data") or {}).items()):
        page.pair(key, f"{len(base64.b64decode(value))} bytes")


async def describe_serviceaccount(session: Session, obj: Object, page: Page) -> None:
    _named(page, obj)
    labels_and_annotations(page, obj)
    names: Sequence[str] = [each["name"] for each in obj.get("imagePullSecrets") or ()]
    page.pair("Image pull secrets", names[0] if names else "<none>")
    for name in names[1:]:
        page.more(name)


def _named(page: Page, obj: Object) -> None:
    page.pair("Name", obj["metadata"]["name"])
    page.pair("Namespace", obj["metadata"]["namespace"])
