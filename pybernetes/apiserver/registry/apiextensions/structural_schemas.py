"""What makes an OpenAPI schema structural, and fit to be a type of custom resources.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
("Specifying a structural schema", "Field pruning", "Defaulting"); sentences are upstream's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.go_regexp import compile_pattern
from pybernetes.machinery.meta import clone
from pybernetes.machinery.schema.formats import FORMATS
from pybernetes.machinery.schema.list_types import compile_list_types
from pybernetes.machinery.schema.structural import compile_default, compile_prune
from pybernetes.machinery.schema.values import ABSENT, compile_checks

Schema = Mapping[str, Any]

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED: Final = ("definitions", "dependencies", "patternProperties", "additionalItems", "id", "$ref")
_LIST_TYPES: Final = ("atomic", "set", "map")
_MAP_TYPES: Final = ("granular", "atomic")
_JUNCTORS: Final = ("allOf", "anyOf", "oneOf")
_EMPTY_IN_JUNCTORS: Final = ("type", "title", "description")
# With the names that upstream's sentence gives them.
_AT_ROOT_WITH_STATUS: Final[Mapping[str, str]] = {
    field: field[:1].upper() + field[1:]
    for field in (
        "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength",
        "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "required", "items", "properties",
        "externalDocs", "example",
    )
} | {
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields", "x-kubernetes-validations": "XValidations",
}  # fmt: skip
_META_FIELDS: Final = frozenset(("name", "generateName"))
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]


def validate(schema: Schema, path: str) -> Iterator[FieldError]:
    """Everything about one version's `openAPIV3Schema`, but for its rules."""
    before = list(_plain(schema, path, is_root=True))
    yield from before
    structural = list(_structural(schema, path, "root"))
    yield from structural
    yield from _lists(schema, path)
    if not before and not structural:  # else there is nothing to try the defaults on
        yield from _defaults(schema, path)


def validate_for_status(schema: Schema, path: str) -> Iterator[FieldError]:
    """Of a version with a status subresource: what is said at the root could not be said of the status by itself."""
    if schema.get("type", "object") != "object":
        sentence = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        yield FieldError.invalid(path + ".type", schema["type"], sentence)
    elif any(value for field, value in schema.items() if field not in _AT_ROOT_WITH_STATUS):
        fields = " ".join(_AT_ROOT_WITH_STATUS.values())
        sentence = f"only [{fields}] fields are allowed at the root of the schema if the status subresource is enabled"
        yield FieldError.invalid(path, schema, sentence)


# What the OpenAPI dialect allows


def _plain(schema: Schema, path: str, *, is_root: bool = False) -> Iterator[FieldError]:
    for field in _UNSUPPORTED:
        if schema.get(field):
            yield FieldError.forbidden(f"{path}.{field}", f"{field} is not supported")
    if schema.get("uniqueItems"):
        yield FieldError.forbidden(
            path + ".uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )
    type_ = schema.get("type", "")
    if type_ == "null":
        yield FieldError.forbidden(path + ".type", "type cannot be set to null, use nullable as an alternative")
    elif type_ and type_ not in _TYPES:
        yield FieldError.not_supported(path + ".type", type_, _TYPES)
    extra = schema.get("additionalProperties")
    if extra is not None and schema.get("properties"):
        yield FieldError.forbidden(path + ".additionalProperties", "additionalProperties and properties are mutual exclusive")
    if extra is False:
        yield FieldError.forbidden(path + ".additionalProperties", "additionalProperties cannot be set to false")
    if isinstance(schema.get("items"), list):
        yield FieldError.forbidden(path + ".items", "items must be a schema object and not an array")
    if schema.get("pattern"):
        try:
            compile_pattern(schema["pattern"])
        except ValueError as error:
            yield FieldError.invalid(
                path + ".pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {error}"
            )
    if is_root:
        for name in ("apiVersion", "kind", "metadata"):
            yield from _no_defaults((schema.get("properties") or {}).get(name) or {}, f"{path}.properties[{name}]", name)
    if is_root and schema.get("nullable"):
        yield FieldError.forbidden(path + ".nullable", "nullable cannot be true at the root")
    for below, inner in _children(schema, path):
        yield from _plain(inner, below)
    for below, inner in _branches(schema, path):
        yield from _plain(inner, below)


def _no_defaults(schema: Schema, path: str, field: str) -> Iterator[FieldError]:
    if schema.get("default") is not None:
        yield FieldError.forbidden(path + ".default", f"must not be set in top-level {field}")
    for below, inner in _children(schema, path):
        yield from _no_defaults(inner, below, field)


def _children(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """The schemas of the parts of a value."""
    for name, inner in (schema.get("properties") or {}).items():
        yield f"{path}.properties[{name}]", inner
    if isinstance(schema.get("additionalProperties"), dict):
        yield path + ".additionalProperties", schema["additionalProperties"]
    if isinstance(schema.get("items"), dict):
        yield path + ".items", schema["items"]


def _branches(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for junctor in _JUNCTORS:
        for i, inner in enumerate(schema.get(junctor) or ()):
            yield f"{path}.{junctor}[{i}]", inner
    if schema.get("not") is not None:
        yield path + ".not", schema["not"]


# What "structural" means

_WHERE: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
    "map": "must not be empty for specified object fields",
}


def _structural(schema: Schema, path: str, level: str) -> Iterator[FieldError]:
    type_ = schema.get("type", "")
    keeps = schema.get("x-kubernetes-preserve-unknown-fields")
    int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    if type_ == "array" and schema.get("items") is None:
        yield FieldError.required(path + ".items", "must be specified")
    if embedded and type_ != "object":
        yield _type_error(path, type_, "must be object if x-kubernetes-embedded-resource is true")
    elif level == "root" and type_ and type_ != "object":
        yield FieldError.invalid(path + ".type", type_, "must be object at the root")
    elif not type_ and not int_or_string and not (keeps and level != "root"):
        yield FieldError.required(path + ".type", _WHERE[level])
    if int_or_string and type_:
        yield FieldError.invalid(path + ".type", type_, "must be empty if x-kubernetes-int-or-string is true")
    if keeps is False:
        yield FieldError.invalid(path + ".x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    if embedded and not keeps and not schema.get("properties"):
        yield FieldError.required(
            path + ".properties",
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        )
    if level == "root" or embedded:
        yield from _implicit_metadata(schema, path)
    for below, inner in _branches(schema, path):
        if int_or_string and _is_int_or_string(schema, below[len(path) + 1 :]):
            continue
        yield from _value_only(inner, schema, below, path)
    for below, inner in _children(schema, path):
        place = "item" if below.endswith(".items") else "map" if below.endswith(".additionalProperties") else "field"
        yield from _structural(inner, below, place)


def _type_error(path: str, type_: str, sentence: str) -> FieldError:
    return FieldError.invalid(path + ".type", type_, sentence) if type_ else FieldError.required(path + ".type", sentence)


def _is_int_or_string(schema: Schema, branch: str) -> bool:
    """The one way of saying types in a junctor: `anyOf: [{type: integer}, {type: string}]`, or as the first of `allOf`."""
    if branch.startswith("anyOf"):
        return bool(schema["anyOf"] == _INT_OR_STRING)
    return branch == "allOf[0]" and schema["allOf"][0] == {"anyOf": _INT_OR_STRING}


def _implicit_metadata(schema: Schema, path: str) -> Iterator[FieldError]:
    metadata = (schema.get("properties") or {}).get("metadata")
    if metadata is None:
        return
    below = path + ".properties[metadata]"
    if metadata.get("type") != "object":
        yield _type_error(below, metadata.get("type", ""), "must be object")
    rest = {key for key in metadata if key not in ("type", "description", "title")}
    names = set(metadata.get("properties") or {})
    if rest - {"properties"} or names - _META_FIELDS:
        yield FieldError.forbidden(
            below, "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )


def _value_only(schema: Schema, whole: Schema, path: str, whole_path: str) -> Iterator[FieldError]:
    """A junctor's branch may say what values are allowed, and of which fields; never what fields there are."""
    for field in _EMPTY_IN_JUNCTORS:
        if schema.get(field):
            yield FieldError.forbidden(f"{path}.{field}", "must be empty to be structural")
    if schema.get("default") is not None:
        yield FieldError.forbidden(path + ".default", "must be undefined to be structural")
    if schema.get("additionalProperties") is not None:
        yield FieldError.forbidden(path + ".additionalProperties", "must be undefined to be structural")
    if schema.get("nullable"):
        yield FieldError.forbidden(path + ".nullable", "must be false to be structural")
    for field in ("preserve-unknown-fields", "embedded-resource", "int-or-string"):
        if schema.get(f"x-kubernetes-{field}"):
            yield FieldError.forbidden(f"{path}.x-kubernetes-{field}", "must be false to be structural")
    for field in ("list-map-keys", "list-type", "map-type"):
        if schema.get(f"x-kubernetes-{field}"):
            yield FieldError.forbidden(f"{path}.x-kubernetes-{field}", "must be empty to be structural")
    if schema.get("x-kubernetes-validations"):
        yield FieldError.forbidden(path + ".x-kubernetes-validations", "must be empty to be structural")
    known: Mapping[str, Any] = whole.get("properties") or {}
    for name, inner in (schema.get("properties") or {}).items():
        below, wanted = f"{path}.properties[{name}]", f"{whole_path}.properties[{name}]"
        if name not in known:
            if not whole.get("x-kubernetes-preserve-unknown-fields"):
                yield FieldError.required(wanted, f"because it is defined in {below}")
            continue
        yield from _value_only(inner, known[name], below, wanted)
    if isinstance(schema.get("items"), dict):
        if not isinstance(whole.get("items"), dict):
            yield FieldError.required(whole_path + ".items", f"because it is defined in {path}.items")
        else:
            yield from _value_only(schema["items"], whole["items"], path + ".items", whole_path + ".items")
    for below, inner in _branches(schema, path):
        yield from _value_only(inner, whole, below, whole_path)


# Lists and maps


def _lists(schema: Schema, path: str) -> Iterator[FieldError]:
    list_type, type_ = schema.get("x-kubernetes-list-type"), schema.get("type", "")
    keys: Sequence[str] = schema.get("x-kubernetes-list-map-keys") or ()
    if list_type is not None:
        if type_ != "array":
            yield _type_error(path, type_, "must be array if x-kubernetes-list-type is specified")
        elif list_type not in _LIST_TYPES:
            yield FieldError.not_supported(path + ".x-kubernetes-list-type", list_type, _LIST_TYPES)
    if keys and list_type != "map":
        wanted = FieldError.required if list_type is None else None
        sentence = "must be map if x-kubernetes-list-map-keys is non-empty"
        at = path + ".x-kubernetes-list-type"
        yield wanted(at, sentence) if wanted else FieldError.invalid(at, list_type, sentence)
    if list_type == "map":
        yield from _map_list(schema, keys, path)
    if list_type == "set":
        yield from _set_list(schema.get("items") or {}, path + ".items")
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None:
        if type_ != "object":
            yield _type_error(path, type_, "must be object if x-kubernetes-map-type is specified")
        elif map_type not in _MAP_TYPES:
            yield FieldError.not_supported(path + ".x-kubernetes-map-type", map_type, sorted(_MAP_TYPES))
    for below, inner in _children(schema, path):
        yield from _lists(inner, below)


def _map_list(schema: Schema, keys: Sequence[str], path: str) -> Iterator[FieldError]:
    items: Schema = schema.get("items") or {}
    properties: Mapping[str, Any] = items.get("properties") or {}
    if not keys:
        yield FieldError.required(path + ".x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    if items.get("nullable"):
        yield FieldError.forbidden(path + ".items.nullable", "cannot be nullable when x-kubernetes-list-type is map")
    type_ = items.get("type", "")
    if type_ != "object":
        sentence = "must be object if parent array's x-kubernetes-list-type is map"
        yield _type_error(path + ".items", type_, sentence)
    for i, key in enumerate(keys):
        if key in keys[:i]:
            yield FieldError.duplicate(f"{path}.x-kubernetes-list-map-keys[{i}]", key)
    if type_ == "object" and any(key not in properties for key in keys):
        sentence = "entries must all be names of item properties"
        yield FieldError.invalid(path + ".x-kubernetes-list-map-keys", list(keys), sentence)
    for key in dict.fromkeys(keys):
        field = properties.get(key)
        if field is None:
            continue
        below = f"{path}.items.properties[{key}]"
        if field.get("type") in ("object", "array"):
            yield FieldError.invalid(
                below + ".type", field["type"], "must be a scalar type if parent array's x-kubernetes-list-type is map"
            )
        if field.get("nullable"):
            yield FieldError.forbidden(
                below + ".nullable", "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            )
        if field.get("default") is None and key not in (items.get("required") or ()):
            yield FieldError.required(
                below + ".default",
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            )


def _set_list(items: Schema, path: str) -> Iterator[FieldError]:
    type_ = items.get("type", "")
    if items.get("nullable"):
        yield FieldError.forbidden(path + ".nullable", "cannot be nullable when x-kubernetes-list-type is set")
    if type_ == "array" and items.get("x-kubernetes-list-type") not in (None, "atomic"):
        sentence = "must be atomic as item of a list with x-kubernetes-list-type=set"
        yield FieldError.invalid(path + ".x-kubernetes-list-type", items["x-kubernetes-list-type"], sentence)
    if type_ == "object" and items.get("x-kubernetes-map-type") != "atomic":
        sentence = "must be atomic as item of a list with x-kubernetes-list-type=set"
        yield FieldError.invalid(path + ".x-kubernetes-map-type", items.get("x-kubernetes-map-type"), sentence)


# Defaults


def _defaults(schema: Schema, path: str) -> Iterator[FieldError]:
    default = schema.get("default")
    if default is not None:
        at = path + ".default"
        pruned = clone(default)
        unknown: list[str] = []
        compile_prune(schema)(pruned, "", unknown)
        if unknown:
            yield FieldError.invalid(at, default, "must not have unknown fields")
        else:
            fill = compile_default(schema)
            if fill is not None:
                fill(pruned)
            repeated = compile_list_types(schema)
            for error in (*compile_checks(schema)(pruned, ABSENT, ""), *(repeated(pruned, "") if repeated is not None else ())):
                below = "" if error.field == "<nil>" else error.field
                yield FieldError(error.type, f"{at}.{below}" if below else at, error.body)
    for below, inner in _children(schema, path):
        yield from _defaults(inner, below)


# Formats


def unrecognized_formats(definition: Mapping[str, Any]) -> Sequence[str]:
    """Of texts, in all versions: they are no constraint, which their author should know."""
    found: dict[str, None] = {}
    for version in definition["spec"].get("versions") or ():
        _find_formats((version.get("schema") or {}).get("openAPIV3Schema") or {}, found)
    return list(found)


def _find_formats(schema: Schema, found: dict[str, None]) -> None:
    name = schema.get("format")
    if name and schema.get("type") == "string" and name not in FORMATS:
        found[name] = None
    for _, inner in (*_children(schema, ""), *_branches(schema, "")):
        _find_formats(inner, found)


# Paths


_ACCESS: Final = re.compile(r"""\.([A-Za-z_][\w-]*)|\['((?:[^'\\]|\\.)*)'\]""")


def follow(schema: Schema, path: str) -> tuple[tuple[str, ...], Schema]:
    """The names on a selectable field's path, and the schema that it leads to. Raises ValueError, with upstream's sentence."""
    names: list[str] = []
    at = 0
    while at < len(path):
        found = _ACCESS.match(path, at)
        if found is None:
            raise ValueError(f"expected [ or . but got: {path[at:]}")
        if found[1] is None:
            raise ValueError("array notation is not allowed")
        inner = (schema.get("properties") or {}).get(found[1])
        if inner is None:
            raise ValueError("does not refer to a valid field")
        names.append(found[1])
        schema, at = inner, found.end()
    return tuple(names), schema
