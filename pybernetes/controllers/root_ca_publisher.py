"""Root CA publisher: every namespace has a ConfigMap `kube-root-ca.crt` with the cluster's certificate authority.

Contract: KEP-2907 (bound service account tokens), which lets pods verify the API server by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pybernetes.controllers.actions import Action, Create, Update
from pybernetes.controllers.controller import Caches, Context, Controller, Look, Wake, itself
from pybernetes.machinery.meta import Object, annotations_of, is_being_deleted, name_of, namespace_of
from pybernetes.machinery.resources import CONFIG_MAPS, NAMESPACES

NAME = "kube-root-ca.crt"
KEY = "ca.crt"
DESCRIPTION = "kubernetes.io/description"
DESCRIPTION_TEXT = "The certificate authority by which pods verify the API server's certificate."


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    namespace: Object
    config_map: Object | None
    root_ca: str


def reconcile(seen: Snapshot) -> list[Action]:
    if is_being_deleted(seen.namespace):
        return []
    data = {KEY: seen.root_ca}
    known = seen.config_map
    if known is None:
        metadata = {"name": NAME, "namespace": name_of(seen.namespace), "annotations": {DESCRIPTION: DESCRIPTION_TEXT}}
        return [Create(CONFIG_MAPS, {"metadata": metadata, "data": data})]
    if known.get("data") == data and annotations_of(known).get(DESCRIPTION):
        return []
    annotations = {DESCRIPTION: DESCRIPTION_TEXT, **annotations_of(known)}
    return [Update(CONFIG_MAPS, {**known, "metadata": {**known["metadata"], "annotations": annotations}, "data": data})]


def _observer(root_ca: str) -> Callable[[Look, str], Snapshot | None]:
    def observe(look: Look, key: str) -> Snapshot | None:
        namespace = look.caches[NAMESPACES].get("", key)
        if namespace is None:
            return None
        return Snapshot(namespace, look.caches[CONFIG_MAPS].get(key, NAME), root_ca)

    return observe


def _namespace_of_ours(caches: Caches, config_map: Object) -> tuple[str, ...]:
    return (namespace_of(config_map),) if name_of(config_map) == NAME else ()


def controller(context: Context) -> Controller[Snapshot] | None:
    if not context.options.root_ca_file:
        return None
    return Controller(
        name="root-ca-certificate-publisher-controller",
        source="root-ca-cert-publisher",
        wakes_on=(itself(NAMESPACES), Wake(CONFIG_MAPS, _namespace_of_ours)),
        observe=_observer(Path(context.options.root_ca_file).read_text()),
        decide=reconcile,
    )
