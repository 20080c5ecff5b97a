"""The API server's command line: upstream's flag names and defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from pybernetes.machinery import go_duration


@dataclass(frozen=True, slots=True)
class Options:
    """Flags; empty means "not given"."""

    bind_address: str = "0.0.0.0"
    secure_port: int = 6443
    advertise_address: str = ""  # default: the address of the default route
    data_dir: str = "/var/lib/pybernetes/store"  # of the embedded store, and of certificates that we make ourselves
    etcd_servers: tuple[str, ...] = ()  # none: the embedded store
    etcd_cafile: str = ""
    etcd_certfile: str = ""
    etcd_keyfile: str = ""
    etcd_prefix: str = "/registry"
    etcd_compaction_interval_s: float = 300.0  # 0: never
    encryption_provider_config: str = ""
    encryption_provider_config_automatic_reload: bool = False
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    tls_sni_cert_key: tuple[str, ...] = ()  # CERT,KEY[:NAME,…]
    tls_min_version: str = ""
    tls_cipher_suites: tuple[str, ...] = ()
    http2_max_streams_per_connection: int = 0  # 0: the usual number
    permit_port_sharing: bool = False
    permit_address_sharing: bool = False
    client_ca_file: str = ""
    anonymous_auth: bool | None = None  # not given: True, or as the authentication configuration says
    token_auth_file: str = ""
    authentication_config: str = ""
    oidc_issuer_url: str = ""
    oidc_client_id: str = ""
    oidc_ca_file: str = ""
    oidc_username_claim: str = "sub"
    oidc_username_prefix: str = ""
    oidc_groups_claim: str = ""
    oidc_groups_prefix: str = ""
    oidc_required_claim: tuple[tuple[str, str], ...] = ()
    oidc_signing_algs: tuple[str, ...] = ("RS256",)
    authentication_token_webhook_config_file: str = ""
    authentication_token_webhook_version: str = "v1beta1"
    authentication_token_webhook_cache_ttl_s: float = 120.0
    enable_bootstrap_token_auth: bool = False
    authorization_mode: tuple[str, ...] = ()
    authorization_config: str = ""  # a file; excludes the mode and the webhook
    authorization_policy_file: str = ""
    authorization_webhook_config_file: str = ""
    authorization_webhook_version: str = ""
    authorization_webhook_cache_authorized_ttl_s: float | None = None
    authorization_webhook_cache_unauthorized_ttl_s: float | None = None
    service_account_issuer: tuple[str, ...] = ()
    service_account_key_file: tuple[str, ...] = ()
    service_account_signing_key_file: str = ""
    service_account_jwks_uri: str = ""
    service_account_lookup: bool = True
    service_account_max_token_expiration_s: float = 0
    service_account_extend_token_expiration: bool = True
    api_audiences: tuple[str, ...] = ()
    service_cluster_ip_range: tuple[str, ...] = ("10.96.0.0/16",)
    service_node_port_range: tuple[int, int] = (30000, 32767)
    kubelet_client_certificate: str = ""
    kubelet_client_key: str = ""
    kubelet_certificate_authority: str = ""
    kubelet_preferred_address_types: tuple[str, ...] = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")
    proxy_client_cert_file: str = ""  # for extension servers; made in the data directory if not given
    proxy_client_key_file: str = ""
    requestheader_client_ca_file: str = ""
    requestheader_allowed_names: tuple[str, ...] = ()
    requestheader_username_headers: tuple[str, ...] = ("X-Remote-User",)
    requestheader_uid_headers: tuple[str, ...] = ("X-Remote-Uid",)
    requestheader_group_headers: tuple[str, ...] = ("X-Remote-Group",)
    requestheader_extra_headers_prefix: tuple[str, ...] = ("X-Remote-Extra-",)
    enable_aggregator_routing: bool = False
    enable_admission_plugins: tuple[str, ...] = ()
    disable_admission_plugins: tuple[str, ...] = ()
    admission_control_config_file: str = ""
    cors_allowed_origins: tuple[str, ...] = ()  # regular expressions
    max_request_bytes: int = 3 * 1024 * 1024
    audit_policy_file: str = ""
    audit_log_path: str = ""  # "-": standard output
    audit_log_format: str = "json"
    audit_log_maxage: int = 0  # days
    audit_log_maxbackup: int = 0
    audit_log_maxsize: int = 0  # megabytes
    audit_log_compress: bool = False
    audit_log_mode: str = "blocking"
    audit_log_batch_buffer_size: int = 10000  # events
    audit_log_batch_max_size: int = 1  # events
    audit_log_batch_max_wait_s: float = 0.0
    audit_log_batch_throttle_enable: bool = False
    audit_log_batch_throttle_qps: float = 0.0
    audit_log_batch_throttle_burst: int = 0
    audit_log_truncate_enabled: bool = False
    audit_log_truncate_max_batch_size: int = 10 * 1024 * 1024  # bytes
    audit_log_truncate_max_event_size: int = 100 * 1024  # bytes
    audit_log_version: str = "audit.k8s.io/v1"
    audit_webhook_config_file: str = ""
    audit_webhook_initial_backoff_s: float = 10.0
    audit_webhook_mode: str = "batch"
    audit_webhook_batch_buffer_size: int = 10000  # events
    audit_webhook_batch_max_size: int = 400  # events
    audit_webhook_batch_max_wait_s: float = 30.0
    audit_webhook_batch_throttle_enable: bool = True
    audit_webhook_batch_throttle_qps: float = 10.0
    audit_webhook_batch_throttle_burst: int = 15
    audit_webhook_truncate_enabled: bool = False
    audit_webhook_truncate_max_batch_size: int = 10 * 1024 * 1024  # bytes
    audit_webhook_truncate_max_event_size: int = 100 * 1024  # bytes
    audit_webhook_version: str = "audit.k8s.io/v1"
    request_timeout_s: float = 60.0
    enable_priority_and_fairness: bool = True
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    min_request_timeout: int = 1800  # seconds, of a watch
    event_ttl_s: float = 3600.0
    external_hostname: str = ""
    endpoint_reconciler_type: str = "lease"
    goaway_chance: float = 0.0
    default_not_ready_toleration_seconds: int = 300
    default_unreachable_toleration_seconds: int = 300
    logging_format: str = "text"
    profiling: bool = True
    enable_logs_handler: bool = False
    etcd_healthcheck_timeout_s: float = 2.0
    etcd_readycheck_timeout_s: float = 2.0
    livez_grace_period_s: float = 0.0
    shutdown_delay_duration_s: float = 0.0
    shutdown_send_retry_after: bool = False
    shutdown_watch_termination_grace_period_s: float = 0.0
    strict_transport_security_directives: tuple[str, ...] = ()
    disabled_metrics: tuple[str, ...] = ()
    shutdown_grace_s: float = 10.0  # no flag: for requests under way
    cluster_addons: bool = True


def flags_of(options: Options) -> dict[str, str]:
    """The flags by name, as text: what /flagz shows. Credentials in URLs are left out."""
    found = {}
    for field in fields(options):
        value = getattr(options, field.name)
        name = field.name
        if name.endswith("_s") and isinstance(value, float | int):
            name, text = name[:-2], go_duration.text_of(int(value * 1e9))
        elif isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, tuple):
            text = "[" + ",".join(map(str, value)) + "]"
        else:
            text = str(value)
        found[name.replace("_", "-")] = re.sub(r"://[^/@]*@", "://CENSORED@", text)
    return found
