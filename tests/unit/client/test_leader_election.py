import asyncio

import pytest

from pybernetes.client.leader_election import LEASES, LeaderElector, LeadershipLost
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SeededEntropy


def elector(client, identity):
    return LeaderElector(
        client, namespace="kube-system", name="x", identity=identity, clock=SystemClock(), entropy=SeededEntropy(1),
        lease_s=1.0, renew_s=0.1, retry_s=0.01,
    )  # fmt: skip


async def test_one_leads_and_the_next_follows_when_it_is_done(client):
    order = []

    async def lead(name):
        order.append(f"{name} in")
        await asyncio.sleep(0.05)
        order.append(f"{name} out")

    await asyncio.wait_for(asyncio.gather(*(elector(client, name).run(lambda name=name: lead(name)) for name in "ab")), 5)
    assert order == ["a in", "a out", "b in", "b out"]
    lease = await client.get(LEASES, "x", "kube-system")
    assert lease["spec"]["holderIdentity"] == ""
    assert lease["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_cannot_renew_stops_leading(client, api):
    stopped = []

    async def lead():
        api.faults = [ConnectionFailed("refused")] * 1000
        try:
            await asyncio.sleep(5)
        finally:
            stopped.append(True)

    with pytest.raises(LeadershipLost):
        await asyncio.wait_for(elector(client, "a").run(lead), 5)
    assert stopped == [True]


async def test_the_failure_of_the_work_is_the_failure_of_the_run(client):
    async def lead():
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await elector(client, "a").run(lead)


async def test_a_lease_that_is_not_renewed_is_taken_over(client, api):
    api.put(
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x",
        {"kind": "Lease", "metadata": {"name": "x", "namespace": "kube-system"},
         "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 1, "leaseTransitions": 4}},
    )  # fmt: skip

    async def lead():
        assert (await client.get(LEASES, "x", "kube-system"))["spec"]["leaseTransitions"] == 5

    started = asyncio.get_running_loop().time()
    await asyncio.wait_for(elector(client, "a").run(lead), 5)
    assert asyncio.get_running_loop().time() - started >= 0.9
