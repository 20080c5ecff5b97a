"""Which hooks a request concerns, and in which version each wants the object."""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.apiserver.admission import matching
from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.apiserver.admission.matching import Match
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.admission.webhooks.hooks import Hook
from pybernetes.apiserver.registry.strategy import Reader

# A hook may not stand in the way of its own removal, nor may policies be held up by hooks.
_EXEMPT_GROUP = "admissionregistration.k8s.io"
_EXEMPT = frozenset((
    "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Invocation:
    """A hook to be called, and as what it sees the request."""

    hook: Hook
    match: Match


def is_exempt(request: AdmissionRequest) -> bool:
    """Whether no webhook is ever asked."""
    return request.resource.group == _EXEMPT_GROUP and request.resource.plural in _EXEMPT


def match(hook: Hook, request: AdmissionRequest, reader: Reader, versions: Versions) -> Invocation | None:
    """How `hook` is to be called for this request; None if it is not concerned. Its `matchConditions` are not looked at.

    Raises `NotFound` where it depends on a namespace that is not there.
    """
    found = matching.match(hook.criteria, request, reader, versions)
    return None if found is None else Invocation(hook, found)
