"""What the API server says of a definition: which names it accepts, whether it is established. All pure.

Source: API reference, CustomResourceDefinitionStatus; conditions and reasons are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from pybernetes.apiserver.registry.apiextensions.custom_resource_definitions import with_condition
from pybernetes.apiserver.registry.apiextensions.definition_checks import APPROVAL
from pybernetes.machinery.meta import Object, annotations_of, condition, name_of

CLEANING_UP: Final = "InstanceDeletionInProgress"
CLEANUP_FAILED: Final = "InstanceDeletionFailed"


def is_true(definition: Object, type_: str) -> bool:
    found = condition((definition.get("status") or {}).get("conditions"), type_)
    return found is not None and found["status"] == "True"


def next_status(definition: Object, every: Iterable[Object], now: datetime) -> Object:
    """The status that the definition should have, given all the definitions there are. Idempotent."""
    status: Object = dict(definition.get("status") or {})
    names, conflict = _accepted_names(definition, every)
    conditions: list[Object] = list(status.get("conditions") or ())
    if conflict is None:
        conditions = with_condition(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
    else:
        conditions = with_condition(conditions, "NamesAccepted", "False", *conflict, now)
    established = condition(conditions, "Established")
    if conflict is None and (established is None or established["status"] != "True"):
        sentence = "the initial names have been accepted"
        conditions = with_condition(conditions, "Established", "True", "InitialNamesAccepted", sentence, now)
    elif established is None:
        conditions = with_condition(conditions, "Established", "False", "NotAccepted", "not all names are accepted", now)
    conditions = _with_approval(definition, conditions, now)
    status["conditions"] = conditions
    status["acceptedNames"] = names
    status.setdefault("storedVersions", [])
    return {field: status[field] for field in ("conditions", "acceptedNames", "storedVersions")}


def is_cleaning_up(definition: Object) -> bool:
    """Whether it says that its instances are being deleted, or why they cannot be."""
    found = condition((definition.get("status") or {}).get("conditions"), "Terminating")
    return found is not None and found.get("reason") in (CLEANING_UP, CLEANUP_FAILED)


def cleanup_status(definition: Object, reason: str, message: str, now: datetime, *, status: str = "True") -> Object:
    found: Object = dict(definition.get("status") or {})
    found["conditions"] = with_condition(found.get("conditions"), "Terminating", status, reason, message, now)
    return found


def _accepted_names(definition: Object, every: Iterable[Object]) -> tuple[Object, tuple[str, str] | None]:
    """The names that are granted, and the reason and message of the first refusal."""
    group = definition["spec"]["group"]
    wanted: Object = definition["spec"]["names"]
    held: Object = (definition.get("status") or {}).get("acceptedNames") or {}
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in every:
        if other["spec"]["group"] == group and name_of(other) != name_of(definition):
            taken = (other.get("status") or {}).get("acceptedNames") or {}
            resources.update(name for name in (taken.get("plural"), taken.get("singular")) if name)
            resources.update(taken.get("shortNames") or ())
            kinds.update(name for name in (taken.get("kind"), taken.get("listKind")) if name)
    granted: Object = {"plural": held.get("plural", ""), "kind": held.get("kind", "")}
    granted |= {field: held[field] for field in ("singular", "shortNames", "listKind") if held.get(field)}
    refusal: tuple[str, str] | None = None

    def consider(field: str, taken: set[str], reason: str) -> None:
        nonlocal refusal
        value: Any = wanted.get(field)
        values: Sequence[str] = value if isinstance(value, list) else [value] if value else []
        own = held.get(field) or ()
        clashes = [name for name in values if name in taken and name != own and name not in own]
        if clashes:
            message = ", ".join(f'"{name}" is already in use' for name in clashes)
            refusal = (reason, f"[{message}]" if len(clashes) > 1 else message)
        elif value:
            granted[field] = value
        else:
            granted.pop(field, None)

    consider("plural", resources, "PluralConflict")
    consider("singular", resources, "SingularConflict")
    consider("shortNames", resources, "ShortNamesConflict")
    consider("kind", kinds, "KindConflict")
    consider("listKind", kinds, "ListKindConflict")
    if wanted.get("categories"):
        granted["categories"] = wanted["categories"]
    order = ("plural", "singular", "shortNames", "kind", "listKind", "categories")
    return {field: granted[field] for field in order if field in granted}, refusal


def _with_approval(definition: Object, conditions: list[Object], now: datetime) -> list[Object]:
    """Groups of the Kubernetes project say whether their API was approved (kubernetes/enhancements#1111)."""
    group: str = definition["spec"]["group"]
    if not f".{group}".endswith((".k8s.io", ".kubernetes.io")):
        return conditions
    given = annotations_of(definition).get(APPROVAL, "")
    type_ = "KubernetesAPIApprovalPolicyConformant"
    if given.startswith("unapproved"):
        return with_condition(conditions, type_, "False", "UnapprovedAnnotation", f'not approved: "{given}"', now)
    return with_condition(conditions, type_, "True", "ApprovedAnnotation", f"approved in {given}", now)
