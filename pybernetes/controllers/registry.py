"""All controllers, in the order in which they start; names and aliases are those of upstream's --controllers."""

from __future__ import annotations

from pybernetes.controllers import (
    clusterrole_aggregation,
    deployment,
    endpoints,
    endpointslice,
    garbage_collector,
    namespace,
    node_ipam,
    node_lifecycle,
    pod_garbage_collector,
    replicaset,
    root_ca_publisher,
    serviceaccount,
    serviceaccount_token,
    taint_eviction,
    token_cleaner,
    validatingadmissionpolicy_status,
)
from pybernetes.controllers.certificates import approving, cleaner, signing
from pybernetes.controllers.controller import Declared

ALL: tuple[Declared, ...] = (
    Declared("serviceaccount-token-controller", serviceaccount_token.controller, ("serviceaccount-token",)),
    Declared("endpoints-controller", endpoints.controller, ("endpoint",)),
    Declared("endpointslice-controller", endpointslice.controller, ("endpointslice",)),
    Declared("replicationcontroller-controller", replicaset.replicationcontroller, ("replicationcontroller",)),
    Declared("pod-garbage-collector-controller", pod_garbage_collector.controller, ("podgc",)),
    Declared("namespace-controller", namespace.controller, ("namespace",)),
    Declared("serviceaccount-controller", serviceaccount.controller, ("serviceaccount",)),
    Declared("garbage-collector-controller", garbage_collector.controller, ("garbagecollector",)),
    Declared("deployment-controller", deployment.controller, ("deployment",)),
    Declared("replicaset-controller", replicaset.replicaset, ("replicaset",)),
    Declared("certificatesigningrequest-signing-controller", signing.controller, ("csrsigning",)),
    Declared("certificatesigningrequest-approving-controller", approving.controller, ("csrapproving",)),
    Declared("certificatesigningrequest-cleaner-controller", cleaner.controller, ("csrcleaner",)),
    Declared("token-cleaner-controller", token_cleaner.controller, ("tokencleaner",), on_by_default=False),
    Declared("node-ipam-controller", node_ipam.controller, ("nodeipam",)),
    Declared("node-lifecycle-controller", node_lifecycle.controller, ("nodelifecycle",)),
    Declared("taint-eviction-controller", taint_eviction.controller),
    Declared("clusterrole-aggregation-controller", clusterrole_aggregation.controller, ("clusterrole-aggregation",)),
    Declared("root-ca-certificate-publisher-controller", root_ca_publisher.controller, ("root-ca-cert-publisher",)),
    Declared(
        "validatingadmissionpolicy-status-controller",
        validatingadmissionpolicy_status.controller,
        ("validatingadmissionpolicy-status",),
    ),
)
