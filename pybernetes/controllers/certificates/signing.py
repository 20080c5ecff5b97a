"""CSR signing controller: approved requests get a certificate of the cluster's authority, if the signer's rules allow."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pybernetes.controllers.actions import Action, Update
from pybernetes.controllers.certificates.requests import (
    APISERVER_CLIENT,
    APISERVER_CLIENT_KUBELET,
    KUBELET_SERVING,
    LEGACY_UNKNOWN,
    has_condition,
    is_issued,
    parse,
    problem,
    usages_of,
)
from pybernetes.controllers.controller import Context, Controller, Look, itself
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import Object, is_being_deleted
from pybernetes.machinery.resources import CERTIFICATE_SIGNING_REQUESTS

if TYPE_CHECKING:
    from pybernetes.machinery.pki import Authority

SIGNERS = frozenset({APISERVER_CLIENT, APISERVER_CLIENT_KUBELET, KUBELET_SERVING, LEGACY_UNKNOWN})
LIFETIME_MIN_S = 600


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    csr: Object
    sign: Callable[[Object, bytes, datetime], bytes]  # (CSR, PKCS#10 PEM, now) -> certificate PEM; raises ValueError
    now: datetime


def reconcile(seen: Snapshot) -> list[Action]:
    csr = seen.csr
    status = csr.get("status") or {}
    try:
        request = parse(csr)
        if why := problem(csr, request):
            raise ValueError(f'invalid certificate request for signer "{csr["spec"]["signerName"]}": {why}')
        certificate = seen.sign(csr, request.pem, seen.now)
    except ValueError as error:
        moment = rfc3339(seen.now)
        failure = {
            "type": "Failed",
            "status": "True",
            "reason": "SignerValidationFailure",
            "message": str(error),
            "lastUpdateTime": moment,
            "lastTransitionTime": moment,
        }
        status = {**status, "conditions": [*(status.get("conditions") or ()), failure]}
    else:
        status = {**status, "certificate": base64.b64encode(certificate).decode()}
    return [Update(CERTIFICATE_SIGNING_REQUESTS, {**csr, "status": status}, "status")]


def lifetime_s(csr: Object, longest_s: float) -> float:
    """`spec.expirationSeconds`, within 10 minutes and what the cluster grants."""
    asked = csr["spec"].get("expirationSeconds")
    return longest_s if asked is None else min(max(float(asked), LIFETIME_MIN_S), longest_s)


def signer(authority: Authority, longest_s: float) -> Callable[[Object, bytes, datetime], bytes]:
    def sign(csr: Object, request_pem: bytes, now: datetime) -> bytes:
        from pybernetes.machinery.pki import Usage

        usages = [Usage(each) for each in usages_of(csr) if each in set(Usage)]
        lifetime = timedelta(seconds=lifetime_s(csr, longest_s))
        return authority.sign(request_pem, usages=usages, lifetime=lifetime, now=now)

    return sign


def _observer(sign: Callable[[Object, bytes, datetime], bytes]) -> Callable[[Look, str], Snapshot | None]:
    def observe(look: Look, key: str) -> Snapshot | None:
        csr = look.caches[CERTIFICATE_SIGNING_REQUESTS].get("", key)
        if csr is None or is_being_deleted(csr) or csr["spec"]["signerName"] not in SIGNERS or is_issued(csr):
            return None
        if not has_condition(csr, "Approved") or has_condition(csr, "Denied") or has_condition(csr, "Failed"):
            return None
        return Snapshot(csr, sign, look.now)

    return observe


def controller(context: Context) -> Controller[Snapshot] | None:
    options = context.options
    if not options.cluster_signing_cert_file or not options.cluster_signing_key_file:
        return None
    from pybernetes.machinery.pki import Authority

    certificate = Path(options.cluster_signing_cert_file).read_bytes()
    authority = Authority(certificate, Path(options.cluster_signing_key_file).read_bytes())
    return Controller(
        name="certificatesigningrequest-signing-controller",
        wakes_on=(itself(CERTIFICATE_SIGNING_REQUESTS),),
        observe=_observer(signer(authority, options.cluster_signing_duration_s)),
        decide=reconcile,
    )
