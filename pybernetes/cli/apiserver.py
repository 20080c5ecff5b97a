"""`pyb apiserver`: the API server alone."""

from __future__ import annotations

import re

import click

from pybernetes.cli import apiserver_audit, apiserver_operation
from pybernetes.cli.runtime import run_component


def _list(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    found = []
    for value in values:
        name, separator, content = value.partition("=")
        if not separator:
            raise click.BadParameter(f"malformed pair, expect string=string: {value}")
        found.append((name.strip(), content.strip()))
    return tuple(found)


def _port_range(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, int]:
    low, _, high = value.partition("-")
    try:
        return int(low), int(high)
    except ValueError as error:
        raise click.BadParameter("must look like 30000-32767") from error


def _duration(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Seconds of a duration as Go writes it, in whole units."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?|0", value)
    if not value or not found:
        raise click.BadParameter("must look like 5m or 1h30m0s")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float((hours * 60 + minutes) * 60 + seconds)


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    from pybernetes.machinery import go_duration

    if value is None:
        return None

    try:
        return go_duration.parse(value) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("apiserver")
@click.option("--bind-address", default="0.0.0.0", show_default=True, help="The address to listen on.")
@click.option("--secure-port", default=6443, show_default=True, help="The HTTPS port.")
@click.option("--advertise-address", default="", help="The address told to the cluster; default: the default route's.")
@click.option("--data-dir", default="/var/lib/pybernetes/store", show_default=True, help="Of the embedded store.")
@click.option("--etcd-servers", default="", callback=_list, help="URLs of an etcd to use instead: http(s)://host:port,…")
@click.option("--etcd-cafile", default="", help="The authority (PEM) of etcd's certificates.")
@click.option("--etcd-certfile", default="", help="Our client certificate for etcd.")
@click.option("--etcd-keyfile", default="", help="Its key.")
@click.option("--etcd-prefix", default="/registry", show_default=True, help="Below which keys are, in etcd.")
@click.option(
    "--etcd-compaction-interval", "etcd_compaction_interval_s", default="5m", show_default=True, callback=_duration,
    help="How often to compact etcd; 0 is never.",
)  # fmt: skip
@click.option("--encryption-provider-config", default="", help="How to encrypt what is stored (EncryptionConfiguration).")
@click.option(
    "--encryption-provider-config-automatic-reload", type=bool, default=False, is_flag=False, flag_value=True,
    help="Take up changes of that file.",
)  # fmt: skip
@click.option("--tls-cert-file", default="", help="Serving certificate; made in the data directory if not given.")
@click.option("--tls-private-key-file", default="", help="Its key.")
@click.option(
    "--tls-sni-cert-key", multiple=True, help="A certificate for certain server names: CERT,KEY or CERT,KEY:NAME,…; repeatable."
)
@click.option("--tls-min-version", default="", help="VersionTLS10 to VersionTLS13; default: VersionTLS12.")
@click.option(
    "--tls-cipher-suites", default="", callback=_list, help="Those of TLS 1.2 by their names in Go; default: OpenSSL's."
)
@click.option(
    "--http2-max-streams-per-connection",
    type=click.IntRange(min=0),
    default=0,
    help="Requests of a connection at once; default: 250.",
)
@click.option(
    "--permit-port-sharing",
    type=bool,
    default=False,
    is_flag=False,
    flag_value=True,
    help="Let others listen on our port, too.",
)
@click.option(
    "--permit-address-sharing", type=bool, default=False, is_flag=False, flag_value=True,
    help="Listen though connections of before linger: this is always so.",
)  # fmt: skip
@click.option("--client-ca-file", default="", help="Client certificates signed by these authorities are identities.")
@click.option("--anonymous-auth", type=bool, default=None, help="Let requests without credential be anonymous; default: true.")
@click.option("--token-auth-file", default="", help="Static tokens: CSV of token,user,uid,groups.")
@click.option("--authentication-config", default="", help="Issuers of JWTs to trust, and who may be anonymous; followed.")
@click.option("--oidc-issuer-url", default="", help="The OpenID Connect issuer whose tokens are accepted (https).")
@click.option("--oidc-client-id", default="", help="For whom its tokens must be.")
@click.option("--oidc-ca-file", default="", help="The authority of its certificate; default: the system's.")
@click.option("--oidc-username-claim", default="sub", show_default=True, help="The claim that is the user name.")
@click.option("--oidc-username-prefix", default="", help='Put before it; "-": nothing; default: the issuer and "#".')
@click.option("--oidc-groups-claim", default="", help="The claim that holds groups.")
@click.option("--oidc-groups-prefix", default="", help="Put before each group.")
@click.option("--oidc-required-claim", multiple=True, callback=_pairs, help="claim=value that a token must have.")
@click.option("--oidc-signing-algs", default="RS256", show_default=True, callback=_list, help="Accepted algorithms.")
@click.option("--authentication-token-webhook-config-file", default="", help="Ask the service in this kubeconfig for tokens.")
@click.option(
    "--authentication-token-webhook-version", default="v1beta1", show_default=True, help="Of the TokenReview: v1, v1beta1."
)
@click.option(
    "--authentication-token-webhook-cache-ttl", "authentication_token_webhook_cache_ttl_s", default="2m0s", show_default=True,
    callback=_seconds, help="How long its answers hold.",
)  # fmt: skip
@click.option(
    "--enable-bootstrap-token-auth", type=bool, default=False, is_flag=False, flag_value=True, help="Accept bootstrap tokens."
)
@click.option(
    "--authorization-mode", default="", callback=_list,
    help="AlwaysAllow, AlwaysDeny, ABAC, Webhook, Node, RBAC, in the order to ask them; default: Node,RBAC.",
)  # fmt: skip
@click.option("--authorization-config", default="", help="A file instead: AuthorizationConfiguration. It is followed.")
@click.option("--authorization-policy-file", default="", help="Policies of the mode ABAC, one JSON object a line.")
@click.option("--authorization-webhook-config-file", default="", help="A kubeconfig that leads to the webhook of the mode.")
@click.option("--authorization-webhook-version", default="", help="What it is asked in: v1 or v1beta1 (default).")
@click.option(
    "--authorization-webhook-cache-authorized-ttl", "authorization_webhook_cache_authorized_ttl_s", default=None,
    callback=_seconds, help="How long to keep that it allowed something; default: 5m0s.",
)  # fmt: skip
@click.option(
    "--authorization-webhook-cache-unauthorized-ttl", "authorization_webhook_cache_unauthorized_ttl_s", default=None,
    callback=_seconds, help="How long to keep that it did not; default: 30s.",
)  # fmt: skip
@click.option("--service-account-issuer", multiple=True, help="Issuer of tokens; the first signs, all are accepted.")
@click.option("--service-account-key-file", multiple=True, help="Keys (PEM) by which tokens are verified.")
@click.option("--service-account-signing-key-file", default="", help="The key that signs tokens; made if not given.")
@click.option("--service-account-jwks-uri", default="", help="Where others find our public keys; default: here.")
@click.option("--service-account-lookup", type=bool, default=True, show_default=True, help="Refuse tokens of deleted accounts.")
@click.option(
    "--service-account-extend-token-expiration", type=bool, default=True, show_default=True, help="Extend projected tokens."
)
@click.option(
    "--service-account-max-token-expiration", "service_account_max_token_expiration_s", default="0s", show_default=True,
    callback=_seconds, help="The longest that a token may be good for; 0: as long as asked.",
)  # fmt: skip
@click.option("--api-audiences", default="", callback=_list, help="Audiences of tokens; default: the issuers.")
@click.option(
    "--service-cluster-ip-range", default="10.96.0.0/16", show_default=True, callback=_list, help="CIDRs of Services."
)
@click.option("--service-node-port-range", default="30000-32767", show_default=True, callback=_port_range, help="Node ports.")
@click.option("--kubelet-client-certificate", default="", help="Our certificate for kubelets.")
@click.option("--kubelet-client-key", default="", help="Its key.")
@click.option("--kubelet-certificate-authority", default="", help="Verify kubelets by this authority; default: not at all.")
@click.option(
    "--kubelet-preferred-address-types", default="InternalIP,ExternalIP,Hostname,InternalDNS,ExternalDNS", show_default=True,
    callback=_list, help="Which of a node's addresses to use.",
)  # fmt: skip
@click.option("--proxy-client-cert-file", default="", help="Our certificate for extension servers; made if not given.")
@click.option("--proxy-client-key-file", default="", help="Its key.")
@click.option("--requestheader-client-ca-file", default="", help="The authority of front proxies' certificates.")
@click.option("--requestheader-allowed-names", default="", callback=_list, help="Common names of front proxies; default: any.")
@click.option(
    "--requestheader-username-headers", default="X-Remote-User", show_default=True, callback=_list, help="Headers of the user."
)
@click.option(
    "--requestheader-uid-headers", default="X-Remote-Uid", show_default=True, callback=_list, help="Headers of the user's UID."
)
@click.option(
    "--requestheader-group-headers", default="X-Remote-Group", show_default=True, callback=_list, help="Headers of the groups."
)
@click.option(
    "--requestheader-extra-headers-prefix", default="X-Remote-Extra-", show_default=True, callback=_list,
    help="Prefixes of headers with whatever else is known of the user.",
)  # fmt: skip
@click.option(
    "--enable-aggregator-routing", type=bool, default=False, is_flag=False, flag_value=True,
    help="Reach extension servers and webhooks by their endpoints, not by their Service's address.",
)  # fmt: skip
@click.option(
    "--cors-allowed-origins", default="", callback=_list,
    help="Regular expressions of origins whose pages may ask; default: none.",
)  # fmt: skip
@click.option("--enable-admission-plugins", default="", callback=_list, help="Further admission plugins.")
@click.option("--disable-admission-plugins", default="", callback=_list, help="Admission plugins to do without.")
@click.option("--admission-control-config-file", default="", help="Their configuration (AdmissionConfiguration).")
@click.option(
    "--request-timeout", "request_timeout_s", default="1m0s", show_default=True, callback=_seconds,
    help="How long a request may take; watches and the like are free.",
)  # fmt: skip
@click.option(
    "--enable-priority-and-fairness", type=bool, default=True, is_flag=False, flag_value=True, show_default=True,
    help="Queue by FlowSchemas and PriorityLevelConfigurations; else the two limits below are all there is.",
)  # fmt: skip
@click.option("--max-requests-inflight", default=400, show_default=True, help="Reading requests at once.")
@click.option(
    "--max-mutating-requests-inflight", default=200, show_default=True,
    help="Writing ones. The sum of both is shared by priority; 0 and 0: no limit.",
)  # fmt: skip
@apiserver_audit.options
@apiserver_operation.options
@click.option("-v", "--v", "verbosity", default=0, help="Log verbosity.")
def command(verbosity: int, **flags: object) -> None:
    """Serve the Kubernetes API from an embedded store, or from etcd."""
    from pybernetes.apiserver import app
    from pybernetes.apiserver.options import Options

    options = Options(**flags)  # type: ignore[arg-type]
    run_component("apiserver", app.run, options, verbosity)
