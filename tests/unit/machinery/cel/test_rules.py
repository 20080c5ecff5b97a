"""Rules of schemas: where they are asked, against what, and how their failures look."""

from __future__ import annotations

from typing import Any

from pybernetes.machinery.cel.rules import Rules


def failures(spec_schema: Any, spec: Any, old: Any = None) -> list[str]:
    rules = Rules({"type": "object", "properties": {"spec": spec_schema}})
    return [str(error) for error in rules.validate({"spec": spec}, None if old is None else {"spec": old})]


def schema(*rules: Any, **properties: Any) -> Any:
    return {"type": "object", "properties": properties, "x-kubernetes-validations": list(rules)}


INTEGER = {"type": "integer"}


def test_a_failure_names_its_field_and_reason_and_computes_its_message():
    rule = {
        "rule": "self.min <= self.max", "fieldPath": ".min", "reason": "FieldValueForbidden",
        "messageExpression": "'%d is over %d'.format([self.min, self.max])",
    }  # fmt: skip
    assert failures(schema(rule, min=INTEGER, max=INTEGER), {"min": 2, "max": 1}) == ["spec.min: Forbidden: 2 is over 1"]
    assert failures(schema(rule, min=INTEGER, max=INTEGER), {"min": 1, "max": 1}) == []


def test_without_a_message_the_rule_is_shown():
    assert failures(schema({"rule": "self.a > 1"}, a=INTEGER), {"a": 1}) == ["spec: Invalid value: failed rule: self.a > 1"]


def test_a_rule_that_cannot_be_evaluated_is_a_failure():
    assert failures(schema({"rule": "self.a > 1"}, a=INTEGER), {}) == [
        'spec: Invalid value: "object": no such key: a evaluating rule: self.a > 1'
    ]


def test_transition_rules_are_asked_of_updates_only():
    immutable = {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]}
    assert failures(schema(a=immutable), {"a": "1"}) == []
    assert failures(schema(a=immutable), {"a": "2"}, old={"a": "1"}) == ['spec.a: Invalid value: "2": is immutable']
    assert failures(schema(a=immutable), {"a": "2"}, old={}) == []


def test_an_optional_old_value_lets_a_rule_see_creations_too():
    once = {"rule": "oldSelf.hasValue() || self.a == 0", "optionalOldSelf": True, "message": "starts at 0"}
    assert failures(schema(once, a=INTEGER), {"a": 1}) == ["spec: Invalid value: starts at 0"]
    assert failures(schema(once, a=INTEGER), {"a": 1}, old={"a": 0}) == []


def test_items_of_lists_that_are_maps_are_compared_with_what_they_were():
    item = {
        "type": "object", "properties": {"k": {"type": "string"}, "v": INTEGER},
        "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "grows"}],
    }  # fmt: skip
    items = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    old = {"l": [{"k": "a", "v": 5}, {"k": "b", "v": 1}]}
    assert failures(schema(l=items), {"l": [{"k": "b", "v": 2}, {"k": "a", "v": 4}]}, old=old) == [
        "spec.l[1]: Invalid value: grows"
    ]


TALL = {**INTEGER, "x-kubernetes-validations": [{"rule": "self > 10"}]}


def judged(spec_schema: Any, spec: Any, old: Any) -> list[tuple[str, bool]]:
    rules = Rules({"type": "object", "properties": {"spec": spec_schema}})
    return [(error.field, error.warns) for error in rules.validate({"spec": spec}, {"spec": old})]


def test_of_what_an_update_left_as_it_was_there_are_warnings():
    strict = schema(a=TALL, b=INTEGER)
    assert judged(strict, {"a": 1, "b": 2}, old={"a": 1, "b": 1}) == [("spec.a", True)]
    assert judged(strict, {"a": 2, "b": 1}, old={"a": 1, "b": 1}) == [("spec.a", False)]
    assert judged(strict, {"a": 1}, old={"b": 1}) == [("spec.a", False)]
    assert judged(strict, {"a": 1}, old={"a": None}) == [("spec.a", False)]


def test_items_without_keys_are_as_they_were_if_their_list_is():
    several = schema(l={"type": "array", "items": TALL})
    assert judged(several, {"l": [1, 11, 2], "b": 1}, old={"l": [1, 11, 2]}) == [("spec.l[0]", True), ("spec.l[2]", True)]
    assert judged(several, {"l": [1, 11]}, old={"l": [1, 12]}) == [("spec.l[0]", False)]


def test_items_with_keys_are_compared_one_by_one():
    item = {"type": "object", "properties": {"k": {"type": "string"}, "v": TALL}}
    keyed = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    old, new = [{"k": "a", "v": 1}, {"k": "b", "v": 2}], [{"k": "b", "v": 3}, {"k": "a", "v": 1}, {"k": "c", "v": 4}]
    assert judged(schema(l=keyed), {"l": new}, old={"l": old}) == [
        ("spec.l[0].v", False), ("spec.l[1].v", True), ("spec.l[2].v", False),
    ]  # fmt: skip


def test_rules_about_changes_and_rules_that_cannot_be_evaluated_are_held_against_updates_all_the_same():
    changing = {**INTEGER, "x-kubernetes-validations": [{"rule": "self > oldSelf"}]}
    assert judged(schema(a=changing, b=INTEGER), {"a": 1, "b": 2}, old={"a": 1, "b": 1}) == [("spec.a", False)]
    lacking = {"rule": "self.a > 1"}
    assert judged(schema(c=schema(lacking, a=INTEGER), b=INTEGER), {"c": {}, "b": 2}, old={"c": {}}) == [("spec.c", False)]


def test_formats_give_typed_values():
    typed = schema(
        {"rule": "self.d < duration('1h') && self.t.getFullYear() == 2024 && self.n / 2.0 == 1.0"},
        d={"type": "string", "format": "duration"}, t={"type": "string", "format": "date-time"}, n={"type": "number"},
    )  # fmt: skip
    assert failures(typed, {"d": "5m", "t": "2024-01-01T00:00:00Z", "n": 2}) == []


def test_one_hostile_rule_ends_in_a_failure_not_in_a_stall():
    numbers = {"type": "array", "items": INTEGER}
    rule = {"rule": "self.l.all(a, self.l.all(b, self.l.all(c, a + b + c >= 0)))"}
    (failure,) = failures(schema(rule, l=numbers), {"l": list(range(300))})
    assert "cost limit exceeded" in failure


def test_what_costs_too_much_ends_the_validation_at_its_place():
    numbers = {"type": "array", "items": INTEGER}
    cubic = {"rule": "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"}
    costly, failing = (
        {**numbers, "x-kubernetes-validations": [cubic]},
        {**INTEGER, "x-kubernetes-validations": [{"rule": "self > 1"}]},
    )
    (failure,) = failures(schema(a=costly, b=failing), {"a": list(range(300)), "b": 0})
    assert failure.startswith(
        "spec.a: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further "
    )


def test_all_rules_of_an_object_have_one_budget(monkeypatch):
    monkeypatch.setattr("pybernetes.machinery.cel.rules.BUDGET", 1000)
    rule = {"rule": "self.all(a, a >= 0)"}
    lists = {name: {"type": "array", "items": INTEGER, "x-kubernetes-validations": [rule]} for name in "abc"}
    found = failures(schema(**lists), {name: list(range(150)) for name in "abc"})
    sentence = "validation failed due to running out of cost budget, no further validation rules will be run"
    assert found == [f'spec.b: Invalid value: "array": {sentence}']


def test_a_message_that_costs_too_much_ends_the_validation(monkeypatch):
    monkeypatch.setattr("pybernetes.machinery.cel.rules.BUDGET", 1000)
    rule = {"rule": "self.size() < 1", "messageExpression": "self.map(x, string(x)).join(',')"}
    numbers = {"type": "array", "items": INTEGER, "x-kubernetes-validations": [rule, rule]}
    (failure,) = failures(schema(a=numbers), {"a": list(range(150))})
    assert failure.endswith(
        "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
    )


def test_a_stored_rule_that_is_no_expression_any_more_fails_by_itself():
    lost = {**INTEGER, "x-kubernetes-validations": [{"rule": "self + 1"}, {"rule": "nope()"}, {"rule": "self > 1"}]}
    first, second, third = failures(schema(a=lost), {"a": 0})
    assert first == 'spec.a: Invalid value: "integer": rule compile error: cel expression must evaluate to a bool'
    assert second.startswith(
        'spec.a: Invalid value: "integer": rule compile error: compilation failed: ERROR: <input>:1:5: undeclared'
    )
    assert third == "spec.a: Invalid value: 0: failed rule: self > 1"


def test_failures_of_the_whole_object_have_no_field():
    rules = Rules({"type": "object", "x-kubernetes-validations": [{"rule": "self.metadata.name == 'one'"}]})
    (failure,) = rules.validate({"metadata": {"name": "two"}})
    assert str(failure) == "<nil>: Invalid value: failed rule: self.metadata.name == 'one'"
    (failure,) = rules.validate({"metadata": {}})
    assert str(failure) == "<nil>: Invalid value: \"object\": no such key: name evaluating rule: self.metadata.name == 'one'"
