from __future__ import annotations

import pytest

from pybernetes.apiserver import indenting
from pybernetes.machinery.http.messages import Response

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("query", "agent", "is_wanted"),
    [
        ("", "", False),
        ("", "kubectl/v1.36.0", False),
        ("", "curl/8.1", True),
        ("", "Wget/1.21", True),
        ("", "Mozilla/5.0 (X11)", True),
        ("pretty=true", "", True),
        ("limit=1&pretty=1", "", True),
        ("pretty=false", "curl/8.1", False),
        ("pretty=maybe", "curl/8.1", False),
        ("pretty=", "curl/8.1", True),
        ("notpretty=true", "", False),
    ],
)
def test_people_are_told_by_a_parameter_or_by_what_they_use(query: str, agent: str, is_wanted: bool) -> None:
    assert indenting.wanted(query, by_people=indenting.for_people(agent)) is is_wanted


def test_json_is_indented_to_the_byte_as_it_was_else() -> None:
    response = Response(200, dict(JSON), b'{"a":[1,12345678901234567890,1.50],"b":{},"c":"\\u003c\xc3\xa9"}')
    indenting.indent(response)
    assert isinstance(response.body, bytes)
    assert response.body.decode() == (
        '{\n  "a": [\n    1,\n    12345678901234567890,\n    1.50\n  ],\n  "b": {},\n  "c": "\\u003cé"\n}'
    )


def test_other_answers_and_large_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Response(200, {"Content-Type": "text/plain"}, b"{}")
    indenting.indent(text)
    assert text.body == b"{}"
    monkeypatch.setattr(indenting, "SIZE_BYTES_MAX", 5)
    large = Response(200, dict(JSON), b'{"a":1}')
    indenting.indent(large)
    assert large.body == b'{"a":1}'
