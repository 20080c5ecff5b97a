"""Selectors as authorization sees them: what a list or watch is narrowed to (KEP-4601). All pure.

Requests carry them as text, reviews as text or as requirements; either way they become text in `RequestInfo`. What cannot be
understood is left out: a request is then judged as the wider one that it would be without.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from pybernetes.machinery import fields, labels
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.meta import Object

_OF_LABELS: Final = {
    labels.EQUALS: "In", labels.DOUBLE_EQUALS: "In", labels.IN: "In", labels.NOT_EQUALS: "NotIn", labels.NOT_IN: "NotIn",
    labels.EXISTS: "Exists", labels.DOES_NOT_EXIST: "DoesNotExist",
}  # fmt: skip
_TO_LABELS: Final = {"In": labels.IN, "NotIn": labels.NOT_IN, "Exists": labels.EXISTS, "DoesNotExist": labels.DOES_NOT_EXIST}


class Understood(NamedTuple):
    """A selector's text, and whether a part of what was asked is missing from it."""

    text: str
    incomplete: bool = False


def field_selector(attributes: Object | None) -> Understood:
    """Of `FieldSelectorAttributes`."""
    return _understood(attributes, fields.parse, _field_term)


def label_selector(attributes: Object | None) -> Understood:
    """Of `LabelSelectorAttributes`."""
    return _understood(attributes, labels.parse, _label_term)


def field_requirements(text: str) -> Sequence[Object]:
    """The text as `FieldSelectorRequirement`s; none if it says nothing."""
    try:
        found = fields.parse(text).requirements
    except BadRequest:
        return ()
    return [
        {"key": term.field, "operator": "In" if term.operator == "=" else "NotIn", "values": [term.value]} for term in found
    ]


def label_requirements(text: str) -> Sequence[Object]:
    """The text as `LabelSelectorRequirement`s; comparisons, which those cannot say, are left out."""
    try:
        found = labels.parse(text).requirements
    except BadRequest:
        return ()
    requirements = []
    for term in found:
        if term.operator in _OF_LABELS:
            values = {"values": list(term.values)} if term.values else {}
            requirements.append({"key": term.key, "operator": _OF_LABELS[term.operator], **values})
    return requirements


def _understood(
    attributes: Object | None, parse: Callable[[str], object], to_text: Callable[[Object], str | None]
) -> Understood:
    if not attributes:
        return Understood("")
    if raw := attributes.get("rawSelector"):
        try:
            parse(raw)
        except BadRequest:
            return Understood("", incomplete=True)
        return Understood(str(raw))
    terms = [to_text(requirement) for requirement in attributes.get("requirements") or ()]
    understood = [term for term in terms if term is not None]
    return Understood(",".join(understood), incomplete=len(understood) < len(terms))


def _field_term(requirement: Object) -> str | None:
    values: Sequence[str] = requirement.get("values") or ()
    operator = requirement.get("operator")
    if operator not in ("In", "NotIn") or len(values) != 1:
        return None
    return fields.Requirement(requirement["key"], "=" if operator == "In" else "!=", values[0]).to_string()


def _label_term(requirement: Object) -> str | None:
    operator = _TO_LABELS.get(requirement.get("operator", ""))
    if operator is None:
        return None
    try:
        return labels.Requirement.checked(requirement["key"], operator, requirement.get("values") or ()).to_string()
    except ValueError:
        return None


def evaluation_errors(attributes: Object) -> Iterator[str]:
    """What a review's answer says of the selectors in its `resourceAttributes` that were not (wholly) understood."""
    found = (
        ("fieldSelector", field_selector(attributes.get("fieldSelector"))),
        ("labelSelector", label_selector(attributes.get("labelSelector"))),
    )
    for name, selector in found:
        if selector.incomplete:
            how = "partially ignored" if selector.text else "ignored"
            yield f"spec.resourceAttributes.{name} {how} due to parse error"
