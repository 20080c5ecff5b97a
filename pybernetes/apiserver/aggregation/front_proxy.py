"""How extension servers recognise this one: a client certificate of ours, and headers that say for whom it asks.

They learn which certificates and headers to trust from the ConfigMap kube-system/extension-apiserver-authentication.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import orjson

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import CONFIG_MAPS

NAMESPACE, NAME = "kube-system", "extension-apiserver-authentication"
USER, UID, GROUP, EXTRA_PREFIX = "X-Remote-User", "X-Remote-Uid", "X-Remote-Group", "X-Remote-Extra-"
CLIENT_NAME = "front-proxy-client"
RENEWED_BEFORE = timedelta(days=30)
# What an HTTP header name may hold (RFC 9110), but for "%" itself; upper case would be lost on the way.
_NAME_SAFE = "!#$&'*+-.^_`|~"


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """Upstream's flags, by their names."""

    proxy_client_cert_file: str = ""
    proxy_client_key_file: str = ""
    requestheader_client_ca_file: str = ""
    requestheader_allowed_names: tuple[str, ...] = ()  # common names; empty: any that the authority has signed
    requestheader_username_headers: tuple[str, ...] = (USER,)
    requestheader_uid_headers: tuple[str, ...] = (UID,)
    requestheader_group_headers: tuple[str, ...] = (GROUP,)
    requestheader_extra_headers_prefix: tuple[str, ...] = (EXTRA_PREFIX,)
    client_ca_file: str = ""

    def published(self) -> Mapping[str, str]:
        """The ConfigMap's data. Raises OSError for files that cannot be read."""
        data = {}
        if self.client_ca_file:
            data["client-ca-file"] = Path(self.client_ca_file).read_text()
        if self.requestheader_client_ca_file:
            data["requestheader-allowed-names"] = _list(self.requestheader_allowed_names)
            data["requestheader-client-ca-file"] = Path(self.requestheader_client_ca_file).read_text()
            data["requestheader-extra-headers-prefix"] = _list(self.requestheader_extra_headers_prefix)
            data["requestheader-group-headers"] = _list(self.requestheader_group_headers)
            data["requestheader-uid-headers"] = _list(self.requestheader_uid_headers)
            data["requestheader-username-headers"] = _list(self.requestheader_username_headers)
        return data


def _list(values: tuple[str, ...]) -> str:
    return orjson.dumps(list(values)).decode()


async def publish(front_proxy: FrontProxy, reader: Reader, writer: Writer) -> None:
    """Keep the ConfigMap; what else is in it stays. Raises OSError, `StatusError`."""
    data = front_proxy.published()
    if not data:
        return
    current = reader.get(CONFIG_MAPS, NAMESPACE, NAME)
    if current is None:
        wanted: Object = {"metadata": {"name": NAME, "namespace": NAMESPACE}, "data": dict(data)}
        await writer.create(CONFIG_MAPS, wanted)
        return
    merged = {**(current.get("data") or {})}
    for key, value in data.items():
        # Of several API servers each may have its own authority: extension servers are to trust all of them.
        merged[key] = _joined(merged.get(key, ""), value) if key.endswith("client-ca-file") else value
    if merged != current.get("data"):
        await writer.update(CONFIG_MAPS, {**current, "data": merged})


def _joined(present: str, own: str) -> str:
    if own.strip() in present:
        return present
    return present + ("" if not present or present.endswith("\n") else "\n") + own


def complete(given: FrontProxy, directory: Path, now: datetime) -> FrontProxy:
    """`given`, or where it names no client certificate, one of our own in `directory` (made once, renewed in time).

    Raises ValueError for a certificate without its key.
    """
    if bool(given.proxy_client_cert_file) != bool(given.proxy_client_key_file):
        raise ValueError("--proxy-client-cert-file and --proxy-client-key-file go together")
    if given.proxy_client_cert_file or given.requestheader_client_ca_file:
        return given
    authority_file, certificate = directory / "front-proxy-ca.crt", directory / "front-proxy-client.crt"
    if not certificate.exists() or _expires_soon(certificate, now):
        from pybernetes.machinery import pki

        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority_key = authority_file.with_suffix(".key")
        if authority_file.exists() and authority_key.exists() and not _expires_soon(authority_file, now):
            authority = pki.Authority(authority_file.read_bytes(), authority_key.read_bytes())
        else:
            authority = pki.Authority.create("front-proxy-ca", now)
            pki.KeyPair(authority.certificate_pem, authority.key_pem).save(authority_file, authority_key)
        authority.issue(CLIENT_NAME, now=now).save(certificate, certificate.with_suffix(".key"))
    return replace(
        given,
        proxy_client_cert_file=str(certificate),
        proxy_client_key_file=str(certificate.with_suffix(".key")),
        requestheader_client_ca_file=str(authority_file),
        requestheader_allowed_names=(CLIENT_NAME,),
    )


def _expires_soon(certificate: Path, now: datetime) -> bool:
    from pybernetes.machinery import pki

    return pki.expires_at(certificate.read_bytes()) < now + RENEWED_BEFORE


def identity_headers(user: User) -> Iterator[tuple[str, str]]:
    """The headers that say who asks; a name may come several times."""
    yield USER, user.name
    if user.uid:
        yield UID, user.uid
    for group in user.groups:
        yield GROUP, group
    for key, values in user.extra.items():
        for value in values:
            yield EXTRA_PREFIX + quote(key, safe=_NAME_SAFE), value
