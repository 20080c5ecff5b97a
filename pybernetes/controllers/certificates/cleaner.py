"""CSR cleaner: settled requests go after an hour, those that nobody answers after a day."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

from pybernetes.controllers.actions import Action, LookAgain, delete
from pybernetes.controllers.certificates.requests import is_issued
from pybernetes.controllers.controller import Context, Controller, Look, itself
from pybernetes.machinery.clock import parse_time
from pybernetes.machinery.meta import Object, condition
from pybernetes.machinery.resources import CERTIFICATE_SIGNING_REQUESTS

SETTLED_LIFETIME = timedelta(hours=1)  # approved and issued, denied, or failed
PENDING_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    csr: Object
    now: datetime


def reconcile(seen: Snapshot) -> list[Action]:
    due = superfluous_at(seen.csr)
    if due <= seen.now:
        return [delete(CERTIFICATE_SIGNING_REQUESTS, seen.csr)]
    return [LookAgain((due - seen.now).total_seconds())]


def superfluous_at(csr: Object) -> datetime:
    created = parse_time(csr["metadata"]["creationTimestamp"])
    conditions = (csr.get("status") or {}).get("conditions")
    due = created + PENDING_LIFETIME
    for type_ in ("Approved", "Denied", "Failed"):
        found = condition(conditions, type_)
        if found is None or (type_ == "Approved" and not is_issued(csr)):
            continue
        since = found.get("lastUpdateTime") or found.get("lastTransitionTime")
        due = min(due, (parse_time(since) if since else created) + SETTLED_LIFETIME)
    if is_issued(csr):
        due = min(due, _expiry(csr))
    return due


def _expiry(csr: Object) -> datetime:
    from pybernetes.machinery.pki import expires_at

    try:
        return expires_at(base64.b64decode(csr["status"]["certificate"]))
    except ValueError:
        return datetime.max.replace(tzinfo=parse_time("1970-01-01T00:00:00Z").tzinfo)


def observe(look: Look, key: str) -> Snapshot | None:
    csr = look.caches[CERTIFICATE_SIGNING_REQUESTS].get("", key)
    return Snapshot(csr, look.now) if csr is not None else None


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="certificatesigningrequest-cleaner-controller",
        wakes_on=(itself(CERTIFICATE_SIGNING_REQUESTS),),
        observe=observe,
        decide=reconcile,
        workers=1,
    )
