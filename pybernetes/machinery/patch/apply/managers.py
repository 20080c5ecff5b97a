"""The managers of an object: `metadata.managedFields` before and after a write.

`created`, `updated` and `applied` are upstream's chain of field managers in one place each, with its rules:

- a manager is known by its name, operation, apiVersion (not for Apply) and subresource;
- what a server sets by itself (`metadata.uid` and its kin) belongs to nobody, and what an endpoint resets is not counted;
- the time of an entry is that of its last change; who merely shares a field from now on gets none;
- an object that nobody manages stays so under ordinary writes; the first apply gives what is there to `before-first-apply`;
- of managers that update, at most ten are kept; the oldest become `ancient-changes`;
- `kubectl` may apply over what it wrote itself by client-side apply, without force.

Source: API reference, "Server-Side Apply"; KEP-555; KEP-2155 (subresources).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

import orjson

from pybernetes.machinery import codec
from pybernetes.machinery.errors import Cause, Conflict, StatusError
from pybernetes.machinery.meta import Object, clone
from pybernetes.machinery.patch.apply import fieldsets, typed
from pybernetes.machinery.patch.apply.fieldsets import EMPTY, FieldSet
from pybernetes.machinery.schema.shapes import Shape

APPLY: Final = "Apply"
UPDATE: Final = "Update"
UNKNOWN: Final = "unknown"
BEFORE_FIRST_APPLY: Final = "before-first-apply"
ANCIENT: Final = "ancient-changes"
UPDATE_MANAGERS_MAX: Final = 10
KUBECTL: Final = "kubectl"
KNOWN_MAX: Final = 128  # creations remembered …
KNOWN_BYTES_MAX: Final = 8 * 1024  # … and none that is larger
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

Entries = list[Object]
# By a type and an object of it, without what is the server's: the fields that it sets, never altered. Objects of one template
# differ in nothing else.
_KNOWN: Final[dict[tuple[Shape, bytes], FieldSet]] = {}

# Belongs to the server.
_SERVER_METADATA: Final = frozenset((
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
    "resourceVersion",
))  # fmt: skip
_OWNERLESS: Final[FieldSet] = {
    "f:apiVersion": {}, "f:kind": {}, "f:metadata": {".": {}, **{f"f:{name}": {} for name in _SERVER_METADATA}},
}  # fmt: skip


class Types(Protocol):
    """The versions of one kind."""

    def shape(self, api_version: str) -> Shape | None:
        """None if the version is not served (any more)."""
        ...

    def zero(self, api_version: str) -> Object:
        """The object to which nobody gave anything. Shared."""
        ...

    def convert(self, obj: Object, api_version: str) -> Object:
        """The object in that version, which is served."""
        ...


class Writer(NamedTuple):
    """Who writes, and how."""

    manager: str
    api_version: str  # of the request
    now: str  # RFC 3339
    subresource: str = ""
    resets: FieldSet = EMPTY  # what cannot be written at this endpoint (the status, at most)


class ManagerId(NamedTuple):
    """What tells managers from each other; sorts as upstream does."""

    manager: str
    operation: str
    api_version: str  # "" of appliers
    subresource: str


@dataclass(frozen=True, slots=True)
class Managed:
    """What a manager owns."""

    api_version: str
    fields: FieldSet
    time: str = ""


Managers = dict[ManagerId, Managed]


def manager_name(given: str, user_agent: str) -> str:
    """The name of whoever writes: the `fieldManager` parameter, or what comes before the slash in the user agent."""
    if given:
        return given
    name = user_agent.partition("/")[0]
    if name.isascii() and name.isprintable() and len(name) <= 128:
        return name
    text = "".join(character for character in name if character.isprintable()).encode()[:128]
    return text.decode(errors="ignore")


# Ordinary writes


def created(types: Types, new: Object, writer: Writer) -> Entries:
    """The entries of a new object. `new` has its defaults, and nothing yet that plugins or hooks add."""
    shape = types.shape(writer.api_version)
    if shape is None:
        return []
    fields = _set_by_creation(types, shape, new, writer)
    return [_entry(_updater(writer), writer.api_version, writer.now, fields)] if fields else []


def _set_by_creation(types: Types, shape: Shape, new: Object, writer: Writer) -> FieldSet:
    # What is nobody's is left out beforehand: this is on the way of every creation.
    given = {name: value for name, value in new.items() if name != "kind" and name != "apiVersion"}
    if metadata := new.get("metadata"):
        given["metadata"] = {name: value for name, value in metadata.items() if name not in _SERVER_METADATA}
    raw = codec.dumps(given)
    key = (shape, raw)
    changed = _KNOWN.get(key)
    if changed is None:
        changed = _set_from_nothing(shape, types.zero(writer.api_version), given)
        if len(raw) <= KNOWN_BYTES_MAX:
            if len(_KNOWN) >= KNOWN_MAX:
                _KNOWN.clear()
            _KNOWN[key] = changed
    if writer.resets:
        changed = fieldsets.recursive_difference(changed, writer.resets)
    return changed


def _set_from_nothing(shape: Shape, zero: Object, given: Object) -> FieldSet:
    changed, _ = typed.compare(shape, zero, given)
    if not changed:
        return EMPTY
    return changed if "metadata" in zero else fieldsets.difference(changed, _OWNERLESS)


def updated(types: Types, live: Object, new: Object, given: Sequence[Object], writer: Writer) -> Entries:
    """The entries after an ordinary update from `live` to `new`, neither of which carries any itself.

    `given` are those in force: the stored ones, unless the client wrote others (`entries_in_force`).
    """
    managers = _decoded(given)
    shape = types.shape(writer.api_version)
    if not managers or shape is None:
        return []  # once they were all taken away, only an apply brings them back
    changed, removed = typed.compare(shape, live, new)
    if changed is None and removed is None:
        return list(given)
    changed, removed = changed or EMPTY, removed or EMPTY
    _take_away(types, managers, live, new, writer, changed, removed)
    if fields := _owned(changed, writer):
        me = _updater(writer)
        before = managers.get(me)
        if before is not None:
            fields = fieldsets.union(before.fields, fields)
        managers[me] = Managed(writer.api_version, fields, writer.now)
    _cap(managers)
    return _encoded(managers)


def _take_away(
    types: Types, managers: Managers, live: Object, new: Object, writer: Writer, changed: FieldSet, removed: FieldSet,
    spared: ManagerId | None = None,
) -> None:  # fmt: skip
    """Others own no longer what was changed or removed."""
    for manager, (theirs, gone) in _differences(types, managers, live, new, writer, changed, removed, spared):
        managed = managers[manager]
        fields = managed.fields
        if theirs:
            fields = fieldsets.difference(fields, theirs)
        if gone:
            fields = fieldsets.difference(fields, gone)
        if fields:
            managers[manager] = replace(managed, fields=fields)
        else:
            del managers[manager]


def _differences(
    types: Types, managers: Managers, live: Object, new: Object, writer: Writer, changed: FieldSet, removed: FieldSet,
    spared: ManagerId | None,
) -> Iterator[tuple[ManagerId, tuple[FieldSet, FieldSet]]]:  # fmt: skip
    """For each manager the fields that change and that go, in its own version. Those of lost versions are dropped."""
    known = {writer.api_version: _counted(changed, removed, writer)}
    for manager, managed in list(managers.items()):
        if manager == spared:
            continue
        version = managed.api_version
        if version not in known:
            shape = types.shape(version)
            if shape is None:
                del managers[manager]
                continue
            set_there, gone_there = typed.compare(shape, types.convert(live, version), types.convert(new, version))
            known[version] = _counted(set_there or EMPTY, gone_there or EMPTY, writer)
        yield manager, known[version]


def _counted(changed: FieldSet, removed: FieldSet, writer: Writer) -> tuple[FieldSet, FieldSet]:
    if not writer.resets:
        return changed, removed
    return fieldsets.recursive_difference(changed, writer.resets), fieldsets.recursive_difference(removed, writer.resets)


def _owned(fields: FieldSet, writer: Writer) -> FieldSet:
    if writer.resets:
        fields = fieldsets.recursive_difference(fields, writer.resets)
    return fieldsets.difference(fields, _OWNERLESS)


def _updater(writer: Writer) -> ManagerId:
    return ManagerId(writer.manager or UNKNOWN, UPDATE, writer.api_version, writer.subresource)


def _cap(managers: Managers) -> None:
    updaters = [manager for manager in managers if manager.operation == UPDATE]
    if len(updaters) <= UPDATE_MANAGERS_MAX:
        return
    updaters.sort(key=lambda manager: (managers[manager].time, manager))
    count = len(updaters)
    first: dict[str, ManagerId] = {}
    for manager in updaters:
        if count <= UPDATE_MANAGERS_MAX:
            return
        managed = managers[manager]
        version = managed.api_version
        if version not in first:
            first[version] = manager
            continue
        bucket = ManagerId(ANCIENT, UPDATE, version, "")
        if bucket not in managers:
            managers[bucket] = managers.pop(first[version])
        fields = fieldsets.union(managers[bucket].fields, managed.fields)
        managers[bucket] = Managed(version, fields, managed.time)  # the time of the younger one
        if manager != bucket:
            del managers[manager]
            count -= 1


# Apply


def applied(
    types: Types, live: Object, config: Object, given: Sequence[Object], writer: Writer, *, force: bool
) -> tuple[Object | None, Entries]:
    """What an applied configuration makes of an object: the new one (None if it stays as it is), and its entries.

    `live` carries no entries itself; of an object that is to be created it is the zero one. The new object has no defaults
    yet, and may have nulls. Raises `Conflict`, with a cause for each field that another one owns, and `StatusError` for a
    configuration that is not of the kind's shape.
    """
    shape = types.shape(writer.api_version)
    assert shape is not None, writer.api_version
    try:
        managers = _decoded(given)
    except ValueError as error:
        raise StatusError(f"failed to decode managed fields: {error}") from error
    if not managers:
        before = writer._replace(manager=BEFORE_FIRST_APPLY)
        if fields := _set_by_creation(types, shape, live, before):
            managers[_updater(before)] = Managed(writer.api_version, fields, writer.now)
    if wrong := typed.misfits(shape, config):
        raise StatusError(f"failed to create typed patch object ({describe(config)}): {typed.sentence(wrong)}")
    try:
        new, entries = _apply(types, shape, live, config, dict(managers), writer, force=force)
    except FieldsConflict as conflict:
        if writer.manager != KUBECTL:
            raise
        left = conflict.without(_written_by_kubectl(shape, live))
        if left:
            raise FieldsConflict(left) from None
        new, entries = _apply(types, shape, live, config, dict(managers), writer, force=True)
    if writer.manager == KUBECTL and LAST_APPLIED in (live.get("metadata", {}).get("annotations") or {}):
        new = clone(new if new is not None else live)
        new["metadata"]["annotations"][LAST_APPLIED] = _as_last_applied(config)
    return new, entries


def _apply(
    types: Types, shape: Shape, live: Object, config: Object, managers: Managers, writer: Writer, *, force: bool
) -> tuple[Object | None, Entries]:
    me = ManagerId(writer.manager or UNKNOWN, APPLY, "", writer.subresource)
    last = managers.get(me)
    fields = typed.configured(shape, config)
    if writer.resets:
        fields = fieldsets.recursive_difference(fields, writer.resets)
        if last is not None:
            last = replace(last, fields=fieldsets.recursive_difference(last.fields, writer.resets))
    managers[me] = Managed(writer.api_version, fields, last.time if last is not None else "")
    new = typed.merge(shape, live, config)
    if last is not None:
        new = _pruned(types, new, managers, last, writer)
    changed, removed = typed.compare(shape, live, new)
    changed, removed = changed or EMPTY, removed or EMPTY
    if not force:
        conflicts = {
            manager: both
            for manager, (theirs, _) in _differences(types, managers, live, new, writer, changed, removed, me)
            if (both := fieldsets.intersection(managers[manager].fields, theirs))
        }
        if conflicts:
            raise FieldsConflict(conflicts)
    _take_away(types, managers, live, new, writer, changed, removed, me)
    is_same = not changed and not removed and same(live, new)
    mine = fieldsets.difference(fields, _OWNERLESS)
    if mine:
        time = managers[me].time if is_same else writer.now
        managers[me] = Managed(writer.api_version, mine, time)
    else:
        managers.pop(me, None)
    return None if is_same else new, _encoded(managers)


def _pruned(types: Types, merged: Object, managers: Managers, last: Managed, writer: Writer) -> Object:
    """Without what this applier gave last time, gives no more, and nobody else owns."""
    mine = [managed for managed in managers.values() if managed.api_version == last.api_version]
    owned = EMPTY
    for managed in mine:
        owned = fieldsets.union(owned, managed.fields)
    if not fieldsets.difference(last.fields, owned):
        return merged
    shape = types.shape(last.api_version)
    if shape is None:
        return merged
    there = _converted(types, merged, last.api_version, writer)
    claimed = typed.with_structs(shape, last.fields)
    pruned = typed.remove(shape, there, claimed) or {}
    pruned = _with_owned(shape, there, pruned, owned)
    for version in {managed.api_version for managed in managers.values()} - {last.api_version}:
        other = types.shape(version)
        if other is None:
            continue
        owned = EMPTY
        for managed in managers.values():
            if managed.api_version == version:
                owned = fieldsets.union(owned, managed.fields)
        pruned = _with_owned(other, types.convert(there, version), types.convert(pruned, version), owned)
        pruned = types.convert(pruned, last.api_version)
    # Removing an item took all that was in it along; what was never this applier's comes back.
    left = typed.with_structs(shape, typed.configured(shape, pruned))
    all_there = typed.with_structs(shape, typed.configured(shape, there))
    gone = fieldsets.intersection(fieldsets.difference(all_there, left), claimed)
    pruned = typed.remove(shape, there, gone) or {} if gone else there
    return _converted(types, pruned, writer.api_version, writer, last.api_version)


def _with_owned(shape: Shape, merged: Object, pruned: Object, owned: FieldSet) -> Object:
    """Put back what somebody owns."""
    all_there = typed.with_structs(shape, typed.configured(shape, merged))
    left = typed.with_structs(shape, typed.configured(shape, pruned))
    kept = fieldsets.union(left, typed.with_structs(shape, owned))
    gone = fieldsets.difference(all_there, kept)
    return typed.remove(shape, merged, gone) or {} if gone else merged


def _converted(types: Types, obj: Object, version: str, writer: Writer, current: str = "") -> Object:
    return obj if version == (current or writer.api_version) else types.convert(obj, version)


def same(one: object, other: object) -> bool:
    """Equality of JSON values, key order apart (true is not 1)."""
    return one == other and orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def describe(obj: Object) -> str:
    """`ns/name; apps/v1, Kind=Deployment`: how sentences name an object."""
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {describe_kind(obj)}"


def describe_kind(obj: Object) -> str:
    """`apps/v1, Kind=Deployment`, as Go prints it."""
    api_version, kind = (text if isinstance(text, str) else "" for text in (obj.get("apiVersion"), obj.get("kind")))
    return f"{api_version if '/' in api_version else f'/{api_version}'}, Kind={kind}"


class FieldsConflict(Conflict):
    """Somebody else owns what was to be changed; `fields` says who owns what."""

    def __init__(self, fields: Mapping[ManagerId, FieldSet]) -> None:
        self.fields = fields
        found = [
            (manager, fieldsets.show_path(path)) for manager in sorted(fields) for path in fieldsets.paths(fields[manager])
        ]
        if len(found) == 1:
            manager, path = found[0]
            shown = f"1 conflict: conflict with {_named(manager)}: {path}"
        else:
            lines: list[str] = []
            for manager in sorted(fields):
                lines.append(f"conflicts with {_named(manager)}:")
                lines += [f"- {path}" for owner, path in found if owner == manager]
            shown = f"{len(found)} conflicts: " + "\n".join(lines)
        causes = [Cause("FieldManagerConflict", f"conflict with {_named(manager)}", path) for manager, path in found]
        super().__init__(f"Apply failed with {shown}", causes=causes)

    def without(self, allowed: FieldSet) -> dict[ManagerId, FieldSet]:
        left = {manager: fieldsets.difference(fields, allowed) for manager, fields in self.fields.items()}
        return {manager: fields for manager, fields in left.items() if fields}


def _named(manager: ManagerId) -> str:
    shown = orjson.dumps(manager.manager).decode()
    if manager.subresource:
        shown += f' with subresource "{manager.subresource}"'
    return f"{shown} using {manager.api_version}" if manager.operation == UPDATE else shown


# kubectl's way from client-side to server-side apply


def _written_by_kubectl(shape: Shape, live: Object) -> FieldSet:
    """The fields that client-side apply wrote and that are still as it wrote them; they may be applied over."""
    annotations = live.get("metadata", {}).get("annotations") or {}
    try:
        last = orjson.loads(annotations.get(LAST_APPLIED, ""))
    except ValueError:
        return EMPTY
    if not isinstance(last, dict) or last.get("apiVersion") != live.get("apiVersion") or typed.misfits(shape, last):
        return EMPTY
    wanted = typed.configured(shape, last)
    changed, removed = typed.compare(shape, last, live)
    # Written by kubectl itself, and never said in the configuration.
    wanted = fieldsets.union(wanted, fieldsets.of_path(("f:metadata", "f:annotations", f"f:{LAST_APPLIED}")))
    return fieldsets.difference(fieldsets.difference(wanted, changed or EMPTY), removed or EMPTY)


def _as_last_applied(config: Object) -> str:
    config = clone(config)
    annotations = config.get("metadata", {}).get("annotations")
    if annotations:
        annotations.pop(LAST_APPLIED, None)
    return orjson.dumps(config, option=orjson.OPT_SORT_KEYS).decode() + "\n"


# Entries


def entries_in_force(stored: Sequence[Object], given: object) -> Sequence[Object]:
    """The entries to start from when a client sends some along (whatever it sends, usually those that it read).

    A list of one empty entry takes all away. None, or what cannot be understood, changes nothing.
    """
    if not given or given == stored:
        return stored
    if given == [{}]:
        return []
    try:
        understood = _encoded(_decoded(given, trusted=False)) if isinstance(given, list) else []
    except ValueError:
        return stored
    return understood or stored


def _decoded(entries: Iterable[Object], *, trusted: bool = True) -> Managers:
    """Raises ValueError. What the server wrote itself is `trusted` to have its sets in our form."""
    managers: Managers = {}
    for index, entry in enumerate(entries):
        operation, api_version = entry.get("operation"), entry.get("apiVersion")
        if operation not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        if not api_version:
            raise ValueError("apiVersion must not be empty")
        fields_type = entry.get("fieldsType")
        if fields_type != "FieldsV1":
            why = f'invalid fieldsType "{fields_type}"' if fields_type else "missing fieldsType"
            raise ValueError(f"{why} in managed fields entry {index}")
        fields = entry.get("fieldsV1") or {}
        manager = ManagerId(
            entry.get("manager", ""), operation, "" if operation == APPLY else api_version, entry.get("subresource", "")
        )
        managers[manager] = Managed(api_version, fields if trusted else fieldsets.canonical(fields), entry.get("time") or "")
    return managers


def in_order(entries: Sequence[Object]) -> Entries:
    """Entries that the server wrote, in the order in which they are stored."""
    return _encoded(_decoded(entries))


def _encoded(managers: Managers) -> Entries:
    order = sorted(
        managers.items(),
        key=lambda item: (item[0].operation, item[1].time, item[0].manager, item[1].api_version, item[0].subresource),
    )
    return [_entry(manager, managed.api_version, managed.time, fieldsets.ordered(managed.fields)) for manager, managed in order]


def _entry(manager: ManagerId, api_version: str, time: str, fields: FieldSet) -> Object:
    entry: Object = {"manager": manager.manager, "operation": manager.operation, "apiVersion": api_version}
    if time:
        entry["time"] = time
    entry["fieldsType"] = "FieldsV1"
    entry["fieldsV1"] = fields
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def same_but_for_times(one: Sequence[Object], other: Sequence[Object]) -> bool:
    """Whether entries say the same of who owns what (in which order they come depends on their times)."""
    if len(one) != len(other):
        return False
    return _timeless(one) == _timeless(other)


def _timeless(entries: Sequence[Object]) -> dict[tuple[Any, ...], Any]:
    return {
        (entry.get("manager"), entry.get("operation"), entry.get("apiVersion"), entry.get("subresource")): entry.get("fieldsV1")
        for entry in entries
    }
