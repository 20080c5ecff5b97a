from datetime import timedelta

import pytest

from pybernetes.machinery import table
from pybernetes.machinery.errors import BadRequest

POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": {}}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (123 * 3600, "5d3h"),
        (8 * 86400, "8d"),
        (730 * 86400, "2y"),
        (735 * 86400, "2y5d"),
        (3650 * 86400, "10y"),
    ],
)
def test_durations_have_two_units_at_most(seconds: int, text: str) -> None:
    assert table.human_duration(timedelta(seconds=seconds)) == text


def test_rows_show_as_much_of_the_object_as_asked_for() -> None:
    assert table.row(POD, ["a"], "None")["object"] is None
    assert table.row(POD, ["a"], "Object")["object"] is POD
    assert table.row(POD, ["a"])["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "a"},
    }


def test_an_unknown_includeobject_is_refused() -> None:
    assert table.check_include_object("") == "Metadata"
    with pytest.raises(BadRequest, match="includeObject: Invalid value"):
        table.check_include_object("Nope")
