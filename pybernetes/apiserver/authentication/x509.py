"""Client certificates: the common name is the user, the organizations are the groups.

TLS has verified the certificate against the client CA already; here it is only read.
Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates
"""

from __future__ import annotations

import hashlib

from pybernetes.apiserver.attributes import User
from pybernetes.machinery.http.messages import Request

UID_OID = "1.3.6.1.4.1.57683.2"  # Kubernetes' own: the user's UID
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
REMEMBERED_MAX = 4096


class ClientCertificates:
    def __init__(self) -> None:
        # Reading a certificate takes some 30 µs, and a connection's is the same with each request.
        self._users: dict[bytes, User | None] = {}

    async def authenticate(self, request: Request) -> User | None:
        der = request.peer_certificate
        if der is None:
            return None
        try:
            return self._users[der]
        except KeyError:
            if len(self._users) >= REMEMBERED_MAX:
                self._users.clear()
            user = self._users[der] = user_of(der)
            return user


def user_of(der: bytes) -> User | None:
    """The user that a certificate names; None if it has no common name."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID, ObjectIdentifier

    subject = x509.load_der_x509_certificate(der).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names or not names[0].value:
        return None
    uids = subject.get_attributes_for_oid(ObjectIdentifier(UID_OID))
    return User(
        name=str(names[0].value),
        uid=str(uids[0].value) if uids else "",
        groups=tuple(str(group.value) for group in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)),
        extra={CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)},
    )
