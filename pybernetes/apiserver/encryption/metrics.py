"""What is counted: transformations, keys in use, the plugins' answers, reloads. Names, labels and buckets are upstream's."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from pybernetes.machinery.clock import Clock

KEY_IDS_MOST: Final = 10  # a plugin that changes its key must not make series without end
_LOADED, _FAILED = "success", "failure"


class Metrics:
    """One per server; `registry` is rendered with the server's own."""

    def __init__(self, clock: Clock, server_id: str) -> None:
        self._clock = clock
        self._server = key_hash(server_id)
        disable_created_metrics()  # type: ignore[no-untyped-call]  # upstream has no such series
        self.registry = registry = CollectorRegistry()
        operations = ("resource", "transformation_type", "transformer_prefix")
        self._operations = Counter(
            "apiserver_storage_transformation_operations", "Transformations by what came of them.", (*operations, "status"),
            registry=registry,
        )  # fmt: skip
        self._durations = Histogram(
            "apiserver_storage_transformation_duration_seconds", "Time of those that succeeded.", operations,
            buckets=[5e-6 * 2**power for power in range(25)], registry=registry,
        )  # fmt: skip
        self._transformations: dict[tuple[str, str, str, str], tuple[Counter, Histogram | None]] = {}
        self._misses = Counter(
            "apiserver_storage_envelope_transformation_cache_misses",
            "Data keys that a plugin decrypted.",
            registry=registry,
        )
        self._key_durations = Histogram(
            "apiserver_storage_data_key_generation_duration_seconds", "Time to make a data key.",
            buckets=[5e-6 * 2**power for power in range(14)], registry=registry,
        )  # fmt: skip
        plugin = "apiserver_envelope_encryption_"
        self._calls = Histogram(
            f"{plugin}kms_operations_latency_seconds", "Time of plugins' answers.",
            ("provider_name", "method_name", "grpc_status_code"), buckets=[1e-4 * 2**power for power in range(20)],
            registry=registry,
        )  # fmt: skip
        used = ("transformation_type", "provider_name", "key_id_hash", "apiserver_id_hash")
        self._key_uses = Counter(f"{plugin}key_id_hash", "Uses of a plugin's key.", used, registry=registry)
        self._key_used_at = Gauge(f"{plugin}key_id_hash_last_timestamp_seconds", "Last use.", used, registry=registry)
        self._key_told_at = Gauge(
            f"{plugin}key_id_hash_status_last_timestamp_seconds", "When the plugin last named the key as its current one.",
            ("provider_name", "key_id_hash", "apiserver_id_hash"), registry=registry,
        )  # fmt: skip
        self._invalid_keys = Counter(
            f"{plugin}invalid_key_id_from_status", "Keys named by a plugin that cannot be used.", ("provider_name", "error"),
            registry=registry,
        )  # fmt: skip
        reload = "apiserver_encryption_config_controller_"
        self._reloads = Counter(
            f"{reload}automatic_reloads", "Reloads of the configuration.", ("status", "apiserver_id_hash"), registry=registry
        )
        self._reloaded_at = Gauge(
            f"{reload}automatic_reload_last_timestamp_seconds", "When it was last reloaded, or was tried to.",
            ("status", "apiserver_id_hash"), registry=registry,
        )  # fmt: skip
        self._configuration = Gauge(
            f"{reload}last_config_info", "The configuration in use.", ("apiserver_id_hash", "hash"), registry=registry
        )
        self._known_keys: OrderedDict[tuple[Any, tuple[str, ...]], None] = OrderedDict()

    def now_s(self) -> float:
        return self._clock.monotonic()

    def transformed(self, resource: str, direction: str, prefix: str, started_s: float, failure: str = "") -> None:
        """`failure`: the code of what went wrong."""
        labels = (resource, direction, prefix, failure)
        found = self._transformations.get(labels)
        if found is None:  # looking up its labels takes as long as the cipher
            count = self._operations.labels(resource, direction, prefix, failure or "OK")
            duration = None if failure else self._durations.labels(resource, direction, prefix)
            found = self._transformations[labels] = (count, duration)
        count, duration = found
        count.inc()
        if duration is not None:
            duration.observe(self.now_s() - started_s)

    def missed_cache(self) -> None:
        self._misses.inc()

    def generated_key(self, started_s: float) -> None:
        self._key_durations.observe(self.now_s() - started_s)

    def called(self, provider: str, method: str, code: str, started_s: float) -> None:
        self._calls.labels(provider, method, code).observe(self.now_s() - started_s)

    def used_key(self, direction: str, provider: str, key_id: str) -> None:
        labels = (direction, provider, key_hash(key_id), self._server)
        self._key_uses.labels(*labels).inc()
        self._key_used_at.labels(*labels).set(self._clock.now().timestamp())
        self._remember((self._key_uses, self._key_used_at), labels)

    def told_key(self, provider: str, key_id: str) -> None:
        labels = (provider, key_hash(key_id), self._server)
        self._key_told_at.labels(*labels).set(self._clock.now().timestamp())
        self._remember((self._key_told_at,), labels)

    def told_invalid_key(self, provider: str, error: str) -> None:
        self._invalid_keys.labels(provider, error).inc()

    def reloaded(self, digest: str) -> None:
        self._count_reload(_LOADED)
        self.loaded(digest)

    def failed_to_reload(self) -> None:
        self._count_reload(_FAILED)

    def loaded(self, digest: str) -> None:
        self._configuration.clear()
        self._configuration.labels(self._server, f"sha256:{digest}").set(1)

    def _count_reload(self, status: str) -> None:
        self._reloads.labels(status, self._server).inc()
        self._reloaded_at.labels(status, self._server).set(self._clock.now().timestamp())

    def _remember(self, metrics: tuple[Any, ...], labels: tuple[str, ...]) -> None:
        known = self._known_keys
        known[metrics, labels] = None
        known.move_to_end((metrics, labels))
        same = [entry for entry in known if entry[0] == metrics]
        for old in same[:-KEY_IDS_MOST]:
            del known[old]
            for metric in old[0]:
                metric.remove(*old[1])


def key_hash(text: str) -> str:
    """How metrics and errors name what should not be spelt out."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" if text else ""
