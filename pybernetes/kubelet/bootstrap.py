"""How a new node gets its identity: a key made here, a certificate signed by the cluster (TLS bootstrapping).

With the bootstrap kubeconfig's token, which may do nothing else, the kubelet asks for a client certificate for
`system:node:<name>` and waits until the controller manager has approved and signed it.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import errors, pki
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import CERTIFICATE_SIGNING_REQUESTS

log = logger("kubelet.bootstrap")

SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
RENEW_BEFORE = timedelta(minutes=5)  # what is left to a certificate with which it is not worth starting
RENEW_AT = 0.7  # of its life, as upstream: between 70 % and 85 %
RENEW_RETRY_S = 60.0
WAIT_S = 120
RETRY_FIRST_S = 0.05  # a new cluster waits for us as soon as its API server answers
RETRY_GROWTH = 1.25
RETRY_MAX_S = 5.0


class BootstrapFailed(ValueError):
    """No identity was to be had; `str()` says why."""


def is_usable(path: str, clock: Clock) -> bool:
    """Whether the kubeconfig exists and its certificate is good for a while (one without certificate is taken as it is)."""
    if not Path(path).exists():
        return False
    try:
        pem = _certificate(path)
        return pem is None or pki.expires_at(pem) - clock.now() > RENEW_BEFORE
    except (kubeconfig.ConfigError, OSError, ValueError) as error:
        log.warning("The kubeconfig cannot be used, bootstrapping anew", path=path, error=str(error))
        return False


async def bootstrap(bootstrap_path: str, path: str, node_name: str, *, clock: Clock, entropy: Entropy) -> None:
    """Write the node's kubeconfig at `path`. Raises BootstrapFailed, kubeconfig.ConfigError.

    An API server that is not there yet is waited for.
    """
    config = kubeconfig.load(bootstrap_path)
    access = kubeconfig.Access(config)
    client = Client(access.transport(clock), user_agent="kubelet", clock=clock, entropy=entropy)
    try:
        key_pem = pki.new_key_pem()
        user = f"system:node:{node_name}"
        certificate_pem = await request_certificate(client, key_pem, user, clock=clock, entropy=entropy)
    finally:
        await client.close()
    _write(path, access, user, certificate_pem, key_pem)
    log.info("Bootstrapped the node's identity", user=user, kubeconfig=path)


def _write(path: str, access: kubeconfig.Access, user: str, certificate_pem: bytes, key_pem: bytes) -> None:
    cluster = access.cluster
    ca = base64.b64decode(cluster.get("certificate-authority-data") or "")
    if not ca and cluster.get("certificate-authority"):
        ca = Path(cluster["certificate-authority"]).read_bytes()
    written = kubeconfig.build(
        server=access.server,
        certificate_authority=ca,
        client_certificate=certificate_pem,
        client_key=key_pem,
        user=user,
    )
    kubeconfig.write(path, written)


def _certificate(path: str) -> bytes | None:
    """The client certificate (PEM) of the kubeconfig's user, None if it has none."""
    user = kubeconfig.Access(kubeconfig.load(path)).user
    if user.get("client-certificate-data"):
        return base64.b64decode(user["client-certificate-data"])
    return Path(user["client-certificate"]).read_bytes() if user.get("client-certificate") else None


async def keep_certificate(client: Client, path: str, node_name: str, *, clock: Clock, entropy: Entropy) -> None:
    """Renew the client certificate before it expires, and let `client` go on with the new one. For ever.

    A kubeconfig without certificate, or whose certificate is not this node's, is somebody else's to renew.
    """
    user = f"system:node:{node_name}"
    while True:
        certificate = _certificate(path)
        if certificate is None or pki.common_name(certificate) != user:
            return
        issued, expires = pki.validity(certificate)
        due = issued + (expires - issued) * (RENEW_AT + (1 - RENEW_AT) / 2 * entropy.random())
        while (left_s := (due - clock.now()).total_seconds()) > 0:
            await clock.sleep(min(left_s, 86400.0))  # in steps: a clock that is set forward is noticed
        key_pem = pki.new_key_pem()
        try:
            renewed = await request_certificate(client, key_pem, user, clock=clock, entropy=entropy)
        except BootstrapFailed as error:
            log.warning("Cannot renew the node's certificate", error=str(error))
            await clock.sleep(jittered(RENEW_RETRY_S, entropy))
            continue
        _write(path, kubeconfig.Access(kubeconfig.load(path)), user, renewed, key_pem)
        former = client.transport
        client.transport = kubeconfig.Access(kubeconfig.load(path)).transport(clock)
        await former.close()  # its watches are opened again with the new certificate
        log.info("Renewed the node's certificate", user=user)


async def request_certificate(client: Client, key_pem: bytes, user: str, *, clock: Clock, entropy: Entropy) -> bytes:
    """The certificate (PEM) for `user` in group system:nodes. Raises BootstrapFailed if it is denied or does not come."""
    request = pki.signing_request(key_pem, user, ("system:nodes",))
    csr: Object = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-"},
        "spec": {
            "request": base64.b64encode(request).decode(),
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
        },
    }
    delay_s = RETRY_FIRST_S
    created: Object | None = None
    while True:
        try:
            if created is None:
                created = await client.create(CERTIFICATE_SIGNING_REQUESTS, csr)
            certificate = await _wait_signed(client, created)
            if certificate is not None:
                return certificate
            raise BootstrapFailed(f"certificate request {name_of(created)} was not signed within {WAIT_S} s")
        except (ConnectionFailed, errors.InternalError, errors.ServiceUnavailable, errors.Forbidden, errors.Unauthorized) as e:
            # Forbidden and Unauthorized too: a new API server may not have its roles and tokens at once.
            log.warning("Cannot request a certificate yet", error=str(e))
            await clock.sleep(jittered(delay_s, entropy, factor=0.3))
            delay_s = min(delay_s * RETRY_GROWTH, RETRY_MAX_S)


async def _wait_signed(client: Client, csr: Object) -> bytes | None:
    name = name_of(csr)
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                csr = await client.get(CERTIFICATE_SIGNING_REQUESTS, name)
                if (certificate := _verdict(csr)) is not None:
                    return certificate
                revision = csr["metadata"].get("resourceVersion", "")
                watch = client.watch(CERTIFICATE_SIGNING_REQUESTS, name=name, resource_version=revision, timeout_s=WAIT_S)
                async with aclosing(watch) as events:
                    async for event in events:
                        if event.type == "MODIFIED" and (certificate := _verdict(event.object)) is not None:
                            return certificate
    except TimeoutError:
        return None


def _verdict(csr: Object) -> bytes | None:
    status = csr.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] in ("Denied", "Failed"):
            why = condition.get("message") or condition.get("reason", "")
            raise BootstrapFailed(f"certificate request {name_of(csr)} is {condition['type'].lower()}: {why}")
    certificate = status.get("certificate")
    return base64.b64decode(certificate) if certificate else None
