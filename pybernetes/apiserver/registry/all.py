"""Every kind's strategy, in one ordered list: core group first, then the named groups as discovery has them.

Importing it imports them all: import it where a server starts.
"""

from __future__ import annotations

from pybernetes.apiserver.registry.admissionregistration import policies, webhooks
from pybernetes.apiserver.registry.apiextensions import custom_resource_definitions
from pybernetes.apiserver.registry.apiregistration import api_services
from pybernetes.apiserver.registry.apps import controller_revisions, daemon_sets, deployments, replica_sets, stateful_sets
from pybernetes.apiserver.registry.autoscaling import horizontal_pod_autoscalers
from pybernetes.apiserver.registry.batch import cron_jobs, jobs
from pybernetes.apiserver.registry.certificates import certificate_signing_requests
from pybernetes.apiserver.registry.coordination import leases
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
from pybernetes.apiserver.registry.discovery import endpoint_slices
from pybernetes.apiserver.registry.events import events
from pybernetes.apiserver.registry.flowcontrol import flow_control
from pybernetes.apiserver.registry.networking import addresses, ingress_classes, ingresses, network_policies
from pybernetes.apiserver.registry.node import runtime_classes
from pybernetes.apiserver.registry.policy import pod_disruption_budgets
from pybernetes.apiserver.registry.rbac import bindings, roles
from pybernetes.apiserver.registry.resource import devices
from pybernetes.apiserver.registry.scheduling import priority_classes
from pybernetes.apiserver.registry.storage import classes, csi, volume_attachments
from pybernetes.apiserver.registry.strategy import Strategy

STRATEGIES: tuple[Strategy, ...] = (
    component_statuses.STRATEGY,
    config_maps.STRATEGY,
    endpoints.STRATEGY,
    core_events.STRATEGY,
    limit_ranges.STRATEGY,
    namespaces.STRATEGY,
    nodes.STRATEGY,
    persistent_volume_claims.STRATEGY,
    persistent_volumes.STRATEGY,
    pods.STRATEGY,
    pod_templates.STRATEGY,
    replication_controllers.STRATEGY,
    resource_quotas.STRATEGY,
    secrets.STRATEGY,
    service_accounts.STRATEGY,
    services.STRATEGY,
    api_services.STRATEGY,
    controller_revisions.STRATEGY,
    daemon_sets.STRATEGY,
    deployments.STRATEGY,
    replica_sets.STRATEGY,
    stateful_sets.STRATEGY,
    events.STRATEGY,
    horizontal_pod_autoscalers.STRATEGY,
    horizontal_pod_autoscalers.V1_STRATEGY,
    cron_jobs.STRATEGY,
    jobs.STRATEGY,
    certificate_signing_requests.STRATEGY,
    ingress_classes.STRATEGY,
    ingresses.STRATEGY,
    addresses.IP_ADDRESS_STRATEGY,
    network_policies.STRATEGY,
    addresses.SERVICE_CIDR_STRATEGY,
    pod_disruption_budgets.STRATEGY,
    bindings.CLUSTER_ROLE_BINDING_STRATEGY,
    roles.CLUSTER_ROLE_STRATEGY,
    bindings.ROLE_BINDING_STRATEGY,
    roles.ROLE_STRATEGY,
    csi.CSI_DRIVER_STRATEGY,
    csi.CSI_NODE_STRATEGY,
    csi.CSI_STORAGE_CAPACITY_STRATEGY,
    classes.STORAGE_CLASS_STRATEGY,
    volume_attachments.STRATEGY,
    classes.VOLUME_ATTRIBUTES_CLASS_STRATEGY,
    policies.MUTATING_POLICY_STRATEGY,
    policies.MUTATING_BINDING_STRATEGY,
    webhooks.MUTATING_STRATEGY,
    policies.VALIDATING_POLICY_STRATEGY,
    policies.VALIDATING_BINDING_STRATEGY,
    webhooks.VALIDATING_STRATEGY,
    custom_resource_definitions.STRATEGY,
    priority_classes.STRATEGY,
    leases.STRATEGY,
    runtime_classes.STRATEGY,
    endpoint_slices.STRATEGY,
    devices.DEVICE_CLASS_STRATEGY,
    devices.RESOURCE_CLAIM_STRATEGY,
    devices.RESOURCE_CLAIM_TEMPLATE_STRATEGY,
    devices.RESOURCE_SLICE_STRATEGY,
    flow_control.FLOW_SCHEMA_STRATEGY,
    flow_control.PRIORITY_LEVEL_STRATEGY,
)
