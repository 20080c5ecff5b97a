from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.custom_resources import conversion
from pybernetes.apiserver.custom_resources.conversion import InvalidAnswer
from pybernetes.apiserver.custom_resources.converter import Memory
from pybernetes.apiserver.registry.conversion import ConversionFailed

ORIGINAL: Any = {
    "kind": "Widget", "apiVersion": "example.com/v1", "spec": {},
    "metadata": {"name": "w", "uid": "u", "labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["example.com/f"]},
}  # fmt: skip


def converted(**metadata: Any) -> Any:
    return {**ORIGINAL, "apiVersion": "example.com/v2", "metadata": {**ORIGINAL["metadata"], **metadata}}


def restored(obj: Any) -> Any:
    return conversion.restored([ORIGINAL], [obj], "example.com/v2")[0]


def test_the_review_is_in_the_first_version_that_both_know():
    assert conversion.review_version(["v9", "v1beta1", "v1"]) == "v1beta1"
    with pytest.raises(ValueError, match="no supported conversion review versions"):
        conversion.review_version(["v9"])


def test_labels_and_annotations_are_the_webhooks_and_the_rest_of_the_metadata_is_not():
    made = restored({**converted(labels={"x": "y"}, finalizers=[], generation=7, annotations=None), "spec": {"n": 1}})
    assert made["metadata"] == {"name": "w", "uid": "u", "labels": {"x": "y"}, "finalizers": ["example.com/f"]}
    assert (made["apiVersion"], made["spec"]) == ("example.com/v2", {"n": 1})
    assert ORIGINAL["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("obj", "sentence"),
    [
        ([], "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ({**converted(), "apiVersion": "b/v3"}, "invalid groupVersion (expected example.com/v2, received b/v3)"),
        ({**converted(), "kind": "Other"}, "invalid kind (expected Widget, received Other)"),
        (converted(name="other"), "must have the same name: w != other"),
        (converted(namespace="other"), "must have the same namespace:  != other"),
        (converted(uid="other"), "must have the same UID: u != other"),
    ],
)  # fmt: skip
def test_an_object_that_is_another_one_does_not_count(obj: Any, sentence: str):
    with pytest.raises(InvalidAnswer) as error:
        restored(obj)
    assert str(error.value) == f"returned invalid converted object at index 1: {sentence}"


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"labels": []}, "invalid metadata.labels of type []interface {} in converted object"),
        ({"annotations": {"a": 1}}, "metadata.annotations[a] must be a string, but is int64 in converted object"),
        ({"labels": {"-": "x"}}, 'metadata.labels: Invalid value: "-"'),
        ({"annotations": {"-": "x"}}, 'metadata.annotation: Invalid value: "-"'),
    ],
)
def test_metadata_that_would_not_be_accepted_of_a_client_is_not_of_a_webhook(metadata: Any, sentence: str):
    with pytest.raises(InvalidAnswer) as error:
        restored(converted(**metadata))
    assert str(error.value).startswith(f"returned invalid metadata in object at index 1: {sentence}")


def test_as_many_objects_are_expected_as_were_sent():
    with pytest.raises(InvalidAnswer, match="returned 2 objects, expected 1"):
        conversion.restored([ORIGINAL], [converted(), converted()], "example.com/v2")


@pytest.mark.parametrize(
    ("version", "change", "sentence"),
    [
        ("v1", {"apiVersion": "apiextensions.k8s.io/v1beta1"}, "expected webhook response of apiextensions.k8s.io/v1, Kind="
         "ConversionReview, got apiextensions.k8s.io/v1beta1, Kind=ConversionReview"),
        ("v1", {"response": None}, "no response provided"),
        ("v1", {"response": {"uid": "other"}}, 'expected response.uid="u", got "other"'),
        ("v1", {"response": {"uid": "u"}}, "response.result.status was '', not 'Success'"),
        ("v1beta1", {"response": {"result": {"status": "Failure", "message": "no"}}}, "no"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_says_why(version: str, change: Any, sentence: str):
    review = {
        "kind": "ConversionReview", "apiVersion": f"apiextensions.k8s.io/{version}",
        "response": {"uid": "u", "result": {"status": "Success"}, "convertedObjects": []}, **change,
    }  # fmt: skip
    with pytest.raises(InvalidAnswer) as error:
        conversion.answered(review, "u", version)
    assert str(error.value) == sentence


async def test_who_asks_while_somebody_asks_waits_for_the_same_call():
    memory, calls, gate = Memory(), list[Sequence[bytes]](), asyncio.Event()

    async def convert(sources: Sequence[bytes]) -> Sequence[bytes]:
        calls.append(sources)
        await gate.wait()
        return [source.upper() for source in sources]

    first = asyncio.create_task(memory.converted("scope", [b"a", b"b"], convert))
    second = asyncio.create_task(memory.converted("scope", [b"b", b"c", b"b"], convert))
    await asyncio.sleep(0)
    first.cancel()  # the call goes on: another one needs it
    gate.set()
    assert await second == [b"B", b"C", b"B"]
    assert calls == [(b"a", b"b"), (b"c",)]
    assert memory.get("scope", b"a") == b"A" and memory.get("other", b"a") is None


async def test_who_waited_for_a_call_that_failed_asks_alone():
    """It may have failed over another object of the same review."""
    memory, calls, gate = Memory(), list[Sequence[bytes]](), asyncio.Event()

    async def convert(sources: Sequence[bytes]) -> Sequence[bytes]:
        calls.append(sources)
        await gate.wait()
        if b"bad" in sources:
            raise ConversionFailed("bad")
        return sources

    first = asyncio.create_task(memory.converted("scope", [b"a", b"bad"], convert))
    await asyncio.sleep(0)
    second = asyncio.create_task(memory.converted("scope", [b"a", b"b"], convert))
    await asyncio.sleep(0)
    gate.set()
    assert await second == [b"a", b"b"]
    with pytest.raises(ConversionFailed):
        await first
    assert calls == [(b"a", b"bad"), (b"b",), (b"a",)]


async def test_a_failed_call_is_not_remembered():
    memory = Memory()

    async def fail(_: Sequence[bytes]) -> Sequence[bytes]:
        raise ConversionFailed("no")

    async def convert(sources: Sequence[bytes]) -> Sequence[bytes]:
        return sources

    with pytest.raises(ConversionFailed):
        await memory.converted("scope", [b"a"], fail)
    assert await memory.converted("scope", [b"a"], convert) == [b"a"]


@given(st.lists(st.integers(0, 20)), st.integers(1, 60))
def test_memory_keeps_to_its_limit_and_forgets_the_longest_unused(keys: list[int], limit: int):
    async def run() -> None:
        memory, used = Memory(limit), list[bytes]()

        async def convert(sources: Sequence[bytes]) -> Sequence[bytes]:
            return sources

        for key in keys:
            source = bytes([65 + key]) * 3
            await memory.converted("scope", [source], convert)
            used = [found for found in used if found != source] + [source]
        kept = max(limit // 6, 1)
        for place, source in enumerate(reversed(used)):
            assert (memory._known.get(("scope", source)) is not None) == (place < kept)

    asyncio.run(run())
