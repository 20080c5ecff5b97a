"""CertificateSigningRequests: asked for, approved (`/approval`), signed (`/status`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy, SubresourceUpdate
from pybernetes.machinery import validation
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, condition, name_of
from pybernetes.machinery.resources import CERTIFICATE_SIGNING_REQUESTS
from pybernetes.machinery.table import human_duration

USAGES = frozenset((
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only",
    "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user",
    "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing",
    "timestamping",
))  # fmt: skip
_DECISIONS = ("Approved", "Denied")
_PEM_TYPE = "CERTIFICATE REQUEST"
_SHORTEST_S = 600


def prepare_for_create(context: Context, request: Object) -> None:
    """Who asks is not for the client to say."""
    spec = request.setdefault("spec", {})
    for field in ("username", "uid", "groups", "extra"):
        spec.pop(field, None)
    spec.update(context.user.info)
    request["status"] = {}


def prepare_for_update(_: Context, new: Object, old: Object) -> None:
    new["spec"] = old["spec"]


def prepare_for_approval(context: Context, new: Object, old: Object) -> None:
    """Conditions only; the certificate stays."""
    new["spec"] = old["spec"]
    conditions = (new.get("status") or {}).get("conditions") or []
    status = {field: value for field, value in (old.get("status") or {}).items() if field != "conditions"}
    new["status"] = {**status, "conditions": conditions} if conditions else status
    _stamp(conditions, old, context)


def prepare_for_status_update(context: Context, new: Object, old: Object) -> None:
    """The signer writes the certificate; decisions are made through `/approval` alone."""
    status = new.setdefault("status", {})
    before = (old.get("status") or {}).get("conditions") or ()
    decided = [one for one in before if one.get("type") in _DECISIONS]
    others = [one for one in status.get("conditions") or () if one.get("type") not in _DECISIONS]
    conditions = [*decided, *others]
    if conditions:
        status["conditions"] = conditions
    else:
        status.pop("conditions", None)
    _stamp(conditions, old, context)


def _stamp(conditions: list[Object], old: Object, context: Context) -> None:
    """When a condition was written, and when it changed (its status is never taken back)."""
    now = rfc3339(context.now)
    for one in conditions:
        was = condition((old.get("status") or {}).get("conditions"), one.get("type", ""))
        if not one.get("status"):
            one["status"] = "True"
        if not one.get("lastUpdateTime"):
            one["lastUpdateTime"] = now
        if not one.get("lastTransitionTime"):
            same = was is not None and was.get("status") == one["status"]
            one["lastTransitionTime"] = (was or {}).get("lastTransitionTime") or now if same else now


def validate_create(request: Object) -> Iterator[FieldError]:
    spec = request["spec"]
    if problem := _request_problem(spec.get("request")):
        yield FieldError.invalid("spec.request", spec.get("request"), problem)
    usages = spec.get("usages") or []
    if not usages:
        yield FieldError.required("spec.usages")
    for i, usage in enumerate(usages):
        yield from checks.one_of(usage, sorted(USAGES), f"spec.usages[{i}]")
        if usage in usages[:i]:
            yield FieldError.duplicate(f"spec.usages[{i}]", usage)
    yield from _validate_signer(spec.get("signerName", ""), "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST_S:
        yield FieldError.invalid(
            "spec.expirationSeconds", seconds, "may not specify a duration less than 600 seconds (10 minutes)"
        )


def _request_problem(encoded: str | None) -> str:
    from cryptography.x509 import load_pem_x509_csr

    try:
        pem = base64.b64decode(encoded or "")
    except (binascii.Error, ValueError):
        pem = b""
    if f"-----BEGIN {_PEM_TYPE}-----".encode() not in pem:
        return f"PEM block type must be {_PEM_TYPE}"
    try:
        load_pem_x509_csr(pem)
    except ValueError as error:
        return str(error)
    return ""


def _validate_signer(name: str, path: str) -> Iterator[FieldError]:
    if not name:
        yield FieldError.required(path)
        return
    domain, slash, rest = name.partition("/")
    if not slash:
        yield FieldError.invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
        return
    for sentence in validation.dns_1123_subdomain_errors(domain):
        yield FieldError.invalid(path, domain, f"validating label {domain!r}: {sentence}".replace("'", '"'))
    if "." not in domain:
        yield FieldError.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    for part in rest.split("."):
        yield from checks.invalid_by(path, part, validation.dns_1123_subdomain_errors)


def validate_conditions(new: Object, old: Object) -> Iterator[FieldError]:
    conditions = (new.get("status") or {}).get("conditions") or []
    seen: set[str] = set()
    for i, one in enumerate(conditions):
        type_, status, path = one.get("type", ""), one.get("status", ""), f"status.conditions[{i}]"
        if not type_:
            yield FieldError.required(path + ".type")
        elif type_ in seen:
            yield FieldError.duplicate(path + ".type", type_)
        if type_ in (*_DECISIONS, "Failed") and status != "True":
            yield FieldError.not_supported(path + ".status", status, ("True",))
        else:
            yield from checks.required_one_of(status, ("False", "True", "Unknown"), path + ".status")
        if type_ in _DECISIONS and seen & set(_DECISIONS) - {type_}:
            sentence = "Approved and Denied conditions are mutually exclusive"
            yield FieldError.invalid(path + ".type", type_, sentence)
        seen.add(type_)
    for one in (old.get("status") or {}).get("conditions") or ():
        if one.get("type") in (*_DECISIONS, "Failed") and one["type"] not in seen:
            sentence = f'updates may not remove a condition of type "{one["type"]}"'
            yield FieldError.forbidden("status.conditions", sentence)


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_conditions(new, old)
    certificate, before = (new.get("status") or {}).get("certificate"), (old.get("status") or {}).get("certificate")
    if before and certificate != before:
        yield FieldError.forbidden("status.certificate", "updates may not set certificate content after it has been set")
    elif certificate and certificate != before:
        pem = base64.b64decode(certificate)
        if b"-----BEGIN CERTIFICATE-----" not in pem:
            yield FieldError.invalid(
                "status.certificate", "<certificate data>", "must contain at least one CERTIFICATE PEM block"
            )


def cells(request: Object, now: datetime) -> list[Any]:
    spec, status = request["spec"], request.get("status") or {}
    seconds = spec.get("expirationSeconds")
    duration = printing.NONE if seconds is None else human_duration(timedelta(seconds=seconds))
    types = {one.get("type") for one in status.get("conditions") or ()}
    shown = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    shown += ",Failed" if "Failed" in types else ""
    shown += ",Issued" if status.get("certificate") else ""
    return [
        name_of(request), printing.age(request, now), spec.get("signerName") or printing.NONE, spec.get("username", ""),
        duration, shown,
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=CERTIFICATE_SIGNING_REQUESTS,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate_create=validate_create,
    has_status=True,
    prepare_for_status_update=prepare_for_status_update,
    validate_status_update=validate_status_update,
    subresource_updates={"approval": SubresourceUpdate(prepare=prepare_for_approval, validate=validate_conditions)},
    selectable_fields={"spec.signerName": lambda request: request["spec"].get("signerName", "")},
    columns=(NAME, AGE, Column("SignerName"), Column("Requestor"), Column("RequestedDuration"), Column("Condition")),
    cells=cells,
)
