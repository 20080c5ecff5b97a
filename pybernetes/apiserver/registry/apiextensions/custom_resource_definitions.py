"""CustomResourceDefinitions: the definitions. What they define is served by `apiserver/custom_resources`.

Their conditions, accepted names and finalizer are the API server's own work, too: `custom_resources/definitions.py` decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import printing
from pybernetes.apiserver.registry.apiextensions import structural_schemas
from pybernetes.apiserver.registry.apiextensions.definition_checks import validate_create, validate_update
from pybernetes.apiserver.registry.strategy import NAME, Column, Context, Strategy
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import CUSTOM_RESOURCE_DEFINITIONS

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def default(definition: Object) -> None:
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if not names.get("singular") and names.get("kind"):
        names["singular"] = names["kind"].lower()
    if not names.get("listKind") and names.get("kind"):
        names["listKind"] = names["kind"] + "List"
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def prepare_for_create(_: Context, definition: Object) -> None:
    stored = [version["name"] for version in definition["spec"].get("versions") or () if version.get("storage")]
    definition["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def prepare_for_update(_: Context, new: Object, old: Object) -> None:
    """A version that is or was stored stays listed until somebody takes it out of the status."""
    status = dict(old.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    for version in new["spec"].get("versions") or ():
        if version.get("storage") and version["name"] not in stored:
            stored.append(version["name"])
    status["storedVersions"] = stored
    new["status"] = status


def mark_deleted(context: Context, definition: Object) -> Object:
    """Deletion waits for the instances: the cleanup finalizer and the condition that says so are set at once."""
    meta = dict(definition["metadata"])
    if "deletionTimestamp" not in meta:
        meta["deletionTimestamp"] = rfc3339(context.now)
    finalizers = list(meta.get("finalizers") or ())
    if CLEANUP_FINALIZER not in finalizers:
        meta["finalizers"] = [*finalizers, CLEANUP_FINALIZER]
    status = dict(definition.get("status") or {})
    status["conditions"] = with_condition(
        status.get("conditions"), "Terminating", "True", "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon", context.now,
    )  # fmt: skip
    return {**definition, "metadata": meta, "status": status}


def with_condition(
    conditions: Iterable[Object] | None, type_: str, status: str, reason: str, message: str, now: datetime
) -> list[Object]:
    """The conditions with one set; its transition time moves only with its status."""
    made: Object = {
        "type": type_, "status": status, "lastTransitionTime": rfc3339(now), "reason": reason, "message": message,
    }  # fmt: skip
    found = list(conditions or ())
    for place, known in enumerate(found):
        if known["type"] == type_:
            if known["status"] == status:
                made["lastTransitionTime"] = known["lastTransitionTime"]
            found[place] = made
            return found
    return [*found, made]


def warnings(definition: Object, old: Object | None) -> Sequence[str]:
    known = set(structural_schemas.unrecognized_formats(old)) if old is not None else set()
    return [
        f"unrecognized format {json.dumps(name)}"
        for name in structural_schemas.unrecognized_formats(definition)
        if name not in known
    ]


def cells(definition: Object, _: datetime) -> list[Any]:
    return [name_of(definition), printing.created_at(definition)]


STRATEGY = Strategy(
    resource=CUSTOM_RESOURCE_DEFINITIONS,
    storage_path="apiextensions.k8s.io/customresourcedefinitions",
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate_create=validate_create,
    validate_update=validate_update,
    validates_by_turns=True,
    warnings=warnings,
    bumps_generation=True,
    has_status=True,
    mark_deleted=mark_deleted,
    columns=(NAME, Column("Created At", "date")),
    cells=cells,
)
