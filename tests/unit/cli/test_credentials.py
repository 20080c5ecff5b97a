from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pybernetes.cli import credentials
from pybernetes.cli.credentials import ApiAddress
from pybernetes.cli.layout import Layout
from pybernetes.machinery import pki
from pybernetes.machinery.entropy import SeededEntropy

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
ADDRESS = ApiAddress("192.0.2.2", 6443, "10.96.0.1", "cluster.local", "node-a")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data", tmp_path / "run", tmp_path / "logs")


def ensure(layout, address=ADDRESS, now=NOW):
    credentials.ensure(layout, address, now, SeededEntropy(1))
    return {path.name: path.read_bytes() for path in layout.data.rglob("*") if path.is_file()}


def test_what_was_made_once_is_kept(layout):
    assert ensure(layout) == ensure(layout)


def test_keys_and_kubeconfigs_are_for_their_owner_only(layout):
    ensure(layout)
    secrets = [*layout.pki.glob("*.key"), *layout.data.glob("*.kubeconfig"), layout.pki / "bootstrap-token"]
    assert len(secrets) > 8
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    assert layout.pki.stat().st_mode & 0o777 == 0o700


def test_another_address_gets_new_certificates_from_the_same_authority(layout):
    before, after = ensure(layout), ensure(layout, replace(ADDRESS, node_ip="192.0.2.9"))
    assert before["ca.crt"] == after["ca.crt"]
    assert before["sa.key"] == after["sa.key"]
    assert before["apiserver.crt"] != after["apiserver.crt"]
    config = yaml.safe_load(after["admin.kubeconfig"])
    assert config["clusters"][0]["cluster"]["server"] == "https://192.0.2.9:6443"


def test_certificates_are_renewed_before_they_end(layout):
    before = ensure(layout)
    after = ensure(layout, now=NOW + timedelta(days=340))
    assert before["apiserver.crt"] != after["apiserver.crt"]
    assert pki.expires_at(after["apiserver.crt"]) > NOW + timedelta(days=700)


def test_a_bootstrap_token_has_its_two_parts(layout):
    ensure(layout)
    token_id, _, secret = credentials.bootstrap_token(layout, SeededEntropy(2)).partition(".")
    assert (len(token_id), len(secret)) == (6, 16)
    assert (token_id + secret).isalnum()
