"""Who gets the next place: levels by their shares, users of a level in turn, bounds on all that waits."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from pybernetes.apiserver import flow_control
from pybernetes.apiserver.attributes import ALL_AUTHENTICATED, RequestInfo, User
from pybernetes.apiserver.flow_control import FlowControl, TooBusy, classify

PODS = RequestInfo("list", "/api/v1/pods", True, "", "v1", "pods")
NODES = RequestInfo("update", "/api/v1/nodes/n/status", True, "", "v1", "nodes", "status", "", "n")
LEASE = RequestInfo("update", "/…", True, "coordination.k8s.io", "v1", "leases", "", "kube-system", "l")
LOGS = RequestInfo("get", "/…", True, "", "v1", "pods", "log", "d", "p")


def user(name: str, *groups: str) -> User:
    return User(name, groups=(*groups, ALL_AUTHENTICATED))


@pytest.mark.parametrize(
    ("who", "what", "level"),
    [
        (user("admin", "system:masters"), PODS, ""),
        (user("me"), LOGS, ""),
        (user("me"), RequestInfo("get", "/readyz"), ""),
        (user("me"), PODS, "global-default"),
        (User("system:anonymous", groups=("system:unauthenticated",)), PODS, "global-default"),
        (user("system:node:n", "system:nodes"), NODES, "node-high"),
        (user("system:node:n", "system:nodes"), LEASE, "node-high"),
        (user("system:node:n", "system:nodes"), PODS, "system"),
        (user("system:kube-scheduler"), LEASE, "leader-election"),
        (user("system:kube-scheduler"), PODS, "workload-high"),
        (user("sa", "system:serviceaccounts", "system:serviceaccounts:kube-system"), PODS, "workload-high"),
        (user("sa", "system:serviceaccounts", "system:serviceaccounts:default"), PODS, "workload-low"),
    ],
)
def test_levels_are_those_of_a_new_cluster(who: User, what: RequestInfo, level: str) -> None:
    assert classify(who, what) == level


async def enter(flow: FlowControl, level: str, name: str) -> None:
    if not flow.enter_at_once(level):
        await flow.wait(level, name, 0)


async def test_one_turn_of_the_loop_starts_a_bounded_number() -> None:
    flow = FlowControl(600)
    started = [flow.enter_at_once("workload-low") for _ in range(100)]
    assert sum(started) == flow_control.TURN_STARTS
    await asyncio.sleep(0)
    assert flow.enter_at_once("workload-low")


async def test_a_user_who_floods_waits_behind_a_user_who_does_not() -> None:
    flow = FlowControl(10)
    order: list[str] = []

    async def request(level: str, name: str) -> None:
        await enter(flow, level, name)
        order.append(name)
        await asyncio.sleep(0)
        flow.leave(level)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(300):
            group.create_task(request("global-default", "flood"))
        await asyncio.sleep(0)
        group.create_task(request("global-default", "calm"))
        group.create_task(request("node-high", "node"))
    assert order.index("calm") < 30 and order.index("node") < 30
    assert Counter(order) == {"flood": 300, "calm": 1, "node": 1}
    assert flow.waiting == 0


async def test_levels_that_all_wait_are_served_by_their_shares() -> None:
    flow = FlowControl(10_000)
    order: list[str] = []

    async def request(level: str) -> None:
        await enter(flow, level, level)
        order.append(level)
        await asyncio.sleep(0)
        flow.leave(level)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for level in ("workload-low", "global-default"):
            for _ in range(200):
                group.create_task(request(level))
    early = Counter(order[24:144])
    assert 4 <= early["workload-low"] / early["global-default"] <= 6  # 100 shares to 20


async def test_queues_are_bounded_and_waiting_is_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_control, "FLOW_LIMIT", 3)
    monkeypatch.setattr(flow_control, "WAIT_S", 0.05)
    flow = FlowControl(1)
    await enter(flow, "global-default", "a")  # never leaves
    results = await asyncio.gather(*(enter(flow, "global-default", "a") for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [TooBusy] * 5
    with pytest.raises(TooBusy):
        await flow.wait("global-default", "b", flow_control.WAITING_BYTES + 1)
    assert flow.waiting == 0


async def test_a_request_that_goes_away_leaves_its_place() -> None:
    flow = FlowControl(1)
    await enter(flow, "global-default", "a")
    gone = [asyncio.create_task(enter(flow, "global-default", "a")) for _ in range(3)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert flow.waiting == 0
    flow.leave("global-default")
    await asyncio.wait_for(enter(flow, "global-default", "a"), 1)


async def test_seats_are_lent_while_half_of_them_are_free() -> None:
    flow = FlowControl(245)  # global-default: 20
    for _ in range(10):
        for _ in range(20):
            flow.enter_at_once("global-default")
        await asyncio.sleep(0)
    assert flow._levels["global-default"].running == 123
    assert flow.enter_at_once("node-high")
