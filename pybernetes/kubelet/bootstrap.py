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
RENEW_BEFORE = timedelta(days=1)
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
        user = kubeconfig.Access(kubeconfig.load(path)).user
        data = user.get("client-certificate-data")
        pem = base64.b64decode(data) if data else None
        if pem is None and user.get("client-certificate"):
            pem = Path(user["client-certificate"]).read_bytes()
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
    cluster = access.cluster
    ca = base64.b64decode(cluster.get("certificate-authority-data") or "")
    if not ca and cluster.get("certificate-authority"):
        ca = _read(cluster["certificate-authority"])
    written = kubeconfig.build(
        server=access.server,
        certificate_authority=ca,
        client_certificate=certificate_pem,
        client_key=key_pem,
        user=user,
    )
    kubeconfig.write(path, written)
    log.info("Bootstrapped the node's identity", user=user, kubeconfig=path)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


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
