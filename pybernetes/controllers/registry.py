"""All controllers, in the order in which they start; names and aliases are those of upstream's --controllers."""

from __future__ import annotations

from pybernetes.controllers import deployment, replicaset
from pybernetes.controllers.controller import Declared

ALL: tuple[Declared, ...] = (
    Declared("deployment-controller", deployment.controller, ("deployment",)),
    Declared("replicaset-controller", replicaset.replicaset, ("replicaset",)),
    Declared("replicationcontroller-controller", replicaset.replicationcontroller, ("replicationcontroller",)),
)
