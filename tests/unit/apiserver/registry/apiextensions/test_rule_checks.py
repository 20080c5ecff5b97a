"""Rules of definitions: what is said of those that are none, and of those that could cost too much."""

from __future__ import annotations

from typing import Any

from pybernetes.apiserver.registry.apiextensions import rule_checks
from pybernetes.apiserver.registry.apiextensions.definition_checks import validate_create, validate_update

PATH = "spec.validation.openAPIV3Schema"
ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
)
TEXT = {"type": "string"}
COSTLY = "self.all(x, self.all(y, x == y))"


def errors(schema: Any, **options: bool) -> list[str]:
    return [str(error) for error in rule_checks.validate(schema, PATH, **options)]


def rules(*texts: str, **fields: Any) -> Any:
    return {"x-kubernetes-validations": [{"rule": text, **fields} for text in texts]}


def record(**properties: Any) -> Any:
    return {"type": "object", "properties": properties}


def test_a_rule_that_could_cost_too_much_is_refused_with_what_it_adds_up_to():
    at = f"{PATH}.properties[l].x-kubernetes-validations[0].rule"
    assert errors(record(l={"type": "array", "items": TEXT, **rules(COSTLY)})) == [
        f"{at}: Forbidden: estimated rule cost exceeds budget by factor of more than 100x {ADVICE}",
        f"{at}: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
        f"{PATH}: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by "
        f"factor of more than 100x {ADVICE}",
    ]
    assert errors(record(l={"type": "array", "items": {**TEXT, "maxLength": 20}, "maxItems": 50, **rules(COSTLY)})) == []


def test_the_factor_is_told_as_exactly_as_it_matters():
    def schema(count: int) -> Any:
        return {"type": "array", "maxItems": count, "items": {"type": "boolean"}, **rules("self.all(x, true)")}

    assert errors(schema(3_333_332)) == []
    assert "by factor of 1.200000x" in errors(schema(4_000_000))[0]
    assert "by factor of 6.0x" in errors(schema(20_000_000))[0]


def test_a_rule_costs_as_often_as_its_value_can_be_there():
    def nested(**limits: Any) -> Any:
        items = {**record(name={**TEXT, **rules("self.matches('^[a-z]+$')")}), "maxProperties": 1}
        return record(l={"type": "array", "items": items, **limits})

    at = f"{PATH}.properties[l].items.properties[name].x-kubernetes-validations[0].rule"
    assert errors(nested())[0] == f"{at}: Forbidden: estimated rule cost exceeds budget by factor of more than 100x {ADVICE}"
    assert errors(nested(maxItems=10)) == []
    assert errors(nested(maxItems=100))[0].startswith(f"{at}: Forbidden: estimated rule cost exceeds budget by factor of 6.3x")


def test_many_rules_may_be_too_much_together_and_the_four_worst_are_told():
    fair = {"type": "array", "maxItems": 3_000_000, "items": {"type": "boolean"}}
    worse = {**fair, "maxItems": 3_300_000}
    names = [f"f{n:02}" for n in range(12)]
    schema = record(**{name: {**(worse if n >= 8 else fair), **rules("self.all(x, true)")} for n, name in enumerate(names)})
    contributed, total = errors(schema)[:-1], errors(schema)[-1]
    assert [error.partition(".x-kube")[0] for error in contributed] == [f"{PATH}.properties[{name}]" for name in names[8:]]
    assert "for entire OpenAPIv3 schema exceeds budget by factor of 1.116000x" in total


def test_messages_that_are_computed_cost_too():
    rule = {"rule": "self.a == 1", "messageExpression": "'is ' + string(self.a)"}
    schema = {**record(a={"type": "integer"}), "x-kubernetes-validations": [rule]}
    at = f"{PATH}.x-kubernetes-validations[0].messageExpression"
    assert (
        errors(schema)[0]
        == f"{at}: Forbidden: estimated messageExpression cost exceeds budget by factor of more than 100x {ADVICE}"
    )


def test_expressions_must_give_what_they_are_for():
    at = f"{PATH}.x-kubernetes-validations[0]"
    (error,) = errors({"type": "integer", **rules("self + 1")})
    assert error.startswith(f"{at}.rule: Invalid value: ") and error.endswith("}: cel expression must evaluate to a bool")
    (error,) = errors({"type": "integer", **rules("self > 1", messageExpression="self")})
    assert error.startswith(f"{at}.messageExpression: ") and error.endswith("messageExpression must evaluate to a string")
    (error,) = errors({"type": "integer", **rules("self > 'a'")})
    assert ": compilation failed: ERROR: <input>:1:6: found no matching overload for '_>_' applied to '(int, string)'" in error


def test_what_the_schema_says_nothing_of_is_not_there_for_rules():
    unknown = {"x-kubernetes-preserve-unknown-fields": True}
    assert errors({**record(a=unknown, b={"type": "array", "items": unknown}), **rules("has(self.a) || has(self.b)")})
    assert errors({**record(a={"type": "object", **unknown}), **rules("has(self.a)")}) == []
    (error,) = errors(record(a={**unknown, **rules("true")}))
    assert "unable to convert structural schema to CEL declarations" in error


def test_old_values_are_there_only_where_they_can_be_told_apart():
    at = f"{PATH}.properties[l].items.x-kubernetes-validations[0]"
    (error,) = errors(record(l={"type": "array", "items": {**TEXT, **rules("self == oldSelf")}, "maxItems": 5}))
    sentence = "oldSelf cannot be used on the uncorrelatable portion of the schema within"
    assert error == f'{at}.rule: Invalid value: "self == oldSelf": {sentence} {PATH}.properties[l]'
    (error,) = errors({**TEXT, **rules("self == 'a'", optionalOldSelf=True)})
    assert error.endswith("optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule")


def test_rules_wait_for_a_schema_that_is_right():
    schema = {**record(a={"type": "integer", **rules("self > 1", message=" ")}), **rules("self.nope")}
    (error,) = errors(schema)
    assert error.endswith("message must be non-empty if specified")


def definition(schema: Any, *names: str) -> Any:
    return {
        "metadata": {"name": "xs.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "conversion": {"strategy": "None"},
            "names": {"plural": "xs", "singular": "x", "kind": "X", "listKind": "XList"},
            "versions": [
                {"name": name, "served": True, "storage": not n, "schema": {"openAPIV3Schema": {**schema, "description": name}}}
                for n, name in enumerate(names)
            ],
        },
        "status": {"storedVersions": [names[0]]},
    }  # fmt: skip


def test_what_is_stored_is_let_be_until_its_schema_changes():
    costly = record(spec={"type": "array", "maxItems": 4_000_000, "items": {"type": "boolean"}, **rules("self.all(x, true)")})
    stored = definition(costly, "v1")
    assert len(list(validate_create(stored))) == 1
    renamed = {**stored, "metadata": {"name": "xs.example.com", "labels": {"a": "b"}}}
    assert list(validate_update(renamed, stored)) == []
    (error,) = validate_update(definition(costly, "v1", "v2"), stored)
    assert error.field.startswith("spec.versions[1].schema.openAPIV3Schema.properties[spec]")
