from copy import deepcopy

import pytest

from pybernetes.apiserver.admission import build
from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.attributes import User
from pybernetes.machinery.resources import BUILTIN, NAMESPACES, SERVICE_ACCOUNTS

JOE = User("joe", groups=("system:authenticated",))


@pytest.fixture
def enabled():
    """Further plugins of the chain, by name; a test overrides it."""
    return ()


@pytest.fixture
def documents():
    """Their configuration, by name; a test overrides it."""
    return {}


class Kinds:
    """Which kinds are served: the ones that are built in."""

    def find(self, gvk):
        return next((resource for resource in BUILTIN if resource.gvk == gvk), None)


@pytest.fixture
def chain(cluster, authorizing, clock, entropy, enabled, documents):
    """The whole chain, over a cluster with namespace `ns` and its default service account."""
    cluster.put(NAMESPACES, {"metadata": {"name": "ns"}, "status": {"phase": "Active"}})
    cluster.put(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "ns"}})
    return build(
        cluster, cluster, authorizer=authorizing("RBAC"), clock=clock, entropy=entropy, versions=Kinds(), enable=enabled,
        documents=documents,
    )  # fmt: skip


@pytest.fixture
def write(chain):
    """Send an object through both phases; gives the request back, its object as it would be stored."""

    async def run(resource, obj, old=None, *, user=JOE, operation=None, subresource="", name="", dry_run=False):
        of = obj if obj is not None else old
        request = AdmissionRequest(
            operation=operation or (Operation.UPDATE if old else Operation.CREATE),
            resource=resource,
            subresource=subresource,
            namespace=of["metadata"].get("namespace", "ns") if resource.namespaced else "",
            name=name or of["metadata"].get("name", ""),
            user=user,
            object=deepcopy(obj),
            old_object=old,
            dry_run=dry_run,
        )
        await chain.admit(request)
        await chain.validate(request)
        return request

    return run


@pytest.fixture
def pod():
    """A pod as it comes out of decoding and defaulting, with changes to its spec."""

    def make(*containers, name="p", metadata=None, **spec):
        chosen = [{"name": "c", "image": "img:1", "resources": {}, **one} for one in containers or ({},)]
        return {"metadata": {"name": name, "namespace": "ns", **(metadata or {})}, "spec": {"containers": chosen, **spec}}

    return make
