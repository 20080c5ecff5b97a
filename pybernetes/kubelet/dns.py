"""What goes into a pod's resolv.conf and hosts file. Source: "DNS for Services and Pods"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.machinery.meta import Object

HOSTNAME_MAX = 63


@dataclass(frozen=True, slots=True)
class Resolver:
    """A resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def read_resolver(path: str) -> Resolver:
    """The node's; an empty one if the file is missing (or the path is "")."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    try:
        lines = Path(path).read_text().splitlines() if path else []
    except OSError:
        lines = []
    for line in lines:
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if not words:
            continue
        if words[0] == "nameserver":
            servers += words[1:2]
        elif words[0] == "search":
            searches = [word.rstrip(".") or "." for word in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def dns_config(pod: Object, *, cluster_dns: Sequence[str], cluster_domain: str, node: Resolver) -> api.DNSConfig:
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    if policy == "None":
        pass  # only what dnsConfig says
    elif policy in ("ClusterFirst", "ClusterFirstWithHostNet") and cluster_dns:
        servers, options = list(cluster_dns), ["ndots:5"]
        if cluster_domain:
            namespace = pod["metadata"]["namespace"]
            searches = [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain]
        searches += [domain for domain in node.searches if domain not in searches]
    else:
        servers, searches, options = list(node.servers), list(node.searches), list(node.options)
    own = spec.get("dnsConfig") or {}
    servers += [server for server in own.get("nameservers") or () if server not in servers]
    searches += [domain for domain in own.get("searches") or () if domain not in searches]
    for option in own.get("options") or ():
        name, value = option["name"], option.get("value")
        options = [known for known in options if known.partition(":")[0] != name]
        options.append(f"{name}:{value}" if value is not None else name)
    return api.DNSConfig(servers=servers, searches=searches, options=options)


def host_names(pod: Object, cluster_domain: str) -> tuple[str, str]:
    """(hostname, its domain within the cluster or "")."""
    spec, metadata = pod["spec"], pod["metadata"]
    hostname = spec.get("hostname") or metadata["name"][:HOSTNAME_MAX].rstrip("-.")
    domain = ""
    if spec.get("subdomain"):
        domain = f"{spec['subdomain']}.{metadata['namespace']}.svc.{cluster_domain}"
    return hostname, domain


def hosts_file(pod: Object, pod_ips: Sequence[str], cluster_domain: str, *, node_hosts: str = "") -> str:
    """`node_hosts` is the node's own file, for a pod in the node's network."""
    if pod["spec"].get("hostNetwork"):
        lines = ["# Kubernetes-managed hosts file (host network).", node_hosts.rstrip("\n")]
    else:
        hostname, domain = host_names(pod, cluster_domain)
        names = f"{hostname}.{domain}\t{hostname}" if domain else hostname
        lines = [
            "# Kubernetes-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::0\tip6-localnet",
            "fe00::0\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
            *(f"{ip}\t{names}" for ip in pod_ips),
        ]
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += ["\t".join([alias["ip"], *(alias.get("hostnames") or ())]) for alias in aliases]
    return "\n".join(lines) + "\n"
