"""What following a policy takes, whichever kind it is of."""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.apiserver.admission.condition_metrics import ConditionMetrics
from pybernetes.apiserver.admission.policies.metrics import PolicyMetrics
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.clock import Clock


@dataclass(frozen=True, slots=True)
class Tools:
    reader: Reader
    versions: Versions
    authorizer: Authorizer
    clock: Clock
    metrics: PolicyMetrics
    conditions: ConditionMetrics
