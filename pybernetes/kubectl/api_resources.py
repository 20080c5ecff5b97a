"""`kubectl api-resources`: what the server has."""

from __future__ import annotations

from pybernetes.kubectl.command import Command
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Kind, Parsed
from pybernetes.kubectl.session import Session
from pybernetes.kubectl.tables import TableWriter


async def run(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    found = [resource for resource in (await session.mapper.discovery()).preferred if resource.verbs]
    if options.given("api-group"):
        found = [resource for resource in found if resource.group == options.text("api-group")]
    if options.given("namespaced"):
        found = [resource for resource in found if resource.namespaced == options.flag("namespaced")]
    found = [resource for resource in found if set(options.texts("verbs")) <= resource.verbs]
    found = [resource for resource in found if set(options.texts("categories")) <= set(resource.categories)]
    sort_by = options.text("sort-by")
    if sort_by not in ("", "name", "kind"):
        raise Failure("--sort-by accepts only name or kind")
    found.sort(key=lambda resource: resource.kind if sort_by == "kind" else resource.plural if sort_by else "")
    if not sort_by:
        found.sort(key=lambda resource: (resource.group, resource.plural))
    if options.text("output") == "name":
        for resource in found:
            session.print(resource.group_resource)
        return 0
    if options.text("output") not in ("", "wide"):
        raise Failure(f"--output {options.text('output')} is not available")
    wide = options.text("output") == "wide"
    head = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", *(["VERBS", "CATEGORIES"] if wide else [])]
    rows = [] if options.flag("no-headers") else [head]
    for resource in found:
        more = [",".join(sorted(resource.verbs)), ",".join(resource.categories)] if wide else []
        short, namespaced = ",".join(resource.short_names), str(resource.namespaced).lower()
        rows.append([resource.plural, short, resource.api_version, namespaced, resource.kind, *more])
    TableWriter(session.stdout).write(rows)
    return 0


COMMAND = Command(
    "api-resources",
    "Show the resources that the server has",
    flags=(
        Flag("api-group", "Of this group only"),
        Flag("namespaced", "Only those in namespaces (or, with =false, the others)", Kind.BOOL, default=True),
        Flag("verbs", "Only those with these verbs", Kind.LIST),
        Flag("categories", "Only those in these categories", Kind.LIST),
        Flag("sort-by", "name or kind"),
        Flag("no-headers", "Leave the column names out", Kind.BOOL),
        Flag("output", "wide or name", short="o"),
        Flag("cached", "Accepted for compatibility", Kind.BOOL, hidden=True),
    ),
    run=run,
)
