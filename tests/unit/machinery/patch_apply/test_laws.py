"""The laws of server-side apply, over a kind with every way of merging."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.errors import Conflict
from pybernetes.machinery.patch.apply import fieldsets, typed
from pybernetes.machinery.schema.shapes import DEDUCED
from tests.unit.machinery.patch_apply.kind import SHAPE, World, objects, without_nulls, words

Value = dict[str, Any]
MISSING = object()


def lookup(value: Any, path: tuple[str, ...], shape: Any = SHAPE) -> Any:
    """What is at a path, MISSING if nothing."""
    for element in path:
        if element.startswith("f:"):
            name = element[2:]
            if not isinstance(value, dict) or name not in value:
                return MISSING
            value, shape = value[name], shape.below(name) or DEDUCED
        else:
            found = (
                [item for item in value or () if typed.element_of(shape, item) == element] if isinstance(value, list) else []
            )
            if not found:
                return MISSING
            value, shape = found[0], typed.item_of(shape)
    return value


@given(objects)
def test_applying_again_changes_nothing(config: Value) -> None:
    world = World()
    world.apply("one", config)
    obj, entries = copy.deepcopy(world.obj), copy.deepcopy(world.entries)
    assert not world.apply("one", config)
    assert (world.obj, world.entries) == (obj, entries)


@given(objects)
def test_who_applies_alone_gets_and_owns_what_he_says(config: Value) -> None:
    world = World()
    world.apply("one", config)
    assert world.obj == config
    assert world.fields("one") == typed.configured(SHAPE, config)


@given(objects, objects)
def test_what_appliers_own_together_is_what_they_say_together(one: Value, other: Value) -> None:
    world = World()
    world.apply("one", one)
    world.apply("other", other, force=True)
    said = fieldsets.union(typed.configured(SHAPE, one), typed.configured(SHAPE, other))
    owned = fieldsets.union(world.fields("one"), world.fields("other"))
    assert fieldsets.ordered(owned) == fieldsets.ordered(said)
    assert world.fields("other") == fieldsets.ordered(typed.configured(SHAPE, other))


@given(objects, objects)
def test_the_last_word_stands(one: Value, other: Value) -> None:
    world = World()
    world.apply("one", one)
    world.apply("other", other, force=True)
    for path in fieldsets.paths(typed.configured(SHAPE, other)):
        if not isinstance(lookup(other, path), dict | list):
            assert lookup(world.obj, path) == lookup(other, path)


@given(objects, st.lists(objects, max_size=3))
def test_without_force_nobody_changes_what_another_one_owns(mine: Value, theirs: list[Value]) -> None:
    world = World()
    world.apply("me", mine)
    for config in theirs:
        before = copy.deepcopy((world.obj, world.entries))
        try:
            world.apply("they", config)
        except Conflict:
            assert (world.obj, world.entries) == before
    assert world.fields("me") == fieldsets.ordered(typed.configured(SHAPE, mine))
    for path in fieldsets.paths(world.fields("me")):
        value = lookup(mine, path)
        if isinstance(value, dict | list) and not is_atomic(path):
            assert lookup(world.obj, path) is not MISSING
        else:
            assert lookup(world.obj, path) == value


def is_atomic(path: tuple[str, ...]) -> bool:
    shape = SHAPE
    for element in path:
        shape = shape.below(element[2:]) or DEDUCED if element.startswith("f:") else typed.item_of(shape)
    return shape.leaf


@given(objects, objects)
def test_giving_up_and_taking_up_again_leads_to_the_same(base: Value, config: Value) -> None:
    world = World()
    world.create("creator", base)
    try:
        world.apply("one", config)
    except Conflict:
        world.apply("one", config, force=True)
    fields = world.fields("one")
    told = copy.deepcopy(world.obj)
    world.apply("one", {})
    assert world.fields("one") == {}
    world.apply("one", config, force=True)
    assert world.fields("one") == fields
    for path in fieldsets.paths(fields):
        if not isinstance(lookup(told, path), dict | list):
            assert lookup(world.obj, path) == lookup(told, path)


@given(objects, objects)
def test_giving_all_up_leaves_what_others_own(base: Value, config: Value) -> None:
    world = World()
    world.apply("creator", base)
    try:
        world.apply("one", config)
    except Conflict:
        return
    world.apply("one", {})
    # Items stay in the order that the other one gave to them.
    assert unordered(without_nulls(world.obj)) == unordered(base)


def unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: unordered(inner) for name, inner in value.items()}
    return sorted(map(unordered, value), key=repr) if isinstance(value, list) else value


steps = st.lists(
    st.tuples(st.sampled_from(["update", "apply", "force"]), words, objects),
    max_size=6,
)


@given(steps)
def test_nobody_owns_what_is_not_there(history: list[tuple[str, str, Value]]) -> None:
    world = World()
    world.create("creator", {"spec": {"size": 1}})
    for how, manager, value in history:
        if how == "update":
            world.update(manager, value)
        else:
            try:
                world.apply(manager, value, force=how == "force")
            except Conflict:
                continue
        for entry in world.entries:
            assert entry["fieldsV1"], "managers of nothing are dropped"
            for path in fieldsets.paths(entry["fieldsV1"]):
                assert lookup(world.obj, path) is not MISSING, (entry, path, world.obj)


@given(steps)
def test_every_field_that_was_ever_written_has_an_owner(history: list[tuple[str, str, Value]]) -> None:
    """Ordinary writes alone: what is there was put there by somebody, who is still said to have done so."""
    world = World()
    world.create("creator", {"spec": {"size": 1}})
    for how, manager, value in history:
        if how == "update" and value:
            world.update(manager, value)
            owned: Value = {}
            for entry in world.entries:
                owned = fieldsets.union(owned, entry["fieldsV1"])
            assert fieldsets.difference(typed.configured(SHAPE, value), owned) == {}


@given(objects, objects)
def test_a_comparison_names_what_it_takes_to_get_there(old: Value, new: Value) -> None:
    changed, removed = typed.compare(SHAPE, old, new)
    assert (changed is None and removed is None) == (old == new or unordered(old) == unordered(new))
    before, after = typed.everything(SHAPE, old), typed.everything(SHAPE, new)
    gone = fieldsets.difference(before, after)
    come = {key: node for key, node in fieldsets.difference(after, before).items() if key != fieldsets.SELF}
    assert fieldsets.difference(come, changed or {}) == {}
    assert fieldsets.intersection(changed or {}, removed or {}) == {}
    assert fieldsets.difference(removed or {}, gone) == {}


@given(objects, objects, objects)
def test_sides_of_a_merge_are_left_alone(live: Value, config: Value, last: Value) -> None:
    world = World()
    world.apply("one", last)
    world.apply("other", live, force=True)
    before = copy.deepcopy((world.obj, world.entries, config))
    kept = (world.obj, world.entries, config)
    world.apply("one", config, force=True)
    assert kept == before
