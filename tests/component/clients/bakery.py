"""An operator as kopf's users write them, for `kopf run`: it keeps a ConfigMap for each Bakery."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import kopf


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.level = 20
    settings.persistence.finalizer = "bakeries.example.com/kopf"
    if "WEBHOOK_PORT" in os.environ:
        settings.admission.managed = "bakeries.example.com"
        settings.admission.server = kopf.WebhookServer(
            addr="127.0.0.1", port=int(os.environ["WEBHOOK_PORT"]), host="127.0.0.1",
            certfile=os.environ["WEBHOOK_CERTIFICATE"], pkeyfile=os.environ["WEBHOOK_KEY"],
            cafile=os.environ["WEBHOOK_AUTHORITY"],
        )  # fmt: skip


@kopf.on.create("bakeries.example.com", "v1", "bakeries")
async def create(spec: kopf.Spec, name: str, namespace: str, body: kopf.Body, **_: Any) -> dict[str, str]:
    kopf.info(body, reason="Baking", message=f"{spec['loaves']} loaves")
    return {"oven": f"{namespace}/{name}"}


@kopf.on.update("bakeries.example.com", "v1", "bakeries", field="spec.loaves")
def update(old: int, new: int, patch: kopf.Patch, retry: int, **_: Any) -> None:
    if retry == 0:
        raise kopf.TemporaryError("the oven is cold", delay=0.1)
    patch.status["baked"] = {"before": old, "now": new, "tries": retry + 1}


@kopf.on.delete("bakeries.example.com", "v1", "bakeries")
def delete(body: kopf.Body, **_: Any) -> None:
    kopf.info(body, reason="Closed", message="sold out")


@kopf.daemon("bakeries.example.com", "v1", "bakeries", cancellation_timeout=1.0)
async def watch_oven(patch: kopf.Patch, stopped: kopf.DaemonStopped, **_: Any) -> None:
    patch.status["oven"] = "hot"
    await asyncio.sleep(0)


@kopf.timer("bakeries.example.com", "v1", "bakeries", interval=0.2)
def tick(patch: kopf.Patch, status: kopf.Status, **_: Any) -> None:
    if status.get("ticks", 0) < 2:
        patch.status["ticks"] = status.get("ticks", 0) + 1


if "WEBHOOK_PORT" in os.environ:

    @kopf.on.validate("bakeries.example.com", "v1", "bakeries")
    def check(spec: kopf.Spec, warnings: list[str], **_: Any) -> None:
        warnings.append("bread is heavy")
        if spec["loaves"] > 100:
            raise kopf.AdmissionError("too many loaves", code=422)

    @kopf.on.mutate("bakeries.example.com", "v1", "bakeries", operation="CREATE")
    def complete(patch: kopf.Patch, **_: Any) -> None:
        patch.spec["flour"] = "rye"
