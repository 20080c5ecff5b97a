"""What `cordon` and `uncordon` share."""

from __future__ import annotations

import orjson

from pybernetes.client.rest import PatchType
from pybernetes.kubectl.failure import UsageFailure
from pybernetes.kubectl.flags import Parsed
from pybernetes.kubectl.selection import objects, select
from pybernetes.kubectl.session import Session


async def set_unschedulable(session: Session, parsed: Parsed, wanted: bool) -> int:
    options = parsed.options
    if not parsed.args and not options.text("selector"):
        raise UsageFailure("USAGE: cordon NODE [flags]" if wanted else "USAGE: uncordon NODE [flags]")
    word = "cordoned" if wanted else "uncordoned"
    targets = await select(session, ["nodes", *parsed.args], options, verb="cordon", named_only=True)
    for target, node in await objects(session, targets, options):
        if bool((node.get("spec") or {}).get("unschedulable")) == wanted:
            session.print(f"{target.shown} already {word}")
            continue
        patch = {"spec": {"unschedulable": True if wanted else None}}
        headers = {"content-type": str(PatchType.STRATEGIC)}
        await session.request("PATCH", target.path, body=orjson.dumps(patch), headers=headers)
        session.print(f"{target.shown} {word}")
    return session.exit_code
