"""Whose credentials a webhook gets."""

from __future__ import annotations

import pytest

from pybernetes.apiserver.admission.webhooks.credentials import Credentials, names_for, read
from pybernetes.client import kubeconfig
from pybernetes.machinery.clock import SystemClock

DOCUMENT = {"kind": "WebhookAdmissionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1"}


def test_the_closest_name_comes_first():
    assert list(names_for("hook.ns.svc:443")) == [
        "hook.ns.svc:443", "*.ns.svc:443", "*.svc:443", "hook.ns.svc", "*.ns.svc", "*.svc", "*",
    ]  # fmt: skip
    assert list(names_for("a.b:8443")) == ["a.b:8443", "*.b:8443", "*"]


def of(*names, current=""):
    config = {"users": [{"name": name, "user": {"token": f"of {name}"}} for name in names]}
    if current:
        config |= {"contexts": [{"name": "c", "context": {"user": current}}], "current-context": "c"}
    return Credentials(config, SystemClock())


@pytest.mark.parametrize(
    ("names", "current", "chosen"),
    [
        (("*.example.com", "hook.example.com", "*"), "", "hook.example.com"),
        (("*.example.com", "*"), "", "*.example.com"),
        (("*", "me"), "me", "*"),
        (("other", "me"), "me", "me"),
        (("other",), "", ""),
    ],
)
def test_which_user_a_server_is_shown(names, current, chosen):
    credentials = of(*names, current=current)
    assert credentials.name_for("hook.example.com:443") == chosen
    assert credentials.token(chosen) == (f"of {chosen}" if chosen else None)


def test_a_kubeconfig_of_no_use_is_refused_at_once(tmp_path):
    path = tmp_path / "config"
    with pytest.raises(ValueError, match='kubeConfigFile: Invalid value: "config": must be an absolute file path'):
        read({**DOCUMENT, "kubeConfigFile": "config"}, SystemClock())
    with pytest.raises(ValueError, match="no such file"):
        read({**DOCUMENT, "kubeConfigFile": str(path)}, SystemClock())
    kubeconfig.write(path, {"users": [{"name": "a", "user": {"username": "me", "password": "secret"}}]})
    with pytest.raises(ValueError, match="user name and password are not supported") as refused:
        read({**DOCUMENT, "kubeConfigFile": str(path)}, SystemClock())
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match='no kind "Other" is registered'):
        read({**DOCUMENT, "kind": "Other"}, SystemClock())
    assert read(DOCUMENT, SystemClock()).name_for("a:443") == ""
