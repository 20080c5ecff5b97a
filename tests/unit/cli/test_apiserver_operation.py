"""Flags that upstream's deployments pass are taken; nonsense is refused in a sentence."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from pybernetes.cli import apiserver_operation


def parsed(*arguments: str) -> tuple[int, dict[str, Any], str]:
    given: dict[str, Any] = {}

    @click.command()
    @apiserver_operation.options
    def command(**flags: Any) -> None:
        given.update(flags)

    result = CliRunner().invoke(command, arguments)
    return result.exit_code, given, result.output


def test_what_kubeadm_passes_is_taken() -> None:
    arguments = (
        "--allow-privileged=true",
        "--feature-gates=A=true,B=false",
        "--runtime-config=api/all=true",
        "--profiling=false",
    )
    code, given, _ = parsed(*arguments, "--shutdown-delay-duration=1m", "--event-ttl=30m", "--goaway-chance=0.001")
    assert code == 0 and not given["profiling"]
    assert (given["shutdown_delay_duration_s"], given["event_ttl_s"], given["goaway_chance"]) == (60.0, 1800.0, 0.001)


@pytest.mark.parametrize(
    "argument",
    [
        "--goaway-chance=0.5", "--allow-privileged=false", "--feature-gates=A", "--runtime-config=apps/v1=false",
        "--runtime-config=Apps!", "--shutdown-delay-duration=soon", "--endpoint-reconciler-type=magic",
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(argument: str) -> None:
    code, _, output = parsed(argument)
    assert code == 2 and "Invalid value" in output
