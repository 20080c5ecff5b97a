"""What a request asks for, read off its path, query and Accept header. All pure.

Source: API concepts ("Standard API terminology", "Resource URIs", "Alternate representations").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal
from urllib.parse import unquote, unquote_plus

from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.machinery.errors import BadRequest, NotAcceptable
from pybernetes.machinery.http.messages import Request

NO_QUERY: Mapping[str, str] = MappingProxyType({})
REMEMBERED_PATHS = 1024
REMEMBERED_PATH_LENGTH = 200  # strangers choose them, too

_INTEGER = re.compile(r"[+-]?[0-9]+")
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# What may follow /namespaces/<name>/ and belongs to the namespace itself.
_NAMESPACE_SUBRESOURCES = frozenset(("status", "finalize"))

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
STREAM_OF_PROTOBUF = f"{PROTOBUF};stream=watch"
_SERVED = (JSON, YAML, PROTOBUF)


def parse_query(text: str) -> Mapping[str, str]:
    """The first value of each parameter (`command` of exec is the one list, and goes on unread)."""
    if not text:
        return NO_QUERY
    found: dict[str, str] = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if name:
            found.setdefault(unquote_plus(name), unquote_plus(value))
    return found


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter as upstream reads it: present is true, unless "false" or "0"."""
    return name in query and query[name].lower() not in ("false", "0")


def integer(query: Mapping[str, str], name: str) -> int | None:
    """An integer parameter; None if absent or empty. Raises `BadRequest`."""
    text = query.get(name, "")
    if not text:
        return None
    if not _INTEGER.fullmatch(text):
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    # The length first: there are texts of digits that take a while to become a number.
    if len(text) > len("-9223372036854775808") or not -(2**63) <= (number := int(text)) < 2**63:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return number


def parse_target(request: Request, query: Mapping[str, str]) -> RequestInfo:
    """The request's attributes (upstream's rules, the old `/watch/` prefix included)."""
    path = request.path
    if query or len(path) > REMEMBERED_PATH_LENGTH:
        return _parse(request.method, path, query)
    return _parse_path(request.method, path)


@lru_cache(REMEMBERED_PATHS)
def _parse_path(method: str, path: str) -> RequestInfo:
    return _parse(method, path, NO_QUERY)


def _parse(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    # Decoded first and split then, as upstream: an encoded slash separates, and can never be part of a name.
    parts = (unquote(path) if "%" in path else path).strip("/").split("/")
    if parts[0] == "api":
        group, skip = "", 2
    elif parts[0] == "apis":
        group, skip = parts[1] if len(parts) > 1 else "", 3
    else:
        return RequestInfo(method.lower(), path)
    if len(parts) <= skip:
        return RequestInfo(method.lower(), path)
    version = parts[skip - 1]
    parts = parts[skip:]
    verb = _VERBS.get(method, "")
    watches = False
    if parts[0] == "watch" and len(parts) > 1:
        watches, parts = verb == "get", parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    resource = parts[0]
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    label_selector = field_selector = ""
    if watches or not name:
        if verb == "get":
            verb = "watch" if watches or flag(query, "watch") else "list"
        elif verb == "delete":
            verb = "deletecollection"
        if verb in ("list", "watch", "deletecollection") and query:
            label_selector = query.get("labelSelector", "")
            field_selector = query.get("fieldSelector", "")
            if not name and field_selector:
                name = _selected_name(field_selector)
    elif verb == "get" and query and flag(query, "watch"):
        # A watch on one object, as old clients ask for it.
        verb, field_selector = "watch", f"metadata.name={name}"
    return RequestInfo(verb, path, True, group, version, resource, subresource, namespace, name, label_selector, field_selector)


def check_name(info: RequestInfo) -> None:
    """Names which could be taken for a path. Raises `BadRequest`."""
    name = info.name
    if name in (".", ".."):
        raise BadRequest(f"Name parameter invalid: \"{name}\": may not be '{name}'")
    if "%" in name:
        raise BadRequest(f"Name parameter invalid: \"{name}\": may not contain '%'")


def _selected_name(field_selector: str) -> str:
    """The one name that a selector allows: authorization by name covers `list` and `watch` then."""
    for term in field_selector.split(","):
        field, operator, value = term.partition("=")
        if field == "metadata.name" and operator:
            return value.removeprefix("=")
    return ""


def remaining_path(path: str, info: RequestInfo) -> str:
    """What follows the subresource in a path, percent-encoding kept: "" or "/…"."""
    parts = path.split("/")
    head = 3 if not info.group else 4  # "", api(s), [group,] version
    if parts[head] == "namespaces" and info.resource != "namespaces":
        head += 2
    after = parts[head + 3 :]  # resource, name, subresource
    return "/" + "/".join(after) if after else ""


@dataclass(frozen=True, slots=True)
class Format:
    """How an answer is to be written. `shape` is what it is, `media` how it is encoded."""

    media: str = JSON
    shape: Literal["object", "table", "partial"] = "object"
    api_discovery: bool = False
    version: str = "v1"  # of meta.k8s.io
    of_list: bool = False  # a list was asked for by name


DEFAULT_FORMAT = Format()


@lru_cache(256)
def negotiate(accept: str, *, binary: bool = True, tables: bool = True) -> Format:
    """The first acceptable range, in the client's order of preference. Raises `NotAcceptable`.

    `binary`: whether the objects themselves can be written in protobuf; their metadata always can, Tables never. `tables`:
    whether there are any: what is asked, and not kept, has no columns.
    """
    if not accept or accept == JSON or accept == "*/*":
        return DEFAULT_FORMAT
    for wanted_media, parameters in _ranges(accept):
        media = JSON if wanted_media in ("*/*", "application/*") else wanted_media
        if media not in _SERVED:
            continue
        wanted = parameters.get("as", "")
        group, version = parameters.get("g", ""), parameters.get("v", "")
        if media == PROTOBUF and (wanted == "Table" or not (wanted or binary)):
            continue
        if not wanted:
            return DEFAULT_FORMAT if media == JSON else Format(media)
        if wanted == "APIGroupDiscoveryList":
            if media != PROTOBUF and group == "apidiscovery.k8s.io" and version == "v2":
                return Format(media, api_discovery=True)
        elif group == "meta.k8s.io" and version in ("v1", "v1beta1"):
            if wanted == "Table":
                if not tables:
                    continue
                return Format(media, "table", version=version)
            if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
                return Format(media, "partial", version=version, of_list=wanted.endswith("List"))
    served = ", ".join(_SERVED if binary else (JSON, YAML))
    raise NotAcceptable(f"only the following media types are accepted: {served}")


def check_include(include: str) -> None:
    """Raises `BadRequest`."""
    if include not in ("", "Metadata", "Object", "None"):
        raise BadRequest(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )


def _ranges(accept: str) -> Sequence[tuple[str, Mapping[str, str]]]:
    found: list[tuple[float, int, str, dict[str, str]]] = []
    for position, text in enumerate(accept.split(",")):
        media, *rest = (part.strip() for part in text.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        try:
            quality = float(parameters.get("q", 1))
        except ValueError:
            quality = 0.0
        found.append((-quality, position, media.lower(), parameters))
    found.sort(key=lambda item: item[:2])
    return [(media, parameters) for _, _, media, parameters in found]
