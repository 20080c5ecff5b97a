"""Bodies of writes: objects, patches and options, and what is said of fields that nobody knows.

Source: API concepts, "Field validation", "Patching"; KEP-2885.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import orjson

from pybernetes.apiserver import requests
from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.registry import metadata, ownership
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.machinery import codec
from pybernetes.machinery.errors import BadRequest, DecodeError, FieldError, Invalid, StatusError, UnsupportedMediaType, invalid
from pybernetes.machinery.meta import GroupVersionKind, Object
from pybernetes.machinery.patch import json_patch, merge, strategic
from pybernetes.machinery.schema import field_warnings, schema_for, strict_error

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_PATCHES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH, STRATEGIC_PATCH)

_VALIDATIONS = ("Ignore", "Strict", "Warn", "")


def field_validation(call: Call, options_kind: str) -> str:
    """The `fieldValidation` parameter. Raises `Invalid`."""
    wanted = call.query.get("fieldValidation", "")
    if wanted not in _VALIDATIONS:
        error = FieldError.not_supported("fieldValidation", wanted, ["", "Ignore", "Strict", "Warn"])
        raise invalid("meta.k8s.io", options_kind, "", [error])
    if call.query.get("dryRun", "All") != "All":
        error = FieldError.not_supported("dryRun", [call.query["dryRun"]], ["All"])
        raise invalid("meta.k8s.io", options_kind, "", [error])
    return wanted or "Warn"


def read_body(call: Call, expected: GroupVersionKind, *, find_duplicates: bool = False) -> tuple[Object, list[str]]:
    """The object in the body, whatever it is, and the paths of duplicate fields.

    Raises `BadRequest`, `UnsupportedMediaType`.
    """
    content_type = call.request.headers.get("content-type", "")
    if content_type.startswith(requests.PROTOBUF):
        from pybernetes.machinery import protobuf

        return protobuf.decode(call.request.body, expected), []
    return codec.decode(call.request.body, content_type, find_duplicates=find_duplicates, expected_kind=expected.kind)


def read_request(call: Call, gvk: GroupVersionKind) -> Object:
    """The body as what is asked for once and not stored: a review, an Eviction, DeleteOptions.

    Raises `BadRequest`, `UnsupportedMediaType`.
    """
    obj, _ = read_body(call, gvk)
    schema_for(gvk).conform(obj)
    return obj


def read_object(call: Call, kind: Kind) -> Object:
    """The object in the body: of this kind, conforming to its schema. Raises `BadRequest`, `UnsupportedMediaType`."""
    creates = call.request.method == "POST"
    validation = field_validation(call, "CreateOptions" if creates else "UpdateOptions")
    resource = kind.resource
    obj, duplicates = read_body(call, resource.gvk, find_duplicates=validation != "Ignore")
    kind.check_type(obj)
    unknown = kind.schema.conform(obj)
    found = field_warnings(duplicates, unknown)
    if found:
        if validation == "Strict":
            raise BadRequest(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
                f"{strict_error(duplicates, unknown)}"
            )
        if validation == "Warn":
            call.warnings += found
    if not isinstance(obj.get("metadata"), dict):
        obj["metadata"] = {}
    return obj


def patch_type(call: Call) -> str:
    """The media type of a patch."""
    return call.request.headers.get("content-type", "").partition(";")[0].strip()


def patcher(call: Call, kind: Kind) -> Callable[[Object], Object]:
    """What the patch in the body does to an object. Raises `UnsupportedMediaType`, `BadRequest`; the function `Invalid`."""
    content_type = patch_type(call)
    if content_type not in _PATCHES:
        accepted = ", ".join(_PATCHES)
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
    ownership.check_patch_options(call, applies=False)
    validation = field_validation(call, "PatchOptions")
    shown: Object | None = None
    alter: Callable[[Object], object]
    if content_type == JSON_PATCH:
        alter = partial(json_patch.apply, operations=json_patch.parse(call.request.body))
    else:
        patch = _read_patch(call)
        if content_type == MERGE_PATCH:
            alter = partial(merge.apply, patch=patch)
        else:
            alter = partial(strategic.apply, kind.schema, patch=patch)
            shown = patch

    def change(current: Object) -> Object:
        new = alter(current)
        if not isinstance(new, dict):
            raise Invalid(f'{kind.resource.kind} "" is invalid: patch: the result is not an object')
        return _conformed(call, kind, new, current, validation, shown)

    return change


def _read_patch(call: Call) -> Object:
    try:
        patch = codec.load_json(call.request.body)
    except ValueError as error:
        raise BadRequest(f"error decoding patch: {error}") from error
    if not isinstance(patch, dict):
        raise BadRequest(f"error decoding patch: json: cannot unmarshal {_go_kind(patch)} into Go value of type {_GO_MAP}")
    return patch


def _conformed(call: Call, kind: Kind, new: Object, current: Object, validation: str, shown: Object | None) -> Object:
    given = orjson.loads(orjson.dumps(new))
    resource, meta = kind.resource, new.get("metadata")
    name, namespace = current["metadata"].get("name", ""), current["metadata"].get("namespace", "")
    if meta is None or (isinstance(meta, dict) and not meta.get("name")):
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    try:
        kind.check_type(given)
        unknown = kind.schema.conform(given)
    except DecodeError as error:
        raise patch_invalid(new, current, shown, error.why) from error
    if unknown:
        found = field_warnings((), unknown)
        if validation == "Strict":
            raise patch_invalid(new, current, shown, strict_error((), unknown))
        if validation == "Warn":
            call.warnings += [text for text in found if text not in call.warnings]
    result: Object = given
    metadata.check_name(result, name)
    metadata.check_namespace(result, resource, namespace)
    return result


def patch_invalid(new: Object, current: Object, shown: Object | None, detail: str) -> StatusError:
    """Upstream shows the whole result, or (strategic) the patch as Go prints it, and knows no kind here."""
    value = _go_map(shown) if shown is not None else _patched(new, current)
    error = FieldError.invalid("patch", value, detail)
    made = invalid("", "", "", [error])
    made.status["message"] = made.message = f' "" is invalid: {error}'
    return made


# The order of Go's struct, in which metadata stays that the patch did not touch; what it did touch is sorted.
_METADATA_ORDER = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
)  # fmt: skip


def _patched(new: Object, current: Object) -> str:
    parts = []
    for name in sorted(new):
        value = new[name]
        if name == "metadata" and value == current.get(name):
            fields = [field for field in _METADATA_ORDER if field in value]
            shown = [f'"{field}":{_sorted_json(value[field])}' for field in fields]
            if "managedFields" in value:
                shown.append(f'"managedFields":{orjson.dumps(value["managedFields"]).decode()}')
            parts.append(f'"{name}":{{{",".join(shown)}}}')
        else:
            parts.append(f"{_sorted_json(name)}:{_sorted_json(value)}")
    return f"{{{','.join(parts)}}}"


def _sorted_json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


_GO_MAP = "map[string]interface {}"


def _go_kind(value: object) -> str:
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"


def _go_map(value: object) -> str:
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go_map(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_go_map(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def read_options(call: Call, kind: str, allowed: Sequence[str]) -> Object:
    """DeleteOptions from the body and, over it, from the query. Raises `BadRequest`."""
    options: Object = {}
    if call.request.body:
        options = read_request(call, GroupVersionKind("", "v1", kind))
    for name in allowed:
        if name in call.query:
            options[name] = call.query[name]
    return options
