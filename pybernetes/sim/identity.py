"""Who somebody is, for a server in the same process: a certificate that a seed repeats to the byte.

The transport within a process takes a certificate as verified, so one key signs for everybody, and keeps no secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pybernetes.sim.virtual_time import EPOCH

LIFETIME = timedelta(days=3650)


def certificate(user: str, groups: Sequence[str] = ()) -> bytes:
    """A client certificate (DER) of that user in those groups."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    name = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(EPOCH)
        .not_valid_after(EPOCH + LIFETIME)
    )
    return builder.sign(key, None).public_bytes(Encoding.DER)
