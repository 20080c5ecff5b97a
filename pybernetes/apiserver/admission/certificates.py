"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may decide on signing requests.

They belong together: each asks about the request's signer.
Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization
"""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.attributes import MASTERS, RequestInfo
from pybernetes.apiserver.authorization.interface import Authorizer, Decision
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import CERTIFICATE_SIGNING_REQUESTS

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


async def is_authorized_for_signer(request: AdmissionRequest, verb: str, signer: str, authorizer: Authorizer) -> bool:
    """May the user do `verb` for this signer, or for all signers of its domain?"""
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        info = RequestInfo(
            verb=verb, path="", is_resource=True, group=CERTIFICATE_SIGNING_REQUESTS.group, version="*", resource="signers",
            name=name,
        )  # fmt: skip
        if (await authorizer.authorize(request.user, info)).decision is Decision.ALLOW:
            return True
    return False


class CertificateApproval(AdmissionPlugin):
    name = "CertificateApproval"
    resources = (CERTIFICATE_SIGNING_REQUESTS,)

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        old = _updated(request, "approval")
        if old is None:
            return
        signer = old["spec"]["signerName"]
        if not await is_authorized_for_signer(request, "approve", signer, self._authorizer):
            raise refusal(request, f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning(AdmissionPlugin):
    name = "CertificateSigning"
    resources = (CERTIFICATE_SIGNING_REQUESTS,)

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        old = _updated(request, "status")
        if old is None:
            return
        before, after = old.get("status") or {}, (request.object or {}).get("status") or {}
        if all(before.get(field) == after.get(field) for field in ("certificate", "conditions")):
            return
        signer = old["spec"]["signerName"]
        if not await is_authorized_for_signer(request, "sign", signer, self._authorizer):
            raise refusal(request, f'user not permitted to sign requests with signerName "{signer}"')


def _updated(request: AdmissionRequest, subresource: str) -> Object | None:
    """The signing request as it was, if this is an update of that subresource."""
    if request.subresource != subresource:
        return None
    return request.old_object if request.operation is Operation.UPDATE else None


class CertificateSubjectRestriction(AdmissionPlugin):
    """Nobody becomes a member of system:masters by a signing request."""

    name = "CertificateSubjectRestriction"
    resources = (CERTIFICATE_SIGNING_REQUESTS,)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.subresource or request.object is None:
            return
        if request.operation is not Operation.CREATE or request.object["spec"].get("signerName") != CLIENT_SIGNER:
            return
        if MASTERS in _organizations(request, request.object["spec"].get("request", "")):
            raise refusal(request, f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")


def _organizations(request: AdmissionRequest, encoded: str) -> list[str]:
    import base64

    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        subject = x509.load_pem_x509_csr(base64.b64decode(encoded)).subject
    except ValueError as error:
        raise refusal(request, f"unable to parse csr: {error}") from error
    return [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
