"""What stored objects come to: what is mandatory is there, what makes no sense is not."""

from __future__ import annotations

from pybernetes.apiserver.flow_control.allocation import Shares
from pybernetes.apiserver.flow_control.configuration import Queuing, read
from tests.unit.apiserver.flow_control.objects import defaults, level, schema


def test_the_mandatory_objects_are_there_even_if_nobody_stores_them() -> None:
    found = read((), ())
    assert set(found.levels) == {"exempt", "catch-all"}
    assert [one.name for one in found.schemas] == ["exempt", "catch-all"]
    assert found.levels["exempt"].shares.exempt and not found.levels["catch-all"].shares.exempt


def test_the_defaults_are_read() -> None:
    found = read(*defaults())
    assert found.levels["workload-low"].shares == Shares(100, 90)
    assert found.levels["workload-low"].queuing == Queuing(128, 6, 50)
    assert found.levels["catch-all"].queuing is None
    assert [one.name for one in found.schemas][:4] == ["exempt", "probes", "system-leader-election", "system-node-high"]
    assert found.schemas[-1].name == "catch-all"


def test_a_schema_whose_level_is_not_there_means_nothing() -> None:
    found = read([schema("s", "nowhere", "me")], [level("l", 10)])
    assert "s" not in [one.name for one in found.schemas] and "l" in found.levels


def test_no_other_level_can_be_exempt() -> None:
    exempt = {"metadata": {"name": "mine"}, "spec": {"type": "Exempt", "exempt": {}}}
    assert "mine" not in read((), [exempt]).levels


def test_a_level_with_impossible_queues_is_left_out() -> None:
    assert "l" not in read((), [level("l", 10, queues=2, hand=3)]).levels
    limited = level("l", 10, queues=2)
    del limited["spec"]["limited"]["limitResponse"]["queuing"]
    assert "l" not in read((), [limited]).levels
