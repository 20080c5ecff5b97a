"""Since when the use of legacy tokens is noted: whoever cleans them up must not take an older silence for disuse (KEP-2799)."""

from __future__ import annotations

from datetime import date
from typing import Final

from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import AlreadyExists, Conflict
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import CONFIG_MAPS

NAMESPACE: Final = "kube-system"
NAME: Final = "kube-apiserver-legacy-service-account-token-tracking"
KEY: Final = "since"


async def ensure(reader: Reader, writer: Writer, clock: Clock) -> None:
    """Keep the ConfigMap that tells it, with its day if that is one. Raises `StatusError`."""
    data = {KEY: clock.now().date().isoformat()}
    known = reader.get(CONFIG_MAPS, NAMESPACE, NAME)
    try:
        if known is None:
            made: Object = {"metadata": {"name": NAME, "namespace": NAMESPACE}, "data": data}
            await writer.create(CONFIG_MAPS, made)
        elif not _is_day((known.get("data") or {}).get(KEY, "")):
            await writer.update(CONFIG_MAPS, {**known, "data": data})
    except (AlreadyExists, Conflict):
        pass  # another server on the same store starts at the same time


def _is_day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False
