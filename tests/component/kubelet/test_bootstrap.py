"""A node's identity: asked for, denied, renewed."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from typing import Any

import pytest

from pybernetes.client import kubeconfig
from pybernetes.client.transport import Transport
from pybernetes.kubelet.bootstrap import BootstrapFailed, is_usable, keep_certificate, request_certificate
from pybernetes.machinery import pki
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import CERTIFICATE_SIGNING_REQUESTS

USER = "system:node:node-1"


async def answer(api: Any, authority: pki.Authority, *, approved: bool = True) -> Object:
    """Do what the controller manager would with the next request."""

    async def pending() -> Object | None:
        items = (await api.admin.list(CERTIFICATE_SIGNING_REQUESTS))["items"]
        return next((item for item in items if not item.get("status")), None)

    csr: Object = await api.until(pending, 10)
    kind = "Approved" if approved else "Denied"
    condition = {"type": kind, "status": "True", "reason": "Test", "message": "because"}
    changed = {**csr, "status": {"conditions": [condition]}}
    changed = await api.admin.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource="approval")
    if approved:
        pem = base64.b64decode(csr["spec"]["request"])
        signed = authority.sign(pem, usages=pki.CLIENT, lifetime=timedelta(days=1), now=api.clock.now())
        changed["status"]["certificate"] = base64.b64encode(signed).decode()
        await api.admin.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource="status")
    return csr


async def test_a_certificate_comes_as_soon_as_it_is_signed(api: Any) -> None:
    authority = pki.Authority.create("ca", api.clock.now())
    key = pki.new_key_pem()
    asked = asyncio.create_task(request_certificate(api.admin, key, USER, clock=api.clock, entropy=api.entropy))
    csr = await answer(api, authority)
    certificate = await asyncio.wait_for(asked, 2)
    assert pki.common_name(certificate) == USER
    assert csr["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client-kubelet"


async def test_a_denied_request_is_an_error_with_its_reason(api: Any) -> None:
    authority = pki.Authority.create("ca", api.clock.now())
    key = pki.new_key_pem()
    asked = asyncio.create_task(request_certificate(api.admin, key, USER, clock=api.clock, entropy=api.entropy))
    await answer(api, authority, approved=False)
    with pytest.raises(BootstrapFailed, match="is denied: because"):
        await asyncio.wait_for(asked, 2)


async def test_a_certificate_is_renewed_before_it_expires(api: Any) -> None:
    authority, now = pki.Authority.create("ca", api.clock.now()), api.clock.now()
    old = authority.issue(USER, ("system:nodes",), lifetime=timedelta(seconds=1), now=now)
    path = str(api.directory / "kubelet.kubeconfig")

    def write(pair: pki.KeyPair) -> None:
        kubeconfig.write(
            path,
            kubeconfig.build(
                server="https://127.0.0.1:1",
                certificate_authority=authority.certificate_pem,
                client_certificate=pair.certificate_pem,
                client_key=pair.key_pem,
                user=USER,
            ),
        )

    write(old)
    assert not is_usable(path, api.clock)
    client = api.client("admin")
    former: Transport = client.transport
    keeping = asyncio.create_task(keep_certificate(client, path, "node-1", clock=api.clock, entropy=api.entropy))
    await answer(api, authority)

    async def renewed() -> bool:
        return is_usable(path, api.clock)

    await api.until(renewed, 5)
    assert client.transport is not former
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await client.close()


async def test_a_kubeconfig_of_somebody_else_is_left_alone(api: Any) -> None:
    pair = pki.Authority.create("ca", api.clock.now()).issue("kubernetes-admin", now=api.clock.now())
    path = str(api.directory / "admin.kubeconfig")
    config = kubeconfig.build(server="https://x", client_certificate=pair.certificate_pem, client_key=pair.key_pem)
    kubeconfig.write(path, config)
    async with asyncio.timeout(1):
        await keep_certificate(api.admin, path, "node-1", clock=api.clock, entropy=api.entropy)
