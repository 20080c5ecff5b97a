"""Generate the tables of API facts under `pybernetes/machinery/facts/` from the published API documents.

    python tools/generate_facts.py DOCUMENTS [--check]

DOCUMENTS is a directory that holds `discovery.json` and `openapi-v2.json` of the Kubernetes release. Only facts are carried
over (names, types, verbs, merge keys), never descriptions. With --check nothing is written; the exit status is 1 if a
committed table is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

FACTS = Path(__file__).resolve().parent.parent / "pybernetes" / "machinery" / "facts"


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"


def resources_table(discovery: dict[str, Any]) -> dict[str, Any]:
    """`groups`: [name, version…], the preferred version first, in the server's order (the core group is not among them).

    `verbs`: the interned sets of verbs. `resources`: by apiVersion, [plural, singular, kind, namespaced, verbs, short names,
    categories, storage version hash, subresources]; a subresource is [name, group, version, kind, verbs].
    """
    verb_sets: list[list[str]] = []

    def interned(verbs: list[str]) -> int:
        if verbs not in verb_sets:
            verb_sets.append(verbs)
        return verb_sets.index(verbs)

    resources: dict[str, list[Any]] = {}
    for api_version, entries in discovery["resources"].items():
        rows: dict[str, list[Any]] = {}
        for entry in entries:
            plural, _, subresource = entry["name"].partition("/")
            verbs = interned(sorted(entry["verbs"]))
            if subresource:
                rows[plural][-1].append([subresource, entry.get("group", ""), entry.get("version", ""), entry["kind"], verbs])
            else:
                rows[plural] = [
                    plural,
                    entry["singularName"],
                    entry["kind"],
                    entry["namespaced"],
                    verbs,
                    entry.get("shortNames", []),
                    entry.get("categories", []),
                    entry.get("storageVersionHash", ""),
                    [],
                ]
        resources[api_version] = list(rows.values())
    groups = [
        [group["name"], *sorted(group["versions"], key=lambda version: version != group["preferred"])]
        for group in discovery["groups"]
    ]
    return {"groups": groups, "verbs": verb_sets, "resources": resources}


_SHORT_PREFIXES = (
    ("io.k8s.api.", ""),
    ("io.k8s.apimachinery.pkg.apis.", ""),
    ("io.k8s.apimachinery.pkg.api.", ""),
    ("io.k8s.apimachinery.pkg.util.", ""),
    ("io.k8s.apimachinery.pkg.", ""),
    ("io.k8s.apiextensions-apiserver.pkg.apis.", ""),
    ("io.k8s.kube-aggregator.pkg.apis.", ""),
)
# Types that encode themselves: their definitions do not say what they accept.
_SELF_ENCODED = {
    "resource.Quantity": "q",
    "intstr.IntOrString": "x",
    "meta.v1.Time": "t",
    "meta.v1.MicroTime": "u",
    "meta.v1.FieldsV1": "j",
    "runtime.RawExtension": "j",
    "apiextensions.v1.JSON": "j",
    "apiextensions.v1.JSONSchemaPropsOrBool": "@apiextensions.v1.JSONSchemaProps?bool",
    "apiextensions.v1.JSONSchemaPropsOrArray": "@apiextensions.v1.JSONSchemaProps?array",
    "apiextensions.v1.JSONSchemaPropsOrStringArray": "@apiextensions.v1.JSONSchemaProps?strings",
}
_SCALARS = {
    ("string", None): "s",
    ("string", "byte"): "y",
    ("integer", "int32"): "i",
    ("integer", "int64"): "l",
    ("number", "double"): "d",
    ("boolean", None): "b",
}


def short_name(definition: str) -> str:
    for prefix, short in _SHORT_PREFIXES:
        if definition.startswith(prefix):
            return short + definition.removeprefix(prefix)
    return definition


def type_expression(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = short_name(schema["$ref"].removeprefix("#/definitions/"))
        return _SELF_ENCODED.get(name, f"@{name}")
    kind = schema.get("type")
    if kind == "array":
        return "[" + type_expression(schema["items"])
    if kind == "object":
        return "{" + type_expression(schema["additionalProperties"]) if "additionalProperties" in schema else "j"
    return _SCALARS[kind, schema.get("format")] if kind else "j"


def field_expression(schema: dict[str, Any], required: bool) -> str:
    """`type[!][|attribute=value…]`: `!` for required; see `machinery/schema/types.py`, which reads it."""
    text = type_expression(schema) + ("!" if required else "")
    for attribute, key in (
        ("lt", "x-kubernetes-list-type"),
        ("lk", "x-kubernetes-list-map-keys"),
        ("mt", "x-kubernetes-map-type"),
        ("ps", "x-kubernetes-patch-strategy"),
        ("mk", "x-kubernetes-patch-merge-key"),
    ):
        if key in schema:
            value = schema[key]
            text += f"|{attribute}={','.join(value) if isinstance(value, list) else value}"
    return text


def types_table(openapi: dict[str, Any], discovery: dict[str, Any]) -> dict[str, Any]:
    """`kinds`: "apps/v1/Deployment" to its type. `types`: by name, the fields with their expressions; "" is the type's own."""
    definitions = {short_name(name): schema for name, schema in openapi["definitions"].items()}
    served = {("", "v1", "Status"), ("", "v1", "DeleteOptions")}
    for api_version, entries in discovery["resources"].items():
        group, _, version = api_version.rpartition("/")
        served |= {(entry.get("group", group), entry.get("version", version), entry["kind"]) for entry in entries}
        served.add((group, version, "DeleteOptions"))
    kinds: dict[str, str] = {}
    for name, schema in definitions.items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            if (gvk["group"], gvk["version"], gvk["kind"]) in served:
                kinds["/".join(filter(None, (gvk["group"], gvk["version"], gvk["kind"])))] = name
    types: dict[str, dict[str, str]] = {}
    wanted = sorted(set(kinds.values()), reverse=True)
    while wanted:
        name = wanted.pop()
        if name in types or name in _SELF_ENCODED:
            continue
        schema = definitions[name]
        required = schema.get("required", ())
        fields = {key: field_expression(value, key in required) for key, value in schema.get("properties", {}).items()}
        if "x-kubernetes-map-type" in schema:
            fields[""] = f"|mt={schema['x-kubernetes-map-type']}"
        types[name] = fields
        for expression in fields.values():
            _, reference, target = expression.partition("@")
            if reference:
                wanted.append(target.partition("|")[0].partition("?")[0].removesuffix("!"))
    return {"kinds": dict(sorted(kinds.items())), "types": dict(sorted(types.items()))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    discovery = json.loads((arguments.documents / "discovery.json").read_bytes())
    openapi = json.loads((arguments.documents / "openapi-v2.json").read_bytes())
    tables = {
        "resources.json": compact(resources_table(discovery)),
        "types.json": compact(types_table(openapi, discovery)),
    }
    stale = 0
    for name, text in tables.items():
        path = FACTS / name
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        if arguments.check:
            print(f"{path} is stale: run {sys.argv[0]}", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path} ({len(text)} bytes)")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
