"""Expressions that take as long as they may: whoever asks something else meanwhile is served, and verdicts stay the same."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from tests.component.apiserver.custom_resources.test_field_validation import define
from tests.component.apiserver.policies.conftest import CONFIG_MAPS, GROUP, rules

if TYPE_CHECKING:
    from tests.component.apiserver.conftest import Server

THINGS = "/apis/example.com/v1beta1/things"
ITEMS = [f"item {n}" for n in range(100)]
EACH_WITH_EACH = "{0}.all(a, {0}.all(b, a != b || a == b || {1} > 0))"


async def served_meanwhile(server: Server, write: Coroutine[Any, Any, Any]) -> tuple[int, Any]:
    """How many reads were answered while the write was under way, one after the other, and its answer."""
    writing = asyncio.create_task(write)
    reads = 0
    while not writing.done():
        assert (await server.send("GET", "/api/v1/namespaces/default")).status == 200
        await asyncio.sleep(0)  # in this process, an answer alone is no turn of the loop
        reads += 1
    return reads, await writing


async def test_reads_are_answered_while_the_rules_of_a_definition_are_asked(server: Server) -> None:
    held = [{"rule": EACH_WITH_EACH.format("self.l", n)} for n in range(10)]
    texts = {"type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 10}}
    await define(server, {
        "type": "object", "properties": {"l": texts},
        "x-kubernetes-validations": [*held, {"rule": "self.l.size() < 100", "message": "too many"}],
    })  # fmt: skip
    thing: dict[str, Any] = {"metadata": {"name": "t"}, "spec": {"l": ITEMS}}
    reads, answer = await served_meanwhile(server, server.ask("POST", THINGS, thing))
    assert answer["message"] == 'Thing.example.com "t" is invalid: spec: Invalid value: too many'
    assert reads > 50
    thing["spec"]["l"] = ITEMS[:99]
    reads, answer = await served_meanwhile(server, server.ask("POST", THINGS, thing))
    assert answer["spec"] == thing["spec"] and reads > 50


async def test_reads_are_answered_while_policies_are_followed(server: Server, validating: Any, mutating: Any) -> None:
    words = "object.data.l.split(',')"
    await validating(*[EACH_WITH_EACH.format(words, n) for n in range(5)], "object.data.seen == 'all'")
    await mutating(f"Object{{data: {{'seen': {EACH_WITH_EACH.format(words, 0)} ? 'all' : 'none'}}}}")
    body = {"metadata": {"name": "c"}, "data": {"l": ",".join(ITEMS)}}
    reads, answer = await served_meanwhile(server, server.ask("POST", CONFIG_MAPS, body))
    assert answer["data"]["seen"] == "all" and reads > 20


async def test_a_write_is_abandoned_while_its_policies_are_followed(server: Server, validating: Any) -> None:
    await validating(*[EACH_WITH_EACH.format("object.data.l.split(',')", n) for n in range(10)])
    body = {"metadata": {"name": "c"}, "data": {"l": ",".join(ITEMS)}}
    writing = asyncio.create_task(server.send("POST", CONFIG_MAPS, body))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not writing.done()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert (await server.send("GET", f"{CONFIG_MAPS}/c")).status == 404
    assert (await server.send("POST", CONFIG_MAPS, {"metadata": {"name": "d"}, "data": {"l": "a"}})).status == 201


async def test_reads_are_answered_while_long_expressions_are_compiled(server: Server) -> None:
    long = "[" + ", ".join(["object.metadata.name == 'a'"] * 3000) + "].size() > 0"
    policy = {"metadata": {"name": "p"}, "spec": {"matchConstraints": rules(), "validations": [{"expression": long}]}}
    reads, answer = await served_meanwhile(server, server.ask("POST", f"{GROUP}/validatingadmissionpolicies", policy))
    assert answer["kind"] == "ValidatingAdmissionPolicy" and reads > 10
    binding = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}}
    await server.ask("POST", f"{GROUP}/validatingadmissionpolicybindings", binding)
    reads, answer = await served_meanwhile(server, server.ask("POST", CONFIG_MAPS, {"metadata": {"name": "c"}}))
    assert answer["kind"] == "ConfigMap" and reads > 10
