"""delete and deletecollection: at once, or marked and waited for.

An object with finalizers, or with a grace period that is not over, is only marked (`deletionTimestamp`); it goes when the last
finalizer is taken off, or with a deletion without grace.

Source: concepts, "Finalizers", "Garbage Collection", "Pod Lifecycle".
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import orjson

from pybernetes.apiserver.admission.chain import Chain
from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.registry import decoding, reading, rendering
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.metadata import FOREGROUND, ORPHAN, ordered
from pybernetes.apiserver.registry.reading import entry_response
from pybernetes.apiserver.registry.strategy import Context
from pybernetes.apiserver.registry.uninterrupted import whole
from pybernetes.apiserver.registry.writing import CONFLICT_TRIES, Writes
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.errors import BadRequest, Conflict, FieldError, invalid
from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.meta import Object
from pybernetes.store.interface import Entry, Mismatch

# These answer with the object that is gone, all others with a Status.
_RETURNS_OBJECT = frozenset((
    "persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates", "resourcequotas", "serviceaccounts", "services",
    "csinodes.storage.k8s.io", "customresourcedefinitions.apiextensions.k8s.io", "resourceclaims.resource.k8s.io",
    "storageclasses.storage.k8s.io", "volumeattachments.storage.k8s.io",
))  # fmt: skip
_POLICIES = ("Foreground", "Background", "Orphan")
_OPTION_NAMES = (
    "gracePeriodSeconds",
    "propagationPolicy",
    "orphanDependents",
    "dryRun",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
)


class Deletes:
    def __init__(self, writes: Writes, admission: Chain) -> None:
        self._writes = writes
        self._image = writes.image
        self._admission = admission

    async def delete(self, call: Call, kind: Kind) -> Response:
        options = read_options(call)
        await self._image.current()
        entry, gone = await self.delete_key(call, kind, kind.key(call.info.namespace, call.info.name), options)
        if not gone:
            accepted = options.get("orphanDependents") is False
            return await entry_response(call, kind, entry, 202 if accepted else 200)
        if kind.resource.group_resource in _RETURNS_OBJECT:
            return await entry_response(call, kind, entry)
        return rendering.respond_object(200, _success(kind, entry), call.format, call.warnings)

    async def delete_collection(self, call: Call, kind: Kind) -> Response:
        options = read_options(call)
        reading.check_list_options(call, watch=False)
        # Everything that matches, whatever `limit` says: upstream's pages are its own affair.
        query = {name: value for name, value in call.query.items() if name not in ("limit", "continue")}
        listing = Call(call.request, call.info, query, call.user, call.clock, call.entropy)
        found = await reading.find(listing, reading.selection(call, kind), self._image)
        items = []
        for position, entry in enumerate(found.entries):
            if position % reading.CHUNK_ITEMS == reading.CHUNK_ITEMS - 1:
                await asyncio.sleep(0)
            try:
                await self.delete_key(call, kind, entry.key, options)
            except Conflict:
                raise
            except type(kind.not_found("")):
                continue  # somebody was faster
            items.append(entry)
        head = kind.list_head + orjson.dumps({"resourceVersion": str(found.revision)}) + b',"items":['
        return rendering.respond(200, head + b",".join(kind.item(entry) for entry in items) + b"]}", call.warnings)

    async def delete_key(
        self, call: Call, kind: Kind, key: str, options: Object, *, admitted: bool = False
    ) -> tuple[Entry, bool]:
        """(the object as it is now or last was, whether it is gone). `admitted`: admission has been asked already."""
        name = kind.names(key)[1]
        unguarded = not (options.get("preconditions") or {}).get("resourceVersion")
        for _ in range(CONFLICT_TRIES):
            current = kind.table.entries.get(key)
            if current is None:
                raise kind.not_found(name)
            try:
                return await whole(kind.strategy, self._delete_once(call, kind, current, options, admitted))
            except Mismatch as error:
                if error.current is None:
                    raise kind.not_found(name) from error
                if not unguarded:
                    raise kind.conflict(name) from error
                await self._image.reached(error.current.mod_revision)
        raise kind.conflict(name)

    async def _delete_once(self, call: Call, kind: Kind, current: Entry, options: Object, admitted: bool) -> tuple[Entry, bool]:
        (seen,) = await kind.localized([current])
        old = kind.object(seen)
        namespace, name = kind.names(current.key)
        check_preconditions(kind, old, options)
        dry_run = call.dry_run or bool(options.get("dryRun"))
        context = self._writes.context(call)
        request = AdmissionRequest(
            Operation.DELETE, kind.resource, "", namespace, name, call.user, None, old,
            {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", **options}, dry_run, call.warnings,
            call.audit_annotations,
        )  # fmt: skip
        if not admitted:
            await self._admission.admit(request)
            await self._admission.validate(request)
        marked = mark(kind, old, options, context)
        if marked is None:
            revision = current.mod_revision
            if not dry_run:
                revision = await self._image.store.delete(current.key, mod_revision=current.mod_revision)
                await self._image.reached(revision)
                await kind.strategy.after_delete(context, old)
            return current, True
        value = await kind.stored(marked)
        if dry_run or value == current.value:
            return Entry(current.key, value, current.create_revision, current.mod_revision, current.version), False
        revision = await self._image.store.update(current.key, value, mod_revision=current.mod_revision)
        await self._image.reached(revision)
        return Entry(current.key, value, current.create_revision, revision, current.version + 1), False


def mark(kind: Kind, old: Object, options: Object, context: Context) -> Object | None:
    """The object marked for deletion; None if it may go at once."""
    if kind.strategy.mark_deleted is not None:
        return kind.strategy.mark_deleted(context, old)
    meta: Object = {**old["metadata"]}
    new: Object = {**old, "metadata": meta}
    finalizers = wanted_finalizers(kind, meta.get("finalizers") or [], options)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    is_namespace = kind.resource.kind == "Namespace" and not kind.resource.group
    grace_s = kind.strategy.grace_period(context, old, options) if kind.strategy.grace_period else 0
    held = bool(finalizers) or (is_namespace and bool(old.get("spec", {}).get("finalizers")))
    if not held and not grace_s:
        return None
    marked_before = "deletionTimestamp" in meta
    if not marked_before or (kind.strategy.grace_period and grace_s < meta.get("deletionGracePeriodSeconds", 0)):
        meta["deletionTimestamp"] = rfc3339(context.now + timedelta(seconds=grace_s))
        if not is_namespace:
            meta["deletionGracePeriodSeconds"] = grace_s
        if meta.get("generation"):
            meta["generation"] += 1
    if is_namespace:
        new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
    new["metadata"] = ordered(meta)
    return new


def wanted_finalizers(kind: Kind, present: list[str], options: Object) -> list[str]:
    """The finalizers that the propagation policy wants, besides those which are there for other reasons."""
    policy = options.get("propagationPolicy")
    orphans = options.get("orphanDependents")
    others = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    if kind.strategy.default_garbage_policy == "Unsupported":
        return others
    if orphans is not None:
        return [*others, ORPHAN] if orphans else others
    if policy == "Orphan":
        return [*others, ORPHAN]
    if policy == "Foreground":
        return [*others, FOREGROUND]
    if policy == "Background":
        return others
    if ORPHAN in present or FOREGROUND in present:
        return present
    return [*others, ORPHAN] if kind.strategy.default_garbage_policy == "Orphan" else others


def check_preconditions(kind: Kind, old: Object, options: Object) -> None:
    preconditions = options.get("preconditions") or {}
    meta = old["metadata"]
    name = meta["name"]
    uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
    why = ""
    if uid is not None and uid != meta.get("uid"):
        why = (
            f"the UID in the precondition ({uid}) does not match the UID in record ({meta.get('uid', '')}). "
            "The object might have been deleted and then recreated"
        )
    elif version is not None and version != meta["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({meta['resourceVersion']}). The object might have been modified"
        )
    if why:
        kind_name = kind.resource.kind  # upstream names the Kind here, not the resource
        group = f".{kind.resource.group}" if kind.resource.group else ""
        raise Conflict(
            f'Operation cannot be fulfilled on {kind_name}{group} "{name}": {why}',
            group=kind.resource.group, kind=kind_name, name=name,
        )  # fmt: skip


def read_options(call: Call) -> Object:
    """DeleteOptions of the request. Raises `BadRequest`, `Invalid`."""
    options = decoding.read_options(call, "DeleteOptions", _OPTION_NAMES)
    if "gracePeriodSeconds" in call.query:
        try:
            options["gracePeriodSeconds"] = int(call.query["gracePeriodSeconds"])
        except ValueError as error:
            text = call.query["gracePeriodSeconds"]
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
    if "orphanDependents" in call.query:
        options["orphanDependents"] = call.query["orphanDependents"] not in ("false", "0")
    if isinstance(options.get("dryRun"), str):
        options["dryRun"] = [options["dryRun"]] if options["dryRun"] else []
    errors = []
    policy = options.get("propagationPolicy")
    if policy is not None and policy not in _POLICIES:
        errors.append(FieldError.not_supported("propagationPolicy", policy, [*_POLICIES, "nil"]))
    if policy is not None and options.get("orphanDependents") is not None:
        errors.append(
            FieldError.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    if any(value != "All" for value in options.get("dryRun") or ()):
        errors.append(FieldError.not_supported("dryRun", options["dryRun"], ["All"]))
    if errors:
        raise invalid("meta.k8s.io", "DeleteOptions", "", errors)
    return options


def _success(kind: Kind, entry: Entry) -> Object:
    details: Object = {"name": kind.names(entry.key)[1]}
    if kind.resource.group:
        details["group"] = kind.resource.group
    details["kind"] = kind.resource.plural
    details["uid"] = orjson.loads(entry.value)["metadata"].get("uid", "")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
