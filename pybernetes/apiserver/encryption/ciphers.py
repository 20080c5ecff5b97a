"""The ciphers, in upstream's layout to the byte. Pure, but for the random bytes that they are given.

    aesgcm     nonce (12), ciphertext, tag (16); the key of the entry is authenticated with it
    aescbc     iv (16), ciphertext with PKCS #7 padding; nothing is authenticated
    secretbox  nonce (24), tag (16), ciphertext: XSalsa20 and Poly1305
    the seed   info (32), then as aesgcm, with a key of its own for each value: HKDF-Expand(SHA-256, seed, info)

Source: the key management service (v2) KEP-3299 for the seed; the layouts are those of data at rest, which cannot change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

RandomBytes = Callable[[int], bytes]

GCM_NONCE_BYTES: Final = 12
BLOCK_BYTES: Final = 16
SECRETBOX_NONCE_BYTES, SECRETBOX_TAG_BYTES = 24, 16
SEED_BYTES: Final = 32
_TOO_SHORT: Final = "the stored data was shorter than the required size"


class CannotOpen(ValueError):
    """These bytes were not sealed with this key for this place; the sentence is upstream's."""


class Cipher(Protocol):
    def seal(self, plain: bytes, about: bytes) -> bytes:
        """`about` must be the same when it is opened, if the cipher authenticates."""
        ...

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Raises `CannotOpen`."""
        ...


class Gcm:
    def __init__(self, key: bytes, random_bytes: RandomBytes) -> None:
        self._gcm = AESGCM(key)
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, about: bytes) -> bytes:
        nonce = self._random_bytes(GCM_NONCE_BYTES)
        return nonce + self._gcm.encrypt(nonce, plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        if len(sealed) < GCM_NONCE_BYTES:
            raise CannotOpen(_TOO_SHORT)
        try:
            return self._gcm.decrypt(sealed[:GCM_NONCE_BYTES], sealed[GCM_NONCE_BYTES:], about)
        except InvalidTag:
            raise CannotOpen("cipher: message authentication failed") from None


class Cbc:
    def __init__(self, key: bytes, random_bytes: RandomBytes) -> None:
        self._aes = algorithms.AES(key)
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, about: bytes) -> bytes:
        iv = self._random_bytes(BLOCK_BYTES)
        padding = BLOCK_BYTES - len(plain) % BLOCK_BYTES
        encryptor = BlockCipher(self._aes, modes.CBC(iv)).encryptor()
        return iv + encryptor.update(plain + bytes((padding,)) * padding) + encryptor.finalize()

    def open(self, sealed: bytes, about: bytes) -> bytes:
        if len(sealed) < BLOCK_BYTES:
            raise CannotOpen(_TOO_SHORT)
        if len(sealed) % BLOCK_BYTES:
            raise CannotOpen("the stored data is not a multiple of the block size")
        decryptor = BlockCipher(self._aes, modes.CBC(sealed[:BLOCK_BYTES])).decryptor()
        padded = decryptor.update(sealed[BLOCK_BYTES:]) + decryptor.finalize()
        padding = padded[-1] if padded else 0
        if padding == 0 or padding > len(padded):
            raise CannotOpen("invalid PKCS7 data (empty or not padded)")
        if padded[-padding:] != bytes((padding,)) * padding:
            raise CannotOpen("invalid padding on input")
        return padded[:-padding]


class Secretbox:
    def __init__(self, key: bytes, random_bytes: RandomBytes) -> None:
        from nacl import bindings, exceptions  # loads libsodium, which the others need not

        self._seal, self._open = bindings.crypto_secretbox, bindings.crypto_secretbox_open
        self._failed = exceptions.CryptoError
        self._key = key
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, about: bytes) -> bytes:
        nonce = self._random_bytes(SECRETBOX_NONCE_BYTES)
        return nonce + self._seal(plain, nonce, self._key)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        if len(sealed) < SECRETBOX_NONCE_BYTES + SECRETBOX_TAG_BYTES:
            raise CannotOpen(_TOO_SHORT)
        try:
            return self._open(sealed[SECRETBOX_NONCE_BYTES:], sealed[:SECRETBOX_NONCE_BYTES], self._key)
        except self._failed:
            raise CannotOpen("output array was not large enough for encryption") from None  # upstream's sentence


class SeededGcm:
    """A key of its own for each value, derived from one seed: no number of values wears it out."""

    def __init__(self, seed: bytes, random_bytes: RandomBytes) -> None:
        """Raises ValueError for a seed too short."""
        if len(seed) < SEED_BYTES:
            raise ValueError(f"invalid seed length {len(seed)} used for key generation")
        self._seed = seed
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, about: bytes) -> bytes:
        info = self._random_bytes(SEED_BYTES)
        return info + self._derived(info).seal(plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        if len(sealed) < SEED_BYTES:
            raise CannotOpen(_TOO_SHORT)
        return self._derived(sealed[:SEED_BYTES]).open(sealed[SEED_BYTES:], about)

    def _derived(self, info: bytes) -> Gcm:
        return Gcm(HKDFExpand(SHA256(), SEED_BYTES, info).derive(self._seed), self._random_bytes)
