"""ABAC: which policies match, and what a bad line says."""

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.abac import API_VERSION, Policy, PolicyError, load, policy_of
from pybernetes.apiserver.authorization.interface import Decision

ALICE = User("alice", groups=("cooks", "system:authenticated"))
NOBODY = User("system:anonymous", groups=("system:unauthenticated",))
GET_POD = RequestInfo("get", "", True, "", "v1", "pods", "", "ns", "a")
DELETE_POD = RequestInfo("delete", "", True, "", "v1", "pods", "", "ns", "a")
GET_LOGS = RequestInfo("get", "/logs/kube/x")


def of(**spec) -> Policy:
    return policy_of({"apiVersion": API_VERSION, "kind": "Policy", "spec": spec})


PODS = {"namespace": "ns", "resource": "pods", "apiGroup": ""}


@pytest.mark.parametrize(
    ("policy", "user", "info", "allowed"),
    [
        (of(user="alice", **PODS), ALICE, GET_POD, True),
        (of(user="bob", **PODS), ALICE, GET_POD, False),
        (of(group="cooks", **PODS), ALICE, GET_POD, True),
        (of(user="alice", group="bakers", **PODS), ALICE, GET_POD, False),
        (of(**PODS), ALICE, GET_POD, False),
        (of(user="*", **PODS), ALICE, GET_POD, True),
        (of(user="*", **PODS), NOBODY, GET_POD, False),
        (of(group="*", **PODS), NOBODY, GET_POD, False),
        (of(group="system:unauthenticated", **PODS), NOBODY, GET_POD, True),
        (of(user="alice", readonly=True, **PODS), ALICE, GET_POD, True),
        (of(user="alice", readonly=True, **PODS), ALICE, DELETE_POD, False),
        (of(user="alice", **{**PODS, "namespace": ""}), ALICE, GET_POD, False),
        (of(user="alice", **{**PODS, "apiGroup": "apps"}), ALICE, GET_POD, False),
        (of(user="alice", namespace="*", resource="*", apiGroup="*"), ALICE, DELETE_POD, True),
        (of(user="alice", namespace="*", resource="*", apiGroup="*"), ALICE, GET_LOGS, False),
        (of(user="alice", nonResourcePath="*"), ALICE, GET_LOGS, True),
        (of(user="alice", nonResourcePath="*"), ALICE, GET_POD, False),
        (of(user="alice", nonResourcePath="/logs/*"), ALICE, GET_LOGS, True),
        (of(user="alice", nonResourcePath="/logs"), ALICE, GET_LOGS, False),
        (of(user="alice", nonResourcePath="/logs/kube/x"), ALICE, GET_LOGS, True),
        (of(user="alice", readonly=True, nonResourcePath="*"), ALICE, RequestInfo("post", "/x"), False),
        (policy_of({}), ALICE, GET_LOGS, True),
        (policy_of({}), NOBODY, GET_LOGS, False),
        (policy_of({"user": "alice", "resource": "pods"}), ALICE, GET_POD, True),
        (policy_of({"user": "alice", "resource": "pods"}), ALICE, GET_LOGS, False),
        (policy_of({"user": "alice", "namespace": "other"}), ALICE, GET_POD, False),
        (policy_of({"user": "alice", "readonly": True}), ALICE, DELETE_POD, False),
    ],
)
def test_a_policy_matches_who_and_what_it_names(policy, user, info, allowed):
    assert (policy.concerns(user) and policy.allows(info)) is allowed


async def test_one_matching_line_of_the_file_is_enough(tmp_path):
    path = tmp_path / "policies"
    path.write_text(
        "# cooks first\n\n"
        '{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"bob"}}\r\n'
        '{"user":"alice","resource":"pods","readonly":true}\n'
    )
    abac = load(str(path))
    assert (await abac.authorize(ALICE, GET_POD)).decision is Decision.ALLOW
    verdict = await abac.authorize(ALICE, DELETE_POD)
    assert (verdict.decision, verdict.reason) == (Decision.NO_OPINION, "No policy matched.")
    rule = {"verbs": ["get", "list", "watch"], "apiGroups": ["*"], "resources": ["pods"]}
    assert abac.rules_for(ALICE, "ns") == ([rule], False, "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"user":5}', "json: cannot unmarshal number into Go struct field Policy.user of type string"),
        ('{"kind":"Policy","apiVersion":"abac.authorization.kubernetes.io/v1beta1","spec":{"readonly":"yes"}}',
         "json: cannot unmarshal string into Go struct field PolicySpec.spec.readonly of type bool"),
        ('{"kind":"Policy","apiVersion":"abac/v9"}', 'no kind "Policy" is registered for version "abac/v9"'),
        ('{"user"}', "couldn't get version/kind; json parse error: invalid character '}' after object key"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_by_its_number(tmp_path, line, problem):
    path = tmp_path / "policies"
    path.write_text(f"# a comment\n{line}\n")
    with pytest.raises(PolicyError) as refused:
        load(str(path))
    assert str(refused.value) == f"error reading policy file {path}, line 2: {line}: {problem}"


def test_an_endless_line_is_refused(tmp_path):
    path = tmp_path / "policies"
    path.write_text('{"user":"' + "x" * 70_000 + '"}')
    with pytest.raises(PolicyError, match=r"bufio\.Scanner: token too long"):
        load(str(path))
