"""Turn the recorded bootstrap objects of an upstream API server into the tables of `apiserver/bootstrap/`.

    python tools/generate_bootstrap.py DIR [--check]

DIR holds `bootstrap-objects.json`. With --check nothing is written; the exit status is 1 if a committed table is stale.

What all objects of a kind share (apiVersion, the autoupdate annotation, the bootstrapping label) is left out, and the rules of
aggregated roles too: `apiserver/bootstrap/objects.py` puts them back. A rule is a row [verbs, groups, resources] with the
resource names as a fourth column where there are some, or [verbs, non-resource URLs].
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

Object = dict[str, Any]
TABLES = Path(__file__).resolve().parent.parent / "pybernetes" / "apiserver" / "bootstrap"
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


def rule_row(rule: Object) -> list[list[str]]:
    if "nonResourceURLs" in rule:
        return [rule["verbs"], rule["nonResourceURLs"]]
    row = [rule["verbs"], rule["apiGroups"], rule["resources"]]
    return [*row, rule["resourceNames"]] if "resourceNames" in rule else row


def role_row(role: Object) -> Object:
    row: Object = {}
    labels = role["metadata"].get("labels") or {}
    feeds = [key.removeprefix(AGGREGATE) for key in labels if key.startswith(AGGREGATE)]
    if feeds:
        row["feeds"] = feeds
    if "aggregationRule" in role:
        row["gathers"] = [
            key.removeprefix(AGGREGATE)
            for selector in role["aggregationRule"]["clusterRoleSelectors"]
            for key in selector["matchLabels"]
        ]
    else:
        row["rules"] = [rule_row(rule) for rule in role.get("rules") or ()]
    return row


def subject_row(subject: Object) -> list[str]:
    return [subject["kind"], subject["name"], *([subject["namespace"]] if "namespace" in subject else [])]


def binding_row(binding: Object) -> list[Any]:
    """[kind of role, role, subjects]"""
    role = binding["roleRef"]
    return [role["kind"], role["name"], [subject_row(subject) for subject in binding.get("subjects") or ()]]


def key(obj: Object) -> str:
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else str(metadata["name"])


def tables(source: Path) -> dict[str, Object]:
    objects: dict[str, list[Object]] = json.loads((source / "bootstrap-objects.json").read_text())
    rbac = {
        "clusterRoles": {key(role): role_row(role) for role in objects["clusterroles"]},
        "clusterRoleBindings": {key(binding): binding_row(binding) for binding in objects["clusterrolebindings"]},
        "roles": {key(role): role_row(role) for role in objects["roles"]},
        "roleBindings": {key(binding): binding_row(binding) for binding in objects["rolebindings"]},
    }
    system = {
        "namespaces": [key(namespace) for namespace in objects["namespaces"]],
        "priorityClasses": {
            key(item): {name: item[name] for name in ("value", "preemptionPolicy", "description")}
            for item in objects["priorityclasses"]
        },
    }
    flow_control = {
        "flowSchemas": {key(item): item["spec"] for item in objects["flowschemas"]},
        "priorityLevelConfigurations": {key(item): item["spec"] for item in objects["prioritylevelconfigurations"]},
    }
    return {"rbac": rbac, "system": system, "flow_control": flow_control}


def main() -> int:
    arguments = argparse.ArgumentParser(description="Generate the tables of bootstrap objects.")
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--check", action="store_true", help="write nothing; fail if a table is stale")
    options = arguments.parse_args()
    stale = False
    for name, table in tables(options.directory).items():
        path, text = TABLES / f"{name}.json", one_row_a_line(table)
        if options.check:
            if not path.exists() or path.read_text() != text:
                stale = True
                print(f"{path} is stale")
        else:
            path.write_text(text)
            print(f"{path}: {len(text)} characters")
    return int(stale)


def one_row_a_line(table: Object) -> str:
    """JSON with one entry a line, so that a diff shows which object changed."""
    parts = []
    for section, rows in table.items():
        if isinstance(rows, dict):
            lines = [f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}" for name, row in rows.items()]
            parts.append(f'"{section}": {{\n' + ",\n".join(lines) + "\n}")
        else:
            parts.append(f'"{section}": {json.dumps(rows)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
