import base64
import os
import stat
from pathlib import Path

import pytest
import ryaml
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.client import kubeconfig
from pybernetes.machinery.clock import SystemClock


def test_what_is_written_is_read_back_and_is_private(tmp_path: Path):
    config = kubeconfig.build(
        server="https://10.0.0.1:6443", certificate_authority=b"CA", client_certificate=b"C", client_key=b"K"
    )
    path = tmp_path / "deep" / "config"
    kubeconfig.write(path, config)
    assert kubeconfig.load(path) == config
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["config"]


keys = st.sampled_from(["a-key", "yes-or-no", "server"])
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text([chr(n) for n in range(32, 127)], max_size=12)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6)


@given(st.dictionaries(keys, values, min_size=1))
def test_any_configuration_reads_the_same_in_old_and_new_yaml(config):
    text = kubeconfig.to_yaml(config)
    assert ryaml.loads(text) == yaml.load(text, yaml.CSafeLoader) == config


def test_relative_paths_are_relative_to_the_file(tmp_path: Path):
    (tmp_path / "config").write_text("clusters: [{name: c, cluster: {certificate-authority: pki/ca.crt}}]\n")
    config = kubeconfig.load(tmp_path / "config")
    assert config["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "pki/ca.crt")


def test_of_several_files_the_first_to_say_something_wins(tmp_path: Path):
    first, second = tmp_path / "1", tmp_path / "2"
    kubeconfig.write(first, {"current-context": "one", "clusters": [{"name": "c", "cluster": {"server": "http://first"}}]})
    kubeconfig.write(
        second,
        {
            "current-context": "two",
            "clusters": [{"name": "c", "cluster": {}}, {"name": "d", "cluster": {"server": "http://second"}}],
        },
    )
    merged = kubeconfig.load_merged([first, tmp_path / "missing", second])
    assert merged["current-context"] == "one"
    assert [entry["cluster"]["server"] for entry in merged["clusters"]] == ["http://first", "http://second"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "error loading config file"),
        ("[]", "it is not a mapping"),
        ("clusters: 5", '"clusters" is not a list'),
        ("clusters: [{name: a, cluster: 5}]", 'cluster "a" is not a mapping'),
        ("users: [{name: a, user: {token: [b]}}]", 'user "a": "token" is not a text'),
        ("contexts: [{name: a, context: {cluster: 7}}]", 'context "a": "cluster" is not a text'),
    ],
)
def test_a_broken_file_is_told_in_one_sentence(tmp_path: Path, content: str, message: str):
    (tmp_path / "config").write_text(content)
    with pytest.raises(kubeconfig.ConfigError, match=message):
        kubeconfig.load(tmp_path / "config")


def test_a_server_that_is_no_address_is_told():
    access = kubeconfig.Access({"clusters": [{"name": "a", "cluster": {"server": "http://a:b"}}]}, cluster="a")
    with pytest.raises(kubeconfig.ConfigError, match='host must be a URL or a host:port pair: "http://a:b"'):
        access.transport(SystemClock())


def test_a_missing_file_and_a_missing_context_are_told(tmp_path: Path):
    with pytest.raises(kubeconfig.ConfigError, match="no such file"):
        kubeconfig.load(tmp_path / "nope")
    with pytest.raises(kubeconfig.ConfigError, match='context "x" does not exist'):
        kubeconfig.Access(kubeconfig.build(server="http://a"), "x")


def test_a_credential_plugin_gives_the_token(tmp_path: Path):
    plugin = tmp_path / "plugin"
    plugin.write_text('#!/bin/sh\necho \'{"kind":"ExecCredential","status":{"token":"\'"$SAY"\'"}}\'\n')
    plugin.chmod(0o700)
    config = kubeconfig.build(server="http://a")
    config["users"][0]["user"] = {"exec": {"command": str(plugin), "env": [{"name": "SAY", "value": "s3cret"}]}}
    token = kubeconfig.Access(config).token(SystemClock())
    assert callable(token)
    assert token() == "s3cret"


def test_bad_certificate_data_is_told():
    config = kubeconfig.build(server="https://a", certificate_authority=b"not PEM")
    with pytest.raises(kubeconfig.ConfigError, match="unable to use the certificates"):
        kubeconfig.Access(config).ssl_context()
    config["clusters"][0]["cluster"]["certificate-authority-data"] = "%%%"
    with pytest.raises(kubeconfig.ConfigError, match="not base64"):
        kubeconfig.Access(config).ssl_context()
    assert base64.b64encode(b"") == b""
