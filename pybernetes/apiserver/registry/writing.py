"""create, update and patch of one kind.

The order is upstream's: decode → default → admission (mutating) → prepare → validate → admission (validating) → reserve →
store. What a plugin or hook sees as the old object is a fresh copy. A patch is an update of what is stored at that moment; it
is tried again when somebody else wrote in between, and so is an update that names no resourceVersion.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pybernetes.apiserver.admission.chain import Chain
from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.image import Image
from pybernetes.apiserver.registry import decoding, metadata, ownership
from pybernetes.apiserver.registry.conversion import ConversionFailed, with_conversions
from pybernetes.apiserver.registry.event_leases import EVENTS_PREFIX, EventLeases
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.ownership import Track
from pybernetes.apiserver.registry.reading import entry_response
from pybernetes.apiserver.registry.strategy import Context
from pybernetes.apiserver.registry.uninterrupted import whole
from pybernetes.machinery.errors import FieldError, StatusError, invalid
from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.meta import Object
from pybernetes.machinery.turns import by_turns
from pybernetes.store.interface import Entry, KeyExists, Mismatch, Revision

GENERATE_NAME_TRIES = 8  # KEP-4420
CONFLICT_TRIES = 5  # of a patch, and of an update without resourceVersion
_CREATE_DROPS = "resourceVersion should not be set on objects to be created"

# From the current object (fresh) to the wanted one; raises `StatusError`.
Change = Callable[[Object], Object]


@dataclass(frozen=True, slots=True)
class View:
    """How admission sees an object that is written through a subresource of another kind (`/scale`)."""

    subresource: str
    show: Callable[[Object], Object]
    take: Callable[[Object, Object], None]  # (object, view): put what admission made of the view into the object


# (call, verb): raises `Forbidden` unless the user may do that, too, to what the request names.
Authorize = Callable[[Call, str], Awaitable[None]]
# (kind, new, old, user): raises `StatusError` where a role, a policy or a binding would give more than the user has.
CheckGrant = Callable[[Kind, Object, Object | None, User], Awaitable[None]]


class Writes:
    """Writes objects of any kind; one per server."""

    def __init__(
        self,
        image: Image,
        context: Callable[[Call], Context],
        admission: Chain,
        check_grant: CheckGrant,
        authorize: Authorize,
        event_leases: EventLeases,
    ) -> None:
        self.image = image
        self.context = context
        self.admission = admission
        self._check_grant = check_grant
        self._authorize = authorize
        self._event_leases = event_leases

    # create

    async def create(self, call: Call, kind: Kind) -> Response:
        ownership.check_manager(call, "CreateOptions")
        obj = decoding.read_object(call, kind)
        metadata.check_namespace(obj, kind.resource, call.info.namespace)
        if call.info.name:  # PUT that creates
            metadata.check_name(obj, call.info.name)
        return await self.create_object(call, kind, obj)

    async def create_object(self, call: Call, kind: Kind, obj: Object, entries: Sequence[Object] | None = None) -> Response:
        """`entries`: its managed fields, if an apply has said so; otherwise whoever creates it manages them all."""
        if obj["metadata"].get("resourceVersion"):
            raise _Unexplained(_CREATE_DROPS)
        strategy, meta = kind.strategy, obj["metadata"]
        strategy.default(obj)
        base = meta.get("generateName", "") if not meta.get("name") else ""
        for attempt in range(GENERATE_NAME_TRIES):
            tried = _copy(obj) if base and attempt < GENERATE_NAME_TRIES - 1 else obj
            try:
                entry = await whole(strategy, self._create(call, kind, tried, base, entries))
                response = await entry_response(call, kind, entry, 201)
                return response if entry.mod_revision else _without_revision(response)
            except KeyExists as error:
                if not base or attempt == GENERATE_NAME_TRIES - 1:
                    raise kind.already_exists(kind.names(error.current.key)[1]) from error
        raise AssertionError("unreachable")

    async def _create(self, call: Call, kind: Kind, obj: Object, base: str, entries: Sequence[Object] | None) -> Entry:
        strategy, info = kind.strategy, call.info
        context = self.context(call)
        uid = call.entropy.uid()
        metadata.begin(obj, strategy, context.now, uid)
        if entries is None:
            entries = ownership.created(call, kind, obj)
        request = AdmissionRequest(
            Operation.CREATE, kind.resource, "", info.namespace, obj["metadata"].get("name", ""), call.user, obj, None,
            _options("CreateOptions", call), call.dry_run, call.warnings, call.audit_annotations,
        )  # fmt: skip
        if base:
            # Named before admission, so that plugins see the name (upstream since 1.32); tried again if it is taken.
            obj["metadata"] = metadata.ordered({"name": metadata.generate_name(base, call.entropy), **obj["metadata"]})
        await self.admission.admit(request)
        is_altered = request.object is not obj  # webhooks and policies write as they like
        if is_altered:
            obj = _given(request)
            metadata.check_namespace(obj, kind.resource, info.namespace)
            metadata.begin(obj, strategy, context.now, uid)
        await self._check_grant(kind, obj, None, call.user)
        if kind.has_status and not strategy.status_on_create:
            obj.pop("status", None)
        strategy.prepare_for_create(context, obj)

        def validate() -> list[FieldError]:
            return [*metadata.validate_create(obj, strategy), *strategy.validate(obj), *strategy.validate_create(obj)]

        errors = await by_turns(validate) if strategy.validates_by_turns else validate()
        name = obj["metadata"].get("name", "")
        if errors:
            raise invalid(kind.resource.group, kind.resource.kind, "" if base and not name else name, errors)
        call.warnings += strategy.warnings(obj, None)
        request.name = name
        await self.admission.validate(request)
        key = kind.key(info.namespace, name)
        if call.dry_run:
            current = kind.table.entries.get(key)
            if current is not None:
                raise KeyExists(current)
        await strategy.begin_create(context, obj)
        stored = False
        try:
            if is_altered or kind.hooks_are_foreign:
                kind.schema.conform(obj)  # stored is what Go would write
            if entries:
                obj["metadata"]["managedFields"] = entries
            value = await kind.stored(obj)
            revision = Revision(0)
            if not call.dry_run:
                lease = await self._event_leases.current() if kind.prefix == EVENTS_PREFIX else 0
                revision = await self.image.store.create(key, value, lease=lease)
            stored = not call.dry_run
        finally:
            if not stored:
                await strategy.after_delete(context, obj)  # give back what was reserved
        await self.image.reached(revision)
        return Entry(key, value, revision, revision, 1)

    # update

    async def update(self, call: Call, kind: Kind, subresource: str = "") -> Response:
        ownership.check_manager(call, "UpdateOptions")
        obj = decoding.read_object(call, kind)
        metadata.check_name(obj, call.info.name)
        metadata.check_namespace(obj, kind.resource, call.info.namespace)
        await self.image.current()
        absent = kind.key(call.info.namespace, call.info.name) not in kind.table.entries
        if absent and kind.strategy.creates_on_update and not subresource:
            await self._authorize(call, "create")
            obj["metadata"].pop("resourceVersion", None)
            return await self.create_object(call, kind, obj)
        if absent:
            raise kind.not_found(call.info.name)
        if not obj["metadata"].get("resourceVersion") and kind.strategy.needs_resource_version_on_update:
            raise kind.version_required(call.info.name)
        return await entry_response(call, kind, await self.change(call, kind, lambda _: _copy(obj), subresource))

    async def patch(self, call: Call, kind: Kind, subresource: str = "") -> Response:
        await self.image.current()
        if decoding.patch_type(call) == decoding.APPLY_PATCH:
            return await self._apply(call, kind, subresource)
        return await entry_response(call, kind, await self.change(call, kind, decoding.patcher(call, kind), subresource))

    async def _apply(self, call: Call, kind: Kind, subresource: str) -> Response:
        """Server-side apply: change the object, or create it."""
        ownership.check_patch_options(call, applies=True)
        is_strict = decoding.field_validation(call, "PatchOptions") == "Strict"
        config = ownership.read_config(call)

        def applied(live: Object | None) -> Object:
            made = ownership.applied(call, kind, config, live, subresource)
            if is_strict:  # conflicts and the like come first
                ownership.check_repeated_keys(call)
            return made

        if kind.key(call.info.namespace, call.info.name) in kind.table.entries or subresource:
            entry = await self.change(
                call,
                kind,
                applied,
                subresource,
                ownership.as_given,
            )
            return await entry_response(call, kind, entry)
        new = applied(None)
        if uid := new["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise kind.conflict(call.info.name, why)
        await self._authorize(call, "create")
        new["metadata"].pop("resourceVersion", None)
        return await self.create_object(call, kind, new, new["metadata"].pop("managedFields", ()))

    async def change(
        self,
        call: Call,
        kind: Kind,
        change: Change,
        subresource: str = "",
        track: Track | None = None,
        view: View | None = None,
    ) -> Entry:
        """Read, change, write; again if the object was written in between and the wanted one names no version.

        Raises `NotFound`, `Conflict`, `Invalid`, and whatever `change` or admission raise.
        """
        info = call.info
        key = kind.key(info.namespace, info.name)
        track = track or ownership.tracking(call, kind, subresource)
        for _ in range(CONFLICT_TRIES):
            current = kind.table.entries.get(key)
            if current is None:
                raise kind.not_found(info.name)
            try:
                return await whole(kind.strategy, self._update(call, kind, current, change, subresource, track, view))
            except Mismatch as error:
                if error.current is None:
                    raise kind.not_found(info.name) from error
                await self.image.reached(error.current.mod_revision)
        raise kind.conflict(info.name)

    async def _update(
        self, call: Call, kind: Kind, current: Entry, change: Change, subresource: str, track: Track, view: View | None
    ) -> Entry:
        (seen,) = await kind.localized([current])
        old = kind.object(seen)
        new = await with_conversions(kind, lambda: change(kind.object(seen)))
        _check_preconditions(kind, new, old, replaces=call.request.method == "PUT")
        errors = list(metadata.validate_immutable(new, old))
        strategy = kind.strategy
        before = len(call.warnings)
        strategy.default(new)
        given = new["metadata"].get("managedFields")
        metadata.carry_over(new, old)
        entries = await _tracked(kind, track, new, old, given)
        if entries:
            new["metadata"]["managedFields"] = entries
        context = self.context(call)
        shown, shown_before = (new, old) if view is None else (view.show(new), view.show(old))
        request = AdmissionRequest(
            Operation.UPDATE, kind.resource, view.subresource if view else subresource, call.info.namespace, call.info.name,
            call.user, shown, shown_before, _options("UpdateOptions", call), call.dry_run, call.warnings,
            call.audit_annotations,
        )  # fmt: skip
        await self.admission.admit(request)
        is_altered = request.object is not shown  # webhooks and policies write as they like
        if view is None:
            new = _given(request)
            if is_altered:
                metadata.check_namespace(new, kind.resource, call.info.namespace)
                errors += metadata.validate_mutated(new, old)
        else:
            view.take(new, _given(request))
        metadata.carry_over(new, old)
        await self._check_grant(kind, new, old, call.user)
        errors += metadata.validate_update(new, old)

        def prepare() -> list[FieldError]:
            return self._prepare(context, kind, new, old, subresource)

        for error in await by_turns(prepare) if strategy.validates_by_turns else prepare():
            if error.warns:
                call.warnings.append(str(error))
            else:
                errors.append(error)
        if errors:
            raise invalid(kind.resource.group, kind.resource.kind, call.info.name, errors)
        call.warnings[before:] = dict.fromkeys([*call.warnings[before:], *strategy.warnings(new, old)])
        if view is not None:
            request.object = view.show(new)
        await self.admission.validate(request)
        if is_altered or kind.hooks_are_foreign:
            kind.schema.conform(new)
        is_same = ownership.settle(kind, new, old, entries)
        if self._is_finished(kind, new):
            return await self._delete_now(call, kind, current, new, context)
        if is_same and kind.is_current(current) and not current.stale:
            return current
        value = await kind.stored(new)
        if (value == current.value and not current.stale) or call.dry_run:
            return Entry(current.key, value, current.create_revision, current.mod_revision, current.version)
        if not subresource:
            await strategy.begin_update(context, new, old)
            value = await kind.stored(new)
        try:
            revision = await self.image.store.update(current.key, value, mod_revision=current.mod_revision, lease=current.lease)
        except BaseException:
            if not subresource:
                await strategy.after_update(context, old, new)  # give back what was reserved in vain
            raise
        await self.image.reached(revision)
        if not subresource:
            await strategy.after_update(context, new, old)
        return Entry(current.key, value, current.create_revision, revision, current.version + 1)

    def _prepare(self, context: Context, kind: Kind, new: Object, old: Object, subresource: str) -> list[FieldError]:
        """Keep what may not be written here, bump the generation, validate."""
        strategy = kind.strategy
        if subresource:
            special = strategy.subresource_updates.get(subresource)
            if special is not None:
                special.prepare(context, new, old)
                _bump_generation(kind, new, old)
                return list(special.validate(new, old))
            keep_all_but_status(new, old)
            if ownership.resets_metadata(kind, subresource):
                metadata.keep_metadata(context, new, old)
            strategy.prepare_for_status_update(context, new, old)
            return list(strategy.validate_status_update(new, old))
        if kind.has_status:
            _set(new, "status", old.get("status"))
        strategy.prepare_for_update(context, new, old)
        _bump_generation(kind, new, old)
        return [*strategy.validate(new), *strategy.validate_update(new, old)]

    def _is_finished(self, kind: Kind, new: Object) -> bool:
        """Whether nothing holds back any longer an object that is being deleted."""
        meta = new["metadata"]
        if "deletionTimestamp" not in meta or meta.get("finalizers"):
            return False
        if kind.resource.kind == "Namespace" and not kind.resource.group:
            return not new.get("spec", {}).get("finalizers")
        return not meta.get("deletionGracePeriodSeconds")

    async def _delete_now(self, call: Call, kind: Kind, current: Entry, new: Object, context: Context) -> Entry:
        value = await kind.stored(new)
        revision = current.mod_revision
        if not call.dry_run:
            revision = await self.image.store.delete(current.key, mod_revision=current.mod_revision)
            await self.image.reached(revision)
            await kind.strategy.after_delete(context, new)
        return Entry(current.key, value, current.create_revision, revision, current.version)


def _without_revision(response: Response) -> Response:
    """A creation that was only tried has none."""
    assert isinstance(response.body, bytes)
    response.body = response.body.replace(b'"resourceVersion":"0",', b"", 1)
    return response


async def _tracked(kind: Kind, track: Track, new: Object, old: Object, given: object) -> Sequence[Object]:
    try:
        return await with_conversions(kind, lambda: track(new, old, given))
    except ConversionFailed:
        # Who owns what in other versions cannot be told. Upstream lets the write pass, and forgets the owners.
        return ()


class _Unexplained(StatusError):
    """Upstream answers these with a bare 500: the text, and no reason."""


def keep_all_but_status(new: Object, old: Object) -> None:
    """What /status may write: `status`, and metadata other than owner references."""
    for field in [field for field in new if field not in ("kind", "apiVersion", "metadata", "status")]:
        del new[field]
    for field, value in old.items():
        if field not in ("kind", "apiVersion", "metadata", "status"):
            new[field] = value
    _set(new["metadata"], "ownerReferences", old["metadata"].get("ownerReferences"))
    if "status" in new:
        new["status"] = new.pop("status")  # stored last


def _set(obj: Object, field: str, value: Any) -> None:
    if value is None:
        obj.pop(field, None)
    else:
        obj[field] = value


def _bump_generation(kind: Kind, new: Object, old: Object) -> None:
    if not kind.strategy.bumps_generation:
        return
    generation = old["metadata"].get("generation", 0)
    if _substance(kind, new) != _substance(kind, old):
        generation += 1
    if generation:
        new["metadata"]["generation"] = generation
        new["metadata"] = metadata.ordered(new["metadata"])


def _substance(kind: Kind, obj: Object) -> Object:
    aside = ("metadata",) if kind.strategy.generation_counts_status else ("metadata", "status")
    return {field: value for field, value in obj.items() if field not in aside}


def _check_preconditions(kind: Kind, new: Object, old: Object, *, replaces: bool) -> None:
    given, stored = new["metadata"], old["metadata"]
    uid = given.get("uid")
    if replaces and uid and uid != stored.get("uid"):
        key = kind.key(stored.get("namespace", ""), stored["name"])
        raise kind.conflict(
            stored["name"],
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
            f"UID in precondition: {uid}, UID in object meta: {stored.get('uid', '')}",
        )
    version = given.get("resourceVersion")
    if version and not version.isdecimal():
        raise _Unexplained(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    if version and version != "0" and version != stored["resourceVersion"]:
        raise kind.conflict(stored["name"])


def _options(kind: str, call: Call) -> Object:
    options: Object = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    for name in ("fieldManager", "fieldValidation"):
        if call.query.get(name):
            options[name] = call.query[name]
    if call.dry_run:
        options["dryRun"] = ["All"]
    return options


def _given(request: AdmissionRequest) -> Object:
    assert request.object is not None
    return request.object


def _copy(obj: Object) -> Object:
    import orjson

    copied: Object = orjson.loads(orjson.dumps(obj))
    return copied
