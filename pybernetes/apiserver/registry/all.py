"""Every kind's strategy, in one ordered list. Importing it imports them all: import it where a server starts."""

from __future__ import annotations

from pybernetes.apiserver.registry.core import (
    component_statuses,
    config_maps,
    endpoints,
    limit_ranges,
    namespaces,
    nodes,
    persistent_volume_claims,
    persistent_volumes,
    pod_templates,
    pods,
    replication_controllers,
    resource_quotas,
    secrets,
    service_accounts,
    services,
)
from pybernetes.apiserver.registry.core import events as core_events
from pybernetes.apiserver.registry.events import events
from pybernetes.apiserver.registry.strategy import Strategy

STRATEGIES: tuple[Strategy, ...] = tuple(
    module.STRATEGY
    for module in (
        component_statuses,
        config_maps,
        endpoints,
        core_events,
        limit_ranges,
        namespaces,
        nodes,
        persistent_volumes,
        persistent_volume_claims,
        pods,
        pod_templates,
        replication_controllers,
        resource_quotas,
        secrets,
        service_accounts,
        services,
        events,
    )
)
