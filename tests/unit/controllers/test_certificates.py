"""CertificateSigningRequests: who is recognized, what is signed, what is cleaned up."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from pybernetes.controllers.actions import Delete, LookAgain, Update
from pybernetes.controllers.certificates import approving, cleaner, signing
from pybernetes.controllers.certificates.requests import parse, problem
from pybernetes.machinery import pki
from pybernetes.machinery.clock import rfc3339

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT = ["digital signature", "client auth"]


@cache
def authority() -> pki.Authority:
    return pki.Authority.create("kubernetes", NOW)


def csr(**changes: Any) -> dict[str, Any]:
    """A kubelet that bootstraps asks for its client certificate."""
    request = pki.signing_request(
        pki.new_key_pem(),
        changes.get("common_name", "system:node:n1"),
        changes.get("organizations", ("system:nodes",)),
        changes.get("dns_names", ()),
        changes.get("ip_addresses", ()),
    )
    spec = {
        "request": base64.b64encode(request).decode(),
        "signerName": changes.get("signer", "kubernetes.io/kube-apiserver-client-kubelet"),
        "usages": changes.get("usages", CLIENT),
        "username": changes.get("username", "system:bootstrap:abcdef"),
    }
    if "expiration_s" in changes:
        spec["expirationSeconds"] = changes["expiration_s"]
    conditions = [{"type": each, "status": "True", "lastUpdateTime": rfc3339(NOW)} for each in changes.get("conditions", ())]
    status = {"conditions": conditions} | ({"certificate": changes["certificate"]} if "certificate" in changes else {})
    return {"metadata": {"name": "csr-1", "uid": "u", "creationTimestamp": rfc3339(NOW)}, "spec": spec, "status": status}


def test_a_bootstrapping_kubelet_is_recognized_and_so_is_one_that_renews() -> None:
    assert approving.recognized_as(csr()) == ["nodeclient"]
    assert approving.recognized_as(csr(username="system:node:n1")) == ["selfnodeclient", "nodeclient"]


@pytest.mark.parametrize(
    "change",
    [
        {"organizations": ("system:masters",)},
        {"organizations": ("system:nodes", "system:masters")},
        {"common_name": "admin"},
        {"dns_names": ("kubernetes.default",)},
        {"ip_addresses": ("10.0.0.1",)},
        {"usages": ["digital signature", "client auth", "server auth"]},
        {"usages": ["digital signature"]},
    ],
)
def test_what_asks_for_more_than_a_node_has_is_not_recognized(change: dict[str, Any]) -> None:
    assert approving.recognized_as(csr(**change)) == []


def test_approval_says_why() -> None:
    (action,) = approving.reconcile(approving.Snapshot(csr(), "nodeclient", "nodeclient", NOW))
    assert isinstance(action, Update) and action.subresource == "approval"
    (condition,) = action.obj["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == ("Approved", "AutoApproved")


def signed(request: dict[str, Any]) -> dict[str, Any]:
    sign = signing.signer(authority(), 8760 * 3600)
    (action,) = signing.reconcile(signing.Snapshot(request, sign, NOW))
    assert isinstance(action, Update) and action.subresource == "status"
    status: dict[str, Any] = action.obj["status"]
    return status


def test_an_approved_request_gets_a_certificate_of_the_asked_lifetime() -> None:
    certificate = base64.b64decode(signed(csr(expiration_s=3600))["certificate"])
    assert pki.expires_at(certificate) == NOW + timedelta(hours=1)
    short = base64.b64decode(signed(csr(expiration_s=1))["certificate"])
    assert pki.expires_at(short) == NOW + timedelta(minutes=10)


def test_a_serving_certificate_needs_a_name() -> None:
    usages = ["digital signature", "server auth"]
    serving = {"signer": "kubernetes.io/kubelet-serving", "usages": usages}
    assert "certificate" in signed(csr(**serving, ip_addresses=("10.0.0.1",)))
    (failure,) = signed(csr(**serving))["conditions"]
    assert (failure["type"], failure["reason"]) == ("Failed", "SignerValidationFailure")
    assert "DNS or IP subjectAltName is required" in failure["message"]


def test_a_client_signer_signs_for_clients_only() -> None:
    request = csr(signer="kubernetes.io/kube-apiserver-client", usages=["server auth"], common_name="jane")
    assert problem(request, parse(request))
    assert "certificate" in signed(csr(signer="kubernetes.io/kube-apiserver-client", usages=CLIENT, common_name="jane"))


def test_garbage_fails_with_a_condition() -> None:
    request = csr()
    request["spec"]["request"] = base64.b64encode(b"nonsense").decode()
    assert signed(request)["conditions"][0]["type"] == "Failed"


@pytest.mark.parametrize(
    ("request_", "hours"),
    [
        (csr(), 24),
        (csr(conditions=["Approved"]), 24),
        (csr(conditions=["Denied"]), 1),
        (csr(conditions=["Failed"]), 1),
        (csr(conditions=["Approved"], certificate=base64.b64encode(b"x").decode()), 1),
    ],
)
def test_settled_requests_go_after_an_hour_and_pending_ones_after_a_day(request_: dict[str, Any], hours: int) -> None:
    due = NOW + timedelta(hours=hours)
    assert cleaner.reconcile(cleaner.Snapshot(request_, due - timedelta(seconds=1))) == [LookAgain(1.0)]
    (action,) = cleaner.reconcile(cleaner.Snapshot(request_, due))
    assert isinstance(action, Delete)
