"""Company wanted and shunned, in both directions; and the index that answers who is where."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.scheduler.node_table import NodeTable
from pybernetes.scheduler.plugins.inter_pod_affinity import (
    REASON_AFFINITY,
    REASON_ANTI_AFFINITY,
    REASON_EXISTING,
    InterPodAffinity,
)
from pybernetes.scheduler.pod_shape import usage_of
from pybernetes.scheduler.pod_traits import traits_of
from tests.unit.scheduler.builders import node, pod, refused, scores, table

ZONE = "zone"
REQUIRED, PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"


def term(app, key=ZONE, **more):
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **more}


def near(*terms):
    return {"podAffinity": {REQUIRED: [*terms]}}


def far(*terms):
    return {"podAntiAffinity": {REQUIRED: [*terms]}}


def rather(kind, weight, app):
    return {kind: {PREFERRED: [{"weight": weight, "podAffinityTerm": term(app)}]}}


def labelled(name="p", app="web", namespace="default", **spec):
    made = pod(name, **spec)
    made["metadata"] |= {"labels": {"app": app}, "namespace": namespace}
    return made


def zoned(**zones):
    return [node(name, labels={ZONE: zone}) for name, zone in zones.items()]


def test_required_company_must_be_in_the_domain():
    nodes = table(*zoned(a="z1", b="z1", c="z2"), node("bare"), placed={"a": [labelled("x", "db")]})
    assert refused(InterPodAffinity(), labelled(affinity=near(term("db"))), nodes) == {REASON_AFFINITY: ["bare", "c"]}


def test_company_must_match_all_terms_at_once():
    nodes = table(*zoned(a="z1"), placed={"a": [labelled("x", "db"), labelled("y", "cache")]})
    assert refused(InterPodAffinity(), labelled(affinity=near(term("db"), term("cache"))), nodes) == {REASON_AFFINITY: ["a"]}


def test_the_first_of_a_group_that_wants_to_be_together_may_go_anywhere_with_the_label():
    nodes = table(*zoned(a="z1", b="z2"), node("bare"))
    assert refused(InterPodAffinity(), labelled(affinity=near(term("web"))), nodes) == {REASON_AFFINITY: ["bare"]}
    assert refused(InterPodAffinity(), labelled(affinity=near(term("db"))), nodes) == {REASON_AFFINITY: ["a", "b", "bare"]}


def test_shunned_company_keeps_the_pod_out_of_the_domain():
    nodes = table(*zoned(a="z1", b="z1", c="z2"), node("bare"), placed={"a": [labelled("x", "db")]})
    assert refused(InterPodAffinity(), labelled(affinity=far(term("db"))), nodes) == {REASON_ANTI_AFFINITY: ["a", "b"]}


def test_pods_that_shun_others_keep_them_out():
    nodes = table(*zoned(a="z1", b="z2"), placed={"a": [labelled("x", "db", affinity=far(term("web")))]})
    assert refused(InterPodAffinity(), labelled(), nodes) == {REASON_EXISTING: ["a"]}
    assert refused(InterPodAffinity(), labelled(app="other"), nodes) == {}
    nodes.remove_pod("uid-x")
    assert refused(InterPodAffinity(), labelled(), nodes) == {}


def test_terms_speak_of_their_own_namespace_unless_they_name_others():
    nodes = table(*zoned(a="z1"), placed={"a": [labelled("x", "db", namespace="other")]})
    assert refused(InterPodAffinity(), labelled(affinity=far(term("db"))), nodes) == {}
    named = labelled(affinity=far(term("db", namespaces=["other"])))
    assert refused(InterPodAffinity(), named, nodes) == {REASON_ANTI_AFFINITY: ["a"]}


def test_namespaces_may_be_selected_by_their_labels():
    nodes = table(*zoned(a="z1"), placed={"a": [labelled("x", "db", namespace="other")]})
    selected = labelled(affinity=far(term("db", namespaceSelector={"matchLabels": {"team": "t"}})))
    assert refused(InterPodAffinity(), selected, nodes) == {}
    nodes.pod_index.set_namespace("other", {"team": "t"})
    assert refused(InterPodAffinity(), selected, nodes) == {REASON_ANTI_AFFINITY: ["a"]}
    every = labelled(affinity=far(term("db", namespaceSelector={})))
    nodes.pod_index.set_namespace("other", None)
    assert refused(InterPodAffinity(), every, nodes) == {REASON_ANTI_AFFINITY: ["a"]}


def test_a_node_has_one_reason():
    nodes = table(*zoned(a="z1"), placed={"a": [labelled("x", "db", affinity=far(term("web")))]})
    wanted = labelled(affinity=far(term("db")) | near(term("cache")))
    assert refused(InterPodAffinity(), wanted, nodes) == {REASON_AFFINITY: ["a"]}


def test_preferred_company_draws_and_repels():
    nodes = table(*zoned(a="z1", b="z2", c="z3"), placed={"a": [labelled("x", "db")], "b": [labelled("y", "noisy")]})
    wanted = labelled(affinity=rather("podAffinity", 10, "db") | rather("podAntiAffinity", 30, "noisy"))
    # a: 10, b: -30, c: 0
    assert scores(InterPodAffinity(), wanted, nodes) == {"a": 100, "b": 0, "c": 75}


def test_those_who_are_there_draw_and_repel_too():
    drawing = labelled("x", "db", affinity=rather("podAffinity", 20, "web"))
    repelling = labelled("y", "db", affinity=rather("podAntiAffinity", 20, "web"))
    nodes = table(*zoned(a="z1", b="z2", c="z3"), placed={"a": [drawing], "b": [repelling]})
    assert scores(InterPodAffinity(), labelled(), nodes) == {"a": 100, "b": 0, "c": 50}
    assert scores(InterPodAffinity({"ignorePreferredTermsOfExistingPods": True}), labelled(), nodes) is None


def test_required_company_of_those_who_are_there_draws_a_little():
    nodes = table(*zoned(a="z1", b="z2"), placed={"b": [labelled("x", "db", affinity=near(term("web")))]})
    assert scores(InterPodAffinity(), labelled(), nodes) == {"a": 0, "b": 100}
    assert scores(InterPodAffinity({"hardPodAffinityWeight": 0}), labelled(), nodes) is None


def test_without_any_affinity_there_is_no_opinion():
    nodes = table(*zoned(a="z1"), placed={"a": [labelled("x")]})
    assert scores(InterPodAffinity(), labelled(), nodes) is None
    assert refused(InterPodAffinity(), labelled(), nodes) == {}


apps = st.sampled_from(["web", "db", "cache"])
affinities = st.one_of(
    st.just({}), st.builds(lambda app: far(term(app)), apps), st.builds(lambda app: rather("podAffinity", 5, app), apps)
)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.integers(0, 9), st.integers(0, 3), apps, affinities),
        st.tuples(st.just("remove"), st.integers(0, 9)),
        st.tuples(st.just("node"), st.integers(0, 3), st.sampled_from(["", "z1", "z2"])),
        st.tuples(st.just("gone"), st.integers(0, 3)),
    ),
    max_size=30,
)


@given(moves, apps, affinities)
@settings(deadline=None)
def test_whatever_has_happened_the_answers_are_those_of_counting_anew(happened, app, affinity):
    nodes = NodeTable()
    zone_of: dict[str, str] = {}
    placed: dict[str, tuple[str, dict]] = {}
    wanted = labelled("new", app, affinity=affinity)
    for what, number, *more in happened:
        refused(InterPodAffinity(), wanted, nodes)  # asked all the time, so that there are answers to go stale
        match what:
            case "place":
                made = labelled(f"p{number}", more[1], affinity=more[2])
                placed[f"p{number}"] = f"n{more[0]}", made
                nodes.set_pod(f"uid-p{number}", usage_of(made), f"n{more[0]}", traits_of(made))
            case "remove":
                placed.pop(f"p{number}", None)
                nodes.remove_pod(f"uid-p{number}")
            case "node":
                zone_of[f"n{number}"] = more[0]
                nodes.set_node(node(f"n{number}", labels={ZONE: more[0]} if more[0] else {}))
            case "gone":
                zone_of.pop(f"n{number}", None)
                nodes.remove_node(f"n{number}")
    anew = table(*(node(name, labels={ZONE: zone} if zone else {}) for name, zone in zone_of.items()))
    for name, (at, made) in placed.items():
        anew.set_pod(f"uid-{name}", usage_of(made), at, traits_of(made))

    def shuns(one, other):
        terms = (one["spec"].get("affinity") or {}).get("podAntiAffinity", {}).get(REQUIRED, ())
        return any(each["labelSelector"]["matchLabels"]["app"] == other["metadata"]["labels"]["app"] for each in terms)

    expected = {
        name
        for name, zone in zone_of.items()
        for at, made in placed.values()
        if zone and zone_of.get(at) == zone and (shuns(made, wanted) or shuns(wanted, made))
    }
    found = {name for some in refused(InterPodAffinity(), wanted, nodes).values() for name in some}
    assert found == expected
    assert scores(InterPodAffinity(), wanted, nodes) == scores(InterPodAffinity(), wanted, anew) if zone_of else True


def test_traits_that_no_pod_has_any_more_are_forgotten():
    nodes = table(*zoned(a="z1"))
    for number in range(2000):
        made = labelled("x", f"app-{number}", affinity=far(term("web")) if number == 0 else {})
        nodes.set_pod("u", usage_of(made), "a", traits_of(made))
    assert len(nodes.pod_index.traits) < 1000
    assert not nodes.pod_index.shunning_keys
    assert refused(InterPodAffinity(), labelled(affinity=far(term("app-1999"))), nodes) == {REASON_ANTI_AFFINITY: ["a"]}
