"""AuthorizationConfiguration and the flags: what they mean, and upstream's words for what they may not say."""

import json

import pytest

from pybernetes.apiserver.authorization.configuration import (
    AuthorizerConfiguration,
    ConfigurationError,
    Webhook,
    of_flags,
    parse,
)


@pytest.fixture
def kubeconfig(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text("")
    return str(path)


@pytest.fixture
def webhook(kubeconfig):
    """A good one, but for the fields given; None leaves a field out."""

    def make(**fields):
        good = {
            "timeout": "3s",
            "subjectAccessReviewVersion": "v1",
            "failurePolicy": "Deny",
            "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": kubeconfig},
        }
        return {key: value for key, value in {**good, **fields}.items() if value is not None}

    return make


def configuration(*authorizers, version="v1"):
    document = {
        "apiVersion": f"apiserver.config.k8s.io/{version}",
        "kind": "AuthorizationConfiguration",
        "authorizers": list(authorizers),
    }
    return json.dumps(document).encode()


def of(webhook, name="hook.example.com"):
    return {"type": "Webhook", "name": name, "webhook": webhook}


RBAC = {"type": "RBAC", "name": "rbac"}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_file_names_authorizers_in_their_order(webhook, kubeconfig, version):
    found = parse(configuration(of(webhook()), {"type": "Node", "name": "node"}, RBAC, version=version))
    assert found == (
        AuthorizerConfiguration("Webhook", "hook.example.com", Webhook(kubeconfig, "v1", 3.0, 300.0, 30.0, True)),
        AuthorizerConfiguration("Node", "node"),
        AuthorizerConfiguration("RBAC", "rbac"),
    )


def test_a_webhooks_answers_are_kept_as_long_as_it_says_or_not_at_all(webhook):
    given = webhook(authorizedTTL="1m30s", cacheUnauthorizedRequests=False, failurePolicy="NoOpinion")
    (found,) = parse(configuration(of(given)))
    assert (found.webhook.authorized_ttl_s, found.webhook.unauthorized_ttl_s) == (90.0, 0.0)
    assert not found.webhook.denies_on_failure


def test_configurations_that_differ_in_a_condition_differ(webhook):
    def having(expression):
        fields = {"matchConditions": [{"expression": expression}], "matchConditionSubjectAccessReviewVersion": "v1"}
        return parse(configuration(of(webhook(**fields))))

    assert having("true") == having("true")
    assert having("true") != having("false")


CONDITION = {"matchConditionSubjectAccessReviewVersion": "v1"}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"timeout": None}, "authorizers[0].timeout: Required value"),
        ({"timeout": "31s"}, 'authorizers[0].timeout: Invalid value: "31s": must be > 0s and <= 30s'),
        ({"timeout": "-1s"}, 'authorizers[0].timeout: Invalid value: "-1s": must be > 0s and <= 30s'),
        ({"authorizedTTL": "-1s"}, 'authorizers[0].authorizedTTL: Invalid value: "-1s": must be > 0s'),
        ({"unauthorizedTTL": "-1m"}, 'authorizers[0].unauthorizedTTL: Invalid value: "-1m0s": must be > 0s'),
        ({"subjectAccessReviewVersion": None}, "authorizers[0].subjectAccessReviewVersion: Required value"),
        ({"subjectAccessReviewVersion": "v2"},
         'authorizers[0].subjectAccessReviewVersion: Unsupported value: "v2": supported values: "v1", "v1beta1"'),
        ({"failurePolicy": None}, "authorizers[0].failurePolicy: Required value"),
        ({"failurePolicy": "Allow"},
         'authorizers[0].failurePolicy: Unsupported value: "Allow": supported values: "NoOpinion", "Deny"'),
        ({"connectionInfo": None}, "authorizers[0].connectionInfo.type: Required value"),
        ({"connectionInfo": {"type": "KubeConfigFile"}}, "authorizers[0].connectionInfo.kubeConfigFile: Required value"),
        ({"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "x"}},
         'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "x": must be an absolute path'),
        ({"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/nowhere"}},
         'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/nowhere": '
         "error loading file: stat /nowhere: no such file or directory"),
        ({"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/"}},
         'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/": must be a regular file'),
        ({"connectionInfo": {"type": "InClusterConfig", "kubeConfigFile": "/x"}},
         'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/x": can only be set when type=KubeConfigFile'),
        ({"connectionInfo": {"type": "InClusterConfig"}},
         "authorizer hook.example.com: connectionInfo.type InClusterConfig is not allowed for kube-apiserver"),
        ({"matchConditions": [{"expression": "true"}]},
         "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified"),
        ({"matchConditions": [{"expression": "true"}], "matchConditionSubjectAccessReviewVersion": "v1beta1"},
         'authorizers[0].matchConditionSubjectAccessReviewVersion: Unsupported value: "v1beta1": supported values: "v1"'),
        ({**CONDITION, "matchConditions": [{"expression": " "}]},
         "authorizers[0].matchConditions[0].expression: Required value"),
        ({**CONDITION, "matchConditions": [{"expression": "true"}, {"expression": "true"}]},
         'authorizers[0].matchConditions[1].expression: Duplicate value: "true"'),
        ({**CONDITION, "matchConditions": [{"expression": "request.user"}]},
         'authorizers[0].matchConditions[0].expression: Invalid value: "request.user": must evaluate to bool but got string'),
        ({**CONDITION, "matchConditions": [{"expression": "true"}] * 65},
         "authorizers[0].matchConditions: Too many: 65: must have at most 64 items"),
        ({"timout": "3s"},
         'failed to load AuthorizationConfiguration from file: strict decoding error: '
         'unknown field "authorizers[0].webhook.timout"'),
        ({"timeout": "soon"}, 'failed to load AuthorizationConfiguration from file: time: invalid duration "soon"'),
    ],
)  # fmt: skip
def test_a_webhook_that_cannot_be_is_refused_in_upstreams_words(webhook, fields, problem):
    with pytest.raises(ConfigurationError) as refused:
        parse(configuration(of(webhook(**fields))))
    assert str(refused.value) == problem


def test_a_condition_about_what_there_is_not_is_refused_when_it_is_compiled(webhook):
    fields = {**CONDITION, "matchConditions": [{"expression": "request.resourceAttributes.nmae == 'x'"}]}
    with pytest.raises(ConfigurationError, match=r"compilation failed: ERROR: <input>:1:\d+: undefined field 'nmae'"):
        parse(configuration(of(webhook(**fields))))


@pytest.mark.parametrize(
    ("authorizers", "problem"),
    [
        ([], "authorizers: Required value: at least one authorization mode must be defined"),
        ([{"name": "x"}], "authorizers[0].type: Required value"),
        ([{"type": "Magic", "name": "magic"}],
         'authorizers[0].type: Unsupported value: "Magic": supported values: '
         '"ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"'),
        ([RBAC, RBAC], 'authorizers[1].type: Duplicate value: "RBAC"'),
        ([{"type": "RBAC"}], "authorizers[0].name: Required value"),
        ([{"type": "RBAC", "name": "rules"}], "expected name rbac for authorizer RBAC instead of rules"),
        ([{"type": "Webhook", "name": "a"}], "authorizers[0].webhook: Required value: required when type=Webhook"),
    ],
)  # fmt: skip
def test_a_chain_that_cannot_be_is_refused_in_upstreams_words(authorizers, problem):
    with pytest.raises(ConfigurationError) as refused:
        parse(configuration(*authorizers))
    assert str(refused.value) == problem


def test_webhooks_may_be_several_but_not_of_one_name(webhook):
    assert len(parse(configuration(of(webhook(), "a"), of(webhook(), "b"), RBAC))) == 3
    with pytest.raises(ConfigurationError, match=r'^authorizers\[1\].name: Duplicate value: "a"$'):
        parse(configuration(of(webhook(), "a"), of(webhook(), "a")))
    with pytest.raises(ConfigurationError, match=r'name: Invalid value: "A": authorizer name is invalid: a lowercase RFC 1123'):
        parse(configuration(of(webhook(), "A")))
    with pytest.raises(ConfigurationError, match=r'webhook: Invalid value: "non-null": may only be specified when'):
        parse(configuration({**RBAC, "webhook": webhook()}))


def test_what_a_running_server_has_must_stay_in_the_file():
    with pytest.raises(ConfigurationError, match=r"^missing required types: \[ABAC Node\]$"):
        parse(configuration(RBAC), {"Node", "RBAC", "ABAC"})


def test_an_empty_file_has_no_authorizers():
    with pytest.raises(ConfigurationError, match="at least one authorization mode must be defined"):
        parse(b"")


HOOK = Webhook("/x", "v1beta1")


def test_flags_become_the_same_as_a_file():
    found = of_flags(["Node", "ABAC", "Webhook"], "/policies", HOOK)
    assert [(authorizer.type, authorizer.name) for authorizer in found] == [
        ("Node", "node"), ("ABAC", "abac"), ("Webhook", "default"),
    ]  # fmt: skip
    assert found[2].webhook is HOOK


@pytest.mark.parametrize(
    ("modes", "policy_file", "webhook", "problem"),
    [
        ((), "", None, "at least one authorization-mode must be passed"),
        (("Magic",), "", None, 'authorization-mode "Magic" is not a valid mode'),
        (("ABAC",), "", None, "authorization-mode ABAC's authorization policy file not passed"),
        (("Webhook",), "", None, "authorization-mode Webhook's authorization config file not passed"),
        (("RBAC",), "/x", None, "cannot specify --authorization-policy-file without mode ABAC"),
        (("RBAC",), "", HOOK, "cannot specify --authorization-webhook-config-file without mode Webhook"),
        (("RBAC", "RBAC"), "", None, 'authorization-mode ["RBAC" "RBAC"] has mode specified more than once'),
        (("Webhook",), "", Webhook("/x", "v2"),
         'unsupported webhook authorizer version "v2", supported versions are "v1", "v1beta1"'),
        (("ABAC", "Webhook"), "", None,
         "[authorization-mode ABAC's authorization policy file not passed, "
         "authorization-mode Webhook's authorization config file not passed]"),
    ],
)  # fmt: skip
def test_flags_that_contradict_each_other_are_refused(modes, policy_file, webhook, problem):
    with pytest.raises(ConfigurationError) as refused:
        of_flags(modes, policy_file, webhook)
    assert str(refused.value) == problem
