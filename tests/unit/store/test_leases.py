from __future__ import annotations

import pytest

from pybernetes.store.embedded.leases import Leases
from pybernetes.store.interface import LeaseExists, LeaseNotFound


def test_a_lease_is_due_when_its_time_is_over() -> None:
    leases = Leases({1: 10}, 100.0)
    assert leases.next_look_s == 110.0
    assert leases.due(109.9) == []
    assert leases.due(110.0) == [1]


def test_a_renewed_lease_is_due_its_whole_time_later() -> None:
    leases = Leases({1: 10}, 100.0)
    assert leases.renew(1, 109.0) == 10
    assert leases.due(110.0) == []
    assert leases.next_look_s == 119.0
    assert leases.due(119.0) == [1]


def test_an_ended_lease_gives_its_keys_in_order_and_is_never_due() -> None:
    leases = Leases({1: 10, 2: 20}, 0.0)
    leases.move("b", 0, 1)
    leases.move("a", 0, 1)
    leases.move("c", 0, 1)
    leases.move("c", 1, 2)
    assert leases.end(1) == ["a", "b"]
    assert leases.due(15.0) == []
    assert leases.ttls_s == {2: 20}


def test_what_is_not_there_is_refused_and_what_is_there_is_not_replaced() -> None:
    leases = Leases({1: 10}, 0.0)
    leases.move("a", 0, 1)
    with pytest.raises(LeaseNotFound):
        leases.move("a", 1, 2)
    assert leases.end(1) == ["a"]
    for call in (lambda: leases.renew(1, 0.0), lambda: leases.end(1)):
        with pytest.raises(LeaseNotFound):
            call()
    leases.grant(1, 5, 0.0)
    with pytest.raises(LeaseExists):
        leases.grant(1, 5, 0.0)
