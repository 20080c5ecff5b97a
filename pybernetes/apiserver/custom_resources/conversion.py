"""ConversionReview: what a conversion webhook is asked, and what of its answer counts. All pure.

A webhook may change everything but the metadata; of that, labels and annotations.

Source: API reference of apiextensions.k8s.io/v1;
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

import orjson

from pybernetes.apiserver.registry import checks
from pybernetes.machinery.codec import go_name
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, parse_api_version

GROUP: Final = "apiextensions.k8s.io"
KIND: Final = "ConversionReview"
VERSIONS: Final = ("v1", "v1beta1")
# A single object has no list around it, whose kind upstream names here.
ALONE: Final = "/, Kind="


class Failure(StrEnum):
    """What was wrong with an answer, as metrics have it."""

    CALL = "conversion_webhook_call_failure"
    MALFORMED = "conversion_webhook_malformed_response_failure"
    PARTIAL = "conversion_webhook_partial_response_failure"
    INVALID_OBJECT = "conversion_webhook_invalid_converted_object_failure"


class InvalidAnswer(Exception):
    """An answer that cannot be used: the message says why."""

    def __init__(self, failure: Failure, why: str) -> None:
        super().__init__(why)
        self.failure = failure


def review_version(offered: Sequence[str]) -> str:
    """The first version that the webhook and we both know. Raises ValueError."""
    for version in offered:
        if version in VERSIONS:
            return version
    raise ValueError("no supported conversion review versions")


def question(objects: Sequence[Object], api_version: str, uid: str, version: str) -> Object:
    return {
        "kind": KIND, "apiVersion": f"{GROUP}/{version}",
        "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(objects)},
    }  # fmt: skip


def answered(review: Any, uid: str, version: str) -> Sequence[Any]:
    """The converted objects of a successful answer. Raises `InvalidAnswer`."""
    if version == "v1":  # v1beta1 was never checked that closely
        expected, given = described({"apiVersion": f"{GROUP}/{version}", "kind": KIND}), described(review)
        if given != expected:
            raise InvalidAnswer(Failure.CALL, f"expected webhook response of {expected}, got {given}")
    response = review.get("response") if isinstance(review, dict) else None
    if not isinstance(response, dict):
        raise InvalidAnswer(Failure.CALL, "no response provided")
    if version == "v1" and response.get("uid", "") != uid:
        raise InvalidAnswer(Failure.CALL, f'expected response.uid="{uid}", got {_quoted(response.get("uid", ""))}')
    result = response.get("result")
    result = result if isinstance(result, dict) else {}
    status = result.get("status", "")
    if status != "Success":
        raise InvalidAnswer(Failure.CALL, result.get("message") or f"response.result.status was '{status}', not 'Success'")
    return response.get("convertedObjects") or ()


def restored(originals: Sequence[Object], converted: Sequence[Any], api_version: str) -> list[Object]:
    """The converted objects with the metadata that they had. Raises `InvalidAnswer`: then none of them counts."""
    if len(converted) != len(originals):
        why = f"returned {len(converted)} objects, expected {len(originals)}"
        raise InvalidAnswer(Failure.PARTIAL, why)
    return [
        _restored(original, obj, api_version, place)
        for place, (original, obj) in enumerate(zip(originals, converted, strict=True), start=1)
    ]


def described(obj: Any) -> str:
    """`example.com/v1, Kind=Widget`, as Go prints it."""
    api_version, kind = (obj.get(name, "") for name in ("apiVersion", "kind")) if isinstance(obj, dict) else ("", "")
    group, version = parse_api_version(str(api_version))
    return f"{group}/{version}, Kind={kind}"


def _restored(original: Object, converted: Any, api_version: str, place: int) -> Object:
    invalid = f"returned invalid converted object at index {place}"
    if not isinstance(converted, dict):
        why = f"json: cannot unmarshal {go_name(converted)} into Go value of type map[string]interface {{}}"
        raise InvalidAnswer(Failure.INVALID_OBJECT, f"{invalid}: {why}")
    for name, expected, given in (
        ("groupVersion", api_version, converted.get("apiVersion", "")),
        ("kind", original["kind"], converted.get("kind", "")),
    ):
        if given != expected:
            raise InvalidAnswer(Failure.INVALID_OBJECT, f"{invalid}: invalid {name} (expected {expected}, received {given})")
    metadata = converted.get("metadata")
    before: Object = original["metadata"]
    for name, field in (("name", "name"), ("namespace", "namespace"), ("UID", "uid")):
        given = metadata.get(field) if isinstance(metadata, dict) else ""
        given = given if isinstance(given, str) else ""
        if given != before.get(field, ""):
            why = f"{invalid}: must have the same {name}: {before.get(field, '')} != {given}"
            raise InvalidAnswer(Failure.INVALID_OBJECT, why)
    try:
        kept = _metadata(before, converted, metadata)
    except ValueError as error:
        why = f"returned invalid metadata in object at index {place}: {error}"
        raise InvalidAnswer(Failure.INVALID_OBJECT, why) from error
    return {"kind": original["kind"], "apiVersion": api_version, **converted, "metadata": kept}


def _metadata(before: Object, converted: Object, given: Any) -> Object:
    """What there was, with the labels and annotations of the answer. Raises ValueError."""
    if "metadata" not in converted:
        raise ValueError("missing metadata in converted object")
    if not isinstance(given, dict):
        raise ValueError(f"invalid metadata of type {_go_type(given)} in converted object")
    kept = dict(before)
    for field in ("labels", "annotations"):
        found = given.get(field)
        if found is None:
            kept.pop(field, None)
            continue
        if not isinstance(found, dict):
            raise ValueError(f"invalid metadata.{field} of type {_go_type(found)} in converted object")
        for key, value in found.items():
            if not isinstance(value, str):
                raise ValueError(f"metadata.{field}[{key}] must be a string, but is {_go_type(value)} in converted object")
        if found != before.get(field, {}):
            _check(field, found)
        kept[field] = found
    return kept


def _check(field: str, found: Object) -> None:
    # Upstream writes "annotation" here, without an s.
    errors: Iterable[FieldError] = (
        checks.label_map(found, "metadata.labels") if field == "labels" else checks.annotation_map(found, "metadata.annotation")
    )
    sentences = [str(error) for error in errors]
    if sentences:
        raise ValueError(sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]")


def _go_type(value: Any) -> str:
    names = {
        list: "[]interface {}",
        dict: "map[string]interface {}",
        str: "string",
        bool: "bool",
        int: "int64",
        float: "float64",
    }
    return names.get(type(value), "<nil>")


def _quoted(value: Any) -> str:
    return orjson.dumps(value).decode()
