"""Names and conditions of definitions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pybernetes.apiserver.custom_resources.definitions import is_true, next_status
from pybernetes.apiserver.discovery import version_rank

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def definition(plural: str = "widgets", group: str = "example.com", **names: Any) -> Any:
    wanted = {"plural": plural, "singular": plural[:-1], "kind": "Widget", "listKind": "WidgetList", **names}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": wanted},
        "status": {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": ["v1"]},
    }


def settled(one: Any, *others: Any) -> Any:
    return {**one, "status": next_status(one, [one, *others], NOW)}


def test_fresh_names_are_accepted_and_the_definition_established():
    found = settled(definition())
    assert is_true(found, "NamesAccepted")
    assert is_true(found, "Established")
    assert found["status"]["acceptedNames"]["kind"] == "Widget"


def test_deciding_again_changes_nothing():
    found = settled(definition(shortNames=["wd"], categories=["all"]))
    assert next_status(found, [found], datetime(2030, 1, 1, tzinfo=UTC)) == found["status"]


def test_names_that_another_definition_of_the_group_holds_are_refused():
    first = settled(definition(shortNames=["w"]))
    second = settled(definition("wigs", kind="Wig", listKind="WigList", shortNames=["w"]), first)
    assert not is_true(second, "Established")
    condition = second["status"]["conditions"][0]
    assert (condition["reason"], condition["message"]) == ("ShortNamesConflict", '"w" is already in use')
    assert second["status"]["acceptedNames"]["kind"] == "Wig"
    elsewhere = settled(definition("wigs", "example.org", kind="Wig", listKind="WigList", shortNames=["w"]), first)
    assert is_true(elsewhere, "Established")


def test_a_definition_that_was_established_stays_so_when_new_names_are_refused():
    first = settled(definition())
    second = settled(definition("wigs", kind="Wig", listKind="WigList"), first)
    second["spec"]["names"]["shortNames"] = ["widget"]
    changed = settled(second, first)
    assert is_true(changed, "Established")
    assert not is_true(changed, "NamesAccepted")
    assert "shortNames" not in changed["status"]["acceptedNames"]


def test_versions_are_preferred_by_stability_then_number():
    given = ["foo1", "v1alpha1", "v2", "v11beta2", "v10beta3", "v10", "v1", "v3beta1"]
    assert sorted(given, key=version_rank) == ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v1alpha1", "foo1"]
