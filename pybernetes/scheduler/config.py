"""KubeSchedulerConfiguration: which plugins a profile has at which extension point, with which weights and arguments.

Source: https://kubernetes.io/docs/reference/scheduling/config/ (kubescheduler.config.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pybernetes.client.rest import Client
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import Profile, Weighted
from pybernetes.scheduler.plugins.registry import PLUGINS, Registered
from pybernetes.scheduler.queue import BACKOFF_FIRST_S, BACKOFF_MOST_S

log = logger("scheduler")

DEFAULT_SCHEDULER = "default-scheduler"
API_VERSION = "kubescheduler.config.k8s.io/v1"
# The extension points that a profile may name, with the method that makes a plugin have it. preFilter and preScore are a part
# of the point that they prepare. `multiPoint` stands for all of a plugin's.
POINTS: Mapping[str, str] = {
    "preEnqueue": "pre_enqueue", "queueSort": "sort_key", "preFilter": "only_nodes", "filter": "filter",
    "postFilter": "post_filter", "preScore": "", "score": "score", "reserve": "reserve", "permit": "permit",
    "preBind": "pre_bind", "bind": "bind", "postBind": "post_bind",
}  # fmt: skip
MULTI_POINT = "multiPoint"
# Upstream enables these by default; they are not here yet, but a configuration may name them.
ABSENT = frozenset(
    (
        "DefaultPreemption", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding",
        "VolumeZone", "DynamicResources", "NodeDeclaredFeatures", "GangScheduling",
    )
)  # fmt: skip
# Fields of a configuration that tell how upstream does its work; ours needs no such advice. Flags say who leads.
_HARMLESS = frozenset(
    (
        "apiVersion", "kind", "parallelism", "percentageOfNodesToScore", "clientConnection", "leaderElection",
        "enableProfiling", "enableContentionProfiling", "delayCacheUntilActive",
    )
)  # fmt: skip
_READ = frozenset(("profiles", "podInitialBackoffSeconds", "podMaxBackoffSeconds"))


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """`extra` are plugins of the user's own; profiles enable them by their names, as any other."""

    profiles: Sequence[Object] = ({"schedulerName": DEFAULT_SCHEDULER},)
    backoff_first_s: float = BACKOFF_FIRST_S
    backoff_most_s: float = BACKOFF_MOST_S
    extra: Sequence[Registered] = ()


def from_object(configuration: Object) -> SchedulerConfig:
    """Read a configuration file's content. Raises ValueError for what we do not know."""
    if not isinstance(configuration, dict) or (configuration.get("apiVersion"), configuration.get("kind")) != (
        API_VERSION,
        "KubeSchedulerConfiguration",
    ):
        raise ValueError(f"not a KubeSchedulerConfiguration of {API_VERSION}")
    unknown = [field for field in configuration if field not in _READ and field not in _HARMLESS]
    if unknown:
        raise ValueError(f"KubeSchedulerConfiguration: {', '.join(sorted(unknown))}: not available")
    first_s = float(configuration.get("podInitialBackoffSeconds") or BACKOFF_FIRST_S)
    most_s = float(configuration.get("podMaxBackoffSeconds") or BACKOFF_MOST_S)
    if not 0 < first_s <= most_s:
        raise ValueError("podMaxBackoffSeconds must be at least podInitialBackoffSeconds, and both positive")
    return SchedulerConfig(configuration.get("profiles") or SchedulerConfig().profiles, first_s, most_s)


def make_profiles(config: SchedulerConfig, client: Client) -> dict[str, Profile]:
    """The profiles by scheduler name. Raises ValueError."""
    profiles: dict[str, Profile] = {}
    for raw in config.profiles:
        name = raw.get("schedulerName") or DEFAULT_SCHEDULER
        if name in profiles:
            raise ValueError(f"two profiles are named {name!r}")
        profiles[name] = _profile(name, raw, config.extra, client)
    if len({profile.at("sort_key")[0].plugin.name for profile in profiles.values()}) > 1:
        raise ValueError("all profiles must have the same queueSort plugin: they share the queue")
    return profiles


def _profile(name: str, raw: Object, extra: Sequence[Registered], client: Client) -> Profile:
    known = {each.name: each for each in (*PLUGINS, *extra)}
    arguments = {each["name"]: each.get("args") or {} for each in raw.get("pluginConfig") or ()}
    sets = raw.get("plugins") or {}
    _refuse_unknown(name, sets, arguments, known)
    everywhere = _merged({each.name: each.weight for each in PLUGINS}, sets.get(MULTI_POINT) or {})
    named = {MULTI_POINT: everywhere, **{point: _enabled(sets.get(point) or {}) for point in POINTS}}
    made = {each: known[each].make(client, arguments.get(each, {})) for each in {n for names in named.values() for n in names}}
    points: dict[str, tuple[Weighted, ...]] = {}
    for point, method in POINTS.items():
        if not method:
            continue
        weights = _at_point(everywhere, sets.get(point) or {})
        points[method] = tuple(
            Weighted(made[each], weight or 1) for each, weight in weights.items() if hasattr(made[each], method)
        )
        lacking = [each for each in named[point] if point not in ("preFilter", "preScore") and not hasattr(made[each], method)]
        if lacking:
            raise ValueError(f"profile {name!r}: plugin {lacking[0]!r} does not extend {point}")
    if len(points["sort_key"]) != 1:
        raise ValueError(f"profile {name!r} must have one queueSort plugin")
    if not points["bind"]:
        raise ValueError(f"profile {name!r} must have a bind plugin")
    return Profile(name, points)


def _refuse_unknown(name: str, sets: Mapping[str, Any], arguments: Iterable[str], known: Mapping[str, Registered]) -> None:
    for point, plugins in sets.items():
        if point not in POINTS and point != MULTI_POINT:
            raise ValueError(f"profile {name!r}: {point!r} is no extension point")
        for plugin in plugins.get("enabled") or ():
            if plugin["name"] in ABSENT:
                log.warning("This scheduler has no such plugin yet", plugin=plugin["name"], profile=name)
            elif plugin["name"] not in known:
                raise ValueError(f"profile {name!r}: there is no plugin {plugin['name']!r} (at {point})")
    for plugin_name in arguments:
        if plugin_name not in known and plugin_name not in ABSENT:
            raise ValueError(f"profile {name!r}: there is no plugin {plugin_name!r} (in pluginConfig)")


def _enabled(plugins: Mapping[str, Any]) -> dict[str, int]:
    return {each["name"]: int(each.get("weight") or 0) for each in plugins.get("enabled") or () if each["name"] not in ABSENT}


def _disabled(plugins: Mapping[str, Any], of: Iterable[str]) -> set[str]:
    names = {each["name"] for each in plugins.get("disabled") or ()}
    return set(of) if "*" in names else names


def _merged(defaults: Mapping[str, int], plugins: Mapping[str, Any]) -> dict[str, int]:
    """The defaults in their order, without what is disabled, with the given weights; then the others that are enabled."""
    disabled, enabled = _disabled(plugins, defaults), _enabled(plugins)
    kept = {each: enabled.get(each, weight) for each, weight in defaults.items() if each not in disabled}
    return kept | {each: weight for each, weight in enabled.items() if each not in kept}


def _at_point(everywhere: Mapping[str, int], plugins: Mapping[str, Any]) -> dict[str, int]:
    """First what the point names again (to change its order or weight), then the rest of multiPoint, then what is new."""
    disabled, enabled = _disabled(plugins, everywhere), _enabled(plugins)
    again = {each: weight for each, weight in enabled.items() if each in everywhere}
    rest = {each: weight for each, weight in everywhere.items() if each not in disabled and each not in enabled}
    return again | rest | enabled
