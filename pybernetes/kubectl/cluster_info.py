"""`kubectl cluster-info`: where the control plane and the cluster's own services are."""

from __future__ import annotations

from pybernetes.kubectl.command import Command
from pybernetes.kubectl.flags import Parsed
from pybernetes.kubectl.session import Session
from pybernetes.machinery.resources import SERVICES


async def run(session: Session, parsed: Parsed) -> int:
    server = session.access.server
    query = {"labelSelector": "kubernetes.io/cluster-service=true"}
    answer = await session.request("GET", SERVICES.path("kube-system"), query=query)
    session.print(f"Kubernetes control plane is running at {server}")
    for item in answer.get("items") or ():
        metadata = item["metadata"]
        name = (metadata.get("labels") or {}).get("kubernetes.io/name", metadata["name"])
        ports = item["spec"].get("ports") or [{}]
        port = f":{ports[0]['name']}" if ports[0].get("name") else ""
        session.print(f"{name} is running at {server}/api/v1/namespaces/kube-system/services/{metadata['name']}{port}/proxy")
    session.print("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.")
    return 0


COMMAND = Command("cluster-info", "Show the cluster's addresses", run=run)
