"""What a CertificateSigningRequest asks for, and the rules of the signers that Kubernetes itself has."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.machinery.meta import Object, condition

APISERVER_CLIENT = "kubernetes.io/kube-apiserver-client"
APISERVER_CLIENT_KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown"

NODES_GROUP = "system:nodes"
NODE_USER_PREFIX = "system:node:"


@dataclass(frozen=True, slots=True)
class Request:
    """The PKCS#10 request inside."""

    pem: bytes
    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    emails: tuple[str, ...]
    uris: tuple[str, ...]


def parse(csr: Object) -> Request:
    """Read `spec.request`. Raises ValueError."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        pem = base64.b64decode(csr["spec"]["request"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"spec.request is not base64: {error}") from error
    request = x509.load_pem_x509_csr(pem)
    names: list[x509.GeneralName] = []
    try:
        names = list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        pass
    common_names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return Request(
        pem,
        str(common_names[0].value) if common_names else "",
        tuple(str(each.value) for each in organizations),
        tuple(each.value for each in names if isinstance(each, x509.DNSName)),
        tuple(str(each.value) for each in names if isinstance(each, x509.IPAddress)),
        tuple(each.value for each in names if isinstance(each, x509.RFC822Name)),
        tuple(each.value for each in names if isinstance(each, x509.UniformResourceIdentifier)),
    )


def usages_of(csr: Object) -> list[str]:
    return list(csr["spec"].get("usages") or ())


def is_node_client(request: Request, usages: Sequence[str]) -> bool:
    """Whether it asks for what a kubelet authenticates to the API server with."""
    return not node_client_problem(request, usages)


def node_client_problem(request: Request, usages: Sequence[str]) -> str:
    """Why it is no kubelet's client certificate; "" if it is."""
    if request.organizations != (NODES_GROUP,):
        return "subject organization is not system:nodes"
    if not request.common_name.startswith(NODE_USER_PREFIX):
        return "subject common name does not begin with system:node:"
    if request.dns_names:
        return "DNS subjectAltNames are not allowed"
    if request.emails:
        return "Email subjectAltNames are not allowed"
    if request.ip_addresses:
        return "IP subjectAltNames are not allowed"
    if request.uris:
        return "URI subjectAltNames are not allowed"
    return _usage_problem(usages, "client auth")


def node_serving_problem(request: Request, usages: Sequence[str]) -> str:
    """Why it is no kubelet's server certificate; "" if it is."""
    if request.organizations != (NODES_GROUP,):
        return "subject organization is not system:nodes"
    if not request.common_name.startswith(NODE_USER_PREFIX):
        return "subject common name does not begin with system:node:"
    if not request.dns_names and not request.ip_addresses:
        return "DNS or IP subjectAltName is required"
    if request.emails:
        return "Email subjectAltNames are not allowed"
    if request.uris:
        return "URI subjectAltNames are not allowed"
    return _usage_problem(usages, "server auth")


def _usage_problem(usages: Sequence[str], purpose: str) -> str:
    """Digital signature and the purpose, and (RSA keys) perhaps key encipherment: nothing else."""
    if set(usages) - {"key encipherment"} == {"digital signature", purpose}:
        return ""
    return f"usages did not match [digital signature, {purpose}] or [key encipherment, digital signature, {purpose}]"


def problem(csr: Object, request: Request) -> str:
    """Why the signer that is asked for must refuse; "" if it may sign."""
    usages = usages_of(csr)
    match csr["spec"]["signerName"]:
        case "kubernetes.io/kube-apiserver-client-kubelet":
            return node_client_problem(request, usages)
        case "kubernetes.io/kubelet-serving":
            return node_serving_problem(request, usages)
        case "kubernetes.io/kube-apiserver-client":
            if "client auth" not in usages or set(usages) - {"digital signature", "key encipherment", "client auth"}:
                return "usages are not allowed for this signer: client auth is required, others may only accompany it"
    return ""


def has_condition(csr: Object, type_: str) -> bool:
    return condition((csr.get("status") or {}).get("conditions"), type_) is not None


def is_issued(csr: Object) -> bool:
    return bool((csr.get("status") or {}).get("certificate"))
