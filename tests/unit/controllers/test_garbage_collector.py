"""Garbage collection: what is put in question, and what is decided about it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.controllers.actions import Delete, Patch
from pybernetes.controllers.garbage_collector.decide import Dependent, OwnerState, Snapshot, decide
from pybernetes.controllers.garbage_collector.graph import Graph
from pybernetes.machinery.resources import CONFIG_MAPS


def config_map(uid: str, *owners: str, namespace: str = "default", blocks: bool = False, **metadata: Any) -> dict[str, Any]:
    """A ConfigMap named as its uid, owned by ConfigMaps of these uids."""
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner,
            "uid": owner,
            **({"blockOwnerDeletion": True} if blocks else {}),
        }
        for owner in owners
    ]
    head = {"name": uid, "uid": uid, "namespace": namespace, "resourceVersion": "7", "ownerReferences": references}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {**head, **metadata}}


LEAVING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def test_an_owner_that_nobody_has_seen_is_put_in_question() -> None:
    graph = Graph()
    assert graph.saw(config_map("child", "parent")) == ["parent"]
    assert graph.gone("parent") == ["child"]


def test_the_dependents_of_what_is_gone_are_put_in_question() -> None:
    graph = Graph()
    graph.saw(config_map("parent"))
    graph.saw(config_map("a", "parent"))
    graph.saw(config_map("b", "parent"))
    assert graph.gone("parent") == ["a", "b"]


def test_a_foreground_deletion_asks_about_the_dependents_and_then_about_the_owner() -> None:
    graph = Graph()
    graph.saw(config_map("parent"))
    graph.saw(config_map("child", "parent", blocks=True))
    asked = graph.saw(config_map("parent", finalizers=["foregroundDeletion"], **LEAVING))
    assert set(asked) == {"child", "parent"}
    assert [each.uid for each in graph.blocking("parent")] == ["child"]
    assert graph.gone("child") == ["parent"]
    assert graph.blocking("parent") == []


def test_an_owner_in_another_namespace_does_not_count() -> None:
    graph = Graph()
    graph.saw(config_map("parent", namespace="other"))
    assert graph.saw(config_map("child", "parent")) == ["child"]
    (owner,) = graph.nodes["child"].owners
    assert graph.is_solid(owner, "default") is False
    assert graph.is_solid(owner, "other") is True


@given(
    events=st.lists(
        st.one_of(
            st.tuples(st.just("saw"), st.integers(0, 5), st.sets(st.integers(0, 5), max_size=3)),
            st.tuples(st.just("gone"), st.integers(0, 5), st.just(set())),
        ),
        max_size=40,
    )
)
def test_the_graph_always_mirrors_the_references(events: list[Any]) -> None:
    graph = Graph()
    world: dict[str, set[str]] = {}
    for what, number, owners in events:
        uid = f"u{number}"
        if what == "saw":
            world[uid] = {f"u{each}" for each in owners if each != number}
            graph.saw(config_map(uid, *sorted(world[uid])))
        else:
            world.pop(uid, None)
            graph.gone(uid)
        for name, node in graph.nodes.items():
            assert node.virtual == (name not in world)
            assert set(node.dependents) == {each for each, its in world.items() if name in its}
            assert node.dependents or name in world, "a mere name that nobody names any more is forgotten"


def owned(state: OwnerState, *more: OwnerState, dependents: Any = (), **metadata: Any) -> Snapshot:
    states = (state, *more)
    obj = config_map("child", *(f"o{number}" for number in range(len(states))), **metadata)
    references = obj["metadata"]["ownerReferences"]
    return Snapshot(CONFIG_MAPS, obj, list(zip(references, states, strict=True)), dependents)


def test_without_a_living_owner_it_is_deleted_in_the_background() -> None:
    (action,) = decide(owned(OwnerState.DANGLING))
    assert isinstance(action, Delete)
    assert (action.uid, action.propagation_policy) == ("child", "Background")


def test_one_living_owner_is_enough_and_dead_references_are_dropped() -> None:
    assert decide(owned(OwnerState.SOLID)) == []
    (action,) = decide(owned(OwnerState.SOLID, OwnerState.DANGLING))
    assert isinstance(action, Patch)
    assert [each["uid"] for each in action.patch["metadata"]["ownerReferences"]] == ["o0"]
    assert action.patch["metadata"]["resourceVersion"] == "7"


def test_a_waiting_owner_takes_its_dependents_in_the_foreground_if_they_have_dependents() -> None:
    below = Dependent(CONFIG_MAPS, config_map("below"), blocks=True, waits_for_dependents=False)
    (action,) = decide(owned(OwnerState.WAITING, dependents=[below]))
    assert isinstance(action, Delete)
    assert action.propagation_policy == "Foreground"
    (plain,) = decide(owned(OwnerState.WAITING))
    assert isinstance(plain, Delete)
    assert plain.propagation_policy == "Background"


def test_a_foreground_deletion_ends_when_nothing_blocks_it() -> None:
    leaving = config_map("parent", finalizers=["foregroundDeletion", "other"], **LEAVING)
    child = Dependent(CONFIG_MAPS, config_map("child", "parent"), blocks=True, waits_for_dependents=False)
    assert decide(Snapshot(CONFIG_MAPS, leaving, (), [child])) == []
    (action,) = decide(Snapshot(CONFIG_MAPS, leaving, (), ()))
    assert isinstance(action, Patch)
    assert action.patch["metadata"]["finalizers"] == ["other"]


def test_orphaning_frees_the_dependents_before_it_lets_the_owner_go() -> None:
    leaving = config_map("parent", finalizers=["orphan"], **LEAVING)
    child = Dependent(CONFIG_MAPS, config_map("child", "parent", "other"), blocks=False, waits_for_dependents=False)
    free, let_go = decide(Snapshot(CONFIG_MAPS, leaving, (), [child]))
    assert isinstance(free, Patch) and isinstance(let_go, Patch)
    assert [each["uid"] for each in free.patch["metadata"]["ownerReferences"]] == ["other"]
    assert let_go.patch["metadata"]["finalizers"] == []
