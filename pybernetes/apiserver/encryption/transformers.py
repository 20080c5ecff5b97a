"""From what is stored to what is meant, and back: the providers of a configuration, each behind its prefix.

A stored value says who wrote it by what it starts with: `k8s:enc:<provider>:v1:<key's name>:`. The first provider writes; a
value is read by the first one whose prefix it has and that can open it. Which one would write and which one has read are both
known by their `Origin`: a value whose origin is not the one of the writer is stale, and is to be written again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NewType, Protocol

from pybernetes.apiserver.encryption import configuration
from pybernetes.machinery.errors import aggregate

if TYPE_CHECKING:
    from pybernetes.apiserver.encryption.ciphers import Cipher, RandomBytes
    from pybernetes.apiserver.encryption.metrics import Metrics

ENCRYPTED: Final = b"k8s:enc:"  # what is encrypted starts so, whoever wrote it; no JSON and no protobuf does

FROM_STORAGE: Final = "from_storage"
TO_STORAGE: Final = "to_storage"

# Tells apart two ways to store one value. Not secret.
Origin = NewType("Origin", bytes)
PLAIN: Final = Origin(b"")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is stored."""

    resource: str  # as `secrets`, `deployments.apps`
    key: bytes  # in the store


class CannotTransform(Exception):
    """The sentence is upstream's. `code`: of gRPC, where a plugin said no."""

    def __init__(self, why: str, code: str = "unknown-non-grpc") -> None:
        super().__init__(why)
        self.code = code


class Transformer(Protocol):
    async def read(self, data: bytes, place: Place) -> tuple[bytes, Origin]:
        """What `data` means, and its origin. Raises `CannotTransform`."""
        ...

    async def write(self, data: bytes, place: Place) -> bytes:
        """What to store. Raises `CannotTransform`."""
        ...

    @property
    def origin(self) -> Origin:
        """Of what would be written now."""
        ...


class Identity:
    """Stores what is meant; refuses to read what somebody encrypted."""

    origin = PLAIN

    async def read(self, data: bytes, place: Place) -> tuple[bytes, Origin]:
        if data.startswith(ENCRYPTED):
            raise CannotTransform("identity transformer tried to read encrypted data")
        return data, PLAIN

    async def write(self, data: bytes, place: Place) -> bytes:
        return data


class Keyed:
    """One key of a cipher."""

    def __init__(self, kind: str, key: configuration.Key, random_bytes: RandomBytes) -> None:
        from pybernetes.apiserver.encryption import ciphers  # loads cryptography

        made: Mapping[str, Callable[[bytes, RandomBytes], Cipher]] = {
            "aesgcm": ciphers.Gcm, "aescbc": ciphers.Cbc, "secretbox": ciphers.Secretbox,
        }  # fmt: skip
        self._cipher = made[kind](key.secret, random_bytes)
        self._failure = ciphers.CannotOpen
        # Two keys may have one name.
        self.origin = Origin(f"{kind}:{key.name}:".encode() + hashlib.sha256(key.secret).digest()[:8])

    async def read(self, data: bytes, place: Place) -> tuple[bytes, Origin]:
        try:
            return self._cipher.open(data, place.key), self.origin
        except self._failure as error:
            raise CannotTransform(str(error)) from error

    async def write(self, data: bytes, place: Place) -> bytes:
        return self._cipher.seal(data, place.key)


@dataclass(frozen=True, slots=True)
class Prefixed:
    prefix: bytes
    transformer: Transformer


class ByPrefix:
    """The first writes; each may read what starts with its prefix, in order, until one can."""

    def __init__(self, transformers: Sequence[Prefixed], otherwise: str, metrics: Metrics) -> None:
        self.transformers = transformers
        self._otherwise = otherwise
        self._metrics = metrics

    @property
    def origin(self) -> Origin:
        return self.transformers[0].transformer.origin

    async def read(self, data: bytes, place: Place) -> tuple[bytes, Origin]:
        started_s = self._metrics.now_s()
        failures: list[CannotTransform] = []
        for found in self.transformers:
            if not data.startswith(found.prefix):
                continue
            name = found.prefix.decode() or "identity"
            try:
                result = await found.transformer.read(data[len(found.prefix) :] if found.prefix else data, place)
            except CannotTransform as error:
                if found.prefix:  # identity before the others means "no longer encrypt": not being plain is no failure
                    self._metrics.transformed(place.resource, FROM_STORAGE, name, started_s, error.code)
                    failures.append(error)
                continue
            self._metrics.transformed(place.resource, FROM_STORAGE, name, started_s)
            return result
        if failures:
            raise CannotTransform(aggregate(map(str, failures)), failures[0].code)
        self._metrics.transformed(place.resource, FROM_STORAGE, "unknown", started_s, "unknown-non-grpc")
        raise CannotTransform(self._otherwise)

    async def write(self, data: bytes, place: Place) -> bytes:
        started_s = self._metrics.now_s()
        first = self.transformers[0]
        name = first.prefix.decode()
        try:
            written = await first.transformer.write(data, place)
        except CannotTransform as error:
            self._metrics.transformed(place.resource, TO_STORAGE, name, started_s, error.code)
            raise
        self._metrics.transformed(place.resource, TO_STORAGE, name, started_s)
        return first.prefix + written if first.prefix else written
