"""OpenAPI of custom resources: their schemas are the definition's own, with the fields that every object has.

Version 2 of the documents knows less than version 3: what it cannot say is left out there, as upstream does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from pybernetes.apiserver.custom_resources.kinds import CustomKind
from pybernetes.apiserver.openapi_descriptions import describe
from pybernetes.machinery.meta import Object

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_OBJECT_META: Final = _META + "ObjectMeta"
_LIKE_ALL: Final = "io.k8s.api.core.v1.ConfigMap"  # any type that has the common fields
_LIST_META: Final = _META + "ListMeta"
_NOT_IN_V2: Final = frozenset(("allOf", "oneOf", "anyOf", "not", "nullable"))
_JSON: Final = "application/json"
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_PATCHES: Final = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")


def into_v3(document: Object, name: str, custom: Sequence[CustomKind]) -> Object:
    """The document of a group version with the custom resources in it added."""
    mine = [kind for kind in custom if kind.resource.base_path == f"/{name}"]
    if not mine:
        return document
    schemas: Object = document["components"]["schemas"]
    _add(schemas, "#/components/schemas/", mine, lambda schema: schema)
    for kind in mine:
        document["paths"].update(_paths(kind, "#/components/schemas/", v3=True))
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def into_v2(document: Object, custom: Sequence[CustomKind]) -> Object:
    definitions: Object = document["definitions"]
    _add(definitions, "#/definitions/", custom, _for_v2)
    for kind in custom:
        document["paths"].update(_paths(kind, "#/definitions/", v3=False))
    document["definitions"] = dict(sorted(definitions.items()))
    return document


def definition_name(kind: CustomKind) -> str:
    """`com.example.stable.v1.CronTab`."""
    resource = kind.resource
    return f"{'.'.join(reversed(resource.group.split('.')))}.{resource.version}.{resource.kind}"


def _add(definitions: Object, prefix: str, custom: Sequence[CustomKind], adapt: Callable[[Any], Any]) -> None:
    for name in (_OBJECT_META, _LIST_META):  # built-in documents have them, unless theirs is a group of nothing else
        if custom and name not in definitions:
            definitions.update(_meta_definitions(prefix))
            break
    common = _common_fields(prefix) if custom else {}
    for kind in custom:
        resource, name = kind.resource, definition_name(kind)
        schema = _schema(kind.definition, common, adapt, v3="components" in prefix)
        gvk = {"group": resource.group, "version": resource.version}
        schema["x-kubernetes-group-version-kind"] = [{**gvk, "kind": resource.kind}]
        definitions[name] = schema
        definitions[f"{name}List"] = {
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": common["apiVersion"],
                "items": {"type": "array", "items": {"$ref": prefix + name}},
                "kind": common["kind"],
                "metadata": _reference(prefix, _LIST_META),
            },
            "x-kubernetes-group-version-kind": [{**gvk, "kind": kind.list_kind}],
        }


def _schema(definition: Mapping[str, Any] | None, common: Object, adapt: Callable[[Any], Any], *, v3: bool) -> Object:
    if definition is None or (not v3 and definition.get("x-kubernetes-preserve-unknown-fields")):
        return {"type": "object"}  # kubectl would take the fields that are named for all there are
    schema: Object = dict(adapt(_embedded(definition, common)))
    schema["properties"] = {**common, **(schema.get("properties") or {}), "metadata": common["metadata"]}
    return schema


@cache
def _common_fields(prefix: str) -> Object:
    """What every object has, described as in the documents of the built-in types. Shared."""
    fields: Object = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": _reference(prefix, _OBJECT_META),
    }
    describe({_LIKE_ALL: {"properties": fields}})
    return fields


def _reference(prefix: str, name: str) -> Object:
    reference = {"$ref": prefix + name}
    return {"allOf": [reference]} if "components" in prefix else reference


@cache
def _meta_definitions(prefix: str) -> Object:
    """Shared."""
    from pybernetes.apiserver import openapi  # which imports this module

    return openapi.meta_definitions(prefix, v3="components" in prefix)


def _embedded(schema: Mapping[str, Any], common: Object) -> Object:
    """The schema with the fields that embedded resources have without saying so; rules and the like stay."""
    made = dict(schema)
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: _embedded(inner, common) for name, inner in schema["properties"].items()}
    for field in ("items", "additionalProperties"):
        if isinstance(schema.get(field), dict):
            made[field] = _embedded(schema[field], common)
    if schema.get("x-kubernetes-embedded-resource"):
        made["properties"] = {**common, **(made.get("properties") or {}), "metadata": common["metadata"]}
    return made


def _for_v2(schema: Any) -> Any:
    """Without what Swagger 2 has no words for."""
    if not isinstance(schema, dict):
        return schema
    made: Object = {field: value for field, value in schema.items() if field not in _NOT_IN_V2}
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        # kubectl would take the named fields for all there are.
        for field in ("properties", "items"):
            made.pop(field, None)
    if schema.get("nullable") or schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made.pop("items", None)
        made.pop("properties", None)
    if isinstance(made.get("properties"), dict):
        nullable = {name for name, inner in made["properties"].items() if isinstance(inner, dict) and inner.get("nullable")}
        if nullable and made.get("required"):
            made["required"] = [name for name in made["required"] if name not in nullable]
        made["properties"] = {name: _for_v2(inner) for name, inner in made["properties"].items()}
    for field in ("items", "additionalProperties"):
        if field in made:
            made[field] = _for_v2(made[field])
    return made


# Paths


def _paths(kind: CustomKind, prefix: str, *, v3: bool) -> Iterator[tuple[str, Object]]:
    resource = kind.resource
    scope = f"{resource.base_path}/namespaces/{{namespace}}" if resource.namespaced else resource.base_path
    name = definition_name(kind)
    one, many = {"$ref": prefix + name}, {"$ref": f"{prefix}{name}List"}

    def item(verbs: Mapping[str, str], gvk: Object, answer: Object, *, named: bool) -> Object:
        made: Object = {
            method: _operation(kind, verb, gvk, many if verb == "list" else answer, v3=v3) for verb, method in verbs.items()
        }
        shared = [_parameter("name", "path", v3)] if named else []
        if resource.namespaced:
            shared.append(_parameter("namespace", "path", v3))
        made["parameters"] = shared
        return made

    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    collection = {"list": "get", "create": "post", "deletecollection": "delete"}
    yield f"{scope}/{resource.plural}", item(collection, gvk, one, named=False)
    single = {"get": "get", "update": "put", "patch": "patch", "delete": "delete"}
    yield f"{scope}/{resource.plural}/{{name}}", item(single, gvk, one, named=True)
    for below in kind.subresources.values():
        theirs = {"group": below.gvk.group, "version": below.gvk.version, "kind": below.gvk.kind}
        answer = one if below.gvk == resource.gvk else {"type": "object"}
        verbs = {"get": "get", "update": "put", "patch": "patch"}
        yield f"{scope}/{resource.plural}/{{name}}/{below.name}", item(verbs, theirs, answer, named=True)
    if resource.namespaced:
        everywhere = item({"list": "get"}, gvk, one, named=False)
        everywhere.pop("parameters")
        yield f"{resource.base_path}/{resource.plural}", everywhere


def _operation(kind: CustomKind, verb: str, gvk: Object, answer: Object, *, v3: bool) -> Object:
    resource = kind.resource
    made: Object = {
        "operationId": f"{verb}{resource.group.title().replace('.', '')}{resource.version.title()}{resource.kind}",
        "x-kubernetes-action": {"create": "post", "update": "put"}.get(verb, verb),
        "x-kubernetes-group-version-kind": gvk,
    }
    parameters = [_parameter(name, "query", v3) for name in _WRITE] if verb in ("create", "update", "patch") else []
    media = _PATCHES if verb == "patch" else (_JSON, "application/yaml")
    if v3:
        made["responses"] = {"200": {"description": "OK", "content": {_JSON: {"schema": answer}}}}
        if verb in ("create", "update", "patch"):
            made["requestBody"] = {"content": {kind_: {"schema": answer} for kind_ in media}, "required": True}
    else:
        made["responses"] = {"200": {"description": "OK", "schema": answer}}
        made["consumes"], made["produces"] = list(media), [_JSON, "application/yaml"]
        if verb in ("create", "update", "patch"):
            parameters.append({"name": "body", "in": "body", "required": True, "schema": answer})
    if parameters:
        made["parameters"] = parameters
    return made


def _parameter(name: str, where: str, v3: bool) -> Object:
    made: Object = {"name": name, "in": where}
    if where == "path":
        made["required"] = True
    return {**made, "schema": {"type": "string"}} if v3 else {**made, "type": "string"}
