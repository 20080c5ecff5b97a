"""What the command line makes of a server's authorization."""

import pytest

from pybernetes.apiserver.app import authorization_options
from pybernetes.apiserver.authorization.configuration import ConfigurationError, Webhook, of_modes
from pybernetes.apiserver.options import Options


def test_node_and_rbac_are_what_nobody_asked_against():
    assert authorization_options(Options()).configuration == of_modes(("Node", "RBAC"))


def test_a_webhook_is_asked_in_the_older_version_and_kept_as_upstream_does():
    options = Options(authorization_mode=("Webhook",), authorization_webhook_config_file="/x")
    assert authorization_options(options).configuration == of_modes(("Webhook",), Webhook("/x", "v1beta1"))
    kept = Options(
        authorization_mode=("Webhook",), authorization_webhook_config_file="/x", authorization_webhook_version="v1",
        authorization_webhook_cache_authorized_ttl_s=0.0, authorization_webhook_cache_unauthorized_ttl_s=7.0,
    )  # fmt: skip
    wanted = Webhook("/x", "v1", authorized_ttl_s=0.0, unauthorized_ttl_s=7.0)
    assert authorization_options(kept).configuration == of_modes(("Webhook",), wanted)


def test_a_file_names_its_server_in_metrics():
    found = authorization_options(Options(authorization_config="/f", authorization_policy_file="/p"))
    assert (found.file, found.policy_file) == ("/f", "/p")
    assert found.server_id.startswith("apiserver-")


@pytest.mark.parametrize(
    "flags",
    [
        {"authorization_mode": ("RBAC",)},
        {"authorization_webhook_config_file": "/x"},
        {"authorization_webhook_version": "v1"},
        {"authorization_webhook_cache_authorized_ttl_s": 300.0},
        {"authorization_webhook_cache_unauthorized_ttl_s": 0.0},
    ],
)
def test_a_file_excludes_the_flags_that_it_replaces(flags):
    with pytest.raises(ConfigurationError) as refused:
        authorization_options(Options(authorization_config="/f", **flags))
    assert str(refused.value) == (
        "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined"
    )
