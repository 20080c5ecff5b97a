"""AdmissionReview: the question that a webhook is asked, and what its answer means.

Source: API reference of admission.k8s.io/v1; the sentences are upstream's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pybernetes.apiserver.admission.described import described
from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.apiserver.admission.refusals import name_shown
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.admission.webhooks.matching import Invocation
from pybernetes.machinery import errors
from pybernetes.machinery.errors import BadRequest, InternalError, StatusError
from pybernetes.machinery.meta import Object

GROUP = "admission.k8s.io"
VERSIONS = ("v1", "v1beta1")
JSON_PATCH = "JSONPatch"
SAFE_ON_DRY_RUN = ("None", "NoneOnDryRun")


class InvalidReview(Exception):
    """A question that cannot be asked, or an answer that is none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook said, whatever the version it said it in."""

    allowed: bool
    result: Object | None = None
    patch: bytes = b""
    warnings: Sequence[str] = ()
    audit_annotations: Mapping[str, str] | None = None


def review_version(offered: Sequence[str]) -> str:
    """The first version that the hook and we both know. Raises `InvalidReview`."""
    for version in offered:
        if version in VERSIONS:
            return version
    raise InvalidReview("webhook does not accept known AdmissionReview versions (v1beta1, v1)")


def question(
    request: AdmissionRequest, invocation: Invocation, versions: Versions, obj: Object | None, old: Object | None, uid: str
) -> tuple[str, Object]:
    """(version, the AdmissionReview to send); `obj` and `old` as `seen_as` the hook. Raises `InvalidReview`."""
    version = review_version(invocation.hook.review_versions)
    asked = {"uid": uid, **described(request, invocation.match, versions), "object": obj, "oldObject": old}
    return version, {"kind": "AdmissionReview", "apiVersion": f"{GROUP}/{version}", "request": asked}


def read_answer(review: Any, version: str, uid: str, *, mutating: bool) -> Answer:
    """Raises `InvalidReview`."""
    if not isinstance(review, dict) or not isinstance(review.get("response"), dict):
        raise InvalidReview("webhook response was absent")
    response: Object = review["response"]
    patch_type = response.get("patchType")
    patch = _patch(response.get("patch"))
    if version == "v1":
        if response.get("uid", "") != uid:
            raise InvalidReview(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
        group, _, found_version = str(review.get("apiVersion") or "").rpartition("/")
        kind = review.get("kind") or ""
        if (group, found_version, kind) != (GROUP, "v1", "AdmissionReview"):
            shown = f"{group}/{found_version}, Kind={kind}"
            raise InvalidReview(f"expected webhook response of {GROUP}/v1, Kind=AdmissionReview, got {shown}")
        _check_patch(patch, patch_type, mutating=mutating)
    warnings = response.get("warnings") or ()
    annotations = response.get("auditAnnotations") or {}
    result = response.get("status")
    return Answer(
        allowed=response.get("allowed") is True,
        result=result if isinstance(result, dict) else None,
        patch=patch if mutating else b"",
        warnings=[text for text in warnings if isinstance(text, str)] if isinstance(warnings, list) else (),
        audit_annotations=annotations if isinstance(annotations, dict) else {},
    )


def _patch(text: Any) -> bytes:
    if not text:
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise InvalidReview(f"response.patch is no base64: {error}") from error


def _check_patch(patch: bytes, patch_type: Any, *, mutating: bool) -> None:
    if not mutating:
        if patch:
            raise InvalidReview("validating webhook may not return response.patch")
        if patch_type is not None:
            raise InvalidReview("validating webhook may not return response.patchType")
        return
    if patch and patch_type is None:
        raise InvalidReview("webhook returned response.patch but not response.patchType")
    if not patch and patch_type is not None:
        raise InvalidReview("webhook returned response.patchType but not response.patch")
    if patch and not patch_type:
        raise InvalidReview('webhook returned invalid response.patchType of ""')
    if patch and patch_type != JSON_PATCH:
        raise InvalidReview(f'unsupported patch type "{patch_type}"')


# Refusals


def denied(name: str, result: Object | None) -> StatusError:
    """The answer to a request that a hook does not allow: the hook's own Status, made to be a failure."""
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, **(result or {})}
    code = status.get("code")
    status["code"] = code if isinstance(code, int) and 400 <= code < 600 else 400
    if status.get("status") in (None, "", "Success"):
        status["status"] = "Failure"
    by = f'admission webhook "{name}" denied the request'
    message, reason = status.get("message"), status.get("reason")
    if message:
        status["message"] = f"{by}: {message}"
    elif reason:
        status["message"] = f"{by}: {reason}"
    else:
        status["message"] = f"{by} without explanation"
    return errors.from_status(status, status["code"])


def failed(name: str, why: str) -> StatusError:
    """A call that gave no answer, where that refuses the request."""
    return internal(f'failed calling webhook "{name}": {why}')


def internal(why: str) -> StatusError:
    return InternalError(f"Internal error occurred: {why}", causes=[errors.Cause("", why)])


def dry_run_unsupported(name: str) -> StatusError:
    return BadRequest(f'admission webhook "{name}" does not support dry run')


def unmodifiable(name: str) -> StatusError:
    return internal(f'admission webhook "{name}" attempted to modify the object, which is not supported for this operation')


def shown(request: AdmissionRequest) -> str:
    """The target, for logs."""
    namespace = f"{request.namespace}/" if request.namespace else ""
    return f"{request.resource.group_resource} {namespace}{name_shown(request)}"
