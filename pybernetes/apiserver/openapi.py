"""OpenAPI documents, v2 and v3, made from the facts about types and resources.

What clients look for is there: definitions with their group-version-kinds, patch and list markers, and operations with their
actions and query parameters (`kubectl apply` looks for `fieldValidation`, `kubectl explain` for the definitions and their
descriptions). Made when first asked for, in a thread, and kept as bytes.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from pybernetes.apiserver import openapi_protobuf, requests, version
from pybernetes.apiserver.custom_resources import documents
from pybernetes.apiserver.custom_resources.kinds import CustomKind
from pybernetes.apiserver.openapi_descriptions import describe, source
from pybernetes.apiserver.registry import rendering
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource
from pybernetes.machinery.resources import BUILTIN, GROUPS, SUBRESOURCES, Subresource
from pybernetes.machinery.schema.types import Field, Kind, Node, Struct, struct, struct_name_of

_PACKAGES = {
    "meta": "io.k8s.apimachinery.pkg.apis.meta",
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
_MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_STATUS = "meta.v1.Status"
_SCALARS: Mapping[Kind, Object] = {
    Kind.STRING: {"type": "string"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.INT32: {"type": "integer", "format": "int32"},
    Kind.INT64: {"type": "integer", "format": "int64"},
    Kind.DOUBLE: {"type": "number", "format": "double"},
    Kind.BYTES: {"type": "string", "format": "byte"},
    Kind.ANY: {"type": "object"},
}
_NAMED: Mapping[Kind, str] = {
    Kind.QUANTITY: _QUANTITY, Kind.INT_OR_STRING: _INT_OR_STRING, Kind.TIME: _TIME, Kind.MICRO_TIME: _MICRO_TIME,
}  # fmt: skip
_NAMED_DEFINITIONS: Mapping[str, Object] = {
    _QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    _INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    _TIME: {"type": "string", "format": "date-time"},
    _MICRO_TIME: {"type": "string", "format": "date-time"},
}
# What version 3 says a value has by default where the type cannot leave it out.
_ZEROS: Mapping[Kind, Any] = {Kind.STRING: "", Kind.BOOLEAN: False, Kind.INT32: 0, Kind.INT64: 0, Kind.DOUBLE: 0}
_METHODS = {"get": "get", "list": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete",
            "deletecollection": "delete"}  # fmt: skip
_ACTIONS = {"create": "post", "update": "put"}
_LIST_PARAMETERS = (
    "allowWatchBookmarks:boolean", "continue:string", "fieldSelector:string", "labelSelector:string", "limit:integer",
    "resourceVersion:string", "resourceVersionMatch:string", "sendInitialEvents:boolean", "timeoutSeconds:integer",
    "watch:boolean",
)  # fmt: skip
_WRITE_PARAMETERS = ("dryRun:string", "fieldManager:string", "fieldValidation:string")
_DELETE_PARAMETERS = (
    "dryRun:string", "gracePeriodSeconds:integer", "ignoreStoreReadErrorWithClusterBreakingPotential:boolean",
    "orphanDependents:boolean", "propagationPolicy:string",
)  # fmt: skip
_PARAMETERS: Mapping[str, Sequence[str]] = {
    "get": (), "list": _LIST_PARAMETERS, "create": _WRITE_PARAMETERS, "update": _WRITE_PARAMETERS,
    "patch": (*_WRITE_PARAMETERS, "force:boolean"), "delete": _DELETE_PARAMETERS,
    "deletecollection": (*_DELETE_PARAMETERS, *_LIST_PARAMETERS),
}  # fmt: skip
_PATCH_MEDIA = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)  # fmt: skip


class OpenApi:
    """The answers below /openapi/."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}
        self._custom: Sequence[CustomKind] = ()

    def serve_custom(self, custom: Sequence[CustomKind]) -> None:
        """The custom resources that there are, from now on."""
        touched = {kind.resource.base_path for kind in set(self._custom) ^ set(custom)}  # the others' documents still hold
        self._custom = tuple(custom)
        for name in ("", "/v2", f"/v2 {openapi_protobuf.MEDIA_TYPE}", "/v3", *(f"/v3{path}" for path in touched)):
            self._documents.pop(f"/openapi{name}", None)
        for path in touched:
            self._documents.pop(f"/openapi/v3{path.rpartition('/')[0]}", None)

    async def serve(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return Response(405, {}, b"")
        path = request.path.rstrip("/")
        accept = request.headers.get("accept", "")
        as_protobuf = path == "/openapi/v2" and any(media in accept for media in openapi_protobuf.ACCEPTED)
        if accept and not as_protobuf and not any(media in accept for media in ("*/*", "application/*", requests.JSON)):
            return Response(406, {}, b"")
        name = f"{path} {openapi_protobuf.MEDIA_TYPE}" if as_protobuf else path
        known = self._documents.get(name)
        if known is None:
            custom = self._custom
            made = await asyncio.to_thread(self._make_protobuf if as_protobuf else self._make, path)
            if made is None:
                return Response(404, {}, b"")
            known = made
            if custom is self._custom:  # else it may tell of resources that have changed since
                self._documents[name] = made
        response = rendering.respond(200, known)
        if as_protobuf:
            response.headers["Content-Type"] = openapi_protobuf.MEDIA_TYPE
        response.headers["Etag"] = etag = f'"{_hash(known)}"'
        if request.headers.get("if-none-match") == etag:
            return Response(304, {"Etag": etag}, b"")
        if path == "/openapi/v3":
            response.headers["Content-Type"] = "text/plain; charset=utf-8"  # as upstream, and clients live with it
        elif "hash=" in request.query:
            # The address names the content, so it may be kept for good.
            response.headers["Cache-Control"] = "public, immutable"
        return response

    def _make_protobuf(self, path: str) -> bytes:
        document = self._documents.get(path) or self._make(path)
        assert document is not None
        return openapi_protobuf.encode(orjson.loads(document))

    def _make(self, path: str) -> bytes | None:
        if path == "/openapi/v2":
            return orjson.dumps(documents.into_v2(_v2(), self._custom))
        if path == "/openapi/v3":
            return orjson.dumps({"paths": {name: {"serverRelativeURL": self._address(name)} for name in self._v3_paths()}})
        name = path.removeprefix("/openapi/v3/")
        if name not in self._v3_paths():
            return None
        return orjson.dumps(documents.into_v3(_v3(name), name, self._custom))

    def _v3_paths(self) -> list[str]:
        mine = {kind.resource.base_path.removeprefix("/") for kind in self._custom}
        return sorted({*_v3_paths(), *mine, *(path.rpartition("/")[0] for path in mine)})

    def _address(self, name: str) -> str:
        document = self._documents.get(f"/openapi/v3/{name}")
        if document is None and any(kind.resource.base_path == f"/{name}" for kind in self._custom):
            document = self._make(f"/openapi/v3/{name}")
            if document is not None:
                self._documents[f"/openapi/v3/{name}"] = document
        if document is None:
            # Made from tables that change with the release alone; making all of them for their hashes would take a second.
            release = f"{version.INFO['gitVersion']}{' described' if source() else ''}"
            return f"/openapi/v3/{name}?hash={_hash(f'{release} {name}'.encode())}"
        return f"/openapi/v3/{name}?hash={_hash(document)}"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest().upper()


def _v3_paths() -> list[str]:
    versions = sorted({resource.base_path.removeprefix("/") for resource in BUILTIN})
    groups = [f"apis/{group.name}" for group in GROUPS]
    return sorted(["api", "apis", "version", *groups, *versions])


# Documents


def _v3(name: str) -> Object:
    resources = [resource for resource in BUILTIN if resource.base_path == f"/{name}"]
    references = _References("#/components/schemas/")
    paths: Object = {}
    for path, item in _paths(resources, references, v3=True):
        paths[path] = item
    schemas = references.definitions(v3=True)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version.INFO["gitVersion"]},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"BearerToken": {"type": "apiKey", "in": "header", "name": "authorization"}},
        },
    }


def _v2() -> Object:
    references = _References("#/definitions/")
    paths = dict(_paths(BUILTIN, references, v3=False))
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version.INFO["gitVersion"]},
        "paths": paths,
        "definitions": references.definitions(v3=False),
        "parameters": {},
        "security": [{"BearerToken": []}],
        "securityDefinitions": {"BearerToken": {"type": "apiKey", "in": "header", "name": "authorization"}},
    }


def _paths(resources: Sequence[Resource], references: _References, *, v3: bool) -> Iterator[tuple[str, Object]]:
    for resource in resources:
        group_version = resource.base_path
        scope = f"{group_version}/namespaces/{{namespace}}" if resource.namespaced else group_version
        collection = {"list", "create", "deletecollection"} & resource.verbs
        if collection:
            yield f"{scope}/{resource.plural}", _item(resource, resource.gvk, sorted(collection), references, v3, named=False)
        single = {"get", "update", "patch", "delete"} & resource.verbs
        if single:
            path = f"{scope}/{resource.plural}/{{name}}"
            yield path, _item(resource, resource.gvk, sorted(single), references, v3, named=True)
        if resource.namespaced and "list" in resource.verbs:
            item = _item(resource, resource.gvk, ["list"], references, v3, named=False, everywhere=True)
            yield f"{group_version}/{resource.plural}", item
        for below in SUBRESOURCES[resource].values():
            path = f"{scope}/{resource.plural}/{{name}}/{below.name}"
            yield path, _subresource_item(resource, below, references, v3)


def _subresource_item(resource: Resource, below: Subresource, references: _References, v3: bool) -> Object:
    verbs = sorted(below.verbs & _METHODS.keys())
    return _item(resource, below.gvk, verbs, references, v3, named=True, subresource=below.name)


def _item(
    resource: Resource, gvk: GroupVersionKind, verbs: Sequence[str], references: _References, v3: bool, *, named: bool,
    everywhere: bool = False, subresource: str = "",
) -> Object:  # fmt: skip
    item: Object = {}
    for verb in verbs:
        operation = _operation(resource, gvk, verb, references, v3, everywhere=everywhere, subresource=subresource)
        item[_METHODS[verb]] = operation
    shared = []
    if named:
        shared.append(_parameter("name:string", "path", v3))
    if resource.namespaced and not everywhere:
        shared.append(_parameter("namespace:string", "path", v3))
    shared.append(_parameter("pretty:string", "query", v3))
    item["parameters"] = shared
    return item


def _operation(
    resource: Resource, gvk: GroupVersionKind, verb: str, references: _References, v3: bool, *,
    everywhere: bool, subresource: str,
) -> Object:  # fmt: skip
    try:
        name = struct_name_of(gvk)
    except KeyError:
        name = ""  # options of connections, which have no body
    if verb == "list":
        answer = references.list_of(name, resource) if name else {}
    elif verb in ("delete", "deletecollection"):
        answer = references.to(_STATUS)
    else:
        answer = references.to(name) if name else {"type": "string"}
    tag = f"{_camel(resource.group) or 'core'}_{resource.version}"
    operation: Object = {
        "operationId": "".join((
            verb if verb != "update" else "replace", _title(resource.group) or "Core", resource.version.title(),
            "Namespaced" if resource.namespaced and not everywhere else "", resource.kind, _title(subresource),
            "ForAllNamespaces" if everywhere else "",
        )),
        "tags": [tag],
        "x-kubernetes-action": _ACTIONS.get(verb, verb),
        "x-kubernetes-group-version-kind": {"group": gvk.group, "version": gvk.version, "kind": gvk.kind},
    }  # fmt: skip
    parameters = [_parameter(text, "query", v3) for text in _PARAMETERS[verb]]
    has_body = verb in ("create", "update", "patch") and bool(name)
    body = {"type": "object"} if verb == "patch" else references.to(name) if name else {}
    if v3:
        operation["responses"] = {"200": {"description": "OK", "content": {requests.JSON: {"schema": answer}}}}
        if has_body:
            media = _PATCH_MEDIA if verb == "patch" else ("*/*",)
            operation["requestBody"] = {"content": {kind: {"schema": body} for kind in media}, "required": True}
    else:
        operation["responses"] = {"200": {"description": "OK", "schema": answer}}
        operation["produces"] = [requests.JSON, requests.YAML]
        operation["consumes"] = list(_PATCH_MEDIA) if verb == "patch" else ["*/*"]
        if has_body:
            parameters.append({"name": "body", "in": "body", "required": True, "schema": body})
    if parameters:
        operation["parameters"] = parameters
    return operation


def _parameter(text: str, where: str, v3: bool) -> Object:
    name, _, type_ = text.partition(":")
    made: Object = {"name": name, "in": where}
    if where == "path":
        made["required"] = True
    else:
        made["uniqueItems"] = True
    if v3:
        made.pop("uniqueItems", None)
        made["schema"] = {"type": type_, "uniqueItems": True}
    else:
        made["type"] = type_
    return made


def _title(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in text.replace("-", ".").split(".")[:1] if part)


def _camel(group: str) -> str:
    first, *_ = group.split(".")
    return first


# Definitions


class _References:
    """Names definitions, and remembers which are needed."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._wanted: dict[str, None] = {}  # struct names, in order
        self._lists: dict[str, Object] = {}

    def to(self, struct_name: str) -> Object:
        self._wanted.setdefault(struct_name)
        return {"$ref": self._prefix + definition_name(struct_name)}

    def list_of(self, struct_name: str, resource: Resource) -> Object:
        name = f"{definition_name(struct_name)}List"
        if name not in self._lists:
            self._lists[name] = {
                "type": "object",
                "required": ["items"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "items": {"type": "array", "items": self.to(struct_name)},
                    "kind": {"type": "string"},
                    "metadata": self.to("meta.v1.ListMeta"),
                },
                "x-kubernetes-group-version-kind": [
                    {"group": resource.group, "version": resource.version, "kind": f"{resource.kind}List"}
                ],
            }
        return {"$ref": self._prefix + name}

    def definitions(self, *, v3: bool) -> Object:
        """All that is referred to, directly or not."""
        made: Object = dict(self._lists)
        kinds = _kinds_of_structs()
        pending = list(self._wanted)
        while pending:
            name = pending.pop()
            key = definition_name(name)
            if key in made:
                continue
            try:
                found = struct(name)
            except KeyError:
                made[key] = {"type": "object"}
                continue
            before = set(self._wanted)
            made[key] = self._definition(found, kinds.get(name, ()), v3=v3)
            pending += [wanted for wanted in self._wanted if wanted not in before]
        for key, definition in _NAMED_DEFINITIONS.items():
            made[key] = (
                dict(definition) if v3 or "oneOf" not in definition else {"type": "string", **_without_choice(definition)}
            )
        describe(made)
        return dict(sorted(made.items()))

    def _definition(self, found: Struct, kinds: Sequence[GroupVersionKind], *, v3: bool) -> Object:
        properties = {name: self._property(field, v3=v3) for name, field in found.fields.items()}
        definition: Object = {"type": "object"}
        if kinds:
            properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **properties}
            definition["x-kubernetes-group-version-kind"] = [
                {"group": gvk.group, "version": gvk.version, "kind": gvk.kind} for gvk in kinds
            ]
        if properties:
            definition["properties"] = dict(sorted(properties.items()))
        required = sorted(name for name, field in found.fields.items() if field.required)
        if required:
            definition["required"] = required
        if found.map_type:
            definition["x-kubernetes-map-type"] = found.map_type
        return definition

    def _property(self, field: Field, *, v3: bool) -> Object:
        made = self._node(field.node, v3=v3)
        if v3 and "$ref" in made:
            made = {"allOf": [made]}
        if v3 and field.required and field.node.kind in _ZEROS:
            made["default"] = _ZEROS[field.node.kind]
        marks: dict[str, Any] = {
            "x-kubernetes-list-type": field.list_type,
            "x-kubernetes-list-map-keys": list(field.list_keys),
            "x-kubernetes-map-type": field.map_type,
            "x-kubernetes-patch-strategy": ",".join(sorted(field.patch_strategies)),
            "x-kubernetes-patch-merge-key": field.merge_key,
        }
        made.update({name: value for name, value in marks.items() if value})
        return made

    def _node(self, node: Node, *, v3: bool) -> Object:
        if node.kind == Kind.STRUCT:
            if node.alternative:
                # Anything goes; a schema without a word in it is taken for no schema by `kubectl explain --recursive`.
                return {"description": f"{node.struct_name.rpartition('.')[2]}, or {node.alternative}"}
            return self.to(node.struct_name)
        if node.item is not None:
            item = self._node(node.item, v3=v3)
            if v3 and node.item.kind in _ZEROS:
                item["default"] = _ZEROS[node.item.kind]
            return (
                {"type": "array", "items": item} if node.kind == Kind.LIST else {"type": "object", "additionalProperties": item}
            )
        named = _NAMED.get(node.kind)
        return {"$ref": self._prefix + named} if named else dict(_SCALARS[node.kind])


def _without_choice(definition: Object) -> Object:
    return {key: value for key, value in definition.items() if key != "oneOf"}


def definition_name(struct_name: str) -> str:
    """`core.v1.Pod` → `io.k8s.api.core.v1.Pod`."""
    group, _, rest = struct_name.partition(".")
    return f"{_PACKAGES.get(group, f'io.k8s.api.{group}')}.{rest}"


def _kinds_of_structs() -> Mapping[str, Sequence[GroupVersionKind]]:
    found: dict[str, list[GroupVersionKind]] = {}
    kinds = [resource.gvk for resource in BUILTIN]
    kinds += [below.gvk for resource in BUILTIN for below in SUBRESOURCES[resource].values()]
    for gvk in dict.fromkeys(kinds):
        try:
            found.setdefault(struct_name_of(gvk), []).append(gvk)
        except KeyError:
            continue
    return found


def meta_definitions(prefix: str, *, v3: bool) -> Object:
    """What every object and list has, for documents that have nothing else of ours."""
    references = _References(prefix)
    references.to("meta.v1.ObjectMeta")
    references.to("meta.v1.ListMeta")
    return references.definitions(v3=v3)
