from __future__ import annotations

import pytest

from pybernetes.apiserver import habits
from pybernetes.machinery.http.messages import Memo, Request


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, (False, False, False)),
        ({"accept-encoding": "gzip"}, (True, False, False)),
        ({"impersonate-user": "somebody"}, (False, True, False)),
        ({"impersonate-extra-a": "b"}, (False, True, False)),
        ({"user-agent": "curl/8.1"}, (False, False, True)),
    ],
)
def test_they_are_read_off_the_fields(headers: dict[str, str], said: tuple[bool, bool, bool]) -> None:
    found = habits.of(Request("GET", "/", headers=headers))
    assert (found.compresses, found.impersonates, found.indents) == said


def test_they_are_read_once_where_requests_share_a_memo() -> None:
    memo = Memo()
    one, other = (habits.of(Request("GET", path, memo=memo)) for path in ("/a", "/b"))
    assert one is other
    assert habits.of(Request("GET", "/c")) is not one
