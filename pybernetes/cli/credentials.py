"""The cluster's certificates, keys and kubeconfigs: made once, kept in the data directory, renewed before they end.

One authority signs every identity (https://kubernetes.io/docs/setup/best-practices/certificates/); the users and groups are
those that upstream's RBAC bindings name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pybernetes.cli.layout import Layout
from pybernetes.client import kubeconfig
from pybernetes.machinery import pki
from pybernetes.machinery.entropy import Entropy

RENEW_BEFORE = timedelta(days=30)
CLUSTER_NAME = "pybernetes"


@dataclass(frozen=True, slots=True)
class Identity:
    """A component's user: the kubeconfig named `component` carries it."""

    component: str
    user: str
    groups: tuple[str, ...] = ()


IDENTITIES = (
    Identity("admin", "kubernetes-admin", ("system:masters",)),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("proxy", "system:kube-proxy"),
    Identity("dns", "system:pyb-dns"),
)


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """How the API server is reached: by its clients on this machine, and inside the cluster."""

    node_ip: str
    port: int
    service_ip: str
    cluster_domain: str
    node_name: str

    @property
    def url(self) -> str:
        return f"https://{self.node_ip}:{self.port}"

    @property
    def dns_names(self) -> tuple[str, ...]:
        service = "kubernetes.default.svc"
        return ("localhost", "kubernetes", "kubernetes.default", service, f"{service}.{self.cluster_domain}", self.node_name)

    @property
    def ip_addresses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(("127.0.0.1", self.node_ip, self.service_ip)))


def ensure(layout: Layout, address: ApiAddress, now: datetime, entropy: Entropy) -> None:
    """Make whatever is missing, ends soon, or names other addresses than these; leave the rest as it is."""
    layout.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _authority(layout, now)
    fingerprint = hashlib.sha256(repr((address, authority.certificate_pem)).encode()).hexdigest()
    stamp = layout.pki / "issued-for"
    same_addresses = stamp.exists() and stamp.read_text() == fingerprint

    def is_current(certificate: Path) -> bool:
        return same_addresses and certificate.exists() and pki.expires_at(certificate.read_bytes()) > now + RENEW_BEFORE

    key = layout.pki / "sa.key"
    if not key.exists():
        private = pki.new_key_pem()
        pki.write_private(key, private)
        pki.write_public(layout.pki / "sa.pub", pki.public_key_pem(private))
    if not is_current(layout.pki / "apiserver.crt"):
        pair = authority.issue(
            "kube-apiserver", (), address.dns_names, address.ip_addresses, usages=pki.SERVER, now=now
        )  # fmt: skip
        pair.save(layout.pki / "apiserver.crt", layout.pki / "apiserver.key")
    if not is_current(layout.pki / "kubelet-server.crt"):
        pair = authority.issue(
            f"system:node:{address.node_name}", ("system:nodes",), (address.node_name,), address.ip_addresses,
            usages=pki.SERVER, now=now,
        )  # fmt: skip
        pair.save(layout.pki / "kubelet-server.crt", layout.pki / "kubelet-server.key")
    if not is_current(layout.pki / "apiserver-kubelet-client.crt"):
        pair = authority.issue("kube-apiserver-kubelet-client", ("system:masters",), now=now)
        pair.save(layout.pki / "apiserver-kubelet-client.crt", layout.pki / "apiserver-kubelet-client.key")
    for identity in IDENTITIES:
        certificate = layout.pki / f"{identity.component}.crt"
        path = layout.kubeconfig(identity.component)
        if is_current(certificate) and path.exists():
            continue
        pair = authority.issue(identity.user, identity.groups, now=now)
        pki.write_public(certificate, pair.certificate_pem)
        _write_kubeconfig(
            path, address, authority, user=identity.user, client_certificate=pair.certificate_pem, client_key=pair.key_pem
        )
    if not same_addresses or not layout.bootstrap_kubeconfig.exists():
        token = bootstrap_token(layout, entropy)
        _write_kubeconfig(layout.bootstrap_kubeconfig, address, authority, user="bootstrap", token=token)
        # A node's identity is for one address of the API server; with another it asks for a new one.
        layout.kubelet_kubeconfig.unlink(missing_ok=True)
    pki.write_public(stamp, fingerprint.encode())


def _write_kubeconfig(path: Path, address: ApiAddress, authority: pki.Authority, **user: Any) -> None:
    config = kubeconfig.build(server=address.url, certificate_authority=authority.certificate_pem, cluster=CLUSTER_NAME, **user)
    kubeconfig.write(path, config)


def bootstrap_token(layout: Layout, entropy: Entropy) -> str:
    """`<id>.<secret>`, 6 and 16 characters of [a-z0-9] (KEP: bootstrap tokens); made once."""
    path = layout.pki / "bootstrap-token"
    if not path.exists():
        alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

        def text(length: int) -> str:
            # 252 is the largest multiple of 36 in a byte: taking only bytes below it leaves no character likelier.
            found = ""
            while len(found) < length:
                found += "".join(alphabet[byte % 36] for byte in entropy.token_bytes(length) if byte < 252)
            return found[:length]

        pki.write_private(path, f"{text(6)}.{text(16)}".encode())
    return path.read_text()


def _authority(layout: Layout, now: datetime) -> pki.Authority:
    certificate, key = layout.pki / "ca.crt", layout.pki / "ca.key"
    if certificate.exists() and key.exists():
        return pki.Authority(certificate.read_bytes(), key.read_bytes())
    authority = pki.Authority.create("kubernetes", now)
    pki.KeyPair(authority.certificate_pem, authority.key_pem).save(certificate, key)
    return authority
