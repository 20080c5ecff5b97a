"""No decision on a cache that is older than our own writes."""

from __future__ import annotations

from typing import Any

from pybernetes.controllers.expectations import EXPIRE_S, Expectations
from pybernetes.machinery.meta import Resource
from pybernetes.machinery.resources import PODS


def pod(version: int, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "uid": "u", "resourceVersion": str(version), **metadata}}


def never(resource: Resource) -> int:
    return 0


def test_a_creation_blocks_until_the_cache_shows_it() -> None:
    expectations = Expectations()
    expectations.wrote("key", PODS, pod(5), None, 0)
    assert expectations.blocked("key", 1, never)
    assert expectations.saw(pod(5)) == ["key"]
    assert not expectations.blocked("key", 1, never)


def test_an_older_state_does_not_count_as_seeing_an_update() -> None:
    expectations = Expectations()
    expectations.wrote("key", PODS, pod(7), pod(5), 0)
    assert expectations.saw(pod(6)) == []
    assert expectations.saw(pod(8)) == ["key"]


def test_what_the_cache_shows_already_does_not_block() -> None:
    expectations = Expectations()
    expectations.wrote("key", PODS, pod(5), pod(5), 0)
    expectations.deleted("key", PODS, "u", None, 0)
    expectations.deleted("key", PODS, "u", pod(6, deletionTimestamp="t"), 0)
    assert not expectations.blocked("key", 0, never)


def test_a_deletion_blocks_until_the_object_is_leaving_or_gone() -> None:
    expectations = Expectations()
    expectations.deleted("key", PODS, "u", pod(5), 0)
    assert expectations.saw(pod(6)) == []
    assert expectations.saw(pod(7, deletionTimestamp="t")) == ["key"]
    expectations.deleted("key", PODS, "u", pod(5), 0)
    assert expectations.saw(pod(6), gone=True) == ["key"]


def test_a_key_is_free_only_once_all_of_its_writes_are_seen() -> None:
    expectations = Expectations()
    expectations.wrote("key", PODS, pod(5), None, 0)
    expectations.wrote("key", PODS, {"metadata": {"name": "b", "uid": "v", "resourceVersion": "6"}}, None, 0)
    assert expectations.saw(pod(5)) == []
    assert expectations.blocked("key", 0, never)


def test_what_is_never_shown_stops_blocking_once_the_cache_is_past_it_or_after_a_while() -> None:
    expectations = Expectations()
    expectations.wrote("key", PODS, pod(5), None, 0)
    assert expectations.blocked("key", 0, lambda _: 4)
    assert not expectations.blocked("key", 0, lambda _: 5)
    expectations.wrote("key", PODS, pod(5), None, 0)
    assert not expectations.blocked("key", EXPIRE_S, never)
