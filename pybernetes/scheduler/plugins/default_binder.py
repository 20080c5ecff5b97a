"""DefaultBinder: tell the API server where the pod goes."""

from __future__ import annotations

from pybernetes.client.rest import Client
from pybernetes.machinery.meta import Object, name_of, namespace_of, uid_of
from pybernetes.machinery.resources import PODS
from pybernetes.scheduler.framework import Reads


class DefaultBinder:
    name = "DefaultBinder"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = ()

    def __init__(self, client: Client) -> None:
        self._client = client

    async def bind(self, pod: Object, node_name: str) -> None:
        """Raises `StatusError` or OSError. The uid guards against a namesake that was born since."""
        binding: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
        }
        await self._client.create(PODS, binding, namespace_of(pod), name=name_of(pod), subresource="binding")
