"""What admission plugins are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pybernetes.apiserver.admission.default_toleration_seconds import TOLERATION_S
from pybernetes.apiserver.admission.policies.plugins import Policies
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.admission.webhooks.calls import Caller
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.meta import Object


@dataclass(frozen=True, slots=True)
class Parts:
    reader: Reader
    writer: Writer
    authorizer: Authorizer
    clock: Clock
    entropy: Entropy
    webhooks: Caller | None = None  # how webhooks are called; None: by nobody, whatever is configured
    policies: Policies | None = None  # None: nobody follows them
    versions: Versions | None = None  # which kinds are served; None: nobody knows
    tolerations_s: tuple[int, int] = (TOLERATION_S, TOLERATION_S)  # of nodes that are not ready, and unreachable
    documents: Mapping[str, Object] = field(default_factory=dict)  # configuration, by plugin
