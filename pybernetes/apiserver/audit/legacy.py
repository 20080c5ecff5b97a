"""`--audit-log-format=legacy`: an event as one line of text, with part of what it says. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from pybernetes.machinery.meta import Object


def line_of(event: Object) -> str:
    user, other = event.get("user") or {}, event.get("impersonatedUser")
    name = user.get("username") or "<none>"
    groups = _listed(user["groups"]) if user.get("username") and user.get("groups") else "<none>"
    as_user, as_groups = "<self>", "<lookup>"
    if other is not None:
        as_user = other.get("username", "")
        as_groups = _listed(other["groups"]) if "groups" in other else as_groups
    status = event.get("responseStatus")
    fields = {
        "id": event["auditID"], "stage": event["stage"], "ip": next(iter(event.get("sourceIPs") or ()), "<unknown>"),
        "method": event["verb"], "user": name, "groups": groups, "as": as_user, "asgroups": as_groups,
        "user-agent": event.get("userAgent", ""), "namespace": (event.get("objectRef") or {}).get("namespace") or "<none>",
        "uri": event["requestURI"], "response": "<deferred>" if status is None else str(status.get("code", 0)),
    }  # fmt: skip
    shown = " ".join(f"{field}={_quoted(value)}" for field, value in fields.items())
    return f"{_nanoseconds(event['requestReceivedTimestamp'])} AUDIT: {shown}"


def _listed(texts: Sequence[str]) -> str:
    return ",".join(map(_quoted, texts))


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _nanoseconds(stamp: str) -> str:
    """Go's RFC3339Nano of a time in microseconds: without zeros at the end."""
    seconds, _, fraction = stamp.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{seconds}.{fraction}Z" if fraction else f"{seconds}Z"
