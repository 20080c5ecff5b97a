"""KubeSchedulerConfiguration: which plugins are where."""

from __future__ import annotations

import pytest

from pybernetes.scheduler.config import API_VERSION, SchedulerConfig, from_object, make_profiles
from pybernetes.scheduler.framework import Reads
from pybernetes.scheduler.plugins.registry import Registered
from tests.unit.scheduler.builders import profile


def names(made, point):
    return [each.plugin.name for each in made.at(point)]


def weights(made):
    return {each.plugin.name: each.weight for each in made.at("score")}


def test_the_default_profile_is_upstreams():
    made = profile()
    assert names(made, "filter") == [
        "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit",
        "PodTopologySpread", "InterPodAffinity",
    ]  # fmt: skip
    assert weights(made) == {
        "TaintToleration": 3, "NodeAffinity": 2, "NodeResourcesFit": 1, "PodTopologySpread": 2, "InterPodAffinity": 2,
        "NodeResourcesBalancedAllocation": 1, "ImageLocality": 1,
    }  # fmt: skip
    assert names(made, "sort_key") == ["PrioritySort"]
    assert names(made, "bind") == ["DefaultBinder"]
    assert names(made, "pre_enqueue") == ["SchedulingGates"]


def test_a_plugin_disabled_at_one_point_stays_at_its_others():
    """Switching off the score of NodeResourcesFit must not switch off its filter, or nodes are overcommitted."""
    made = profile(plugins={"score": {"disabled": [{"name": "NodeResourcesFit"}]}})
    assert "NodeResourcesFit" in names(made, "filter")
    assert "NodeResourcesFit" not in weights(made)


def test_a_star_disables_all_and_what_is_enabled_besides_remains():
    made = profile(plugins={"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "ImageLocality", "weight": 5}]}})
    assert weights(made) == {"ImageLocality": 5}


def test_what_a_point_names_again_comes_first():
    made = profile(plugins={"filter": {"enabled": [{"name": "NodeResourcesFit"}]}})
    assert names(made, "filter")[0] == "NodeResourcesFit"
    assert names(made, "filter").count("NodeResourcesFit") == 1


def test_a_weight_may_be_changed_everywhere():
    made = profile(plugins={"multiPoint": {"enabled": [{"name": "TaintToleration", "weight": 7}]}})
    assert weights(made)["TaintToleration"] == 7
    assert next(iter(weights(made))) == "TaintToleration"  # and it keeps its place


class Mine:
    name = "Mine"
    reads = Reads.ANYTHING
    wakes_on = ()

    def __init__(self, arguments):
        self.arguments = arguments

    def filter(self, state, nodes):
        return ()


def test_a_plugin_of_the_users_own_takes_part_when_it_is_enabled():
    extra = (Registered("Mine", 0, lambda client, arguments: Mine(arguments)),)
    raw = {
        "plugins": {"multiPoint": {"enabled": [{"name": "Mine"}]}},
        "pluginConfig": [{"name": "Mine", "args": {"x": 1}}],
    }
    [made] = make_profiles(SchedulerConfig(profiles=[raw], extra=extra), None).values()
    assert names(made, "filter")[-1] == "Mine"
    assert made.at("filter")[-1].plugin.arguments == {"x": 1}
    [without] = make_profiles(SchedulerConfig(extra=extra), None).values()
    assert "Mine" not in names(without, "filter")


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ({"plugins": {"filter": {"enabled": [{"name": "Nope"}]}}}, "no plugin 'Nope'"),
        ({"plugins": {"filters": {}}}, "no extension point"),
        ({"plugins": {"bind": {"enabled": [{"name": "NodePorts"}]}}}, "does not extend bind"),
        ({"plugins": {"multiPoint": {"disabled": [{"name": "*"}]}}}, "must have one queueSort"),
        ({"plugins": {"bind": {"disabled": [{"name": "DefaultBinder"}]}}}, "must have a bind plugin"),
        ({"pluginConfig": [{"name": "Nope"}]}, "no plugin 'Nope'"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_in_a_sentence(raw, complaint):
    with pytest.raises(ValueError, match=complaint):
        profile(**raw)


def test_two_profiles_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two profiles are named 'default-scheduler'"):
        make_profiles(SchedulerConfig(profiles=[{}, {}]), None)


def test_upstreams_plugins_that_are_not_here_may_be_named():
    assert profile(
        plugins={"multiPoint": {"disabled": [{"name": "DefaultPreemption"}], "enabled": [{"name": "VolumeBinding"}]}}
    )


def configuration(**fields):
    return {"apiVersion": API_VERSION, "kind": "KubeSchedulerConfiguration", **fields}


def test_a_configuration_file_is_read():
    config = from_object(configuration(profiles=[{"schedulerName": "mine"}], podMaxBackoffSeconds=30, parallelism=4))
    assert [*make_profiles(config, None)] == ["mine"]
    assert (config.backoff_first_s, config.backoff_most_s) == (1, 30)


@pytest.mark.parametrize(
    "wrong",
    [{}, None, {"apiVersion": "v1", "kind": "Pod"}, configuration(extenders=[{}]), configuration(podMaxBackoffSeconds=0.5)],
)
def test_a_configuration_that_we_do_not_understand_is_refused(wrong):
    with pytest.raises(ValueError):
        from_object(wrong)
