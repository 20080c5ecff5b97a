"""The seam of admission: what a plugin sees, and what it may do.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from pybernetes.apiserver.attributes import User
from pybernetes.machinery.meta import Object, Resource


class Operation(StrEnum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclass(slots=True)
class Reinvocation:
    """A second round of the mutating phase, for plugins that want to see what later ones changed (at most one round).

    A plugin that changes the object on behalf of somebody outside sets `wanted`; in the second round `active` is set. `state`
    is where a plugin keeps, by its name, what it must know of the first round.
    """

    wanted: bool = False
    active: bool = False
    state: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class AdmissionRequest:
    """One write on its way in. Mutating plugins change `object` in place (or replace it)."""

    operation: Operation
    resource: Resource
    subresource: str
    namespace: str
    name: str  # "" where generateName will choose it later
    user: User
    object: Object | None  # None for DELETE
    old_object: Object | None  # None for CREATE; never altered
    options: Object = field(default_factory=dict)  # CreateOptions, UpdateOptions, DeleteOptions
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    audit_annotations: dict[str, str] = field(default_factory=dict)  # for the audit log
    reinvocation: Reinvocation | None = None  # made by the first plugin that needs it


class AdmissionPlugin:
    """A plugin overrides what it needs. A refusal is a `StatusError` (usually `errors.forbidden`)."""

    name: str = ""
    resources: Collection[Resource] | None = None  # what it looks at; None: at all of them

    async def admit(self, request: AdmissionRequest) -> None:
        """Change the object (mutating phase)."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Look at the final object (validating phase)."""

    async def close(self) -> None:
        """Let go of connections, when the server ends."""
