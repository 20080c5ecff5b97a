"""Subresources with a meaning of their own: scale, binding, eviction, token.

Source: API reference of Scale, Binding, Eviction, TokenRequest; concepts, "Disruptions".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import orjson

from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.registry import decoding, metadata, ownership, printing, rendering
from pybernetes.apiserver.registry.deleting import Deletes, check_preconditions
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.strategy import AGE, Column, ScalePaths
from pybernetes.apiserver.registry.writing import CONFLICT_TRIES, View, Writes
from pybernetes.machinery import labels, table
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.errors import (
    BadRequest,
    Cause,
    DecodeError,
    FieldError,
    InternalError,
    MethodNotAllowed,
    TooManyRequests,
    conflict,
    invalid,
)
from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource
from pybernetes.machinery.patch import json_patch, merge
from pybernetes.machinery.resources import BINDINGS, POD_DISRUPTION_BUDGETS, PODS, SERVICE_ACCOUNTS
from pybernetes.machinery.schema import schema_for
from pybernetes.store.interface import Mismatch

if TYPE_CHECKING:
    from pybernetes.apiserver.authentication.tokens import Issuer  # loads pyjwt and cryptography

SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_SCALE = GroupVersionKind("autoscaling", "v1", "Scale")
_EVICTION = GroupVersionKind("policy", "v1", "Eviction")
_TOKEN_REQUEST = GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest")


class Subresources:
    """Answers for subresources that are neither the object itself nor proxied."""

    def __init__(self, writes: Writes, deletes: Deletes, kinds: Mapping[Resource, Kind], tokens: Issuer | None) -> None:
        """Without `tokens` none are issued."""
        self._writes = writes
        self._deletes = deletes
        self._kinds = kinds
        self._image = writes.image
        self._tokens = tokens

    async def serve(self, call: Call, kind: Kind) -> Response:
        subresource, verb = call.info.subresource, call.info.verb
        if subresource == "scale":
            return await self._scale(call, kind, verb)
        if verb == "create" and subresource == "binding":
            return await self.bind(call, call.info.name)
        if verb == "create" and subresource == "eviction":
            return await self._evict(call, kind)
        if verb == "create" and subresource == "token" and self._tokens is not None:
            return await self._token(call, self._tokens)
        raise MethodNotAllowed("the server does not allow this method on the requested resource")

    # scale

    async def _scale(self, call: Call, kind: Kind, verb: str) -> Response:
        paths = kind.strategy.scale or _DEFAULT_SCALE
        if verb == "get":
            await self._image.current()
            entry = kind.table.entries.get(kind.key(call.info.namespace, call.info.name))
            if entry is None:
                raise kind.not_found(call.info.name)
            (entry,) = await kind.localized([entry])
            return _respond_scale(call, _as_scale(kind.object(entry), paths))
        track = ownership.tracking(call, kind, ownership.SCALE)
        if verb == "update":
            ownership.check_manager(call, "UpdateOptions")
            body, _ = decoding.read_body(call, _SCALE)
            metadata.check_type(body, _SCALE_RESOURCE)
            schema_for(_SCALE).conform(body)
            metadata.check_name(body, call.info.name)
            change = _rescaled(kind, lambda _: body, paths)
        elif decoding.patch_type(call) == decoding.APPLY_PATCH:
            change, track = _applied_scale(call, kind, paths), ownership.as_given
        else:
            change = _rescaled(kind, _scale_patcher(call, kind), paths)
        await self._image.current()
        written = await self._writes.change(call, kind, change, "", track, _view_of_scale(paths))
        (entry,) = await kind.localized([written])
        return _respond_scale(call, _as_scale(kind.object(entry), paths))

    # binding

    async def bind(self, call: Call, name: str) -> Response:
        """Assign a pod to a node (upstream: `BindingREST`). Answers a Status."""
        kind = self._kinds[PODS]
        binding = decoding.read_request(call, BINDINGS.gvk)
        meta = binding.get("metadata") or {}
        name = name or meta.get("name", "")
        if meta.get("name") not in (None, "", name):
            raise BadRequest(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
        target = binding.get("target") or {}
        errors = []
        if target.get("kind", "") not in ("", "Node"):
            errors.append(FieldError.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
        if not target.get("name"):
            errors.append(FieldError.required("target.name"))
        if errors:
            raise invalid("", "Binding", name, errors)
        await self._admit(call, name, binding, dry_run=call.dry_run)
        key = kind.key(call.info.namespace, name)
        await self._image.current()
        for _ in range(CONFLICT_TRIES):
            current = kind.table.entries.get(key)
            if current is None:
                raise kind.not_found(name)
            pod = kind.object(current)
            check_preconditions(kind, pod, {"preconditions": {k: meta.get(k) or None for k in ("uid", "resourceVersion")}})
            _assign(pod, target["name"], meta.get("annotations") or {}, meta.get("labels") or {}, rfc3339(call.now()))
            if call.dry_run:
                break
            try:
                revision = await self._image.store.update(key, await kind.stored(pod), mod_revision=current.mod_revision)
            except Mismatch as error:
                if error.current is None:
                    raise kind.not_found(name) from error
                await self._image.reached(error.current.mod_revision)
                continue
            await self._image.reached(revision)
            break
        else:
            raise kind.conflict(name)
        return rendering.respond_object(201, SUCCESS, call.format, call.warnings)

    # eviction

    async def _evict(self, call: Call, kind: Kind) -> Response:
        eviction = decoding.read_request(call, _EVICTION)
        given = (eviction.get("metadata") or {}).get("name") or call.info.name
        if given != call.info.name:
            raise BadRequest("name in URL does not match name in Eviction object")
        options = dict(eviction.get("deleteOptions") or {})
        await self._image.current()
        entry = kind.table.entries.get(kind.key(call.info.namespace, call.info.name))
        if entry is None:
            raise kind.not_found(call.info.name)
        pod = kind.object(entry)
        dry_run = call.dry_run or bool(options.get("dryRun"))
        seen: Object = {"kind": _EVICTION.kind, "apiVersion": _EVICTION.api_version, **eviction}
        await self._admit(call, call.info.name, seen, dry_run=dry_run)
        if _counts_as_available(pod):
            await self._spend_budget(call, pod, dry_run=dry_run)
        await self._deletes.delete_key(call, kind, entry.key, options, admitted=True)
        return rendering.respond_object(201, SUCCESS, call.format, call.warnings)

    async def _spend_budget(self, call: Call, pod: Object, *, dry_run: bool) -> None:
        """Take one disruption from the pod's budget. Raises `TooManyRequests` if there is none left."""
        kind = self._kinds[POD_DISRUPTION_BUDGETS]
        name = pod["metadata"]["name"]
        for _ in range(CONFLICT_TRIES):
            matching = []
            for key in kind.table.slice(kind.scope(call.info.namespace)):
                budget = kind.table.decoded(kind.table.entries[key])
                selector = labels.from_label_selector(budget.get("spec", {}).get("selector"))
                if selector.matches(pod["metadata"].get("labels") or {}):
                    matching.append(key)
            if not matching:
                return
            if len(matching) > 1:
                raise InternalError(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
                )
            current = kind.table.entries[matching[0]]
            budget = kind.object(current)
            status = dict(budget.get("status") or {})
            if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
                raise TooManyRequests(
                    "Cannot evict pod as it would violate the pod's disruption budget.", retry_after_s=10,
                    causes=[Cause("DisruptionBudget", f"The disruption budget {budget['metadata']['name']} is still being "
                                  "processed by the server.")],
                )  # fmt: skip
            if status.get("disruptionsAllowed", 0) <= 0:
                needed = (
                    f"The disruption budget {budget['metadata']['name']} needs {status.get('desiredHealthy', 0)} healthy pods"
                )
                raise TooManyRequests(
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    causes=[Cause("DisruptionBudget", f"{needed} and has {status.get('currentHealthy', 0)} currently")],
                )
            if dry_run:
                return
            status["disruptionsAllowed"] -= 1
            status["disruptedPods"] = {**(status.get("disruptedPods") or {}), name: rfc3339(call.now())}
            budget["status"] = status
            try:
                value = await kind.stored(budget)
                revision = await self._image.store.update(current.key, value, mod_revision=current.mod_revision)
            except Mismatch as error:
                if error.current is not None:
                    await self._image.reached(error.current.mod_revision)
                continue
            await self._image.reached(revision)
            return
        raise TooManyRequests("couldn't update PodDisruptionBudget due to conflicts", retry_after_s=10)

    # token

    async def _token(self, call: Call, issuer: Issuer) -> Response:
        body = decoding.read_request(call, _TOKEN_REQUEST)
        await self._image.current()
        request = self._creation(call, SERVICE_ACCOUNTS, call.info.name, body)
        await self._writes.admission.admit(request)
        wanted = request.object = issuer.completed(call.info.namespace, call.info.name, request.object or body)
        await self._writes.admission.validate(request)
        issued = issuer.issue(wanted)
        call.warnings += issued.warnings
        call.audit_annotations["authentication.kubernetes.io/issued-credential-id"] = issued.credential_id
        return rendering.respond_object(201, issued.answer, call.format, call.warnings)

    async def _admit(self, call: Call, name: str, obj: Object, *, dry_run: bool) -> None:
        request = self._creation(call, PODS, name, obj, dry_run=dry_run)
        await self._writes.admission.admit(request)
        await self._writes.admission.validate(request)

    def _creation(self, call: Call, resource: Resource, name: str, obj: Object, *, dry_run: bool = False) -> AdmissionRequest:
        """`obj` as a new subresource of the object called `name`."""
        return AdmissionRequest(
            Operation.CREATE, resource, call.info.subresource or "binding", call.info.namespace, name, call.user, obj, None,
            {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}, dry_run, call.warnings, call.audit_annotations,
        )  # fmt: skip


def _counts_as_available(pod: Object) -> bool:
    """Budgets protect pods that run; one that has ended, waits or is on its way out may go."""
    return (
        pod.get("status", {}).get("phase") not in ("Succeeded", "Failed", "Pending")
        and "deletionTimestamp" not in pod["metadata"]
    )


def _assign(pod: Object, node_name: str, annotations: Object, more_labels: Object, now: str) -> None:
    meta, spec = pod["metadata"], pod.setdefault("spec", {})
    name = meta["name"]
    why = ""
    if "deletionTimestamp" in meta:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise conflict("", "pods/binding", name, why)
    spec["nodeName"] = node_name
    if annotations:
        meta["annotations"] = {**(meta.get("annotations") or {}), **annotations}
    if more_labels:
        meta["labels"] = {**(meta.get("labels") or {}), **more_labels}
    status = pod.setdefault("status", {})
    scheduled: Object = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    if meta.get("generation"):
        scheduled["observedGeneration"] = meta["generation"]
    others = [condition for condition in status.get("conditions") or () if condition.get("type") != "PodScheduled"]
    status["conditions"] = [*others, scheduled]


# Scale as a view of the object

_SCALE_RESOURCE = Resource("autoscaling", "v1", "scales", "Scale", True)


_SCALE_COLUMNS = (Column("Name"), Column("Desired", "integer"), Column("Available", "integer"), AGE)


def _respond_scale(call: Call, scale: Object) -> Response:
    if call.format.shape == "table":
        api_version = f"meta.k8s.io/{call.format.version}"
        replicas = [part.get("replicas", 0) for part in (scale["spec"], scale["status"])]
        cells = [scale["metadata"]["name"], *replicas, printing.age(scale, call.now())]
        row = table.row(scale, cells, call.include, api_version=api_version)
        metadata = {"resourceVersion": scale["metadata"]["resourceVersion"]}
        scale = table.build(_SCALE_COLUMNS, [row], metadata, api_version=api_version)
    return rendering.respond_object(200, scale, call.format, call.warnings)


def _default_selector(obj: Object) -> str:
    selector = obj.get("spec", {}).get("selector")
    if isinstance(selector, dict) and not ({"matchLabels", "matchExpressions"} & selector.keys()):
        return labels.from_map(selector).to_string()  # a ReplicationController's is a plain map
    return labels.from_label_selector(selector).to_string()


def _set_replicas(obj: Object, replicas: int) -> None:
    obj.setdefault("spec", {})["replicas"] = replicas


_DEFAULT_SCALE = ScalePaths(
    replicas=lambda obj: int(obj.get("spec", {}).get("replicas", 0)),
    set_replicas=_set_replicas,
    status_replicas=lambda obj: int(obj.get("status", {}).get("replicas", 0)),
    selector=_default_selector,
)


def _as_scale(obj: Object, paths: ScalePaths) -> Object:
    meta = {
        field: obj["metadata"][field]
        for field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if field in obj["metadata"]
    }
    replicas = paths.replicas(obj)
    status: Object = {"replicas": paths.status_replicas(obj)}
    selector = paths.selector(obj)
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
        "spec": {"replicas": replicas} if replicas else {}, "status": status,
    }  # fmt: skip


def _rescaled(kind: Kind, wanted: Callable[[Object], Object], paths: ScalePaths) -> Callable[[Object], Object]:
    """A change of the object out of one of its Scale."""

    def change(obj: Object) -> Object:
        live = _as_scale(obj, paths)
        if entries := ownership.entries_of_scale(kind, obj):
            live["metadata"]["managedFields"] = entries
        scale = wanted(live)
        replicas: int = (scale.get("spec") or {}).get("replicas", 0)
        name = obj["metadata"]["name"]
        if replicas < 0:
            error = FieldError.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
            raise invalid("autoscaling", "Scale", name, [error])
        meta = scale.get("metadata") or {}
        for field in ("uid", "resourceVersion"):
            if meta.get(field):
                obj["metadata"][field] = meta[field]
        paths.set_replicas(obj, replicas)
        return obj

    return change


def _view_of_scale(paths: ScalePaths) -> View:
    def take(obj: Object, scale: Object) -> None:
        paths.set_replicas(obj, (scale.get("spec") or {}).get("replicas", 0))

    return View("scale", lambda obj: _as_scale(obj, paths), take)


def _applied_scale(call: Call, kind: Kind, paths: ScalePaths) -> Callable[[Object], Object]:
    ownership.check_patch_options(call, applies=True)
    config = ownership.read_config(call)

    def change(obj: Object) -> Object:
        scale, entries = ownership.applied_scale(call, kind, config, _as_scale(obj, paths), obj)
        schema_for(_SCALE).conform(scale)
        metadata.check_name(scale, call.info.name)
        new = _rescaled(kind, lambda _: scale, paths)(obj)
        new["metadata"]["managedFields"] = entries
        return new

    return change


def _scale_patcher(call: Call, kind: Kind) -> Callable[[Object], Object]:
    content_type = call.request.headers.get("content-type", "").partition(";")[0].strip()
    decoding.patcher(call, kind)  # refuses what is no patch
    patch = orjson.loads(call.request.body)

    def change(scale: Object) -> Object:
        # Scale has no lists: a strategic merge is a merge.
        new: Object = json_patch.apply(scale, patch) if content_type == decoding.JSON_PATCH else merge.apply(scale, patch)
        try:
            schema_for(_SCALE).conform(new)
        except DecodeError as error:
            shown = patch if content_type == decoding.STRATEGIC_PATCH else None
            raise decoding.patch_invalid(new, scale, shown, error.why) from error
        return new

    return change
