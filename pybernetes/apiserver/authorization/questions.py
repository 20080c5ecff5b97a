"""What a webhook is asked, and what its answer means: SubjectAccessReviews. All pure.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/
"""

from __future__ import annotations

from typing import Any, Final

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Decision, Verdict
from pybernetes.apiserver.authorization.selectors import field_requirements, label_requirements
from pybernetes.machinery.meta import Object

GROUP: Final = "authorization.k8s.io"
KEPT_ATTRIBUTES_MAX: Final = 10_000  # characters that the asker chose, beyond which an answer is not kept
_RESOURCE_TEXTS: Final = ("namespace", "verb", "group", "version", "resource", "subresource", "name")


def spec_of(user: User, info: RequestInfo) -> Object:
    """The question as a `SubjectAccessReviewSpec` of v1, its texts all there, be they empty: what conditions see."""
    spec: Object = {
        "user": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
    if not info.is_resource:
        return {**spec, "nonResourceAttributes": {"path": info.path, "verb": info.verb}}
    attributes: Object = {name: getattr(info, name) for name in _RESOURCE_TEXTS}
    for name, requirements in (
        ("fieldSelector", field_requirements(info.field_selector)),
        ("labelSelector", label_requirements(info.label_selector)),
    ):
        if requirements:
            attributes[name] = {"requirements": requirements}
    return {**spec, "resourceAttributes": attributes}


def review_of(spec: Object, version: str) -> Object:
    """The review to send. `version`: v1 or v1beta1."""
    sent = {key: _filled(value) for key, value in spec.items() if value}
    if version == "v1beta1" and "groups" in sent:
        sent["group"] = sent.pop("groups")
    return {
        "kind": "SubjectAccessReview",
        "apiVersion": f"{GROUP}/{version}",
        "metadata": {},
        "spec": sent,
        "status": {"allowed": False},
    }


def _filled(value: Any) -> Any:
    return {key: inner for key, inner in value.items() if inner} if isinstance(value, dict) else value


def may_be_kept(info: RequestInfo) -> bool:
    """Whether the answer is worth its memory: whoever asks with huge names may be after just that."""
    texts = (getattr(info, name) for name in _RESOURCE_TEXTS)
    return sum(map(len, texts)) + len(info.path) < KEPT_ATTRIBUTES_MAX


def verdict_of(status: Any) -> Verdict:
    """What a review's status says; one that says nothing has no opinion."""
    found: Object = status if isinstance(status, dict) else {}
    reason = str(found.get("reason") or "")
    allowed, denied = found.get("allowed") is True, found.get("denied") is True
    if denied and allowed:
        return Verdict(Decision.DENY, reason, "webhook subject access review returned both allow and deny response")
    if denied:
        return Verdict(Decision.DENY, reason)
    return Verdict(Decision.ALLOW if allowed else Decision.NO_OPINION, reason)
