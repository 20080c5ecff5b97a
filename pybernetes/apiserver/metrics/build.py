"""`kubernetes_build_info`: which release this is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.apiserver import version
from pybernetes.apiserver.metrics.series import gauge

if TYPE_CHECKING:
    from prometheus_client import Metric

_LABELS = {
    "major": "major", "minor": "minor", "git_version": "gitVersion", "git_commit": "gitCommit",
    "git_tree_state": "gitTreeState", "build_date": "buildDate", "go_version": "goVersion", "compiler": "compiler",
    "platform": "platform",
}  # fmt: skip


def families() -> list[Metric]:
    values = tuple(str(version.INFO[field]) for field in _LABELS.values())
    return [gauge("kubernetes_build_info", "The release that is served.", tuple(_LABELS), {values: 1})]
