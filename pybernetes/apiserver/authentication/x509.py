"""Client certificates: the common name is the user, the organizations are the groups.

TLS has verified the certificate; here it is read, if it comes from the authority for users.
Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.authorities import Authorities
from pybernetes.apiserver.authentication.interface import authenticated
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.http.messages import Request

if TYPE_CHECKING:
    from cryptography.x509 import Name

UID_OID = "1.3.6.1.4.1.57683.2"  # Kubernetes' own: the user's UID
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
REMEMBERED_MAX = 4096


class ClientCertificates:
    def __init__(self, authorities: Authorities | None = None) -> None:
        """Without `authorities` every certificate counts that the transport has verified."""
        self._authorities = authorities
        # Reading a certificate takes some 30 µs, and a connection's is the same with each request.
        self._users: dict[bytes, User | None] = {}

    async def authenticate(self, request: Request) -> User | None:
        der = request.peer_certificate
        if der is None:
            return None
        if self._authorities is not None and not self._authorities.have_vouched_for(request):
            raise Unauthorized("x509: certificate signed by unknown authority")
        try:
            return self._users[der]
        except KeyError:
            if len(self._users) >= REMEMBERED_MAX:
                self._users.clear()
            user = user_of(der)
            self._users[der] = user = None if user is None else authenticated(user)
            return user


def user_of(der: bytes) -> User | None:
    """The user that a certificate names; None if it has no common name."""
    from cryptography.x509.oid import NameOID, ObjectIdentifier

    subject = _subject(der)
    name = _common_name(subject)
    if not name:
        return None
    uids = subject.get_attributes_for_oid(ObjectIdentifier(UID_OID))
    return User(
        name=name,
        uid=str(uids[0].value) if uids else "",
        groups=tuple(str(group.value) for group in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)),
        extra={CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)},
    )


@lru_cache(1024)
def common_name(der: bytes) -> str:
    """The common name of a certificate's subject; "" if it has none."""
    return _common_name(_subject(der))


def _subject(der: bytes) -> Name:
    from cryptography import x509

    return x509.load_der_x509_certificate(der).subject


def _common_name(subject: Name) -> str:
    from cryptography.x509.oid import NameOID

    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
