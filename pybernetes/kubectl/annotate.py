"""`kubectl annotate`: set (`KEY=VALUE`) and remove (`KEY-`) annotations."""

from __future__ import annotations

from pybernetes.kubectl.command import (
    ALL_NAMESPACES_FLAG,
    DRY_RUN_FLAG,
    FIELD_MANAGER_FLAG,
    FIELD_SELECTOR_FLAG,
    FILENAME_FLAGS,
    OUTPUT_FLAGS,
    SELECTOR_FLAG,
    Command,
)
from pybernetes.kubectl.flags import Flag, Kind, Parsed
from pybernetes.kubectl.labelling import change
from pybernetes.kubectl.session import Session


async def run(session: Session, parsed: Parsed) -> int:
    return await change(session, parsed, field="annotations", noun="annotation", done="annotated")


COMMAND = Command(
    "annotate",
    "Change annotations",
    usage="[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N-",
    flags=(
        *FILENAME_FLAGS,
        *OUTPUT_FLAGS,
        SELECTOR_FLAG,
        FIELD_SELECTOR_FLAG,
        ALL_NAMESPACES_FLAG,
        DRY_RUN_FLAG,
        FIELD_MANAGER_FLAG,
        Flag("all", "All objects of the kind in the namespace", Kind.BOOL),
        Flag("list", "Show the annotations", Kind.BOOL),
        Flag("overwrite", "Change values that are there", Kind.BOOL),
    ),
    run=run,
    examples="kubectl annotate pod web tier=front\nkubectl annotate pod web tier-",
)
