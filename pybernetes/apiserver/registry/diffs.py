"""How upstream shows what changed in a field that may not: a unified diff of the internal type as indented JSON."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any


def unified(old: Any, new: Any) -> str:
    """Hunks of three lines of context, without file names; ends with a newline."""
    hunks = difflib.unified_diff(_lines(old), _lines(new), n=3, lineterm="")
    return "".join(f"{line}\n" for line in hunks if not line.startswith(("---", "+++")))


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=1, ensure_ascii=False).splitlines()


def go_names(obj: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of a Go type in order, the absent ones as `fields` says; JSON names differ in the first letter only."""
    return {name: obj.get(name[0].lower() + name[1:], default) for name, default in fields.items()}
