"""How long pods stay on nodes that fail, by the server's flags."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("configuration", [{"default_tolerations_s": (10, 20)}])
async def test_the_seconds_are_those_of_the_flags(server: Any) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await server.ask("POST", "/api/v1/namespaces/default/pods", pod)
    seconds = {found["key"]: found["tolerationSeconds"] for found in made["spec"]["tolerations"]}
    assert seconds == {"node.kubernetes.io/not-ready": 10, "node.kubernetes.io/unreachable": 20}
