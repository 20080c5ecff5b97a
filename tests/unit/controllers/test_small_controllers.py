"""Namespaces, service accounts, the root certificate, aggregated roles, bootstrap tokens; which controllers run."""

from __future__ import annotations

import base64
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pybernetes.controllers import app, clusterrole_aggregation, namespace, root_ca_publisher, serviceaccount, token_cleaner
from pybernetes.controllers.actions import Delete, DeleteCollection, LookAgain, Update
from pybernetes.controllers.controller import Declared
from pybernetes.controllers.manager import enabled
from pybernetes.controllers.options import Options
from pybernetes.controllers.registry import ALL
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import condition
from pybernetes.machinery.resources import CLUSTER_ROLES, CONFIG_MAPS, NAMESPACES, PODS, SECRETS, SERVICE_ACCOUNTS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def space(**metadata: Any) -> dict[str, Any]:
    head = {"name": "team", "uid": "ns", "resourceVersion": "1", **metadata}
    return {"metadata": head, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


LEAVING = space(deletionTimestamp=rfc3339(NOW))


def test_a_namespace_without_content_is_let_go() -> None:
    (action,) = namespace.reconcile(namespace.Snapshot(LEAVING, (), NOW))
    assert isinstance(action, Update) and action.subresource == "finalize"
    assert action.obj["spec"]["finalizers"] == []


def test_pods_go_before_everything_else() -> None:
    contents = [namespace.Content(CONFIG_MAPS, 2), namespace.Content(PODS, 1)]
    actions = namespace.reconcile(namespace.Snapshot(LEAVING, contents, NOW))
    assert [each.resource for each in actions if isinstance(each, DeleteCollection)] == [PODS]
    actions = namespace.reconcile(namespace.Snapshot(LEAVING, contents[:1], NOW))
    assert [each.resource for each in actions if isinstance(each, DeleteCollection)] == [CONFIG_MAPS]


def test_what_remains_is_reported_and_waited_for() -> None:
    contents = [namespace.Content(PODS, 2, Counter({"a/b": 1}), all_leaving=True)]
    status, again = namespace.reconcile(namespace.Snapshot(LEAVING, contents, NOW))
    assert isinstance(status, Update) and isinstance(again, LookAgain)
    found = condition(status.obj["status"]["conditions"], "NamespaceContentRemaining")
    assert found is not None
    assert found["message"] == "Some resources are remaining: pods. has 2 resource instances"


def test_a_namespace_whose_content_is_unknown_stays() -> None:
    actions = namespace.reconcile(namespace.Snapshot(LEAVING, (), NOW, listing_failure="Failed to list pods: no"))
    assert not any(isinstance(each, Update) and each.subresource == "finalize" for each in actions)
    assert isinstance(actions[-1], LookAgain)


def test_every_namespace_gets_its_default_service_account_again_and_again(World: Any) -> None:
    world = World(serviceaccount.controller, [(NAMESPACES, space())])
    world.settle("team")
    world.cache(SERVICE_ACCOUNTS).objects.clear()
    world.settle("team")
    assert world.names(SERVICE_ACCOUNTS) == ["default"]


def test_a_namespace_that_is_leaving_gets_nothing_new(World: Any) -> None:
    world = World(serviceaccount.controller, [(NAMESPACES, LEAVING)])
    assert world.step("team") == []


def test_the_root_certificate_is_put_right_where_somebody_changed_it(World: Any, tmp_path: Any) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("CA")
    spoilt = {"metadata": {"name": "kube-root-ca.crt", "namespace": "team"}, "data": {"ca.crt": "EVIL"}}
    objects = [(NAMESPACES, space()), (CONFIG_MAPS, spoilt)]
    world = World(root_ca_publisher.controller, objects, root_ca_file=str(file))
    world.settle("team")
    assert world.all(CONFIG_MAPS)[0]["data"] == {"ca.crt": "CA"}


def test_an_aggregated_role_has_the_rules_of_those_it_selects_each_once(World: Any) -> None:
    read = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    write = {"apiGroups": [""], "resources": ["pods"], "verbs": ["update"]}
    picks = {"aggregate-to-view": "true"}
    roles = [
        {"metadata": {"name": "view"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": picks}]}, "rules": []},
        {"metadata": {"name": "a", "labels": picks}, "rules": [read]},
        {"metadata": {"name": "b", "labels": picks}, "rules": [read, write]},
        {"metadata": {"name": "c"}, "rules": [{"verbs": ["*"]}]},
    ]
    world = World(clusterrole_aggregation.controller, [(CLUSTER_ROLES, each) for each in roles])
    world.settle("view")
    assert world.cache(CLUSTER_ROLES).get("", "view")["rules"] == [read, write]


def token(expires: str) -> token_cleaner.Snapshot:
    data = {"expiration": base64.b64encode(expires.encode()).decode()}
    secret = {"metadata": {"name": "t", "namespace": "kube-system", "uid": "u"}, "type": token_cleaner.TYPE, "data": data}
    return token_cleaner.Snapshot(secret, NOW)


def test_a_bootstrap_token_goes_when_it_expires() -> None:
    assert token_cleaner.reconcile(token(rfc3339(NOW + timedelta(hours=1)))) == [LookAgain(3600.0)]
    (action,) = token_cleaner.reconcile(token(rfc3339(NOW)))
    assert isinstance(action, Delete) and action.resource == SECRETS
    (action,) = token_cleaner.reconcile(token("soon"))
    assert isinstance(action, Delete)


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        (("*",), True),
        (("*", "-foo-controller"), False),
        (("foo",), True),
        (("bar",), False),
        (("-foo", "*"), False),
    ],
)
def test_the_controllers_flag_chooses(wanted: tuple[str, ...], runs: bool) -> None:
    assert enabled(Declared("foo-controller", lambda _: None, ("foo",)), wanted) is runs


def test_what_is_off_by_default_must_be_named() -> None:
    declared = Declared("token-cleaner-controller", lambda _: None, ("tokencleaner",), on_by_default=False)
    assert not enabled(declared, ("*",))
    assert enabled(declared, ("*", "tokencleaner"))


def test_names_and_aliases_are_unique_and_an_unknown_one_is_refused() -> None:
    names = [name for each in ALL for name in (each.name, *each.aliases)]
    assert len(names) == len(set(names))
    with pytest.raises(ValueError, match="not in the list of known controllers"):
        app.check(Options(controllers=("*", "-nonsense")))
