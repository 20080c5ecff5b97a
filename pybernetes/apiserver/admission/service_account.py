"""ServiceAccount: every pod runs as one, and finds its token, the cluster's CA and its namespace in a volume.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-admission-controller
"""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.meta import Object, annotations_of, name_of
from pybernetes.machinery.resources import PODS, SERVICE_ACCOUNTS

DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
MIRROR = "kubernetes.io/config.mirror"
ENFORCE_MOUNTABLE_SECRETS = "kubernetes.io/enforce-mountable-secrets"
# An odd number, so that the server knows the tokens that it may extend for clients which do not read them again.
TOKEN_LIFETIME_S = 3607
# A new namespace gets its default account from a controller, moments later.
DEFAULT_ATTEMPTS = 20
DEFAULT_RETRY_S = 0.1


class ServiceAccount(AdmissionPlugin):
    name = "ServiceAccount"
    resources = (PODS,)

    def __init__(self, reader: Reader, clock: Clock, entropy: Entropy) -> None:
        self._reader = reader
        self._clock = clock
        self._entropy = entropy

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        if not _is_new_pod(request) or pod is None:
            return
        if MIRROR in annotations_of(pod):
            _check_mirror(request, pod)
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or DEFAULT
        # The second is the old name of the field, kept equal by the API.
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(request, name)
        if _mounts_token(spec, account):
            mount_token(spec, VOLUME_PREFIX + self._entropy.name_suffix())
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.object
        if not _is_new_pod(request) or pod is None:
            return
        if MIRROR in annotations_of(pod):
            _check_mirror(request, pod)
            return
        account = await self._account(request, pod["spec"].get("serviceAccountName") or DEFAULT)
        if annotations_of(account).get(ENFORCE_MOUNTABLE_SECRETS) == "true":
            for problem in unmountable(pod["spec"], account):
                raise refusal(request, problem)

    async def _account(self, request: AdmissionRequest, name: str) -> Object:
        for attempt in range(DEFAULT_ATTEMPTS if name == DEFAULT else 1):
            if attempt:
                await self._clock.sleep(DEFAULT_RETRY_S)
            account = self._reader.get(SERVICE_ACCOUNTS, request.namespace, name)
            if account is not None:
                return account
        problem = f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found'
        raise refusal(request, problem)


def _is_new_pod(request: AdmissionRequest) -> bool:
    return not request.subresource and request.operation is Operation.CREATE


def _mounts_token(spec: Object, account: Object) -> bool:
    """The pod's own word goes before the account's."""
    for holder in (spec, account):
        if holder.get("automountServiceAccountToken") is not None:
            return bool(holder["automountServiceAccountToken"])
    return True


def mount_token(spec: Object, volume_name: str) -> None:
    """Give each container that has nothing at the place the volume there; add the volume if one does."""
    volumes = spec.setdefault("volumes", [])
    existing = next((volume["name"] for volume in volumes if volume["name"].startswith(VOLUME_PREFIX)), None)
    mount = {"mountPath": MOUNT_PATH, "name": existing or volume_name, "readOnly": True}
    mounted = False
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        mounts = container.get("volumeMounts") or []
        if not any(found.get("mountPath") == MOUNT_PATH for found in mounts):
            container["volumeMounts"] = [*mounts, dict(mount)]
            mounted = True
    if mounted and existing is None:
        volumes.append(token_volume(volume_name))
    elif not volumes:
        del spec["volumes"]


def token_volume(name: str) -> Object:
    namespace = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}, "path": "namespace"}
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME_S, "path": "token"}},
                {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
                {"downwardAPI": {"items": [namespace]}},
            ],
        },
    }


def _check_mirror(request: AdmissionRequest, pod: Object) -> None:
    """A mirror pod stands for one that runs from a file: it cannot be given what only the API has."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        raise refusal(request, "a mirror pod may not reference service accounts")
    volumes = spec.get("volumes") or ()
    if any("secret" in volume for volume in volumes) or any(_environment_secrets(spec)):
        raise refusal(request, "a mirror pod may not reference secrets")
    for volume in volumes:
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source:
                raise refusal(request, "a mirror pod may not use ServiceAccount volume projections")


def unmountable(spec: Object, account: Object) -> Iterator[str]:
    """What the pod uses that its account does not list (accounts annotated to enforce their list)."""
    name = name_of(account)
    mountable = {secret.get("name") for secret in account.get("secrets") or ()}
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if secret is not None and secret not in mountable:
            yield (
                f'volume with secret.secretName="{secret}" is not allowed because service account {name} '
                "does not reference that secret"
            )
    for shown, secret in _environment_secrets(spec):
        if secret not in mountable:
            yield (
                f'{shown} referencing secret.secretName="{secret}" is not allowed because service account {name} '
                "does not reference that secret"
            )
    pull_secrets = {secret.get("name") for secret in account.get("imagePullSecrets") or ()}
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        if reference.get("name") not in pull_secrets:
            yield (
                f'imagePullSecrets[{index}].name="{reference.get("name", "")}" is not allowed because service account {name} '
                "does not reference that imagePullSecret"
            )


def _environment_secrets(spec: Object) -> Iterator[tuple[str, str]]:
    """(where, secret) for each environment variable that comes from a secret."""
    for field, kind in (("initContainers", "init container"), ("containers", "container")):
        for container in spec.get(field) or ():
            for variable in container.get("env") or ():
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference:
                    yield f"{kind} {container['name']} with envVar {variable['name']}", reference.get("name", "")
            for source in container.get("envFrom") or ():
                if source.get("secretRef"):
                    yield f"{kind} {container['name']} with envFrom", source["secretRef"].get("name", "")
