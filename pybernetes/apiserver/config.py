"""What an API server is made with: flags that were read, files that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pybernetes.apiserver import authentication, deadlines
from pybernetes.apiserver.aggregation.front_proxy import FrontProxy
from pybernetes.apiserver.audit.backends import Backends
from pybernetes.apiserver.audit.policy import Policy
from pybernetes.apiserver.authorization.chain import Options as AuthorizationOptions
from pybernetes.apiserver.health import Options as HealthOptions
from pybernetes.apiserver.proxying.targets import Kubelets
from pybernetes.apiserver.registry import reading
from pybernetes.apiserver.registry.strategy import Strategy
from pybernetes.machinery.http.health import Check
from pybernetes.machinery.meta import Object

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@dataclass(frozen=True, slots=True)
class Config:
    """What a server is made with, beyond its store."""

    authentication: authentication.Options = field(default_factory=authentication.Options)
    authorization: AuthorizationOptions = field(default_factory=AuthorizationOptions)
    service_cidrs: tuple[str, ...] = ("10.96.0.0/16",)
    node_port_range: tuple[int, int] = (30000, 32767)
    advertise_address: str = "127.0.0.1"
    secure_port: int = 6443
    enable_admission_plugins: Sequence[str] = ()
    disable_admission_plugins: Sequence[str] = ()
    admission_documents: Mapping[str, Object] = field(default_factory=dict)  # configuration, by plugin
    default_tolerations_s: tuple[int, int] = (300, 300)  # of nodes that are not ready, and unreachable
    enable_aggregator_routing: bool = False  # reach Services (webhooks, extension servers) by endpoint, not by cluster IP
    front_proxy: FrontProxy = field(default_factory=FrontProxy)  # how extension servers know us
    storage_files: Path | None = None  # the directory of the embedded store
    flags: Mapping[str, str] = field(default_factory=dict)  # how the server was started, for /flagz
    disabled_metrics: frozenset[str] = frozenset()
    profiling: bool = True
    enable_logs_handler: bool = False
    external_hostname: str = ""  # how clients call the server, in discovery; default: the advertised address
    min_request_timeout_s: float = reading.WATCH_TIMEOUT_S  # of a watch that says nothing
    goaway_chance: float = 0.0  # per request over HTTP/2, that its client is sent to another server
    health: HealthOptions = field(default_factory=HealthOptions)
    request_timeout_s: float = deadlines.LIMIT_S
    enable_priority_and_fairness: bool = True
    max_requests_inflight: int = 400  # these two make the seats that requests share; both 0: no limit
    max_mutating_requests_inflight: int = 200
    audit_policy: Policy | None = None  # None: nothing is recorded
    audit_backends: Backends | None = None  # take the events; None: nobody does
    kubelets: Kubelets | None = None  # how to reach kubelets; None: log, exec & co. answer 503
    event_ttl_s: int = 3600
    cluster_addons: bool = True  # the roles that kubeadm would add
    strategies: Sequence[Strategy] | None = None  # default: all that the registry has
    checks: Mapping[str, Check] = field(default_factory=dict)  # further ones, of what the server was made with
    registries: Sequence[CollectorRegistry] = ()  # further metrics
