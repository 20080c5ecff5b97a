"""`-o`: objects as JSON, YAML, names, by template or in columns of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import IO

from pybernetes.kubectl import jsonpath
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Options
from pybernetes.kubectl.selection import shown_object
from pybernetes.kubectl.tables import TableWriter
from pybernetes.machinery.meta import Object, Resource

# Prints one object (or List); may be called for several.
Printer = Callable[[Object], None]

FORMATS = "custom-columns,custom-columns-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,wide,yaml"


def wants_table(options: Options) -> bool:
    return options.text("output") in ("", "wide")


def printer(options: Options, out: IO[str], *, resource: Resource | None = None) -> Printer:
    """The printer that `-o` names (none of its tables). Raises `Failure` for a format that there is not."""
    name, _, argument = options.text("output").partition("=")
    keep_managed = options.flag("show-managed-fields") if options.has("show-managed-fields") else False
    argument = argument or (options.text("template") if options.has("template") else "")
    strip: Callable[[Object], Object] = (lambda obj: obj) if keep_managed else without_managed_fields
    match name:
        case "json":
            return lambda obj: _put(out, to_json(strip(obj)) + "\n")
        case "yaml":
            return _yaml_printer(out, strip)
        case "name":
            return _name_printer(out, resource)
        case "jsonpath" | "jsonpath-file" | "jsonpath-as-json":
            if name == "jsonpath-file":
                argument = _file(argument)
            if not argument:
                raise Failure("template format specified but no template given")
            if name == "jsonpath-as-json":
                find = jsonpath.compile_path(argument)
                return lambda obj: _put(out, to_json(find(obj)) + "\n")
            allow = options.flag("allow-missing-template-keys") if options.has("allow-missing-template-keys") else True
            template = jsonpath.Template(argument, allow_missing=allow)
            return lambda obj: _put(out, template.render(obj))
        case "custom-columns" | "custom-columns-file":
            if name == "custom-columns-file":
                headers, _, paths = _file(argument).strip().partition("\n")
                argument = ",".join(f"{head}:{path}" for head, path in zip(headers.split(), paths.split(), strict=True))
            no_headers = options.flag("no-headers") if options.has("no-headers") else False
            return custom_columns(argument, out, headers=not no_headers)
        case "go-template" | "go-template-file" | "template" | "templatefile":
            raise Failure(f'output format "{name}" is not supported by this kubectl: use jsonpath')
        case _:
            raise Failure(f'unable to match a printer suitable for the output format "{name}", allowed formats are: {FORMATS}')


def _put(out: IO[str], text: str) -> None:
    out.write(text)


def to_json(value: object) -> str:
    """As kubectl prints it: keys sorted, four spaces, and Go's escapes of HTML characters."""
    text = json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def to_yaml(value: object) -> str:
    from pybernetes.machinery.codec import encode_yaml

    return encode_yaml(value).decode()


def _yaml_printer(out: IO[str], strip: Callable[[Object], Object]) -> Printer:
    printed = 0

    def show(obj: Object) -> None:
        nonlocal printed
        out.write(("---\n" if printed else "") + to_yaml(strip(obj)))
        printed += 1

    return show


def _name_printer(out: IO[str], resource: Resource | None) -> Printer:
    def show(obj: Object) -> None:
        for item in _items(obj):
            if resource is not None and resource.kind == item.get("kind"):
                out.write(shown_object(resource, item) + "\n")
                continue
            group = item.get("apiVersion", "").rpartition("/")[0]
            kind = item.get("kind", "").lower() + (f".{group}" if group else "")
            out.write(f"{kind}/{item['metadata'].get('name', '')}\n")

    return show


def custom_columns(spec: str, out: IO[str], *, headers: bool = True) -> Printer:
    """`NAME:.metadata.name,IMAGE:.spec.containers[*].image`."""
    if not spec:
        raise Failure("custom-columns format specified but no custom columns given")
    columns: list[tuple[str, Callable[[object], list[object]]]] = []
    for part in _split_columns(spec):
        head, colon, path = part.partition(":")
        if not colon:
            raise Failure(f"unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
        columns.append((head, jsonpath.compile_path(path)))
    writer = TableWriter(out)
    pending = headers

    def show(obj: Object) -> None:
        nonlocal pending
        rows: list[Sequence[str]] = [[head for head, _ in columns]] if pending else []
        pending = False
        for item in _items(obj):
            rows.append([",".join(_column_text(value) for value in find(item)) or "<none>" for _, find in columns])
        writer.write(rows)

    return show


def _split_columns(spec: str) -> list[str]:
    """At commas outside brackets and parentheses."""
    parts, depth, current = [], 0, ""
    for character in spec:
        depth += (character in "[({") - (character in "])}")
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]


def _column_text(value: object) -> str:
    """As Go's %v prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_column_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_column_text(item) for item in value) + "]"
    return str(value)


def _items(obj: Object) -> list[Object]:
    if isinstance(obj.get("items"), list) and obj.get("kind", "").endswith("List"):
        items: list[Object] = obj["items"]
        return items
    return [obj]


def without_managed_fields(obj: Object) -> Object:
    """A copy of an object (or of a List's items) without the long field that nobody reads."""
    if isinstance(obj.get("items"), list) and obj.get("kind", "").endswith("List"):
        return {**obj, "items": [without_managed_fields(item) for item in obj["items"]]}
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise Failure(f"open {path}: {(error.strerror or str(error)).lower()}") from error
