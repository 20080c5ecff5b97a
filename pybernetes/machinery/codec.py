"""Objects to bytes and back: JSON and YAML as the API reads them, and the stored layout.

YAML means what upstream's library makes of it (go-yaml v2 under sigs.k8s.io/yaml): YAML 1.1 booleans (`y`, `on`), octal `0644`,
dates as text, keys as text. Error sentences are Go's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from pybernetes.machinery import json_text
from pybernetes.machinery.errors import BadRequest, DecodeError, UnsupportedMediaType
from pybernetes.machinery.meta import Object

JSON: Final = "application/json"
YAML: Final = "application/yaml"
_YAML_TYPES: Final = frozenset({YAML, "text/yaml", "application/x-yaml", "text/x-yaml", "application/apply-patch+yaml"})
_SUMMARY_BYTES: Final = 30
_TYPE_STRUCT: Final = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_GO_VALUES: Final = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    type(None): "null",
}


def media_type(content_type: str) -> str:
    """Without parameters, in lower case; an absent one is JSON."""
    return content_type.partition(";")[0].strip().lower() or JSON


def is_yaml(content_type: str) -> bool:
    return media_type(content_type) in _YAML_TYPES


def decode(
    body: bytes, content_type: str = JSON, *, find_duplicates: bool = False, expected_kind: str = ""
) -> tuple[Object, list[str]]:
    """The object in `body`, and the paths of fields that it gives twice (the last one counts), if asked for.

    Raises `DecodeError`, and `UnsupportedMediaType` for what is neither JSON nor YAML. `expected_kind` is for the sentence.
    """
    kind = media_type(content_type)
    if kind == JSON or (kind not in _YAML_TYPES and kind.endswith("+json")):
        obj = _loads(body, expected_kind)
        duplicates = json_text.duplicate_fields(body, obj) if find_duplicates else []
    elif kind in _YAML_TYPES:
        duplicates = []
        try:
            obj = load_yaml(body, duplicates if find_duplicates else None)
        except ValueError as error:
            raise _unrecognized(body, expected_kind, str(error)) from error
    else:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
    if type(obj) is not dict:
        why = f"json: cannot unmarshal {go_name(obj)} into Go value of type {_TYPE_STRUCT}"
        raise _unrecognized(body, expected_kind, f"couldn't get version/kind; json parse error: {why}")
    return obj, duplicates


def go_name(value: Any) -> str:
    """What Go's sentences call a JSON value: `array`, `number`, `null`."""
    return _GO_VALUES[type(value)]


def load_json(body: bytes) -> Any:
    """Any JSON value. Raises ValueError with Go's sentence: the caller says what it was decoding."""
    try:
        if json_text.nests_too_deep(body):
            raise ValueError("exceeded max depth")
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(json_text.syntax_error(body) or str(error)) from error


def _loads(body: bytes, expected_kind: str) -> Any:
    try:
        return load_json(body)
    except ValueError as error:
        raise _unrecognized(body, expected_kind, f"couldn't get version/kind; json parse error: {error}") from error


def _unrecognized(body: bytes, expected_kind: str, why: str) -> DecodeError:
    wanted = f" (must be of type {expected_kind})" if expected_kind else ""
    return DecodeError(f"the object provided is unrecognized{wanted}: {why} ({_summary(body)})", why)


def _summary(body: bytes) -> str:
    if not body:
        return "<empty>"
    start = body[:_SUMMARY_BYTES]
    shown = start.decode(errors="replace") if body.startswith(b"{") else start.hex()
    return shown + (" ..." if len(body) > _SUMMARY_BYTES else "")


def encode(obj: Object) -> bytes:
    """The stored form: kind, apiVersion, metadata, then the rest as it comes; without metadata.resourceVersion.

    Raises BadRequest for what is too deep (or otherwise no JSON) to be stored.
    """
    metadata = obj["metadata"]
    if "resourceVersion" in metadata:
        metadata = {key: value for key, value in metadata.items() if key != "resourceVersion"}
    ordered = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    ordered.update(obj)
    ordered["metadata"] = metadata
    # Copied, because it is kept: the encoder's own bytes hold the whole buffer that it wrote into, 8 KiB for a small object.
    return bytes(memoryview(dumps(ordered)))


def dumps(value: Any) -> bytes:
    """Compact JSON. Raises BadRequest for what cannot be written as JSON."""
    try:
        return orjson.dumps(value)
    except TypeError as error:  # orjson.JSONEncodeError is one
        raise BadRequest(f"the object cannot be encoded: {error}") from error


# --- YAML -----------------------------------------------------------------------------------------------------------

# Plain scalars (and syntax) that ryaml, which follows YAML 1.2, would read differently from Go's library. A false alarm
# (the word inside a comment, say) costs only time.
_NEEDS_CARE: Final = re.compile(
    rb"""(?<![\w.\-/])(?:[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)(?![\w.\-/])   # YAML 1.1 booleans
    | (?<![\w.\-])(?<!\d:)[-+]?0[0-9xXoObB_]                # octal and other bases
    | [0-9.+\-]_ | [0-9][eE]_ | [0-9]{16,}                  # digit separators; numbers beyond 64 bits
    | [0-9]\.0*(?![\w.]) | [0-9][eE][-+]?[0-9]              # whole floats, which are JSON integers in Go
    | \.(?:inf|Inf|INF|nan|NaN|NAN)
    | <<\s*: | (?:^|[\s\[{,:\-])[!&*]\S                     # merge keys, tags, anchors, aliases
    | ^\s*[?]\s | ^%                                        # complex keys, directives
    """,
    re.VERBOSE | re.MULTILINE,
)


def load_yaml(text: bytes, duplicates: list[str] | None = None) -> Any:
    """One YAML document. Keys given twice go to `duplicates`, the last one counts. Raises ValueError with Go's sentence."""
    if _NEEDS_CARE.search(text) is None:
        import ryaml

        try:
            decoded = text.decode()
        except UnicodeDecodeError as error:
            raise ValueError("yaml: invalid leading UTF-8 octet") from error
        try:
            return _text_keys(ryaml.loads(decoded))  # type: ignore[attr-defined]
        except (ValueError, ryaml.InvalidYamlError, OverflowError):  # type: ignore[attr-defined]
            pass  # the careful reader finds Go's words for it, or accepts it (duplicate keys)
    from pybernetes.machinery import go_yaml

    return go_yaml.load(text, duplicates)


def _text_keys(value: Any) -> Any:
    """ryaml gives keys as numbers and booleans where the text reads so; JSON has text alone."""
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                raise ValueError("a key that is not text")
        for item in value.values():
            if type(item) is dict or type(item) is list:
                _text_keys(item)
    elif type(value) is list:
        for item in value:
            if type(item) is dict or type(item) is list:
                _text_keys(item)
    return value


_SEPARATOR: Final = re.compile(rb"^---(?=\s|$).*$", re.MULTILINE)


def decode_all(data: bytes) -> Iterator[Any]:
    """The documents of a manifest: a stream of JSON values, or YAML documents between `---` lines (empty ones are skipped).

    Raises ValueError with Go's sentence.
    """
    if data.lstrip().startswith(b"{"):
        yield from _json_stream(data.decode())
        return
    for part in _SEPARATOR.split(data):
        value = load_yaml(part) if part.strip() else None
        if value is not None:
            yield value


def _json_stream(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    position = 0
    while (rest := text[position:].lstrip()) and not rest.startswith("---"):
        position = len(text) - len(rest)
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError as error:
            raise ValueError(json_text.syntax_error(rest.encode()) or str(error)) from error
        yield value
    if rest:
        yield from decode_all(rest.encode())


def encode_yaml(obj: Any) -> bytes:
    """As upstream prints YAML: keys sorted, block style, text quoted where Go's library would read something else."""
    from pybernetes.machinery import go_yaml

    return go_yaml.dump(obj)
