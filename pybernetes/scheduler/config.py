"""KubeSchedulerConfiguration: which plugins a profile has, with which weights and arguments.

Source: https://kubernetes.io/docs/reference/scheduling/config/ (kubescheduler.config.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pybernetes.client.rest import Client
from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import Profile, Weighted
from pybernetes.scheduler.plugins.registry import PLUGINS, Registered
from pybernetes.scheduler.queue import BACKOFF_FIRST_S, BACKOFF_MOST_S

DEFAULT_SCHEDULER = "default-scheduler"
API_VERSION = "kubescheduler.config.k8s.io/v1"
# The extension points that a profile may name; `multiPoint` stands for all of a plugin's.
POINTS = (
    "multiPoint", "preEnqueue", "queueSort", "preFilter", "filter", "postFilter", "preScore", "score", "reserve", "permit",
    "preBind", "bind", "postBind",
)  # fmt: skip
# Upstream enables these by default; they are not here yet, and a configuration may name them.
ABSENT = frozenset(
    (
        "PodTopologySpread", "InterPodAffinity", "DefaultPreemption", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding",
        "VolumeZone", "DynamicResources", "NodeDeclaredFeatures", "GangScheduling",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """`extra` are plugins of the user's own, known by their class's name."""

    profiles: Sequence[Object] = ({"schedulerName": DEFAULT_SCHEDULER},)
    backoff_first_s: float = BACKOFF_FIRST_S
    backoff_most_s: float = BACKOFF_MOST_S
    extra: Sequence[Registered] = field(default=())


def from_object(configuration: Object) -> SchedulerConfig:
    """Read a configuration file's content. Raises ValueError for what we do not know."""
    if configuration.get("apiVersion") != API_VERSION or configuration.get("kind") != "KubeSchedulerConfiguration":
        raise ValueError(f"not a KubeSchedulerConfiguration of {API_VERSION}")
    return SchedulerConfig(
        profiles=configuration.get("profiles") or SchedulerConfig().profiles,
        backoff_first_s=float(configuration.get("podInitialBackoffSeconds") or BACKOFF_FIRST_S),
        backoff_most_s=float(configuration.get("podMaxBackoffSeconds") or BACKOFF_MOST_S),
    )


def make_profiles(config: SchedulerConfig, client: Client) -> dict[str, Profile]:
    """The profiles by scheduler name. Raises ValueError."""
    profiles: dict[str, Profile] = {}
    for raw in config.profiles:
        name = raw.get("schedulerName") or DEFAULT_SCHEDULER
        if name in profiles:
            raise ValueError(f"two profiles are named {name!r}")
        profiles[name] = _profile(name, raw, config.extra, client)
    return profiles


def _profile(name: str, raw: Object, extra: Sequence[Registered], client: Client) -> Profile:
    known = {each.name: each for each in (*PLUGINS, *extra)}
    weights = {each.name: each.weight for each in (*PLUGINS, *extra)}
    enabled = dict.fromkeys(weights)
    arguments = {each["name"]: each.get("args") or {} for each in raw.get("pluginConfig") or ()}
    for point, sets in (raw.get("plugins") or {}).items():
        if point not in POINTS:
            raise ValueError(f"profile {name!r}: {point!r} is no extension point")
        _apply(point, sets, enabled, weights, known)
    return Profile(
        name,
        tuple(Weighted(known[each].make(client, arguments.get(each, {})), weights[each] or 1) for each in enabled),
    )


def _apply(
    point: str, sets: Mapping[str, Any], enabled: dict[str, None], weights: dict[str, int], known: Mapping[str, Registered]
) -> None:
    """A plugin that is disabled at one of its points is disabled at all: ours have one or two each."""
    for plugin in sets.get("disabled") or ():
        for each in [plugin["name"]] if plugin["name"] != "*" else [*enabled]:
            enabled.pop(each, None)
    for plugin in sets.get("enabled") or ():
        plugin_name = plugin["name"]
        if plugin_name in ABSENT:
            continue
        if plugin_name not in known:
            raise ValueError(f"there is no plugin {plugin_name!r} (at {point})")
        enabled.setdefault(plugin_name)
        if plugin.get("weight"):
            weights[plugin_name] = int(plugin["weight"])
