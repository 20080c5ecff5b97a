"""`metadata` on its way in: what the server sets, what it carries over, what it refuses.

Source: API conventions, "Metadata"; object names and IDs; garbage collection. All pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.strategy import Context, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import BadRequest, DecodeError, FieldError
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource, parse_api_version
from pybernetes.machinery.schema import schema_for

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
GENERATED_BASE_LIMIT = 58  # generateName is cut so that base and suffix are a DNS label

# What a client may not change; the stored value always wins.
_SYSTEM_FIELDS = (
    "name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "selfLink",
)  # fmt: skip
# The order in which metadata is stored: what every reader looks at first.
_ORDER = ("name", "generateName", "namespace", "uid", "generation", "creationTimestamp")


def check_type(obj: Object, resource: Resource) -> None:
    """Fill in an absent kind and apiVersion; refuse another one. Raises `BadRequest` (`DecodeError`, where decoding fails)."""
    api_version = obj.get("apiVersion") or resource.api_version
    kind = obj.get("kind") or resource.kind
    if api_version != resource.api_version or kind != resource.kind:
        _refuse_type(obj, str(api_version), str(kind), resource)
    obj["apiVersion"], obj["kind"] = api_version, kind
    if not isinstance(obj.get("metadata"), dict):
        obj["metadata"] = {}


def _refuse_type(obj: Object, api_version: str, kind: str, resource: Resource) -> None:
    """Upstream decodes what the object says it is, and only then sees that it is not wanted here."""
    group, version = parse_api_version(api_version)
    gvk = GroupVersionKind(group, version, kind)
    wanted = resource.kind
    try:
        schema = schema_for(gvk)
    except KeyError:
        if kind == resource.kind and "/" in api_version:
            raise BadRequest(_wrong_version(api_version, resource)) from None
        why = f'no kind "{kind}" is registered for version "{api_version}" in scheme "pkg/api/legacyscheme/scheme.go:30"'
        raise DecodeError(f'{kind} in version "{version}" cannot be handled as a {wanted}: {why}', why) from None
    if kind == resource.kind:
        raise BadRequest(_wrong_version(api_version, resource))
    schema.conform(obj, expected_kind=wanted)
    internal = resource.group.partition(".")[0] or "core"
    why = f"converting ({version}.{kind}) to ({internal}.{wanted}): unknown conversion"
    raise DecodeError(f'{kind} in version "{version}" cannot be handled as a {wanted}: {why}', why)


def _wrong_version(api_version: str, resource: Resource) -> str:
    return f"the API version in the data ({api_version}) does not match the expected API version ({resource.api_version})"


def check_namespace(obj: Object, resource: Resource, namespace: str) -> None:
    """The object's namespace is the request's. Raises `BadRequest`."""
    metadata = obj["metadata"]
    if not resource.namespaced:
        if metadata.get("namespace"):
            metadata.pop("namespace")
        return
    given = metadata.get("namespace") or namespace
    if given != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = namespace


def check_name(obj: Object, name: str) -> None:
    """The object's name is the URL's (absent: taken from it). Raises `BadRequest`."""
    given = obj["metadata"].get("name") or name
    if given != name:
        raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")
    obj["metadata"]["name"] = name


def begin(obj: Object, strategy: Strategy, now: datetime, uid: str) -> None:
    """What the server sets on a new object."""
    metadata = obj["metadata"]
    for field in (
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
        "generation",
        "resourceVersion",
    ):
        metadata.pop(field, None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = rfc3339(now)
    if strategy.bumps_generation:
        metadata["generation"] = 1
    _clean(metadata)
    obj["metadata"] = ordered(metadata)


def generate_name(base: str, entropy: Entropy) -> str:
    return base[:GENERATED_BASE_LIMIT] + entropy.name_suffix()


def carry_over(new: Object, old: Object) -> None:
    """Put the system's fields back as they are stored."""
    metadata, before = new["metadata"], old["metadata"]
    for field in _SYSTEM_FIELDS:
        if field in before:
            metadata[field] = before[field]
        else:
            metadata.pop(field, None)
    metadata.pop("managedFields", None)
    _clean(metadata)
    new["metadata"] = ordered(metadata)


def keep_metadata(_: Context, new: Object, old: Object) -> None:
    """For a /status through which nothing but the status is written, not even labels."""
    given: Object = new["metadata"]
    new["metadata"] = {
        **old["metadata"],
        **{name: given[name] for name in ("resourceVersion", "managedFields") if name in given},
    }


def _clean(metadata: Object) -> None:
    """Nothing is stored of what is empty."""
    for field in ("labels", "annotations", "finalizers", "ownerReferences", "generateName"):
        if field in metadata and not metadata[field]:
            del metadata[field]


def ordered(metadata: Object) -> Object:
    """The fields in stored order; resourceVersion last here, since it is not stored."""
    first = {field: metadata[field] for field in _ORDER if field in metadata}
    return first | {field: value for field, value in metadata.items() if field not in first}


# Validation


def validate_create(obj: Object, strategy: Strategy) -> Iterator[FieldError]:
    metadata = obj["metadata"]
    name, base = metadata.get("name", ""), metadata.get("generateName", "")
    check = strategy.validate_name or validation.dns_1123_subdomain_errors
    if base and not name:
        yield from _each("metadata.generateName", base, check(_prefix_for(base)))
    if not name:
        yield FieldError.required("metadata.name", "name or generateName is required")
    else:
        if sentences := list(check(name)) or validation.path_segment_errors(name):
            yield from _each("metadata.name", name, sentences)
    namespace = metadata.get("namespace") if strategy.resource.namespaced else None
    if namespace and (sentences := validation.dns_1123_label_errors(namespace)):
        yield from _each("metadata.namespace", namespace, sentences)
    yield from _validate_shared(metadata)


def validate_embedded(metadata: Object, path: str) -> Iterator[FieldError]:
    """Metadata inside another object: as at the root, but that it needs no name, and may have any that fits into a URL."""
    for field in ("generateName", "name"):
        yield from _each(f"{path}.{field}", metadata.get(field, ""), validation.path_segment_errors(metadata.get(field, "")))
    namespace = metadata.get("namespace")
    if namespace:
        yield from _each(f"{path}.namespace", namespace, validation.dns_1123_label_errors(namespace))
    yield from _validate_shared(metadata, path)


def validate_immutable(new: Object, old: Object) -> Iterator[FieldError]:
    """What a client tried to change of the fields that the server alone sets; to be asked before `carry_over`."""
    for field in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        given = new["metadata"].get(field)
        if given is not None and given != old["metadata"].get(field):
            error = FieldError.invalid(f"metadata.{field}", given, "field is immutable")
            yield from (error, error)  # upstream looks twice, and says so


def validate_mutated(new: Object, old: Object) -> Iterator[FieldError]:
    """What admission tried to change of those fields, and of the name."""
    name = new["metadata"].get("name", "")
    if name != old["metadata"]["name"]:
        yield FieldError.invalid("metadata.name", name, "field is immutable")
    yield from validate_immutable(new, old)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    metadata, before = new["metadata"], old["metadata"]
    yield from _validate_shared(metadata)
    if "deletionTimestamp" in before:
        added = [name for name in metadata.get("finalizers") or () if name not in (before.get("finalizers") or ())]
        if added:
            shown = ", ".join(f'"{name}"' for name in added)
            yield FieldError.forbidden(
                "metadata.finalizers",
                f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}",
            )


def _prefix_for(base: str) -> str:
    """A prefix may end where a name may not: judge it as if something followed."""
    return f"{base[:-1]}a" if base.endswith("-") else base


def _each(field: str, value: str, sentences: Iterable[str]) -> Iterator[FieldError]:
    for sentence in sentences:
        yield FieldError.invalid(field, value, sentence)


def _validate_shared(metadata: Object, path: str = "metadata") -> Iterator[FieldError]:
    get = metadata.get
    if labels := get("labels"):
        yield from checks.label_map(labels, f"{path}.labels")
    if annotations := get("annotations"):
        yield from checks.annotation_map(annotations, f"{path}.annotations")
    if references := get("ownerReferences"):
        yield from _owner_references(references, f"{path}.ownerReferences")
    finalizers = get("finalizers") or ()
    for finalizer in finalizers:
        yield from _each(f"{path}.finalizers", finalizer, validation.label_key_errors(finalizer))
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        yield FieldError.invalid(
            f"{path}.finalizers", list(finalizers), f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"
        )


def _owner_references(references: Iterable[Object], path: str) -> Iterator[FieldError]:
    controller = ""
    for reference in references:
        required: tuple[tuple[str, Callable[[Object], str]], ...] = (
            ("apiVersion", lambda found: str(found.get("apiVersion", "")).rpartition("/")[2]),
            ("kind", lambda found: found.get("kind", "")),
            ("name", lambda found: found.get("name", "")),
            ("uid", lambda found: found.get("uid", "")),
        )
        for field, read in required:
            if not read(reference):
                word = "version" if field == "apiVersion" else field
                yield FieldError.invalid(f"{path}.{field}", reference.get(field, ""), f"{word} must not be empty")
        if reference.get("controller"):
            owner = f"{reference.get('kind')}/{reference.get('name')}"
            if controller:
                detail = f'Found "true" in references for {controller} and {owner}'
                yield FieldError.invalid(
                    path, [dict(found) for found in references],
                    f"Only one reference can have Controller set to true. {detail}",
                )  # fmt: skip
            controller = owner
