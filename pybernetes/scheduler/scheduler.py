"""The loop: take a pod, decide, assume, bind; and keep the table and the queue current by what the informers tell."""

from __future__ import annotations

import asyncio
from typing import Any

from pybernetes.client.events import EventRecorder
from pybernetes.client.informer import InformerFactory
from pybernetes.client.rest import Client, PatchType
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import Conflict, NotFound, StatusError
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, condition, is_being_deleted, key_of, labels_of, name_of, namespace_of, uid_of
from pybernetes.machinery.resources import NODES, PODS
from pybernetes.scheduler.config import SchedulerConfig, make_profiles
from pybernetes.scheduler.cycle import Cycle
from pybernetes.scheduler.framework import Action, ClusterEvent, FitError, Placement
from pybernetes.scheduler.metrics import Metrics
from pybernetes.scheduler.node_table import NodeTable, usage_of
from pybernetes.scheduler.queue import SchedulingQueue, Waiting

log = logger("scheduler")

NOT_FINISHED = "status.phase!=Succeeded,status.phase!=Failed"
BINDINGS_UNDER_WAY_MOST = 64
TURN_S = 0.005  # how long the loop decides before it lets others (bindings, events) run
NO_PREEMPTION = "preemption: not available in this scheduler."


class Scheduler:
    """`run` until cancelled. Everything it needs is passed in: it runs as well on virtual time, in process."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        entropy: Entropy,
        config: SchedulerConfig | None = None,
        informers: InformerFactory | None = None,
    ) -> None:
        config = config or SchedulerConfig()
        self._client = client
        self._clock = clock
        self._own_informers = informers is None
        self._informers = informers or InformerFactory(client, clock=clock, entropy=entropy)
        self._profiles = make_profiles(config, client)
        self._cycles = {name: Cycle(profile, entropy) for name, profile in self._profiles.items()}
        self._queue = SchedulingQueue(clock, backoff_first_s=config.backoff_first_s, backoff_most_s=config.backoff_most_s)
        self._table = NodeTable()
        self.metrics = Metrics()
        self._assumed: set[str] = set()  # uids: bound by us, not yet seen so
        self._recorder = EventRecorder(client, "default-scheduler", clock=clock, entropy=entropy)
        self._bindings = asyncio.Semaphore(BINDINGS_UNDER_WAY_MOST)
        self._nodes = self._informers.informer(NODES)
        self._pods = self._informers.informer(PODS, field_selector=NOT_FINISHED)
        self._nodes.add_handler(self._node_added, self._node_updated, self._node_deleted)
        self._pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    @property
    def synced(self) -> bool:
        """Whether nodes and pods are known, so that decisions are being made."""
        return self._nodes.synced and self._pods.synced

    @property
    def cache_size(self) -> dict[str, int]:
        """By upstream's types of metric `scheduler_cache_size`."""
        return {"nodes": len(self._table), "pods": self._table.pod_count, "assumed_pods": len(self._assumed)}

    @property
    def pending(self) -> dict[str, int]:
        """How many pods wait, by queue."""
        return self._queue.counts()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._own_informers:
                group.create_task(self._informers.run())
            group.create_task(self._recorder.run())
            # Deciding on half of the cluster would overload the half that is known.
            await self._nodes.wait_synced()
            await self._pods.wait_synced()
            turn_began_s = self._clock.monotonic()
            while True:
                waiting = await self._queue.pop()
                await self._bindings.acquire()
                self._schedule(waiting, group)
                if self._clock.monotonic() - turn_began_s > TURN_S:
                    await asyncio.sleep(0)
                    turn_began_s = self._clock.monotonic()

    def _schedule(self, waiting: Waiting, group: asyncio.TaskGroup) -> None:
        """Decide, and hand what must be told the API server to a task, which frees the place that was taken for it."""
        pod = self._pods.get(namespace_of(waiting.pod), name_of(waiting.pod))
        if pod is None or uid_of(pod) != waiting.uid or is_being_deleted(pod) or pod["spec"].get("nodeName"):
            self._bindings.release()
            return
        waiting.pod = pod
        verdict = self._cycles[waiting.profile.scheduler_name].schedule(pod, self._table)
        if isinstance(verdict, Placement):
            # The next pod is decided as if this one were bound already.
            self._table.set_pod(usage_of(pod), verdict.node_name)
            self._assumed.add(waiting.uid)
            group.create_task(self._bind(waiting, verdict))
        else:
            self._queue.refuse(waiting, verdict.plugins)
            group.create_task(self._report_refusal(pod, verdict))

    async def _bind(self, waiting: Waiting, placement: Placement) -> None:
        pod, profile = waiting.pod, waiting.profile
        try:
            for point in ("permit", "pre_bind", "bind", "post_bind"):
                for each in profile.at(point):
                    await getattr(each.plugin, point)(pod, placement.node_name)
        except (StatusError, OSError) as error:
            self._forget(waiting.uid)
            if isinstance(error, NotFound) and error.details.get("kind") in (None, "pods"):
                return  # the pod is gone
            log.warning("Binding failed", pod=key_of(pod), node=placement.node_name, err=error)
            if not isinstance(error, Conflict):
                self._recorder.event(pod, "Warning", "FailedScheduling", f"binding rejected: {error}")
            waiting.plugins = frozenset()
            self._queue.retry(waiting)
        else:
            message = f"Successfully assigned {key_of(pod)} to {placement.node_name}"
            self._recorder.event(pod, "Normal", "Scheduled", message)
        finally:
            self._bindings.release()

    async def _report_refusal(self, pod: Object, verdict: FitError) -> None:
        """Say why, in an event and in the pod's PodScheduled condition."""
        try:
            message = verdict.message(NO_PREEMPTION if verdict.nodes else "")
            self._recorder.event(pod, "Warning", "FailedScheduling", message)
            present = condition((pod.get("status") or {}).get("conditions"), "PodScheduled")
            if present is not None and present.get("message") == message:
                return
            changed = present is None or present.get("status") != "False"
            entry = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastProbeTime": None,
                "lastTransitionTime": rfc3339(self._clock.now()) if changed or not present else present["lastTransitionTime"],
            }
            await self._client.patch(
                PODS, name_of(pod), namespace_of(pod), {"status": {"conditions": [entry]}, "metadata": {"uid": uid_of(pod)}},
                PatchType.STRATEGIC, subresource="status",
            )  # fmt: skip
        except (NotFound, Conflict):
            pass  # the pod is gone, or another one has its name
        except (StatusError, OSError) as error:
            log.warning("Could not tell why a pod has no node", pod=key_of(pod), err=error)
        finally:
            self._bindings.release()

    def _forget(self, uid: str) -> None:
        """An assumption that came to nothing: what was taken is free again."""
        if uid in self._assumed:
            self._assumed.discard(uid)
            self._table.remove_pod(uid)
            self._queue.happened(ClusterEvent("Pod", Action.DELETE))

    # What the informers tell.

    def _node_added(self, node: Object) -> None:
        self._table.set_node(node)
        self._queue.happened(ClusterEvent("Node", Action.ADD))

    def _node_updated(self, old: Object, new: Object) -> None:
        action = _node_changes(old, new)
        if action or (old.get("status") or {}).get("images") != (new.get("status") or {}).get("images"):
            self._table.set_node(new)
        if action:
            self._queue.happened(ClusterEvent("Node", action))

    def _node_deleted(self, node: Object) -> None:
        self._table.remove_node(name_of(node))

    def _pod_added(self, pod: Object) -> None:
        if node_name := pod["spec"].get("nodeName"):
            self._assumed.discard(uid_of(pod))
            self._queue.remove(uid_of(pod))
            self._table.set_pod(usage_of(pod), node_name)
        elif profile := self._profile_for(pod):
            self._queue.add(pod, profile)

    def _pod_updated(self, old: Object, new: Object) -> None:
        if uid_of(old) != uid_of(new):  # deleted and created again, seen as one
            self._pod_deleted(old)
            self._pod_added(new)
        elif new["spec"].get("nodeName"):
            if old["spec"] != new["spec"]:
                self._pod_added(new)
        elif uid_of(new) not in self._assumed and (profile := self._profile_for(new)):
            if old["spec"] != new["spec"] or labels_of(old) != labels_of(new):
                self._queue.add(new, profile)
            else:
                self._queue.replace(new)

    def _pod_deleted(self, pod: Object) -> None:
        uid = uid_of(pod)
        self._queue.remove(uid)
        self._assumed.discard(uid)
        if self._table.node_of(uid) is not None:
            self._table.remove_pod(uid)
            self._queue.happened(ClusterEvent("Pod", Action.DELETE))

    def _profile_for(self, pod: Object) -> Any:
        """Its profile, None if the pod is another scheduler's or on its way out."""
        if is_being_deleted(pod):
            return None
        return self._profiles.get(pod["spec"].get("schedulerName") or "default-scheduler")


def _node_changes(old: Object, new: Object) -> Action:
    """What of a node changed that may matter to pods; nothing for a mere heartbeat."""
    action = Action(0)
    if (old.get("status") or {}).get("allocatable") != (new.get("status") or {}).get("allocatable"):
        action |= Action.UPDATE_ALLOCATABLE
    if labels_of(old) != labels_of(new):
        action |= Action.UPDATE_LABEL
    old_spec, new_spec = old.get("spec") or {}, new.get("spec") or {}
    if old_spec.get("taints") != new_spec.get("taints") or old_spec.get("unschedulable") != new_spec.get("unschedulable"):
        action |= Action.UPDATE_TAINT
    return action
