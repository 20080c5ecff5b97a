"""Which APIServices there are for what is served here, and the order that they give to discovery."""

from __future__ import annotations

from datetime import UTC, datetime

from pybernetes.apiserver.aggregation import local_services as local
from pybernetes.apiserver.aggregation import merging
from pybernetes.machinery.resources import GROUPS

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def definition(group: str, **served: bool) -> dict[str, object]:
    return {"spec": {"group": group, "versions": [{"name": name, "served": is_served} for name, is_served in served.items()]}}


def test_their_priorities_give_upstreams_order_of_groups_and_versions():
    priorities = merging.Priorities(local.builtin())
    names = [group.name for group in GROUPS]
    assert sorted(names, key=priorities.group) == names
    for group in GROUPS:
        assert tuple(sorted(group.versions, key=lambda version: priorities.version(group.name, version))) == group.versions


def test_served_versions_of_definitions_are_registered():
    wanted = local.custom([definition("a.example.com", v1=True, v2=False), definition("b.example.com", v1=True)])
    assert [found["metadata"]["name"] for found in wanted] == ["v1.a.example.com", "v1.b.example.com"]
    assert list(local.changes([], wanted)) == [local.Create(one) for one in wanted]
    assert list(local.changes(wanted, wanted)) == []


def test_what_is_no_longer_defined_goes_but_not_what_is_somebodys_own():
    (ours,) = local.custom([definition("a.example.com", v1=True)])
    theirs = {"metadata": {"name": "v1.b.example.com"}, "spec": {"group": "b.example.com", "version": "v1"}}
    on_start = local.builtin()[0]
    assert list(local.changes([ours, theirs, on_start], [])) == [local.Delete("v1.a.example.com")]


def test_an_altered_one_is_put_right_unless_it_was_taken_over():
    (wanted,) = local.custom([definition("a.example.com", v1=True)])
    altered = {**wanted, "spec": {**wanted["spec"], "groupPriorityMinimum": 5}}
    assert list(local.changes([altered], [wanted])) == [local.Update(wanted)]
    taken = {**altered, "metadata": {"name": wanted["metadata"]["name"]}}
    assert list(local.changes([taken], [wanted])) == []


def test_a_condition_is_written_once_and_keeps_its_time_while_its_status_stays():
    service = local.builtin()[0]
    first = local.with_condition(service, "False", "A", "a", NOW)
    assert first is not None
    assert local.with_condition(first, "False", "A", "a", NOW) is None
    second = local.with_condition(first, "False", "B", "b", NOW.replace(year=2027))
    third = local.with_condition(first, "True", "B", "b", NOW.replace(year=2027))
    assert second is not None and third is not None
    assert second["status"]["conditions"][0]["lastTransitionTime"] == "2026-11-21T00:00:00Z"
    assert third["status"]["conditions"][0]["lastTransitionTime"] == "2027-11-21T00:00:00Z"
