"""Client certificates: the common name is the user, the organizations are the groups.

TLS has verified the certificate; here it is read, if it comes from the authority for users. A connection may outlive its
certificate: the time is looked at with each request.
Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.authorities import Authorities
from pybernetes.apiserver.authentication.interface import authenticated
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.http.messages import Request

UID_OID: Final = "1.3.6.1.4.1.57683.2"  # Kubernetes' own: the user's UID
CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
REMEMBERED_MAX: Final = 4096


class Certificate(NamedTuple):
    """What we read in a certificate."""

    common_name: str
    expires: datetime
    user: User | None  # whom it names; None without a common name

    def check_time(self, now: datetime) -> None:
        """Raises `Unauthorized` once it has expired."""
        if now > self.expires:
            when = f"current time {rfc3339(now)} is after {rfc3339(self.expires)}"
            raise Unauthorized(f"x509: certificate has expired or is not yet valid: {when}")


class ClientCertificates:
    def __init__(self, authorities: Authorities | None, clock: Clock) -> None:
        """Without `authorities` every certificate counts that the transport has verified."""
        self._authorities = authorities
        self._clock = clock

    async def authenticate(self, request: Request) -> User | None:
        der = request.peer_certificate
        if der is None:
            return None
        certificate = read(der)
        if self._authorities is not None:
            if not self._authorities.have_vouched_for(request):
                raise Unauthorized("x509: certificate signed by unknown authority")
            certificate.check_time(self._clock.now())
        return certificate.user


@lru_cache(REMEMBERED_MAX)
def read(der: bytes) -> Certificate:
    """Takes some 30 µs, and a connection's certificate is the same with each request: so it is remembered."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID, ObjectIdentifier

    certificate = x509.load_der_x509_certificate(der)
    subject, expires = certificate.subject, certificate.not_valid_after_utc
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    if not name:
        return Certificate("", expires, None)
    uids = subject.get_attributes_for_oid(ObjectIdentifier(UID_OID))
    user = User(
        name=name,
        uid=str(uids[0].value) if uids else "",
        groups=tuple(str(group.value) for group in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)),
        extra={CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)},
    )
    return Certificate(name, expires, authenticated(user))
