"""The loop: take a pod, decide, assume, bind; and keep the table and the queue current by what the informers tell.

A pod that gets a node is *assumed* to be there at once, so that the next one is decided as if it were bound already; the
binding is sent meanwhile. It stays assumed until the informer shows it bound, or the binding fails.
"""

from __future__ import annotations

import asyncio

from pybernetes.client.events import EventRecorder
from pybernetes.client.informer import InformerFactory
from pybernetes.client.rest import Client, PatchType
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import Conflict, NotFound, StatusError
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, condition, is_being_deleted, key_of, labels_of, name_of, namespace_of, uid_of
from pybernetes.machinery.resources import NAMESPACES, NODES, PODS
from pybernetes.scheduler import metrics
from pybernetes.scheduler.config import DEFAULT_SCHEDULER, SchedulerConfig, make_profiles
from pybernetes.scheduler.cycle import Cycle
from pybernetes.scheduler.framework import SKIP, Action, ClusterEvent, FitError, Placement, Profile
from pybernetes.scheduler.node_table import NodeTable
from pybernetes.scheduler.pod_shape import usage_of
from pybernetes.scheduler.pod_traits import traits_of
from pybernetes.scheduler.queue import SchedulingQueue, Waiting
from pybernetes.scheduler.trimmed import trimmed_node, trimmed_pod

log = logger("scheduler")

NOT_FINISHED = "status.phase!=Succeeded,status.phase!=Failed"
BINDINGS_UNDER_WAY_MOST = 15  # as many connections as the client keeps open: more would be made anew for each burst
TURN_S = 0.005  # how long the loop decides before it lets others (bindings, events) run
EVENT_MESSAGE_MOST = 1024


class InDoubt(Exception):
    """A binding was sent and may have been carried out, but no answer came. The cause tells why."""


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
        """Raises ValueError for a configuration that cannot be. Whoever passes `informers` runs them."""
        config = config or SchedulerConfig()
        self.metrics = metrics.Metrics()
        self._client = client
        self._clock = clock
        self._own_informers = InformerFactory(client, clock=clock, entropy=entropy) if informers is None else None
        informers = self._own_informers or informers
        assert informers is not None
        self._profiles = make_profiles(config, client)
        self._cycles = {name: Cycle(profile, entropy) for name, profile in self._profiles.items()}
        self._queue = SchedulingQueue(
            clock,
            backoff_first_s=config.backoff_first_s,
            backoff_most_s=config.backoff_most_s,
            told=self.metrics.queued,
        )
        self._table = NodeTable()
        self._assumed: set[str] = set()  # uids: bound by us, not yet seen so
        self._recorders = {name: EventRecorder(client, name, clock=clock, entropy=entropy) for name in self._profiles}
        self._under_way = asyncio.Semaphore(BINDINGS_UNDER_WAY_MOST)
        # Shared caches are others' as well: those stay whole.
        trim_nodes, trim_pods = (trimmed_node, trimmed_pod) if self._own_informers else (None, None)
        self._nodes = informers.informer(NODES, transform=trim_nodes)
        self._pods = informers.informer(PODS, field_selector=NOT_FINISHED, transform=trim_pods)
        self._namespaces = informers.informer(NAMESPACES)
        self._namespaces.add_handler(
            self._namespace_told,
            lambda old, new: self._namespace_told(new) if labels_of(old) != labels_of(new) else None,
            lambda namespace: self._table.pod_index.set_namespace(name_of(namespace), None),
        )
        self._nodes.add_handler(self._node_added, self._node_updated, self._node_deleted)
        self._pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    @property
    def synced(self) -> bool:
        """Whether nodes, pods and namespaces are known, so that decisions are being made."""
        return self._nodes.synced and self._pods.synced and self._namespaces.synced

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
            if self._own_informers is not None:
                group.create_task(self._own_informers.run())
            for recorder in self._recorders.values():
                group.create_task(recorder.run())
            # Deciding on half of the cluster would overload the half that is known.
            await self._nodes.wait_synced()
            await self._pods.wait_synced()
            await self._namespaces.wait_synced()
            turn_began_s = self._clock.monotonic()
            while True:
                # In this order: between taking a pod and deciding nothing may be awaited (see `queue`).
                await self._under_way.acquire()
                waiting = await self._queue.pop()
                self._schedule(waiting, group)
                if self._clock.monotonic() - turn_began_s > TURN_S:
                    await asyncio.sleep(0)
                    turn_began_s = self._clock.monotonic()

    # Deciding.

    def _schedule(self, waiting: Waiting, group: asyncio.TaskGroup) -> None:
        """Decide, and hand what must be told the API server to a task, which frees the place that was taken for it."""
        pod = self._still_waits(waiting)
        if pod is None:
            self._under_way.release()
            return
        waiting.pod = pod
        profile = waiting.profile
        began_s = self._clock.monotonic()
        if waiting.in_doubt:
            if waiting.in_doubt in self._table.rows:
                group.create_task(self._bind(waiting, waiting.in_doubt, began_s))
                return
            self._forget(waiting, waiting.in_doubt)
        try:
            verdict = self._cycles[profile.scheduler_name].schedule(pod, self._table)
            usage, traits = usage_of(pod), traits_of(pod)
            if isinstance(verdict, Placement):
                self._reserve(profile, pod, verdict.node_name)
        except Exception as error:
            # A faulty plugin, or a pod that it cannot digest, must not keep all others from their nodes.
            log.exception("Could not decide", pod=key_of(pod), err=error)
            self._attempted(profile, metrics.ERROR, began_s)
            self._queue.retry(waiting)
            self._under_way.release()
            return
        self.metrics.algorithm_s.observe(self._clock.monotonic() - began_s)
        if isinstance(verdict, Placement):
            self._table.set_pod(waiting.uid, usage, verdict.node_name, traits)
            self._assumed.add(waiting.uid)
            # It may be the company that others wait for.
            self._queue.happened(ClusterEvent("Pod", Action.ADD))
            group.create_task(self._bind(waiting, verdict.node_name, began_s))
        else:
            self._queue.refuse(waiting, verdict.plugins)
            self._attempted(profile, metrics.UNSCHEDULABLE, began_s)
            group.create_task(self._report_refusal(profile, pod, verdict))

    def _still_waits(self, waiting: Waiting) -> Object | None:
        """The pod as it is now, None if it needs no node any more."""
        pod = self._pods.get(namespace_of(waiting.pod), name_of(waiting.pod))
        if pod is None or uid_of(pod) != waiting.uid or is_being_deleted(pod) or pod["spec"].get("nodeName"):
            return None
        return pod

    def _reserve(self, profile: Profile, pod: Object, node_name: str) -> None:
        """Raises what a plugin raises, with nothing left reserved."""
        for each in profile.at("reserve"):
            try:
                each.plugin.reserve(pod, node_name)
            except BaseException:
                self._unreserve(profile, pod, node_name)
                raise

    def _unreserve(self, profile: Profile, pod: Object, node_name: str) -> None:
        """In the opposite order; also of plugins that had not reserved anything (as upstream: it must be idempotent)."""
        for each in reversed(profile.at("reserve")):
            each.plugin.unreserve(pod, node_name)

    # Telling the API server.

    async def _bind(self, waiting: Waiting, node_name: str, began_s: float) -> None:
        pod, profile = waiting.pod, waiting.profile
        try:
            if not waiting.in_doubt:
                await self._call("permit", profile, pod, node_name)
                await self._call("pre_bind", profile, pod, node_name)
            await self._send_binding(profile, pod, node_name)
            await self._call("post_bind", profile, pod, node_name)
        except InDoubt as error:
            # Its place stays taken: to give it to others might overcommit the node. The same binding is sent again.
            log.warning("Binding got no answer", pod=key_of(pod), node=node_name, err=error.__cause__)
            self._attempted(profile, metrics.ERROR, began_s)
            waiting.in_doubt = node_name
            self._retry(waiting)
        except Exception as error:
            self._attempted(profile, metrics.ERROR, began_s)
            self._binding_failed(waiting, node_name, error)
        else:
            waiting.in_doubt = ""
            self._attempted(profile, metrics.SCHEDULED, began_s)
            self.metrics.scheduled(waiting.attempts, self._clock.monotonic() - waiting.added_s)
            message = f"Successfully assigned {key_of(pod)} to {node_name}"
            self._recorders[profile.scheduler_name].event(pod, "Normal", "Scheduled", message)
        finally:
            self._under_way.release()

    async def _call(self, point: str, profile: Profile, pod: Object, node_name: str) -> None:
        for each in profile.at(point):
            await getattr(each.plugin, point)(pod, node_name)

    async def _send_binding(self, profile: Profile, pod: Object, node_name: str) -> None:
        """Raises `InDoubt` where it cannot be told whether the pod is bound now."""
        try:
            for each in profile.at("bind"):
                if await each.plugin.bind(pod, node_name) is not SKIP:
                    return
            raise RuntimeError("no bind plugin has bound the pod")
        except Conflict:
            # Perhaps it is bound: by an attempt whose answer was lost, or by somebody else.
            if not await self._is_bound_to(pod, node_name):
                raise
        except (StatusError, OSError) as error:
            if _is_answer(error):
                raise
            raise InDoubt from error

    async def _is_bound_to(self, pod: Object, node_name: str) -> bool:
        """Ask the API server, whose answer the informer may not have yet."""
        try:
            found = await self._client.get(PODS, name_of(pod), namespace_of(pod))
        except (StatusError, OSError) as error:
            if _is_answer(error):
                return False
            raise InDoubt from error
        return uid_of(found) == uid_of(pod) and found["spec"].get("nodeName") == node_name

    def _attempted(self, profile: Profile, result: str, began_s: float) -> None:
        self.metrics.attempted(profile.scheduler_name, result, self._clock.monotonic() - began_s)

    def _binding_failed(self, waiting: Waiting, node_name: str, error: Exception) -> None:
        """What was taken is free again."""
        pod = waiting.pod
        self._forget(waiting, node_name)
        if isinstance(error, StatusError | OSError):
            log.warning("Binding failed", pod=key_of(pod), node=node_name, err=error)
        else:
            log.exception("Binding failed", pod=key_of(pod), node=node_name, err=error)
        if not isinstance(error, Conflict | NotFound):
            message = f"binding rejected: {error}"
            self._recorders[waiting.profile.scheduler_name].event(pod, "Warning", "FailedScheduling", _cut(message))
        self._retry(waiting)

    def _forget(self, waiting: Waiting, node_name: str) -> None:
        """An assumption that came to nothing."""
        self._unreserve(waiting.profile, waiting.pod, node_name)
        waiting.in_doubt = ""
        if waiting.uid in self._assumed:
            self._assumed.discard(waiting.uid)
            self._table.remove_pod(waiting.uid)
            self._queue.happened(ClusterEvent("Pod", Action.DELETE))

    def _retry(self, waiting: Waiting) -> None:
        """Back into the queue, unless the informer has told meanwhile that the pod is gone or bound."""
        if self._still_waits(waiting):
            self._queue.retry(waiting)
        elif waiting.in_doubt and self._table.node_of(waiting.uid) is None:
            self._forget(waiting, waiting.in_doubt)

    async def _report_refusal(self, profile: Profile, pod: Object, verdict: FitError) -> None:
        """Say why, in an event and in the pod's PodScheduled condition."""
        try:
            message = verdict.message(pod["spec"].get("preemptionPolicy") or "")
            self._recorders[profile.scheduler_name].event(pod, "Warning", "FailedScheduling", _cut(message))
            entry = refusal_condition(pod, message, rfc3339(self._clock.now()))
            if entry is None:
                return
            await self._client.patch(
                PODS, name_of(pod), namespace_of(pod), {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [entry]}},
                PatchType.STRATEGIC, subresource="status",
            )  # fmt: skip
        except (NotFound, Conflict):
            pass  # the pod is gone, or another one has its name
        except (StatusError, OSError) as error:
            log.warning("Could not tell why a pod has no node", pod=key_of(pod), err=error)
        finally:
            self._under_way.release()

    # What the informers tell.

    def _node_added(self, node: Object) -> None:
        self._table.set_node(node)
        self._queue.happened(ClusterEvent("Node", Action.ADD))

    def _node_updated(self, old: Object, new: Object) -> None:
        action = node_changes(old, new)
        if action or (old.get("status") or {}).get("images") != (new.get("status") or {}).get("images"):
            self._table.set_node(new)
        if action:
            self._queue.happened(ClusterEvent("Node", action))

    def _node_deleted(self, node: Object) -> None:
        self._table.remove_node(name_of(node))
        self._queue.happened(ClusterEvent("Node", Action.DELETE))

    def _namespace_told(self, namespace: Object) -> None:
        self._table.pod_index.set_namespace(name_of(namespace), labels_of(namespace))

    def _pod_added(self, pod: Object) -> None:
        if node_name := pod["spec"].get("nodeName"):
            uid = uid_of(pod)
            known = uid in self._assumed
            self._assumed.discard(uid)
            self._queue.remove(uid)
            self._table.set_pod(uid, usage_of(pod), node_name, traits_of(pod))
            if not known:
                self._queue.happened(ClusterEvent("Pod", Action.ADD))
        elif profile := self._profile_for(pod):
            self._queue.add(pod, profile)

    def _pod_updated(self, old: Object, new: Object) -> None:
        if uid_of(old) != uid_of(new):  # deleted and created again, seen as one
            self._pod_deleted(old)
            self._pod_added(new)
        elif new["spec"].get("nodeName"):
            if not old["spec"].get("nodeName"):
                self._pod_added(new)
            else:
                self._placed_pod_updated(old, new)
        elif is_being_deleted(new):
            self._queue.remove(uid_of(new))
        elif uid_of(new) not in self._assumed and not self._queue.update(new, ClusterEvent("TargetPod", pod_changes(old, new))):
            self._pod_added(new)

    def _placed_pod_updated(self, old: Object, new: Object) -> None:
        usage, traits = usage_of(new), traits_of(new)
        self._table.set_pod(uid_of(new), usage, new["spec"]["nodeName"], traits)
        action = Action(0)
        if any(usage.requests.get(name, 0) < amount for name, amount in usage_of(old).requests.items()):
            action |= Action.SCALE_DOWN
        if traits != traits_of(old):
            action |= Action.UPDATE_LABEL
        if action:
            self._queue.happened(ClusterEvent("Pod", action))

    def _pod_deleted(self, pod: Object) -> None:
        uid = uid_of(pod)
        waiting = self._queue.remove(uid)
        if waiting is not None and waiting.in_doubt:
            self._unreserve(waiting.profile, pod, waiting.in_doubt)
        self._assumed.discard(uid)
        if self._table.node_of(uid) is not None:
            self._table.remove_pod(uid)
            self._queue.happened(ClusterEvent("Pod", Action.DELETE))

    def _profile_for(self, pod: Object) -> Profile | None:
        """Its profile, None if the pod is another scheduler's or on its way out."""
        if is_being_deleted(pod):
            return None
        return self._profiles.get(pod["spec"].get("schedulerName") or DEFAULT_SCHEDULER)


def node_changes(old: Object, new: Object) -> Action:
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


def pod_changes(old: Object, new: Object) -> Action:
    """What of a waiting pod changed that may matter to its own chances."""
    action = Action(0)
    if labels_of(old) != labels_of(new):
        action |= Action.UPDATE_LABEL
    if old["spec"] != new["spec"]:
        action |= Action.UPDATE_SPEC
        if old["spec"].get("tolerations") != new["spec"].get("tolerations"):
            action |= Action.UPDATE_TOLERATION
    return action


def refusal_condition(pod: Object, message: str, now: str) -> Object | None:
    """The PodScheduled condition that says why the pod has no node; None if it says so already."""
    present = condition((pod.get("status") or {}).get("conditions"), "PodScheduled") or {}
    entry = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastProbeTime": None}
    if generation := pod["metadata"].get("generation"):
        entry["observedGeneration"] = generation
    if all(present.get(field) == value for field, value in entry.items()):
        return None
    same_status = present.get("status") == "False" and present.get("lastTransitionTime")
    return {**entry, "lastTransitionTime": present["lastTransitionTime"] if same_status else now}


def _is_answer(error: StatusError | OSError) -> bool:
    """Whether the API server has refused; else (no connection, or trouble of its own) it may have done what was asked."""
    return isinstance(error, StatusError) and error.status.get("code", error.code) < 500


def _cut(message: str) -> str:
    """As upstream cuts a message that is too long for an event."""
    suffix = " ..."
    return message if len(message) <= EVENT_MESSAGE_MOST else message[: EVENT_MESSAGE_MOST - len(suffix)] + suffix
