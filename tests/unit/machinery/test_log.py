"""Lines of the log: one an event, as text or as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from pybernetes.machinery import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger("pybernetes")
    before = (root.handlers[:], root.propagate, root.level)
    yield
    root.handlers[:], root.propagate = before[0], before[1]
    root.setLevel(before[2])


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_text_has_keys_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    log.logger("test").info("Started", pod="a/b", count=3)
    log.logger("test").debug("Hidden")
    [line] = lines(capsys)
    assert line.endswith(' I test "Started" pod="a/b" count=3')


def test_json_has_upstreams_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    log.log_lines_as("json")
    log.set_verbosity(4)
    log.logger("test").info("Started", pod="a/b", err=ValueError("no"))
    log.logger("test").debug("Detail")
    try:
        raise ValueError("broken")
    except ValueError:
        log.logger("test").exception("Failed")
    started, detail, failed = (json.loads(line) for line in lines(capsys))
    assert (started["msg"], started["v"], started["pod"], started["err"]) == ("Started", 0, "a/b", "no")
    assert started["ts"] > 1e12 and started["caller"].startswith("test_log.py:")
    assert detail["v"] == 4 and "v" not in failed and "ValueError: broken" in failed["traceback"]
