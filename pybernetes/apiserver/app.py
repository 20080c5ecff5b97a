"""The API server as a process: its store, its certificates, its socket, and the Service by which pods find it."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pybernetes.apiserver import cors, strict_transport
from pybernetes.apiserver.aggregation import front_proxy
from pybernetes.apiserver.aggregation.front_proxy import FrontProxy
from pybernetes.apiserver.audit import flags as audit
from pybernetes.apiserver.authentication import flags as authentication
from pybernetes.apiserver.authorization import Options as AuthorizationOptions
from pybernetes.apiserver.authorization import configuration as authorization
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.encryption.entries import CannotBeRead
from pybernetes.apiserver.health import Options as HealthOptions
from pybernetes.apiserver.identity import server_id
from pybernetes.apiserver.kubernetes_service import keep_kubernetes_service
from pybernetes.apiserver.metrics.connections import handshake_families
from pybernetes.apiserver.options import Options, flags_of
from pybernetes.apiserver.proxying.targets import Kubelets
from pybernetes.apiserver.server import ApiServer
from pybernetes.apiserver.shutdown import Shutdown, shut_down
from pybernetes.apiserver.storage import encrypted, open_encryption, open_store
from pybernetes.machinery.clock import Clock, SystemClock
from pybernetes.machinery.entropy import Entropy, SystemEntropy
from pybernetes.machinery.http.connections import STREAMS_MAX
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context
from pybernetes.machinery.http.tls_settings import addresses_apart, parse_named_certificate, settings_of
from pybernetes.machinery.log import log_lines_as, logger
from pybernetes.machinery.meta import Object

if TYPE_CHECKING:
    import ssl

    from pybernetes.apiserver.encryption.encryption import Encryption

log = logger("apiserver")

COLLECTION_THRESHOLDS = (50_000, 20, 50)  # Python's own: 700, 10, 10


async def run(options: Options) -> None:
    """Serve until cancelled; then end streams, finish what is under way, close the store."""
    # Requests make garbage without cycles by the thousand, beside a state that stays: a tenth of a create was collections.
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    log_lines_as(options.logging_format)
    clock, entropy = SystemClock(), SystemEntropy()
    files = complete_files(options, clock)
    encryption = await open_encryption(options, clock=clock, entropy=entropy)
    store = encrypted(await open_store(options, clock=clock, entropy=entropy), encryption, options)
    try:
        address = options.advertise_address or default_address()
        wanted = config(options, files, address)
        if encryption is not None:
            wanted = replace(wanted, checks=encryption.checks, registries=(encryption.metrics.registry,))
        api = ApiServer(store, clock=clock, entropy=entropy, config=wanted)
        handle = cors.allowing(options.cors_allowed_origins, api.handle)
        handle = strict_transport.announcing(options.strict_transport_security_directives, handle)
        streams_max = options.http2_max_streams_per_connection or STREAMS_MAX
        http = Server(handle, clock=clock, body_limit=options.max_request_bytes, streams_max=streams_max)
        api.metric_sources.append(lambda: handshake_families(http))
        await _listen(http, options, files)
        log.info("Serving", address=f"{options.bind_address}:{http.port}")
        running = asyncio.create_task(_run(api, encryption, options, address, clock, entropy))
        try:
            await asyncio.wait([running])  # cancelled, it lets the server go on: requests under way need it
        finally:
            how = Shutdown(
                0.0 if running.done() else options.shutdown_delay_duration_s, options.shutdown_send_retry_after,
                options.shutdown_watch_termination_grace_period_s, options.shutdown_grace_s,
            )  # fmt: skip
            try:
                await shut_down(api, http, how, clock)
            finally:
                running.cancel()
                await asyncio.wait([running])
                await api.close()
        await running
    finally:
        await store.close()
        if encryption is not None:
            await encryption.close()


async def _listen(http: Server, options: Options, files: Files) -> None:
    """Raises OSError, ValueError."""
    authorities = (files.client_ca, files.front_proxy.requestheader_client_ca_file)
    named = [parse_named_certificate(text) for text in options.tls_sni_cert_key]
    settings = settings_of(options.tls_min_version, options.tls_cipher_suites)

    def context(address: str) -> ssl.SSLContext:
        return server_context(
            files.certificate, files.key, *authorities, named=named, address=address, settings=settings
        )  # fmt: skip

    host, apart = options.bind_address, addresses_apart(named, options.bind_address)
    await http.start(host, options.secure_port, context(host), shared=options.permit_port_sharing or bool(apart))
    for address in apart:
        try:
            await http.start(address, http.port, context(address), shared=True)
        except OSError as error:  # not of this machine: the certificate is for clients that send it as a name
            log.warning("Cannot listen on the address of a certificate", address=address, err=str(error))


async def _run(
    api: ApiServer, encryption: Encryption | None, options: Options, address: str, clock: Clock, entropy: Entropy
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(api.run())
            if encryption is not None:
                group.create_task(encryption.run())
            if options.endpoint_reconciler_type != "none":
                group.create_task(keep_kubernetes_service(api, address, options.secure_port, clock=clock, entropy=entropy))
            await api.wait_ready()
            gc.freeze()  # what was loaded is looked at no more
    except* CannotBeRead as found:
        first: BaseException = found
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        assert isinstance(first, CannotBeRead)
        raise OSError(f"what the server itself needs cannot be read from its store: {first.key}: {first.why}") from found


@dataclass(frozen=True, slots=True)
class Files:
    """Certificates and keys, given or made."""

    certificate: str
    key: str
    client_ca: str
    service_account_key: str
    front_proxy: FrontProxy = field(default_factory=FrontProxy)


def admission_documents(path: str) -> Mapping[str, Object]:
    """Raises ValueError."""
    if not path:
        return {}
    from pybernetes.apiserver.admission import configuration

    return configuration.read(path)


def config(options: Options, files: Files, address: str, clock: Clock | None = None, entropy: Entropy | None = None) -> Config:
    """Raises OSError and ValueError for files that cannot be read or say nonsense."""
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    return Config(
        authentication=authentication.read(
            options, client_ca=files.client_ca, signing_key=files.service_account_key, front_proxy=files.front_proxy,
            address=f"{address}:{options.secure_port}", server_id=server_id(socket.gethostname()),
        ),
        authorization=authorization_options(options),
        service_cidrs=options.service_cluster_ip_range,
        node_port_range=options.service_node_port_range,
        advertise_address=address,
        secure_port=options.secure_port,
        enable_admission_plugins=options.enable_admission_plugins,
        disable_admission_plugins=options.disable_admission_plugins,
        admission_documents=admission_documents(options.admission_control_config_file),
        enable_aggregator_routing=options.enable_aggregator_routing,
        front_proxy=files.front_proxy,
        kubelets=Kubelets(
            options.kubelet_client_certificate, options.kubelet_client_key, options.kubelet_certificate_authority,
            options.kubelet_preferred_address_types,
        ),
        cluster_addons=options.cluster_addons,
        audit_policy=audit.policy(options),
        audit_backends=audit.backends(options, clock, entropy),
        health=HealthOptions(
            options.livez_grace_period_s, options.etcd_healthcheck_timeout_s, options.etcd_readycheck_timeout_s
        ),
        storage_files=None if options.etcd_servers else Path(options.data_dir),
        flags=flags_of(options),
        default_tolerations_s=(
            options.default_not_ready_toleration_seconds, options.default_unreachable_toleration_seconds
        ),
        disabled_metrics=frozenset(options.disabled_metrics),
        profiling=options.profiling,
        enable_logs_handler=options.enable_logs_handler,
        goaway_chance=options.goaway_chance,
        min_request_timeout_s=options.min_request_timeout,
        event_ttl_s=int(options.event_ttl_s),
        external_hostname=options.external_hostname,
        request_timeout_s=options.request_timeout_s,
        enable_priority_and_fairness=options.enable_priority_and_fairness,
        max_requests_inflight=options.max_requests_inflight,
        max_mutating_requests_inflight=options.max_mutating_requests_inflight,
    )  # fmt: skip


def authorization_options(options: Options) -> AuthorizationOptions:
    """Raises `ConfigurationError` for flags that exclude each other."""
    modes, webhook_file = options.authorization_mode, options.authorization_webhook_config_file
    version = options.authorization_webhook_version
    kept_s = (options.authorization_webhook_cache_authorized_ttl_s, options.authorization_webhook_cache_unauthorized_ttl_s)
    if options.authorization_config:
        if modes or webhook_file or version or kept_s != (None, None):
            raise authorization.ConfigurationError(
                "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags "
                "are defined"
            )
        return AuthorizationOptions(
            file=options.authorization_config, policy_file=options.authorization_policy_file,
            server_id=server_id(socket.gethostname()),
        )  # fmt: skip
    webhook = None
    if webhook_file:
        webhook = authorization.Webhook(
            webhook_file, version or "v1beta1", authorized_ttl_s=300.0 if kept_s[0] is None else kept_s[0],
            unauthorized_ttl_s=30.0 if kept_s[1] is None else kept_s[1],
        )  # fmt: skip
    policy_file = options.authorization_policy_file
    configuration = authorization.of_flags(modes or authorization.DEFAULT_MODES, policy_file, webhook)
    return AuthorizationOptions(configuration, policy_file=policy_file)


def complete_files(options: Options, clock: Clock) -> Files:
    """The files named by flags; where none are, our own below the data directory (made once, kept).

    Raises ValueError for a certificate without its key.
    """
    if bool(options.tls_cert_file) != bool(options.tls_private_key_file):
        raise ValueError("--tls-cert-file and --tls-private-key-file go together")
    directory = Path(options.data_dir) / "pki"
    certificate, key, client_ca = options.tls_cert_file, options.tls_private_key_file, options.client_ca_file
    if not certificate:
        certificate, key = str(directory / "apiserver.crt"), str(directory / "apiserver.key")
        client_ca = client_ca or str(directory / "ca.crt")
        if not Path(certificate).exists():
            _make_certificates(directory, options, clock)
    signing_key = options.service_account_signing_key_file
    if not signing_key:
        from pybernetes.machinery import pki

        signing_key = str(directory / "sa.key")
        if not Path(signing_key).exists():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            pki.write_private(Path(signing_key), pki.new_key_pem())
    given = FrontProxy(
        options.proxy_client_cert_file, options.proxy_client_key_file, options.requestheader_client_ca_file,
        options.requestheader_allowed_names, options.requestheader_username_headers, options.requestheader_uid_headers,
        options.requestheader_group_headers, options.requestheader_extra_headers_prefix, client_ca,
    )  # fmt: skip
    return Files(certificate, key, client_ca, signing_key, front_proxy.complete(given, directory, clock.now()))


def _make_certificates(directory: Path, options: Options, clock: Clock) -> None:
    """A CA, the serving certificate, and an administrator's client certificate (`admin.crt`, `admin.key`)."""
    import ipaddress

    from pybernetes.machinery import pki

    now = clock.now()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = pki.Authority.create("kubernetes", now)
    pki.KeyPair(authority.certificate_pem, authority.key_pem).save(directory / "ca.crt", directory / "ca.key")
    service_ip = str(next(ipaddress.ip_network(options.service_cluster_ip_range[0]).hosts()))
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost")
    addresses = {"127.0.0.1", "::1", service_ip, options.advertise_address or default_address()}
    serving = authority.issue("kube-apiserver", (), names, sorted(addresses), usages=pki.SERVER, now=now)
    serving.save(directory / "apiserver.crt", directory / "apiserver.key")
    admin = authority.issue("kubernetes-admin", ("system:masters",), now=now)
    admin.save(directory / "admin.crt", directory / "admin.key")


def default_address() -> str:
    """The address that packets to other machines leave from; loopback where there is no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: nothing is sent by connecting
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
