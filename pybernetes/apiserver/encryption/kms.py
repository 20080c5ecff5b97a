"""Envelopes: values sealed with a data key of ours, which a key management plugin keeps encrypted (KEP-3299, KMS v2).

One seed is made when the server starts and each time the plugin's key changes; the plugin encrypts it once. Each value has a
key derived from the seed, and carries the encrypted seed with it: reading asks the plugin only for a seed not yet known.

    probe    asks the plugin for its status; a healthy answer lengthens the seed's life, another key makes another seed
    read     for ever, with whatever seed the value names
    write    until three minutes after the last healthy answer; then nobody knows whether the key is still the right one
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from pybernetes.apiserver.encryption import kms_pb2 as rpc
from pybernetes.apiserver.encryption.ciphers import SEED_BYTES, CannotOpen, Cipher, Gcm, SeededGcm
from pybernetes.apiserver.encryption.configuration import Kms
from pybernetes.apiserver.encryption.kms_client import TRANSIENT, Encrypted, KmsClient, PluginFailed
from pybernetes.apiserver.encryption.metrics import key_hash
from pybernetes.apiserver.encryption.transformers import FROM_STORAGE, TO_STORAGE, CannotTransform, Origin, Place
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.errors import FieldError, aggregate
from pybernetes.machinery.log import logger
from pybernetes.machinery.validation import fully_qualified_name_errors

if TYPE_CHECKING:
    from pybernetes.apiserver.encryption.metrics import Metrics

log = logger("apiserver")

VERSIONS: Final = ("v2", "v2beta1")
HEALTHY_TTL_S, UNHEALTHY_TTL_S = 20.0, 3.0  # how long an answer stands for the next health checks
PROBE_S, PROBE_AGAIN_S = 60.0, 10.0
SEED_LIFE: Final = timedelta(minutes=3)
KEY_ID_BYTES = ENCRYPTED_KEY_BYTES = 1024
ANNOTATION_BYTES: Final = 32 * 1024
CIPHERS_KEPT: Final = 1000
SEED, KEY = rpc.HKDF_SHA256_XNONCE_AES_GCM_SEED, rpc.AES_GCM_KEY


@dataclass(slots=True)
class _State:
    """What is written with."""

    cipher: Cipher = field(repr=False)
    encrypted: Encrypted
    expires: datetime


class Plugin:
    """`run` must be running; before the first healthy answer nothing can be read or written."""

    def __init__(
        self, kms: Kms, *, clock: Clock, entropy: Entropy, metrics: Metrics, on_recovery: Callable[[], Awaitable[None]]
    ) -> None:
        """`on_recovery` is told when reads may succeed that failed for want of the plugin."""
        self.name = kms.name
        self.timeout_s = kms.timeout_s
        self._on_recovery = on_recovery
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._client = KmsClient(kms, metrics)
        self._state: _State | None = None
        self._version = ""
        self._ciphers: OrderedDict[bytes, Cipher] = OrderedDict()  # by all that the plugin knows a seed by
        self._probing = asyncio.Lock()
        self._answer: str | None = None
        self._answer_until_s = float("-inf")
        self._missed_reads = False
        self._absent: PluginFailed | None = None  # why it was not there, for some seconds
        self._absent_until_s = 0.0

    async def run(self) -> None:
        """Keep the seed alive, until cancelled."""
        while True:
            pause_s = PROBE_AGAIN_S if self._answer is not None else PROBE_S
            await self._clock.sleep(jittered(pause_s, self._entropy, factor=0.1))
            if why := await self.check():
                log.warning("Key management plugin failed its health check", name=self.name, err=why)

    async def close(self) -> None:
        await self._client.close()

    # Health

    async def check(self) -> str | None:
        """None, or why the plugin is not healthy. An answer stands for some seconds."""
        async with self._probing:
            if self._clock.monotonic() < self._answer_until_s:
                return self._answer
            try:
                version, health, key_id = await self._client.status()
            except PluginFailed as error:
                self._keep_answer(str(error))
                return f"failed to perform status section of the healthz check for KMS Provider {self.name}, error: {error}"
            whys = [*self._judge(version, health), *await self._follow_key(key_id)]
            if whys:
                self._keep_answer(f"kmsv2 Provider {self.name} is not healthy, error: {aggregate(whys)}")
                return self._answer
            self._keep_answer(None)
        if self._missed_reads:
            self._missed_reads = False
            await self._on_recovery()
        return None

    def _keep_answer(self, answer: str | None) -> None:
        self._answer = answer
        self._answer_until_s = self._clock.monotonic() + (UNHEALTHY_TTL_S if answer else HEALTHY_TTL_S)

    def _judge(self, version: str, health: str) -> list[str]:
        whys = []
        if health != "ok":
            whys.append(f"got unexpected healthz status: {health}")
        if version not in VERSIONS:
            whys.append(f"expected KMSv2 API version v2, got {version}")
        else:
            self._version = self._version or version
            if version != self._version:
                whys.append(
                    "KMSv2 API version should not change after the initial status response version "
                    f"{self._version}, got {version}"
                )
        return whys

    async def _follow_key(self, key_id: str) -> list[str]:
        if why := _bad_key_id(key_id):
            self._metrics.told_invalid_key(self.name, "too_long" if key_id else "empty")
            return [f'got invalid KMSv2 KeyID hash "{key_hash(key_id)}": {why}']
        self._metrics.told_key(self.name, key_id)
        # Before the calls: the limit counts from when the plugin could have answered at the earliest.
        expires = self._clock.now() + SEED_LIFE
        if self._state is not None and self._state.encrypted.key_id == key_id:
            self._state.expires = expires
            return []
        uid = self._entropy.uid()
        failure, made_id = "<nil>", ""
        try:
            made = await self._make_state(uid, expires)
            made_id = made.encrypted.key_id
            if made_id == key_id:
                self._state = made
                self._keep_cipher(_cipher_key(SEED, made.encrypted), made.cipher)
                return []
        except (PluginFailed, ValueError) as error:
            failure = str(error)
        known = self._state
        # What there was serves on until it expires.
        return [
            f'failed to rotate DEK uid="{uid}", useSeed=true, '
            f"errState={'<nil>' if known else 'got unexpected nil transformer'}, errGen={failure}, "
            f'statusKeyIDHash="{key_hash(key_id)}", encryptKeyIDHash="{key_hash(made_id)}", '
            f'stateKeyIDHash="{key_hash(known.encrypted.key_id if known else "")}", '
            f"expirationTimestamp={rfc3339(known.expires) if known else '0001-01-01T00:00:00Z'}"
        ]

    async def _make_state(self, uid: str, expires: datetime) -> _State:
        """Raises `PluginFailed`, ValueError."""
        started_s = self._metrics.now_s()
        seed = self._entropy.token_bytes(SEED_BYTES)
        self._metrics.generated_key(started_s)
        try:
            encrypted = await self._client.encrypt(uid, seed)
        except PluginFailed as error:
            raise ValueError(f"failed to encrypt DEK, error: {error}") from error
        _check(SEED, encrypted)
        return _State(SeededGcm(seed, self._entropy.token_bytes), encrypted, expires)

    # Values

    @property
    def origin(self) -> Origin:
        if self._state is None:
            return Origin(f"kms:{self.name}".encode())
        return self._origin(self._state.encrypted.key_id, SEED)

    def _origin(self, key_id: str, source: int) -> Origin:
        return Origin(f"kms:{self.name}:{source}:{key_id}".encode())

    async def read(self, data: bytes, place: Place) -> tuple[bytes, Origin]:
        try:
            found = rpc.EncryptedObject.FromString(data)
        except DecodeError:
            raise CannotTransform("proto: cannot parse invalid wire-format data") from None
        encrypted = Encrypted(found.encryptedDEKSource, found.keyID, dict(found.annotations))
        source = found.encryptedDEKSourceType
        try:
            _check(source, encrypted, found.encryptedData)
        except ValueError as error:
            raise CannotTransform(str(error)) from error
        if self._state is None:
            self._missed_reads = True
            raise CannotTransform("got unexpected nil transformer")
        cipher = await self._cipher_of(source, encrypted)
        self._metrics.used_key(FROM_STORAGE, self.name, found.keyID)
        try:
            return cipher.open(found.encryptedData, place.key), self._origin(found.keyID, source)
        except CannotOpen as error:
            raise CannotTransform(str(error)) from error

    async def write(self, data: bytes, place: Place) -> bytes:
        state, now = self._state, self._clock.now()
        if state is None:
            raise CannotTransform("got unexpected nil transformer")
        encrypted = state.encrypted
        if now > state.expires:
            raise CannotTransform(
                f'encryptedDEKSource with keyID hash "{key_hash(encrypted.key_id)}" expired at {rfc3339(state.expires)} '
                f"(current time is {rfc3339(now)})"
            )
        sealed = state.cipher.seal(data, place.key)
        self._metrics.used_key(TO_STORAGE, self.name, encrypted.key_id)
        return rpc.EncryptedObject(
            encryptedData=sealed, keyID=encrypted.key_id, encryptedDEKSource=encrypted.ciphertext,
            annotations=encrypted.annotations, encryptedDEKSourceType=SEED,
        ).SerializeToString()  # fmt: skip

    async def _cipher_of(self, source: int, encrypted: Encrypted) -> Cipher:
        key = _cipher_key(source, encrypted)
        if (known := self._ciphers.get(key)) is not None:
            self._ciphers.move_to_end(key)
            return known
        self._metrics.missed_cache()
        try:
            if self._absent is not None and self._clock.monotonic() < self._absent_until_s:
                raise self._absent  # a list must not wait for the same plugin once for each of its values
            secret = await self._client.decrypt(self._entropy.uid(), encrypted)
        except PluginFailed as error:
            if error.code in TRANSIENT:
                self._missed_reads = True
                if error is not self._absent:
                    self._absent, self._absent_until_s = error, self._clock.monotonic() + UNHEALTHY_TTL_S
            raise CannotTransform(f"failed to decrypt DEK, error: {error}", error.code) from error
        try:
            cipher: Cipher = (SeededGcm if source == SEED else Gcm)(secret, self._entropy.token_bytes)
        except ValueError as error:
            raise CannotTransform(str(error)) from error
        self._keep_cipher(key, cipher)
        return cipher

    def _keep_cipher(self, key: bytes, cipher: Cipher) -> None:
        self._ciphers[key] = cipher
        if len(self._ciphers) > CIPHERS_KEPT:
            self._ciphers.popitem(last=False)


def _check(source: int, encrypted: Encrypted, data: bytes = b"\0") -> None:
    """Raises ValueError."""
    if source not in (SEED, KEY):
        raise ValueError(f"unknown encryptedDEKSourceType: {source}")
    if not data:
        raise ValueError("encrypted data is empty")
    if not encrypted.ciphertext:
        raise ValueError("failed to validate encrypted DEK source: encrypted DEK source is empty")
    if (size := len(encrypted.ciphertext)) > ENCRYPTED_KEY_BYTES:
        why = f"encrypted DEK source is {size} bytes, which exceeds the max size of {ENCRYPTED_KEY_BYTES}"
        raise ValueError(f"failed to validate encrypted DEK source: {why}")
    if why := _bad_key_id(encrypted.key_id):
        raise ValueError(f"failed to validate key id: {why}")
    if why := _bad_annotations(encrypted.annotations):
        raise ValueError(f"failed to validate annotations: {why}")


def _bad_key_id(key_id: str) -> str:
    if not key_id:
        return "keyID is empty"
    size = len(key_id.encode())
    return f"keyID is {size} bytes, which exceeds the max size of {KEY_ID_BYTES}" if size > KEY_ID_BYTES else ""


def _bad_annotations(annotations: Mapping[str, bytes]) -> str:
    for name in annotations:
        for why in fully_qualified_name_errors(name):
            return str(FieldError.invalid("annotations", name, why))
    size = sum(len(name) + len(value) for name, value in annotations.items())
    if size > ANNOTATION_BYTES:
        return f"total size of annotations is {size}, which exceeds the max size of {ANNOTATION_BYTES}"
    return ""


def _cipher_key(source: int, encrypted: Encrypted) -> bytes:
    """All that the plugin would be asked with, each part with its length so that none runs into the next."""
    parts = [encrypted.ciphertext, encrypted.key_id.encode()]
    for name in sorted(encrypted.annotations):
        parts += [name.encode(), encrypted.annotations[name]]
    return b"".join([b"%d" % source, *(b"%d:%b" % (len(part), part) for part in parts)])
