"""LimitRanger and ResourceQuota, with upstream's recorded sentences."""

import pytest

from pybernetes.machinery import errors
from pybernetes.machinery.resources import (
    LEASES,
    LIMIT_RANGES,
    PERSISTENT_VOLUME_CLAIMS,
    POD_TEMPLATES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICES,
)


@pytest.fixture
def limits(cluster):
    items = [
        {"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m", "memory": "1Gi"},
         "max": {"cpu": "1", "memory": "1Gi"}, "min": {"cpu": "50m"}, "maxLimitRequestRatio": {"cpu": "10"}},
        {"type": "Pod", "max": {"cpu": "1500m"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Mi"}},
    ]  # fmt: skip
    return cluster.put(LIMIT_RANGES, {"metadata": {"name": "l", "namespace": "ns"}, "spec": {"limits": items}})


def resources(requests=None, limits=None):
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


async def test_open_requests_and_limits_get_the_namespaces_defaults(limits, write, pod):
    made = (await write(PODS, pod())).object
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "100m", "memory": "1Gi"},
    }
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"
    )


@pytest.mark.parametrize(
    ("containers", "problem"),
    [
        ([resources({"cpu": "2"}, {"cpu": "2", "memory": "1Mi"})],
         "[maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 1500m, but limit is 2]"),
        ([resources({"cpu": "10m"}, {"cpu": "1", "memory": "1Mi"})],
         "[minimum cpu usage per Container is 50m, but request is 10m, "
         "cpu max limit to request ratio per Container is 10, but provided ratio is 100.000000]"),
        ([resources({"cpu": "60m"}, {"cpu": "900m", "memory": "1Mi"})],
         "cpu max limit to request ratio per Container is 10, but provided ratio is 15.000000"),
        ([{"name": "a", **resources({"cpu": "1"}, {"cpu": "1", "memory": "1Mi"})},
          {"name": "b", **resources({"cpu": "1"}, {"cpu": "1", "memory": "1Mi"})}],
         "maximum cpu usage per Pod is 1500m, but limit is 2"),
    ],
)  # fmt: skip
async def test_a_pod_out_of_bounds_is_told_all_that_is_wrong(limits, write, pod, containers, problem):
    with pytest.raises(errors.Forbidden) as refused:
        await write(PODS, pod(*containers))
    assert refused.value.message == f'pods "p" is forbidden: {problem}'


async def test_a_claim_is_bounded_too(limits, write):
    spec = {"resources": {"requests": {"storage": "2Gi"}}}
    with pytest.raises(errors.Forbidden) as refused:
        await write(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "c", "namespace": "ns"}, "spec": spec})
    assert refused.value.message == (
        'persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi'
    )


@pytest.fixture
def quota(cluster):
    def put(hard, used=None, **spec):
        zero = dict.fromkeys(hard, "0") if used is None else used
        metadata = {"name": "q", "namespace": "ns"}
        cluster.put(
            RESOURCE_QUOTAS, {"metadata": metadata, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": zero}}
        )

    return put


def used(cluster):
    return cluster.get(RESOURCE_QUOTAS, "ns", "q")["status"]["used"]


def named(name, **fields):
    return {"metadata": {"name": name, "namespace": "ns"}, **fields}


async def test_objects_are_counted_until_there_are_enough(quota, write, cluster):
    quota({"count/leases.coordination.k8s.io": "2", "count/podtemplates": "0"})
    for name in ("l0", "l1"):
        await write(LEASES, named(name))
    with pytest.raises(errors.Forbidden) as refused:
        await write(LEASES, named("l2"))
    assert refused.value.message == (
        'leases.coordination.k8s.io "l2" is forbidden: exceeded quota: q, requested: count/leases.coordination.k8s.io=1, '
        "used: count/leases.coordination.k8s.io=2, limited: count/leases.coordination.k8s.io=2"
    )
    with pytest.raises(errors.Forbidden, match="used: count/podtemplates=0, limited: count/podtemplates=0"):
        await write(POD_TEMPLATES, named("t", template={}))
    assert used(cluster) == {"count/leases.coordination.k8s.io": "2", "count/podtemplates": "0"}


async def test_compute_is_added_up(quota, write, pod, cluster):
    quota({"limits.memory": "1Gi", "pods": "2", "requests.cpu": "1"})

    async def make(name, cpu=None, memory=None):
        given = resources({"cpu": cpu}, {"memory": memory}) if cpu else {}
        await write(PODS, pod(given, name=name))

    with pytest.raises(errors.Forbidden) as refused:
        await make("p0")
    assert refused.value.message == (
        'pods "p0" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c'
    )
    await make("p1", "600m", "100Mi")
    with pytest.raises(errors.Forbidden, match=r"requests\.cpu=600m, used: requests\.cpu=600m, limited: requests\.cpu=1"):
        await make("p2", "600m", "100Mi")
    with pytest.raises(
        errors.Forbidden, match=r"requested: limits\.memory=2Gi, used: limits\.memory=100Mi, limited: limits\.memory=1Gi"
    ):
        await make("p3", "100m", "2Gi")
    await make("p4", "100m", "1Mi")
    with pytest.raises(errors.Forbidden, match="requested: pods=1, used: pods=2, limited: pods=2"):
        await make("p5", "1m", "1Mi")
    assert used(cluster) == {"limits.memory": "101Mi", "pods": "2", "requests.cpu": "700m"}


async def test_a_scope_narrows_a_quota_to_some_pods(quota, write, pod):
    quota({"pods": "0"}, scopes=["BestEffort"])
    with pytest.raises(errors.Forbidden, match="exceeded quota: q, requested: pods=1"):
        await write(PODS, pod())
    await write(PODS, pod(resources({"cpu": "1m"})))


async def test_services_cost_node_ports_and_load_balancers(quota, write):
    quota({"services.loadbalancers": "0", "services.nodeports": "0"})
    ports = [{"port": 80}]
    await write(SERVICES, named("s", spec={"type": "ClusterIP", "ports": ports}))
    with pytest.raises(errors.Forbidden) as refused:
        await write(SERVICES, named("s", spec={"type": "LoadBalancer", "ports": ports}))
    assert refused.value.message == (
        'services "s" is forbidden: exceeded quota: q, requested: services.loadbalancers=1,services.nodeports=1, '
        "used: services.loadbalancers=0,services.nodeports=0, limited: services.loadbalancers=0,services.nodeports=0"
    )


async def test_a_claim_that_grows_is_charged_for_the_difference(quota, write, cluster):
    quota({"requests.storage": "10Gi", "fast.storageclass.storage.k8s.io/requests.storage": "3Gi"})

    def claim(size):
        spec = {"storageClassName": "fast", "resources": {"requests": {"storage": size}}}
        return named("c", spec=spec, status={"phase": "Bound"})

    await write(PERSISTENT_VOLUME_CLAIMS, claim("1Gi"))
    assert used(cluster) == {"requests.storage": "1Gi", "fast.storageclass.storage.k8s.io/requests.storage": "1Gi"}


async def test_a_quota_whose_use_is_not_counted_yet_lets_nothing_in(quota, write, pod):
    quota({"pods": "5"}, used={})
    with pytest.raises(errors.Forbidden, match="status unknown for quota: q, resources: pods"):
        await write(PODS, pod())


async def test_a_dry_run_is_measured_and_not_charged(quota, write, pod, cluster):
    quota({"pods": "1"})
    await write(PODS, pod(), dry_run=True)
    assert used(cluster) == {"pods": "0"}


async def test_two_writes_do_not_both_take_the_last_place(quota, write, pod, cluster):
    quota({"pods": "1"})
    update, raced = cluster.update, []

    async def raced_update(resource, obj):
        if not raced:  # someone else is charged between our reading and our writing
            raced.append(obj)
            await update(resource, {**obj, "metadata": dict(obj["metadata"])})
        return await update(resource, obj)

    cluster.update = raced_update
    with pytest.raises(errors.Forbidden, match="used: pods=1, limited: pods=1"):
        await write(PODS, pod())
