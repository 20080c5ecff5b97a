"""RoleBindings and ClusterRoleBindings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS

GROUP = "rbac.authorization.k8s.io"
_NAMED = ("User", "Group")


def default(binding: Object) -> None:
    reference = binding.setdefault("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for subject in binding.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in _NAMED:
            subject["apiGroup"] = GROUP


def _validator(role_kinds: tuple[str, ...]) -> Callable[[Object], Iterator[FieldError]]:
    namespaced = "Role" in role_kinds

    def validate(binding: Object) -> Iterator[FieldError]:
        reference = binding["roleRef"]
        yield from checks.one_of(reference.get("apiGroup", ""), (GROUP,), "roleRef.apiGroup")
        yield from checks.one_of(reference.get("kind", ""), role_kinds, "roleRef.kind")
        if not reference.get("name"):
            yield FieldError.required("roleRef.name")
        else:
            yield from checks.invalid_by("roleRef.name", reference["name"], validation.path_segment_errors)
        for i, subject in enumerate(binding.get("subjects") or ()):
            yield from _validate_subject(subject, namespaced, f"subjects[{i}]")

    return validate


def _validate_subject(subject: Object, namespaced: bool, path: str) -> Iterator[FieldError]:
    kind, group, name = subject.get("kind", ""), subject.get("apiGroup", ""), subject.get("name", "")
    if not name:
        yield FieldError.required(path + ".name")
    if kind == "ServiceAccount":
        if name:
            yield from checks.invalid_by(path + ".name", name, validation.dns_1123_subdomain_errors)
        if group:
            yield FieldError.not_supported(path + ".apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            yield FieldError.required(path + ".namespace")
    elif kind in _NAMED:
        yield from checks.one_of(group, (GROUP,), path + ".apiGroup")
    else:
        yield FieldError.not_supported(path + ".kind", kind, ("ServiceAccount", "User", "Group"))


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new["roleRef"] != old["roleRef"]:
        reference = new["roleRef"]
        shown = {"aPIGroup": reference.get("apiGroup", ""), **reference}
        yield checks.invalid_struct("roleRef", shown, {"APIGroup": "", "Kind": "", "Name": ""}, "cannot change roleRef")


def cells(binding: Object, now: datetime) -> list[Any]:
    found: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind", ""), subject.get("name", "")
        if kind in found:
            found[kind].append(f"{subject.get('namespace', '')}/{name}" if kind == "ServiceAccount" else name)
    reference = binding["roleRef"]
    role = f"{reference.get('kind', '')}/{reference.get('name', '')}"
    return [name_of(binding), role, printing.age(binding, now), *(", ".join(names) for names in found.values())]


_COLUMNS = (
    NAME, Column("Role"), AGE, Column("Users", priority=1), Column("Groups", priority=1), Column("ServiceAccounts", priority=1),
)  # fmt: skip

ROLE_BINDING_STRATEGY = Strategy(
    resource=ROLE_BINDINGS,
    default=default,
    validate_name=validation.path_segment_errors,
    validate=_validator(("Role", "ClusterRole")),
    validate_update=validate_update,
    creates_on_update=True,
    columns=_COLUMNS,
    cells=cells,
)
CLUSTER_ROLE_BINDING_STRATEGY = Strategy(
    resource=CLUSTER_ROLE_BINDINGS,
    default=default,
    validate_name=validation.path_segment_errors,
    validate=_validator(("ClusterRole",)),
    validate_update=validate_update,
    creates_on_update=True,
    columns=_COLUMNS,
    cells=cells,
)
