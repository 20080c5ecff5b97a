"""CSR approving controller: a node's client certificate is approved if its requester may create such requests by RBAC.

Contract: https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#kube-controller-manager-configuration
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pybernetes.client.rest import Client
from pybernetes.controllers.actions import Action, Retry, Update
from pybernetes.controllers.certificates.requests import (
    APISERVER_CLIENT_KUBELET,
    has_condition,
    is_issued,
    is_node_client,
    parse,
    usages_of,
)
from pybernetes.controllers.controller import Context, Controller, Look, itself
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import Object, is_being_deleted, name_of
from pybernetes.machinery.resources import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS

MESSAGES = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    csr: Object
    recognized: str  # as which kinds of request
    allowed: str  # the kind that the requester may create; "" for none
    now: datetime


def reconcile(seen: Snapshot) -> list[Action]:
    if not seen.allowed:
        why = f'recognized csr "{name_of(seen.csr)}" as {seen.recognized} but subject access review was not approved'
        return [Retry("NotAllowed", why)]
    moment = rfc3339(seen.now)
    approval = {
        "type": "Approved",
        "status": "True",
        "reason": "AutoApproved",
        "message": MESSAGES[seen.allowed],
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
    }
    status = seen.csr.get("status") or {}
    approved = {**seen.csr, "status": {**status, "conditions": [*(status.get("conditions") or ()), approval]}}
    return [Update(CERTIFICATE_SIGNING_REQUESTS, approved, "approval")]


async def observe(look: Look, key: str) -> Snapshot | None:
    csr = look.caches[CERTIFICATE_SIGNING_REQUESTS].get("", key)
    if csr is None or is_being_deleted(csr) or csr["spec"]["signerName"] != APISERVER_CLIENT_KUBELET:
        return None
    if is_issued(csr) or has_condition(csr, "Approved") or has_condition(csr, "Denied"):
        return None
    kinds = recognized_as(csr)
    if not kinds:
        return None
    for kind in kinds:
        if await _may_create(look.client, csr, kind):
            return Snapshot(csr, ", ".join(kinds), kind, look.now)
    return Snapshot(csr, ", ".join(kinds), "", look.now)


def recognized_as(csr: Object) -> list[str]:
    """The subresources whose `create` permission approves it, the narrower first; none for what is no node's request."""
    try:
        request = parse(csr)
    except ValueError:
        return []
    if not is_node_client(request, usages_of(csr)):
        return []
    return ["selfnodeclient", "nodeclient"] if csr["spec"].get("username") == request.common_name else ["nodeclient"]


async def _may_create(client: Client, csr: Object, subresource: str) -> bool:
    spec = csr["spec"]
    review = {
        "kind": "SubjectAccessReview",
        "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
        "metadata": {},
        "spec": {
            "user": spec.get("username", ""),
            "uid": spec.get("uid", ""),
            "groups": spec.get("groups") or [],
            "extra": spec.get("extra") or {},
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "version": "*",
                "resource": "certificatesigningrequests",
                "subresource": subresource,
                "verb": "create",
            },
        },
    }
    answer = await client.create(SUBJECT_ACCESS_REVIEWS, review)
    return bool((answer.get("status") or {}).get("allowed"))


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="certificatesigningrequest-approving-controller",
        wakes_on=(itself(CERTIFICATE_SIGNING_REQUESTS),),
        observe=observe,
        decide=reconcile,
    )
