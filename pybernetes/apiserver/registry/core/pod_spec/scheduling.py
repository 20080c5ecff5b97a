"""Validation of where a pod may go: node selectors, affinity, tolerations, topology spread."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.apiserver.registry import checks
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def validate_affinity(affinity: Object, path: str) -> Iterator[FieldError]:
    node = affinity.get("nodeAffinity")
    if node:
        here = path + ".nodeAffinity"
        if node.get(_REQUIRED) is not None:
            yield from validate_node_selector(node[_REQUIRED], f"{here}.{_REQUIRED}")
        for i, term in enumerate(node.get(_PREFERRED) or ()):
            term_path = f"{here}.{_PREFERRED}[{i}]"
            yield from _weight(term.get("weight", 0), term_path)
            yield from _validate_node_term(term.get("preference") or {}, term_path + ".preference")
    for field in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(field)
        if pods:
            here = f"{path}.{field}"
            for i, term in enumerate(pods.get(_REQUIRED) or ()):
                yield from _validate_pod_term(term, f"{here}.{_REQUIRED}[{i}]")
            for i, term in enumerate(pods.get(_PREFERRED) or ()):
                term_path = f"{here}.{_PREFERRED}[{i}]"
                yield from _weight(term.get("weight", 0), term_path)
                yield from _validate_pod_term(term.get("podAffinityTerm") or {}, term_path + ".podAffinityTerm")


def _weight(weight: int, path: str) -> Iterator[FieldError]:
    if not 1 <= weight <= 100:
        yield FieldError.invalid(path + ".weight", weight, "must be in the range 1-100")


def validate_node_selector(selector: Object, path: str) -> Iterator[FieldError]:
    """`v1.NodeSelector`: of a pod, a volume, a resource claim."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        yield FieldError.required(path + ".nodeSelectorTerms", "must have at least one node selector term")
    for i, term in enumerate(terms):
        yield from _validate_node_term(term, f"{path}.nodeSelectorTerms[{i}]")


def _validate_node_term(term: Object, path: str) -> Iterator[FieldError]:
    for i, requirement in enumerate(term.get("matchExpressions") or ()):
        yield from _validate_node_expression(requirement, f"{path}.matchExpressions[{i}]")
    for i, requirement in enumerate(term.get("matchFields") or ()):
        yield from _validate_node_field(requirement, f"{path}.matchFields[{i}]")


def _validate_node_expression(requirement: Object, path: str) -> Iterator[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield FieldError.required(path + ".values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield FieldError.forbidden(path + ".values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield FieldError.required(path + ".values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield FieldError.invalid(path + ".operator", operator, "not a valid selector operator")
    yield from checks.invalid_by(path + ".key", requirement.get("key", ""), validation.label_key_errors)
    for i, value in enumerate(values):
        yield from checks.invalid_by(f"{path}.values[{i}]", value, validation.label_value_errors)


def _validate_node_field(requirement: Object, path: str) -> Iterator[FieldError]:
    operator, values, key = requirement.get("operator", ""), requirement.get("values") or (), requirement.get("key", "")
    if operator in ("In", "NotIn"):
        if len(values) != 1:
            sentence = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            yield FieldError.required(path + ".values", sentence)
    else:
        yield FieldError.invalid(path + ".operator", operator, "not a valid selector operator")
    if key != "metadata.name":
        yield FieldError.invalid(path + ".key", key, "not a valid field selector key")
        return
    for i, value in enumerate(values):
        yield from checks.invalid_by(f"{path}.values[{i}]", value, validation.dns_1123_subdomain_errors)


def _validate_pod_term(term: Object, path: str) -> Iterator[FieldError]:
    yield from checks.label_selector(term.get("labelSelector"), path + ".labelSelector")
    yield from checks.label_selector(term.get("namespaceSelector"), path + ".namespaceSelector")
    for namespace in term.get("namespaces") or ():
        yield from checks.invalid_by(path + ".namespace", namespace, validation.dns_1123_label_errors)
    yield from _validate_match_label_keys(term, "matchLabelKeys", path)
    yield from _validate_match_label_keys(term, "mismatchLabelKeys", path)
    topology_key = term.get("topologyKey", "")
    if not topology_key:
        yield FieldError.required(path + ".topologyKey", "can not be empty")
    yield from checks.invalid_by(path + ".topologyKey", topology_key, validation.label_key_errors)


def _validate_match_label_keys(term: Object, field: str, path: str) -> Iterator[FieldError]:
    keys = term.get(field)
    if not keys:
        return
    if term.get("labelSelector") is None:
        yield FieldError.forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set")
        return
    for i, key in enumerate(keys):
        yield from checks.invalid_by(f"{path}.{field}[{i}]", key, validation.label_key_errors)


def validate_tolerations(tolerations: list[Object], path: str) -> Iterator[FieldError]:
    for i, toleration in enumerate(tolerations):
        here = f"{path}[{i}]"
        key, operator = toleration.get("key", ""), toleration.get("operator", "")
        value, effect = toleration.get("value", ""), toleration.get("effect", "")
        if key:
            yield from checks.invalid_by(here + ".key", key, validation.label_key_errors)
        elif operator != "Exists":
            sentence = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield FieldError.invalid(here + ".operator", operator, sentence)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            yield FieldError.invalid(here + ".effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        if operator in ("", "Equal"):
            if value and (sentences := validation.label_value_errors(value)):
                yield FieldError.invalid(here + ".operator", value, ";".join(sentences))
        elif operator == "Exists":
            if value:
                fields = {"Key": "", "Operator": "", "Value": "", "Effect": "", "TolerationSeconds": None}
                sentence = "value must be empty when `operator` is 'Exists'"
                yield checks.invalid_struct(here + ".operator", toleration, fields, sentence)
        else:
            yield FieldError.not_supported(here + ".operator", operator, ("Equal", "Exists"))
        if effect:
            yield from checks.one_of(effect, TAINT_EFFECTS, here + ".effect")


def validate_topology_spread(constraints: list[Object], path: str) -> Iterator[FieldError]:
    for i, constraint in enumerate(constraints):
        here = f"{path}[{i}]"
        skew, key = constraint.get("maxSkew", 0), constraint.get("topologyKey", "")
        when = constraint.get("whenUnsatisfiable", "")
        if skew <= 0:
            yield FieldError.invalid(here + ".maxSkew", skew, "must be greater than zero")
        if not key:
            yield FieldError.required(here + ".topologyKey", "can not be empty")
        yield from checks.one_of(when, ("DoNotSchedule", "ScheduleAnyway"), here + ".whenUnsatisfiable")
        if any((other.get("topologyKey"), other.get("whenUnsatisfiable")) == (key, when) for other in constraints[i + 1 :]):
            yield FieldError.duplicate(here + ".{topologyKey, whenUnsatisfiable}", f"{{{key}, {when}}}")
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                yield FieldError.invalid(here + ".minDomains", domains, "must be greater than zero")
            if when != "DoNotSchedule":
                sentence = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
                yield FieldError.invalid(here + ".minDomains", domains, sentence)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(field) is not None:
                yield from checks.one_of(constraint[field], ("Honor", "Ignore"), f"{here}.{field}")
        yield from _validate_match_label_keys(constraint, "matchLabelKeys", here)
        yield from checks.label_selector(constraint.get("labelSelector"), here + ".labelSelector")
