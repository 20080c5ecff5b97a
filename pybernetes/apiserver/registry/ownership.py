"""Managed fields in the registry's writes: what a request says about who writes, and the types to judge it by.

Every write of a client is tracked, where upstream does it: after decoding and defaulting, before admission. What plugins and
hooks add belongs to nobody.

Source: API reference, "Server-Side Apply"; KEP-555, KEP-2155.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.registry import metadata
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.machinery import codec
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.errors import BadRequest, DecodeError, FieldError, StatusError, invalid
from pybernetes.machinery.meta import GroupVersionKind, Object, clone
from pybernetes.machinery.patch.apply import fieldsets, managers
from pybernetes.machinery.patch.apply.fieldsets import FieldSet
from pybernetes.machinery.patch.apply.managers import Writer
from pybernetes.machinery.schema.shapes import Shape, shape_of, zero_of

MANAGER_BYTES_MAX = 128
SCALE = "scale"

# (new, old, entries that the client sent along) -> entries to store
Track = Callable[[Object, Object, object], Sequence[Object]]

_STATUS: Final[FieldSet] = {"f:status": {}}
_SPEC: Final[FieldSet] = {"f:spec": {}}
_SPEC_AND_METADATA: Final[FieldSet] = {"f:spec": {}, "f:metadata": {}}
# What an endpoint keeps as it is (upstream: `GetResetFields`), where it is not the status, or the spec at /status.
_RESETS: Final[Mapping[tuple[str, str, str], FieldSet]] = {
    ("", "pods", "status"): {"f:spec": {}, "f:metadata": {"f:deletionTimestamp": {}, "f:ownerReferences": {}}},
    ("apps", "deployments", "status"): {"f:spec": {}, "f:metadata": {"f:labels": {}}},
    ("apiextensions.k8s.io", "customresourcedefinitions", "status"): _SPEC_AND_METADATA,
    ("flowcontrol.apiserver.k8s.io", "flowschemas", "status"): _SPEC_AND_METADATA,
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "status"): _SPEC_AND_METADATA,
    ("resource.k8s.io", "resourceclaims", "status"): _SPEC_AND_METADATA,
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", "status"): _SPEC_AND_METADATA,
    ("networking.k8s.io", "servicecidrs", "status"): _SPEC_AND_METADATA,
    ("certificates.k8s.io", "certificatesigningrequests", "status"): {"f:spec": {}, "f:status": {"f:conditions": {}}},
    ("certificates.k8s.io", "certificatesigningrequests", "approval"): {"f:spec": {}, "f:status": {"f:certificate": {}}},
}


class KindTypes:
    """The versions of a stored kind (`managers.Types`)."""

    __slots__ = ("_kind",)

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def shape(self, api_version: str) -> Shape | None:
        kind = self._kind.versions.get(api_version)
        return kind.shape if kind is not None else None

    def zero(self, api_version: str) -> Object:
        return self._kind.versions[api_version].zero

    def convert(self, obj: Object, api_version: str) -> Object:
        versions = self._kind.versions
        current, wanted = versions.get(obj.get("apiVersion", ""), self._kind), versions[api_version]
        return obj if current is wanted else current.convert(obj, wanted)


def _resets(kind: Kind, subresource: str) -> FieldSet:
    known = _RESETS.get((kind.resource.group, kind.resource.plural, subresource))
    if known is not None:
        return known
    if subresource == "status":
        return _SPEC
    return _STATUS if kind.has_status else {}


def resets_metadata(kind: Kind, subresource: str) -> bool:
    """Whether the endpoint keeps labels, annotations and the like as they are."""
    return _resets(kind, subresource).get("f:metadata") == {}


def writer_of(call: Call, kind: Kind, subresource: str = "", now: str = "") -> Writer:
    """`now`: if it was read from the clock already."""
    if subresource == SCALE:
        now = ""  # upstream forgets it
    elif not now:
        now = rfc3339(call.now())
    return Writer(_manager(call), kind.resource.api_version, now, subresource, _resets(kind, subresource))


def _manager(call: Call) -> str:
    return managers.manager_name(call.query.get("fieldManager", ""), call.request.headers.get("user-agent", ""))


# Ordinary writes


def created(call: Call, kind: Kind, obj: Object) -> Sequence[Object]:
    """The entries of an object that is about to be created."""
    return managers.created(KindTypes(kind), obj, writer_of(call, kind, now=obj["metadata"]["creationTimestamp"]))


def tracking(call: Call, kind: Kind, subresource: str) -> Track:
    """How an update or patch through this endpoint changes the entries."""

    def track(new: Object, old: Object, given: object) -> Sequence[Object]:
        stored: Sequence[Object] = old["metadata"].get("managedFields") or ()
        # Whoever writes a part of the object does not say who owns the rest.
        entries = stored if subresource else managers.entries_in_force(stored, given)
        if not entries:
            return entries
        return managers.updated(KindTypes(kind), _bare(old), _bare(new), entries, writer_of(call, kind, subresource))

    return track


def _bare(obj: Object) -> Object:
    """Without what is not tracked, and often differs."""
    meta = obj["metadata"]
    if "managedFields" not in meta and "resourceVersion" not in meta:
        return obj
    kept = {name: value for name, value in meta.items() if name != "managedFields" and name != "resourceVersion"}
    return {**obj, "metadata": kept}


def as_given(new: Object, old: Object, given: object) -> Sequence[Object]:
    """The `Track` of apply, which has said it all already."""
    return given if isinstance(given, list) else ()


def settle(kind: Kind, new: Object, old: Object, entries: Sequence[Object]) -> bool:
    """Put the entries into the new object, as it is about to be stored; whether it is the old one all the same.

    Later times of entries are no change by themselves.
    """
    before = old["metadata"].get("managedFields") or []
    if entries is before or managers.same_but_for_times(entries, before):
        _put(new, before)
        if managers.same(_unversioned(new), _unversioned(old)):
            return True
    _put(new, entries)
    return False


def _put(obj: Object, entries: Sequence[Object]) -> None:
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def _unversioned(obj: Object) -> Object:
    return {**obj, "metadata": {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}}


# Options


def manager_errors(given: str) -> list[FieldError]:
    """What is wrong with a `fieldManager` parameter."""
    errors = []
    if len(given.encode()) > MANAGER_BYTES_MAX:
        errors.append(FieldError.too_long("fieldManager", MANAGER_BYTES_MAX))
    position = 0
    for character in given:
        if not character.isprintable():
            why = f"invalid character U+{ord(character):04X} (at position {position})"
            errors.append(FieldError("FieldValueInvalid", "fieldManager", f"Invalid value: {_quoted(given)}: {why}"))
        position += len(character.encode())
    return errors


def _quoted(text: str) -> str:
    """As Go's %q."""
    short = {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        '"': '\\"',
        "\\": "\\\\",
    }

    def shown(character: str) -> str:
        code = ord(character)
        if character in short:
            return short[character]
        if character.isprintable():
            return character
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return '"' + "".join(map(shown, text)) + '"'


def check_patch_options(call: Call, *, applies: bool) -> None:
    """The parameters that only patches have. Raises `Invalid`."""
    query, errors = call.query, []
    if applies:
        if not query.get("fieldManager"):
            errors.append(FieldError.required("fieldManager", "is required for apply patch"))
    elif "force" in query:
        errors.append(FieldError.forbidden("force", "may not be specified for non-apply patch"))
    errors += manager_errors(query.get("fieldManager", ""))
    if errors:
        raise invalid("meta.k8s.io", "PatchOptions", "", errors)


def check_manager(call: Call, options_kind: str) -> None:
    """Raises `Invalid`."""
    given = call.query.get("fieldManager", "")
    if given and (errors := manager_errors(given)):
        raise invalid("meta.k8s.io", options_kind, "", errors)


# Apply


def forces(call: Call) -> bool:
    return "force" in call.query and call.query["force"].lower() not in ("false", "0")


def read_config(call: Call) -> Object:
    """The applied configuration in the body (YAML, which JSON is, too). Raises `BadRequest`."""
    body = call.request.body
    try:
        config = codec.load_json(body)
    except ValueError:
        try:
            config = codec.load_yaml(body)
        except ValueError as error:
            raise BadRequest(f"error decoding YAML: error converting YAML to JSON: {error}") from error
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise BadRequest(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
            f"json: cannot unmarshal {codec.go_name(config)} into Go value of type map[string]interface {{}}"
        )
    return config


def check_repeated_keys(call: Call) -> None:
    """Raises `BadRequest` for a configuration that gives a key twice (`fieldValidation=Strict`)."""
    from pybernetes.machinery import go_yaml  # which takes a while to load, and is slow: it counts lines

    repeated: list[str] = []
    go_yaml.load(call.request.body, repeated)
    if repeated:
        lines = "".join(f"\n  {found.sentence}" for found in repeated if isinstance(found, go_yaml.Repeated))
        raise BadRequest(f"error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:{lines}")


def applied(call: Call, kind: Kind, config: Object, live: Object | None, subresource: str = "") -> Object:
    """The object after the apply, its entries in it, before defaults. `live` None: it is to be created.

    Raises `Conflict`, `BadRequest`, `StatusError`.
    """
    resource = kind.resource
    _check_config(config, resource.gvk)
    types, writer = KindTypes(kind), writer_of(call, kind, subresource)
    if live is None:
        entries: Sequence[Object] = []
        bare = clone(kind.zero)
        bare |= {"kind": resource.kind, "apiVersion": resource.api_version}
    else:
        entries = live["metadata"].get("managedFields") or []
        bare = {**live, "metadata": {name: value for name, value in live["metadata"].items() if name != "managedFields"}}
    new, entries = managers.applied(types, bare, config, entries, writer, force=forces(call))
    if new is None:
        new = bare
    else:
        new = clone(new)
        try:
            kind.schema.conform(new)
        except DecodeError as error:
            raise StatusError(
                f"failed to convert new typed object ({managers.describe(config)}) to object: {error.why}"
            ) from error
    if not new["metadata"].get("name"):
        name = call.info.name
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    metadata.check_name(new, call.info.name)
    metadata.check_namespace(new, resource, call.info.namespace)
    _put(new, entries)
    return new


def _check_config(config: Object, expected: GroupVersionKind) -> None:
    if config.get("apiVersion") != expected.api_version or config.get("kind") != expected.kind:
        raise BadRequest(f"invalid object type: {managers.describe_kind(config)}")
    given = config.get("metadata")
    if isinstance(given, dict) and given.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")


# Scale: who owns `spec.replicas` of the Scale owns the replicas of the object


SCALE_KIND: Final = GroupVersionKind("autoscaling", "v1", "Scale")
_REPLICAS: Final = ("f:spec", "f:replicas")


class _ScaleTypes:
    def shape(self, api_version: str) -> Shape | None:
        return shape_of("autoscaling.v1.Scale")

    def zero(self, api_version: str) -> Object:
        return zero_of("autoscaling.v1.Scale")

    def convert(self, obj: Object, api_version: str) -> Object:
        return obj


def _replicas_in(kind: Kind, api_version: str) -> tuple[str, ...]:
    """Where a version of the kind has its replicas; () if it has none, or is not served."""
    found = kind.versions.get(api_version)
    if found is None:
        return ()
    names = found.strategy.scale.replicas_path if found.strategy.scale is not None else ("spec", "replicas")
    return tuple(f"f:{name}" for name in names)


def entries_of_scale(kind: Kind, obj: Object) -> list[Object]:
    """The managed fields of an object's Scale."""
    return [
        {**entry, "apiVersion": SCALE_KIND.api_version, "fieldsV1": fieldsets.of_path(_REPLICAS)}
        for entry in obj["metadata"].get("managedFields") or ()
        if fieldsets.contains(entry.get("fieldsV1") or {}, _replicas_in(kind, entry.get("apiVersion", "")))
    ]


def applied_scale(call: Call, kind: Kind, config: Object, scale: Object, obj: Object) -> tuple[Object, list[Object]]:
    """The Scale after an apply to it (without managed fields), and the entries of the object. Raises as `applied`."""
    _check_config(config, SCALE_KIND)
    writer = Writer(_manager(call), SCALE_KIND.api_version, rfc3339(call.now()), SCALE, _STATUS)
    given = entries_of_scale(kind, obj)
    new, entries = managers.applied(_ScaleTypes(), scale, config, given, writer, force=forces(call))
    owners = {_owner(entry): entry for entry in entries if fieldsets.contains(entry["fieldsV1"], _REPLICAS)}
    kept = []
    for entry in obj["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        if owners.pop(_owner(entry), None) is None:
            fields = fieldsets.difference(fields, fieldsets.of_path(_replicas_in(kind, entry["apiVersion"])))
        if fields:
            kept.append({**entry, "fieldsV1": fields})
    version = kind.resource.api_version
    for entry in owners.values():
        added = {**entry, "apiVersion": version, "fieldsV1": fieldsets.of_path(_replicas_in(kind, version))}
        added.pop("time", None)
        kept.append(added)
    return new if new is not None else scale, managers.in_order(kept)


def _owner(entry: Object) -> tuple[str, str, str]:
    return entry.get("manager", ""), entry["operation"], entry.get("subresource", "")
