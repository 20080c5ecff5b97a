"""How many seats a list or a watch takes (API concepts, "Seats Occupied by a Request")."""

from __future__ import annotations

import pytest

from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.apiserver.flow_control.work import width

LIST = RequestInfo("list", "/api/v1/pods", True, "", "v1", "pods")
WATCH = RequestInfo("watch", "/api/v1/pods", True, "", "v1", "pods")
ONE = RequestInfo("list", "/api/v1/pods", True, "", "v1", "pods", "", "ns", "name")


@pytest.mark.parametrize(
    ("info", "query", "count", "size", "expected"),
    [
        (LIST, {}, 10, 500, 1),
        (LIST, {}, 1000, 450, 5),
        (LIST, {}, 100_000, 5_000, 10),
        (LIST, {"limit": "500"}, 100_000, 500, 3),
        (LIST, {"limit": "many"}, 10, 500, 10),
        (ONE, {}, 100_000, 5_000, 1),
        (WATCH, {}, 100_000, 5_000, 1),
        (WATCH, {"sendInitialEvents": "true"}, 1000, 450, 5),
        (LIST, {}, 0, 0, 1),
    ],
)
def test_width(info: RequestInfo, query: dict[str, str], count: int, size: int, expected: int) -> None:
    assert width(info, query, count, size, 10) == expected
    assert width(info, query, count, size, 2) == min(expected, 2)
