"""Which policies a request concerns, through which bindings, with which parameters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.apiserver.admission.matching import Match, is_namespace, match
from pybernetes.apiserver.admission.policies.compiled import Binding, Policy
from pybernetes.apiserver.admission.policies.params import Misconfigured, params_for, resource_of
from pybernetes.apiserver.admission.policies.source import Bound
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.errors import StatusError, not_found
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import NAMESPACES


@dataclass(frozen=True, slots=True)
class Invocation:
    """A policy to be evaluated, once for each of `params` (None: without parameters)."""

    policy: Policy
    binding: Binding
    match: Match
    params: Sequence[Object | None]


@dataclass(frozen=True, slots=True)
class Failure:
    """A policy (or one of its bindings) that cannot be followed."""

    policy: Policy
    binding: Binding | None
    why: str


async def invocations(
    bound: Sequence[Bound], request: AdmissionRequest, reader: Reader, versions: Versions
) -> AsyncIterator[Invocation | Failure]:
    """In the order of the policies, then of their bindings. Match conditions are not looked at."""
    for policy, bindings in bound:
        try:
            found = match(policy.criteria, request, reader, versions)
            if found is None:
                continue
            resource = resource_of(policy, versions)
        except (StatusError, Misconfigured) as error:
            yield Failure(policy, None, f"failed to configure policy: {error}")
            continue
        for binding in bindings:
            try:
                if binding.criteria is not None and match(binding.criteria, request, reader, versions) is None:
                    continue
                params = await params_for(binding, resource, request.namespace, reader, versions)
            except (StatusError, Misconfigured) as error:
                yield Failure(policy, binding, f"failed to configure binding: {error}")
                continue
            yield Invocation(policy, binding, found, params)


def namespace_of_request(request: AdmissionRequest, reader: Reader) -> Object | None:
    """The Namespace that the object is in; None for what is in none. Raises `NotFound`."""
    if not request.namespace or is_namespace(request.resource):
        return None
    namespace = reader.get(NAMESPACES, "", request.namespace)
    if namespace is None:
        raise not_found("", NAMESPACES.plural, request.namespace)
    return namespace
