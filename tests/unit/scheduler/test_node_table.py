"""The table holds what events told, however they came."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.scheduler.node_table import CPU, MEMORY, NodeTable
from pybernetes.scheduler.pod_shape import AMOUNT_MOST, usage_of
from pybernetes.scheduler.pod_traits import traits_of
from tests.unit.scheduler.builders import node, pod, table

RESOURCES = ("cpu", "memory", "pods", "ephemeral-storage", "nvidia.com/gpu")

node_names = st.sampled_from(["a", "b", "c", "d", "e"])
nodes = st.builds(
    node,
    node_names,
    labels=st.dictionaries(st.sampled_from(["zone", "disk"]), st.sampled_from(["x", "y"])),
    taints=st.lists(
        st.fixed_dictionaries({"key": st.sampled_from(["t", "u"]), "effect": st.sampled_from(["NoSchedule", "NoExecute"])}),
        max_size=2,
    ),
    images=st.lists(st.fixed_dictionaries({"names": st.just(["app:1"]), "sizeBytes": st.integers(1, 9)}), max_size=1),
    cpu=st.sampled_from(["1", "2500m"]),
    nvidia_com__gpu=st.sampled_from(["0", "1"]),
)


def with_port(made, port):
    if port:
        made["spec"]["containers"][0]["ports"] = [{"hostPort": port, "containerPort": 1}]
    return made


pods = st.builds(
    with_port,
    st.builds(
        pod,
        st.sampled_from([f"p{number}" for number in range(8)]),
        requests=st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), st.sampled_from(["1", "2"])),
    ),
    st.sampled_from([0, 0, 80, 81]),
)
events = st.lists(
    st.one_of(
        st.tuples(st.just("set_node"), nodes),
        st.tuples(st.just("remove_node"), node_names),
        st.tuples(st.just("set_pod"), st.tuples(pods, node_names)),
        st.tuples(st.just("remove_pod"), st.sampled_from([f"p{number}" for number in range(8)])),
    ),
    max_size=40,
)


def apply(found: NodeTable, what, told) -> None:
    if what == "set_pod":
        found.set_pod(told[0]["metadata"]["uid"], usage_of(told[0]), told[1])
    elif what == "remove_pod":
        found.remove_pod(f"uid-{told}")
    else:
        getattr(found, what)(told)


def facts(found: NodeTable, names=None):
    """All that plugins may ask, by node name."""
    seen = found.all
    answers = {}
    for row, name in enumerate(seen.names):
        answers[name] = {
            "object": seen.objects[row],
            "unschedulable": bool(seen.unschedulable[row]),
            "taints": seen.taint_sets[seen.taint_set[row]],
            "nonzero": [int(seen.nonzero_requested(column)[row]) for column in (CPU, MEMORY)],
            "image": int(sizes[row]) if (sizes := seen.image("app:1")) is not None else 0,
            "holding": [bool(seen.holding(("0.0.0.0", "TCP", port))[row]) for port in (80, 81)],
            **{
                f"{what} {resource}": int(amounts[row]) if (amounts := getattr(seen, what)(resource)) is not None else 0
                for what in ("allocatable", "requested")
                for resource in RESOURCES
            },
            **{key: label_text(seen, key, row) for key in ("zone", "disk")},
        }
    return answers


def label_text(seen, key, row):
    numbers, values = seen.label(key)
    return {number: text for text, number in values.items()}.get(int(numbers[row]))


@given(events)
@settings(deadline=None)
def test_a_table_that_followed_events_equals_one_built_from_the_result(happened):
    followed = NodeTable()
    followed.label("zone")  # one label is asked for from the start, the other at the end
    nodes_left, pods_left = {}, {}
    for what, told in happened:
        apply(followed, what, told)
        followed.all.image("app:1")
        match what:
            case "set_node":
                nodes_left[told["metadata"]["name"]] = told
            case "remove_node":
                nodes_left.pop(told, None)
            case "set_pod":
                pods_left[told[0]["metadata"]["uid"]] = told
            case "remove_pod":
                pods_left.pop(f"uid-{told}", None)
    built = NodeTable()
    for each in nodes_left.values():
        built.set_node(each)
    for uid, (each, node_name) in pods_left.items():
        built.set_pod(uid, usage_of(each), node_name)
    assert facts(followed) == facts(built)
    assert followed.pod_count == built.pod_count


@given(events, st.data())
@settings(deadline=None)
def test_the_rows_that_changed_since_a_position_are_told_or_all_must_be_looked_at_again(happened, data):
    found = NodeTable()
    split = data.draw(st.integers(0, len(happened)))
    for what, told in happened[:split]:
        apply(found, what, told)
    position, before, names = found.position, facts(found), [*found.names]
    for what, told in happened[split:]:
        apply(found, what, told)
    changed = found.changed_since(position)
    if changed is None:
        return
    assert found.names == names
    unchanged = [name for row, name in enumerate(names) if row not in changed]
    after = facts(found)
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}


def test_some_rows_answer_as_they_do_among_all():
    found = table(*(node(name, labels={"zone": name}, images=[{"names": ["app:1"], "sizeBytes": ord(name)}]) for name in "abc"))
    found.set_pod("u", usage_of(with_port(pod(), 80)), "c")
    some = found.take([2, 0])
    assert some.names == ["c", "a"]
    assert some.total == 3
    assert some.requested("cpu").tolist() == [100, 0]
    assert some.holding(("0.0.0.0", "TCP", 80)).tolist() == [True, False]
    assert some.named({"a", "b"}).tolist() == [False, True]
    assert some.image("app:1").tolist() == [ord("c"), ord("a")]
    assert [int(number) for number in some.label("zone")[0]] == [int(found.all.label("zone")[0][row]) for row in (2, 0)]


def test_pods_may_be_told_before_their_node():
    found = table(placed={"n1": [pod(requests={"cpu": "1"})]})
    found.set_node(node())
    assert found.all.requested("cpu").tolist() == [1000]


def test_a_pod_that_is_told_again_changes_nothing():
    found = table(node(), placed={"n1": [pod()]})
    position = found.position
    found.set_pod("uid-p1", usage_of(pod()), "n1", traits_of(pod()))
    assert found.changed_since(position) == set()


def test_the_first_resource_of_its_kind_is_known_at_once():
    """Adding the column replaces the arrays; the amount once went into the old one."""
    found = table(node(example_com__thing="3"))
    assert found.all.allocatable("example.com/thing").tolist() == [3]


def test_many_nodes_fit_in():
    found = table(*(node(f"n{number}", labels={"zone": str(number)}) for number in range(200)))
    assert len(found) == 200
    assert found.all.allocatable("cpu").tolist() == [4000] * 200
    assert np.unique(found.all.label("zone")[0]).size == 200


def test_changes_too_long_ago_are_forgotten():
    found = table(node())
    position = found.position
    for number in range(10_000):
        found.set_pod("u", usage_of(pod(requests={"cpu": str(number % 2 + 1)})), "n1")
    assert found.changed_since(position) is None


def test_label_values_that_no_node_has_any_more_are_forgotten():
    found = table(node())
    for number in range(5000):
        found.set_node(node(labels={"build": str(number)}))
        found.all.label("build")
    assert len(found.all.label("build")[1]) < 2000


def test_amounts_beyond_measure_do_not_overflow():
    usage = usage_of(pod(requests={"memory": str(2**63 - 1)}))
    assert usage.requests["memory"] == AMOUNT_MOST
