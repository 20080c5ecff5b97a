"""`kubectl auth`, by the stock client: what it makes of access and rules reviews."""

from __future__ import annotations

MANIFEST = b"""
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: cook, namespace: default}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list], resourceNames: [recipes]}
- {apiGroups: [apps], resources: [deployments/scale], verbs: [patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: cooks, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: cook}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: cooks}
"""
JANE = ("--as", "jane", "--as-group", "cooks")


async def test_what_somebody_may_do_is_asked_and_listed(theirs):
    assert (await theirs("apply", "-f", "-", stdin=MANIFEST)).code == 0
    for asked, answer in (
        (("get", "configmaps/recipes"), "yes"),
        (("get", "configmaps"), "no"),
        (("patch", "deployments.apps", "--subresource", "scale"), "yes"),
        (("get", "/version"), "yes"),
        (("get", "/metrics"), "no"),
    ):
        found = await theirs("auth", "can-i", *asked, *JANE)
        assert found.out.strip().split(" ")[0] == answer, (asked, found)

    listed = (await theirs("auth", "can-i", "--list", *JANE)).out
    rows = [" ".join(line.split()) for line in listed.splitlines()]
    assert rows[0] == "Resources Non-Resource URLs Resource Names Verbs"
    assert rows.count("configmaps [] [recipes] [get list]") == 1
    assert "deployments.apps/scale [] [] [patch]" in rows
    assert "selfsubjectreviews.authentication.k8s.io [] [] [create]" in rows
    assert "[/healthz] [] [get]" in rows

    nobody = await theirs("auth", "can-i", "get", "configmaps/recipes", "--as", "joe", "-v=1")
    assert (nobody.code, nobody.out.strip()) == (1, "no")
    listed = (await theirs("auth", "can-i", "--list", "--as", "system:node:a", "--as-group", "system:nodes")).err
    assert "the list may be incomplete: node authorizer does not support user rule resolution" in listed


async def test_a_role_cannot_be_widened_by_who_does_not_hold_it(theirs):
    assert (await theirs("apply", "-f", "-", stdin=MANIFEST)).code == 0
    editor = ("create", "role", "editor", "--verb=get,update,patch", "--resource=roles,rolebindings")
    assert (await theirs(*editor)).code == 0
    assert (await theirs("create", "rolebinding", "editors", "--role=editor", "--user=jane")).code == 0
    patch = '[{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}]'
    refused = await theirs("patch", "role", "cook", "--type=json", "-p", patch, *JANE)
    assert "is attempting to grant RBAC permissions not currently held" in refused.err
    assert (await theirs("label", "role", "cook", "a=b", *JANE)).code == 0  # they hold it themselves
