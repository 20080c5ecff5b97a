"""The certificate by which extension servers know us, and the headers that say who asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pybernetes.apiserver.aggregation import front_proxy
from pybernetes.apiserver.aggregation.front_proxy import FrontProxy
from pybernetes.apiserver.attributes import User
from pybernetes.machinery import pki
from pybernetes.machinery.resources import CONFIG_MAPS

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_a_certificate_is_made_once_and_renewed_by_the_same_authority(tmp_path: Path):
    made = front_proxy.complete(FrontProxy(), tmp_path, NOW)
    first, authority = Path(made.proxy_client_cert_file).read_bytes(), Path(made.requestheader_client_ca_file).read_bytes()
    assert made.requestheader_allowed_names == ("front-proxy-client",)
    assert pki.common_name(first) == "front-proxy-client"
    assert (tmp_path / "front-proxy-ca.key").stat().st_mode & 0o077 == 0
    assert front_proxy.complete(FrontProxy(), tmp_path, NOW + timedelta(days=300)) == made
    assert Path(made.proxy_client_cert_file).read_bytes() == first
    front_proxy.complete(FrontProxy(), tmp_path, NOW + timedelta(days=340))
    assert Path(made.proxy_client_cert_file).read_bytes() != first
    assert Path(made.requestheader_client_ca_file).read_bytes() == authority


def test_a_certificate_needs_its_key(tmp_path: Path):
    with pytest.raises(ValueError, match="go together"):
        front_proxy.complete(FrontProxy(proxy_client_cert_file="x"), tmp_path, NOW)


async def test_authorities_of_other_servers_stay_published(cluster, tmp_path: Path):
    ours, theirs = (front_proxy.complete(FrontProxy(), tmp_path / name, NOW) for name in "ab")
    await front_proxy.publish(theirs, cluster, cluster)
    await front_proxy.publish(ours, cluster, cluster)
    await front_proxy.publish(theirs, cluster, cluster)
    await front_proxy.publish(ours, cluster, cluster)
    data = cluster.get(CONFIG_MAPS, front_proxy.NAMESPACE, front_proxy.NAME)["data"]
    assert data["requestheader-client-ca-file"].count("BEGIN CERTIFICATE") == 2
    assert len(cluster.writes) == 2


def test_groups_and_extras_come_in_a_header_each():
    user = User("jane", "7", ("a", "b"), {"example.com/Scope": ("x", "y")})
    assert list(front_proxy.identity_headers(user)) == [
        ("X-Remote-User", "jane"),
        ("X-Remote-Uid", "7"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", "b"),
        ("X-Remote-Extra-example.com%2FScope", "x"),
        ("X-Remote-Extra-example.com%2FScope", "y"),
    ]
