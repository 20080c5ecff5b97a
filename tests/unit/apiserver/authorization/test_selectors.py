"""Selectors of reviews and of requests say the same."""

import string

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.authorization.selectors import (
    field_requirements,
    field_selector,
    label_requirements,
    label_selector,
)
from pybernetes.machinery import labels

values = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
keys = st.text(string.ascii_lowercase, min_size=1, max_size=8)
anything = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=8)
field_terms = st.fixed_dictionaries(
    {"key": keys, "operator": st.sampled_from(["In", "NotIn"]), "values": st.lists(anything, min_size=1, max_size=1)}
)
label_terms = st.one_of(
    st.fixed_dictionaries({"key": keys, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
    st.fixed_dictionaries({
        "key": keys, "operator": st.sampled_from(["In", "NotIn"]),
        "values": st.lists(values, min_size=1, max_size=3, unique=True).map(sorted),
    }),
)  # fmt: skip


@given(st.lists(field_terms, max_size=4))
def test_fields_survive_being_written_as_text(requirements):
    understood = field_selector({"requirements": requirements} if requirements else None)
    assert not understood.incomplete
    assert list(field_requirements(understood.text)) == requirements


@given(st.lists(label_terms, max_size=4))
def test_labels_survive_being_written_as_text(requirements):
    understood = label_selector({"requirements": requirements} if requirements else None)
    assert not understood.incomplete
    in_order = sorted(requirements, key=lambda requirement: requirement["key"])
    assert list(label_requirements(understood.text)) == in_order


@given(st.text(max_size=20))
def test_any_text_is_understood_or_left_out(text):
    for selector, requirements in ((field_selector, field_requirements), (label_selector, label_requirements)):
        understood = selector({"rawSelector": text})
        assert understood.text in ("", text)
        assert understood.incomplete or requirements(text) is not None


def test_comparisons_cannot_be_passed_on():
    assert label_requirements("size>3") == []
    assert not labels.parse("size>3").matches_everything
