"""Never act on a cache that is older than our own writes.

A controller that creates a pod and decides again before its cache shows that pod would create another one. So the manager
notes what each pass wrote, and the key waits until the caches have caught up. Upstream counts creations and deletions per
controller; we compare resourceVersions (which the API promises to be comparable, KEP-5504), which covers updates too and
cannot be confused by other writers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pybernetes.machinery.meta import Object, Resource, is_being_deleted, uid_of

# What our write made can be gone before any cache shows it, so a blocked key is looked at again now and then: it is free
# once the whole cache is past our write, and in any case after EXPIRE_S (upstream's bound).
RECHECK_S = 5.0
EXPIRE_S = 300.0


@dataclass(slots=True)
class _Expected:
    resource: Resource
    version: int  # the cache must have reached this resourceVersion; 0: must know of the deletion
    since_s: float


def version_of(obj: Object) -> int:
    text = obj["metadata"].get("resourceVersion", "")
    return int(text) if text.isdigit() else 0


class Expectations:
    """What keys wait for. A key is blocked while any object that it wrote is unseen; times are monotonic seconds."""

    def __init__(self) -> None:
        self._by_key: dict[str, dict[str, _Expected]] = {}  # key -> uid -> expected
        self._keys_by_uid: dict[str, set[str]] = {}

    def wrote(self, key: str, resource: Resource, obj: Object, cached: Object | None, now_s: float) -> None:
        """`obj` is the server's answer to our create or update; `cached` what the cache has under its name now."""
        if cached is None or uid_of(cached) != uid_of(obj) or version_of(cached) < version_of(obj):
            self._expect(key, resource, uid_of(obj), version_of(obj), now_s)

    def deleted(self, key: str, resource: Resource, uid: str, cached: Object | None, now_s: float) -> None:
        """We deleted the object of that uid."""
        if cached is not None and uid_of(cached) == uid and not is_being_deleted(cached):
            self._expect(key, resource, uid, 0, now_s)

    def _expect(self, key: str, resource: Resource, uid: str, version: int, now_s: float) -> None:
        self._by_key.setdefault(key, {})[uid] = _Expected(resource, version, now_s)
        self._keys_by_uid.setdefault(uid, set()).add(key)

    def saw(self, obj: Object, *, gone: bool = False) -> list[str]:
        """A cache shows this state of the object (or that it is gone). Returns the keys that wait for nothing any more."""
        uid = uid_of(obj)
        keys = self._keys_by_uid.get(uid)
        if not keys:
            return []
        free: list[str] = []
        for key in sorted(keys):
            expected = self._by_key[key][uid]
            if gone or (is_being_deleted(obj) if expected.version == 0 else version_of(obj) >= expected.version):
                self._forget(key, uid)
                if key not in self._by_key:
                    free.append(key)
        return free

    def _forget(self, key: str, uid: str) -> None:
        waiting = self._by_key[key]
        del waiting[uid]
        if not waiting:
            del self._by_key[key]
        keys = self._keys_by_uid[uid]
        keys.discard(key)
        if not keys:
            del self._keys_by_uid[uid]

    def blocked(self, key: str, now_s: float, reached: Callable[[Resource], int]) -> bool:
        """Whether the key must wait. `reached` gives the resourceVersion that the cache of a resource has caught up with."""
        for uid, expected in list(self._by_key.get(key, {}).items()):
            passed = 0 < expected.version <= reached(expected.resource)
            if passed or now_s - expected.since_s >= EXPIRE_S:
                self._forget(key, uid)
        return key in self._by_key
