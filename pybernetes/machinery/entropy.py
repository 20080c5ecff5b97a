"""The one owner of randomness.

A component is given an `Entropy`; the simulator gives a seeded one, which makes a whole cluster repeatable.
"""

from __future__ import annotations

import os
import random
import secrets
from typing import Protocol

# Upstream's alphabet for generated names: no vowels (no words), nothing that looks like something else.
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Entropy(Protocol):
    """Random identifiers, and numbers for jitter and tie-breaks."""

    def uid(self) -> str:
        """A version-4 UUID in its usual text form."""
        ...

    def name_suffix(self, length: int = 5) -> str:
        """What `generateName` appends."""
        ...

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def token_bytes(self, length: int) -> bytes:
        """Bytes fit for secrets (predictable in the simulator, by design)."""
        ...


def _uuid(random_bytes: bytes) -> str:
    """Version 4 (RFC 9562, section 5.4). The class `uuid.UUID` would take five times as long, for each object created."""
    digits = random_bytes.hex()
    variant = "89ab"[random_bytes[8] & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class SystemEntropy:
    """The operating system's randomness."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uid(self) -> str:
        return _uuid(os.urandom(16))

    def name_suffix(self, length: int = 5) -> str:
        # One draw for all letters; 64 bits more than they hold make them as good as equally likely.
        number = int.from_bytes(os.urandom(length + 8))
        letters = []
        for _ in range(length):
            number, letter = divmod(number, len(NAME_ALPHABET))
            letters.append(NAME_ALPHABET[letter])
        return "".join(letters)

    def random(self) -> float:
        return self._random.random()

    def token_bytes(self, length: int) -> bytes:
        return secrets.token_bytes(length)


class SeededEntropy:
    """Repeatable randomness: the same seed gives the same cluster."""

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self._random = random.Random(seed)

    def stream(self, name: str) -> SeededEntropy:
        """Randomness of its own for one user, the same whoever else takes a stream, and however much was drawn before."""
        return SeededEntropy(f"{self.seed}/{name}")

    def uid(self) -> str:
        return _uuid(self._random.randbytes(16))

    def name_suffix(self, length: int = 5) -> str:
        return "".join(self._random.choices(NAME_ALPHABET, k=length))

    def random(self) -> float:
        return self._random.random()

    def token_bytes(self, length: int) -> bytes:
        return self._random.randbytes(length)


def jittered(delay_s: float, entropy: Entropy, *, factor: float = 1.0) -> float:
    """`delay_s` stretched by up to `factor` of itself, so that many do not retry at once."""
    return delay_s * (1.0 + factor * entropy.random())
