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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    discovery = json.loads((arguments.documents / "discovery.json").read_bytes())
    tables = {"resources.json": compact(resources_table(discovery))}
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
