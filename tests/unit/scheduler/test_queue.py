"""Who is tried when, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from pybernetes.scheduler.framework import Action, ClusterEvent
from pybernetes.scheduler.queue import SchedulingQueue
from pybernetes.sim import virtual_time
from tests.unit.scheduler.builders import pod, profile

NODE_ADDED = ClusterEvent("Node", Action.ADD)
LABELLED = ClusterEvent("Node", Action.UPDATE_LABEL)
POD_GONE = ClusterEvent("Pod", Action.DELETE)
BY_RESOURCES = frozenset(("NodeResourcesFit",))
NOBODY = frozenset()


def scenario(steps):
    """Runs `steps(queue, clock)` on virtual time."""

    def run():
        async def main(clock):
            await steps(SchedulingQueue(clock), clock)

        virtual_time.run(main)

    run.__name__ = steps.__name__
    return run


async def names(queue, count):
    return [(await queue.pop()).pod["metadata"]["name"] for _ in range(count)]


async def popped_at(queue, clock):
    await queue.pop()
    return clock.monotonic()


@scenario
async def test_higher_priority_goes_first_and_among_equals_who_came_first(queue, clock):
    for name, priority in (("a", 0), ("b", 10), ("c", 0), ("d", 10)):
        queue.add(pod(name, priority=priority), profile())
        await clock.sleep(0.1)
    assert await names(queue, 4) == ["b", "d", "a", "c"]


@scenario
async def test_a_pod_that_is_tried_again_stands_behind_those_that_came_meanwhile(queue, clock):
    queue.add(pod("old"), profile())
    old = await queue.pop()
    await clock.sleep(5)
    queue.refuse(old, BY_RESOURCES)
    queue.add(pod("new"), profile())
    await clock.sleep(5)
    queue.happened(NODE_ADDED)
    assert await names(queue, 2) == ["new", "old"]


@scenario
async def test_pop_waits_for_a_pod(queue, clock):
    waiting = asyncio.ensure_future(queue.pop())
    await clock.sleep(1)
    assert not waiting.done()
    queue.add(pod(), profile())
    assert (await waiting).attempts == 1


@scenario
async def test_a_refused_pod_is_woken_by_what_a_plugin_that_refused_it_waits_for(queue, clock):
    queue.add(pod(), profile())
    queue.refuse(await queue.pop(), BY_RESOURCES)
    await clock.sleep(20)
    queue.happened(LABELLED)
    assert queue.counts()["unschedulable"] == 1
    queue.happened(POD_GONE)
    assert queue.counts() == {"active": 1, "backoff": 0, "unschedulable": 0, "gated": 0}


@scenario
async def test_a_pod_for_which_there_were_no_nodes_is_woken_by_anything(queue, clock):
    queue.add(pod(), profile())
    queue.refuse(await queue.pop(), NOBODY)
    queue.happened(LABELLED)
    assert queue.counts()["unschedulable"] == 0


@scenario
async def test_while_nobody_else_waits_a_woken_pod_need_not_back_off(queue, clock):
    queue.add(pod(), profile())
    queue.refuse(await queue.pop(), BY_RESOURCES)
    queue.happened(NODE_ADDED)
    assert await popped_at(queue, clock) == 0


@scenario
async def test_a_woken_pod_backs_off_while_others_wait(queue, clock):
    queue.add(pod("refused", priority=10), profile())
    queue.refuse(await queue.pop(), BY_RESOURCES)
    queue.happened(NODE_ADDED)
    assert queue.counts()["backoff"] == 1
    queue.add(pod("other"), profile())
    assert await names(queue, 2) == ["other", "refused"]


@scenario
async def test_after_a_failure_the_back_off_doubles_from_one_second_to_ten(queue, clock):
    queue.add(pod(), profile())
    waiting, waits = await queue.pop(), []
    for _ in range(6):
        failed_s = clock.monotonic()
        queue.retry(waiting)
        waiting = await queue.pop()
        waits.append(clock.monotonic() - failed_s)
    assert waits == pytest.approx([1, 2, 4, 8, 10, 10])


@scenario
async def test_the_back_off_is_counted_from_the_refusal(queue, clock):
    queue.add(pod("a"), profile())
    refused = await queue.pop()
    queue.refuse(refused, BY_RESOURCES)
    await clock.sleep(1)
    queue.happened(NODE_ADDED)
    assert queue.counts()["active"] == 1


@scenario
async def test_a_refused_pod_is_tried_again_after_five_minutes_at_the_latest(queue, clock):
    queue.add(pod(), profile())
    await clock.sleep(7)
    queue.refuse(await queue.pop(), BY_RESOURCES)
    assert await popped_at(queue, clock) == pytest.approx(307)


@scenario
async def test_a_gated_pod_waits_until_its_last_gate_is_gone(queue, clock):
    queue.add(pod(schedulingGates=[{"name": "a"}, {"name": "b"}]), profile())
    queue.happened(NODE_ADDED)
    queue.update(pod(schedulingGates=[{"name": "b"}]), ClusterEvent("TargetPod", Action.UPDATE_SPEC))
    assert queue.counts() == {"active": 0, "backoff": 0, "unschedulable": 0, "gated": 1}
    queue.update(pod(), ClusterEvent("TargetPod", Action.UPDATE_SPEC))
    assert await names(queue, 1) == ["p1"]


@scenario
async def test_a_pods_own_change_wakes_it_if_a_plugin_that_refused_it_cares(queue, clock):
    queue.add(pod(), profile())
    queue.refuse(await queue.pop(), frozenset(("TaintToleration",)))
    tolerant = pod(tolerations=[{"operator": "Exists"}])
    queue.update(tolerant, ClusterEvent("TargetPod", Action.UPDATE_LABEL))
    assert queue.counts()["unschedulable"] == 1
    queue.update(tolerant, ClusterEvent("TargetPod", Action.UPDATE_TOLERATION))
    assert (await queue.pop()).pod is tolerant


@scenario
async def test_a_mere_status_change_wakes_nobody_but_is_taken_over(queue, clock):
    queue.add(pod(), profile())
    queue.refuse(await queue.pop(), NOBODY)
    changed = pod()
    assert queue.update(changed, ClusterEvent("TargetPod", Action(0)))
    assert queue.counts()["unschedulable"] == 1
    queue.happened(NODE_ADDED)
    assert (await queue.pop()).pod is changed


@scenario
async def test_a_pod_that_is_gone_is_not_tried_from_wherever_it_was(queue, clock):
    for name in ("active", "refused", "backing-off", "failed"):
        queue.add(pod(name), profile())
    waiting = {each.pod["metadata"]["name"]: each for each in [await queue.pop() for _ in range(4)]}
    queue.refuse(waiting["refused"], BY_RESOURCES)
    queue.refuse(waiting["backing-off"], frozenset(("NodeAffinity",)))
    queue.happened(LABELLED)
    queue.retry(waiting["failed"])
    queue.add(pod("active"), profile())
    queue.add(pod("gated", schedulingGates=[{"name": "g"}]), profile())
    assert queue.counts() == {"active": 1, "backoff": 2, "unschedulable": 1, "gated": 1}
    for name in (*waiting, "gated"):
        queue.remove(f"uid-{name}")
    assert len(queue) == 0
    assert not any(queue.counts().values())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1000):
            await queue.pop()


@scenario
async def test_a_pod_that_is_told_twice_is_tried_once(queue, clock):
    queue.add(pod(), profile())
    queue.add(pod(), profile())
    await queue.pop()
    assert len(queue) == 0


@scenario
async def test_many_refused_pods_are_each_woken_by_their_own_reasons(queue, clock):
    for name in "abc":
        queue.add(pod(name), profile())
    waiting = [await queue.pop() for _ in range(3)]
    queue.refuse(waiting[0], BY_RESOURCES)
    queue.refuse(waiting[1], frozenset(("NodeAffinity",)))
    queue.refuse(waiting[2], frozenset(("NodeAffinity", "NodeResourcesFit")))
    await clock.sleep(60)
    queue.happened(LABELLED)
    assert sorted(await names(queue, 2)) == ["b", "c"]
    assert queue.counts()["unschedulable"] == 1
