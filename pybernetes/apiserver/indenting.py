"""JSON for people: answers are indented where `?pretty=true` asks for it, or who asks is a browser, curl or wget.

Source: upstream's negotiation of serializers; `pretty` is a parameter of every request of the API reference.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pybernetes.machinery.http.messages import Response

SIZE_BYTES_MAX: Final = 4 * 1024 * 1024  # what is larger nobody reads, and indenting it would hold everybody else up
_PEOPLES: Final = ("curl", "Wget", "Mozilla/5.0")  # how their user agents begin
_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))


def for_people(user_agent: str) -> bool:
    return user_agent.startswith(_PEOPLES)


def wanted(query: str, *, by_people: bool) -> bool:
    """`query` as it came; `by_people`: who asks is one of them, if it does not say otherwise."""
    if "pretty=" in query:
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if name == "pretty" and value:
                return value in _TRUE
    return by_people


def indent(response: Response) -> None:
    """In place; what is no JSON, or comes in a stream, stays as it is."""
    body = response.body
    if not isinstance(body, bytes) or len(body) > SIZE_BYTES_MAX:
        return
    if response.headers.get("Content-Type", "").startswith("application/json"):
        response.body = msgspec.json.format(body, indent=2)
