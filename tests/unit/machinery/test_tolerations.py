"""Taints and tolerations (concept page "Taints and Tolerations")."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.machinery.tolerations import first_untolerated, tolerates, toleration_limit_s

TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "covers"),
    [
        ({"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}, True),
        ({"key": "dedicated", "value": "db"}, True),
        ({"key": "dedicated", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "dedicated", "value": "web"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_toleration_covers_a_taint_by_key_value_and_effect(toleration: dict[str, Any], covers: bool) -> None:
    assert tolerates(toleration, TAINT) is covers


def test_a_mere_preference_keeps_nobody_out() -> None:
    prefer = {"key": "slow", "effect": "PreferNoSchedule"}
    assert first_untolerated([prefer], None) is None
    assert first_untolerated([prefer, TAINT], None) == TAINT


def test_the_shortest_needed_toleration_limits_the_stay() -> None:
    first, second = {"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoExecute"}
    for_long = {"key": "a", "operator": "Exists", "tolerationSeconds": 300}
    for_short = {"key": "b", "operator": "Exists", "tolerationSeconds": 10}
    assert toleration_limit_s([first, second], [for_long, for_short]) == 10
    assert toleration_limit_s([first], [for_long, for_short]) == 300
    assert toleration_limit_s([first], [{"operator": "Exists"}]) == float("inf")
    assert toleration_limit_s([first, second], [for_long]) is None
