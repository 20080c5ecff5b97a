"""The parameters that a binding gives to its policy: objects of a kind that the policy names.

Source: API reference, `ParamKind`, `ParamRef`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.apiserver.admission.policies.compiled import Binding, Policy
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource, labels_of


class Misconfigured(Exception):
    """A policy or binding that cannot be followed: `failurePolicy` says what that means."""


def resource_of(policy: Policy, versions: Versions) -> Resource | None:
    """Where the policy's parameters are; None if it takes none. Raises `Misconfigured` if nobody serves their kind."""
    if policy.param_kind is None:
        return None
    resource = versions.find(policy.param_kind)
    if resource is None:
        raise Misconfigured(f"failed to find resource referenced by paramKind: '{shown(policy.param_kind)}'")
    return resource


async def params_for(
    binding: Binding, resource: Resource | None, namespace: str, reader: Reader, versions: Versions
) -> Sequence[Object | None]:
    """The policy is evaluated once for each; [None] where it takes no parameters, [] where it does not apply.

    `namespace` is the request's. Raises `Misconfigured`, `ConversionFailed`.
    """
    reference = binding.params
    if resource is None or reference is None:
        return [None]
    if not resource.namespaced:
        if reference.namespace:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        namespace = ""
    else:
        namespace = reference.namespace or namespace
        if not namespace:
            raise Misconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    found: list[Object | None]
    if reference.selector is None:
        one = reader.get(resource, namespace, reference.name)
        found = [] if one is None else [await versions.served(one, resource)]
    else:
        selected = (obj for obj in reader.list(resource, namespace) if reference.selector.matches(labels_of(obj)))
        found = [await versions.served(obj, resource) for obj in selected]
    if not found and reference.denies_without:
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def shown(gvk: GroupVersionKind) -> str:
    """As Go prints a GroupVersionKind."""
    return f"{gvk.group}/{gvk.version}, Kind={gvk.kind}"
