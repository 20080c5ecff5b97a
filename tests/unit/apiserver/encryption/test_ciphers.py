"""The bytes of each cipher: made or opened by somebody else's implementation, and refused when they are not ours."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.encryption.ciphers import CannotOpen, Cbc, Cipher, Gcm, Secretbox, SeededGcm

KEY = bytes(range(32))
ABOUT = b"/registry/secrets/default/a"


def counting(length: int) -> bytes:
    """Bytes as predictable as they must not be elsewhere."""
    return bytes(range(length))


CIPHERS = [Gcm(KEY, counting), Cbc(KEY, counting), Secretbox(KEY, counting), SeededGcm(KEY, counting)]


@pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: type(cipher).__name__)
@given(plain=st.binary(max_size=100))
def test_what_was_sealed_is_opened(cipher: Cipher, plain: bytes) -> None:
    sealed = cipher.seal(plain, ABOUT)
    assert cipher.open(sealed, ABOUT) == plain


def test_aes_gcm_is_the_vector_of_nist_after_its_nonce() -> None:
    # NIST CAVP, gcmEncryptExtIV256, Keylen = 256, IVlen = 96, PTlen = 128, AADlen = 128, Taglen = 128, Count = 0.
    key = bytes.fromhex("92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b")
    nonce = bytes.fromhex("ac93a1a6145299bde902f21a")
    plain, about = bytes.fromhex("2d71bcfa914e4ac045b2aa60955fad24"), bytes.fromhex("1e0889016f67601c8ebea4943bc23ad6")
    sealed = Gcm(key, lambda _: nonce).seal(plain, about)
    assert sealed == nonce + bytes.fromhex("8995ae2e6df3dbf96fac7b7137bae67feca5aa77d51d4a0a14d9c51e1da474ab")


def test_aes_cbc_is_what_openssl_makes() -> None:
    plain = b"a secret of no round length"
    sealed = Cbc(KEY, counting).seal(plain, ABOUT)
    command = ["openssl", "enc", "-aes-256-cbc", "-K", KEY.hex(), "-iv", counting(16).hex()]
    assert sealed == counting(16) + subprocess.run(command, input=plain, capture_output=True, check=True).stdout


def test_a_secretbox_is_the_vector_of_nacl() -> None:
    # "Cryptography in NaCl", section 10: the first key; the plain text is 131 bytes of it.
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    plain = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f4"
        "1db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52"
        "f0a089bc76897040e082f937763848645e0705"
    )
    boxed = bytes.fromhex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b"
        "4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da"
        "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
    )
    assert Secretbox(key, lambda _: nonce).seal(plain, b"") == nonce + boxed


def test_the_key_of_a_value_is_the_seed_expanded_by_its_info() -> None:
    import hashlib
    import hmac

    sealed = SeededGcm(KEY, counting).seal(b"value", ABOUT)
    info = sealed[:32]
    key = hmac.new(KEY, info + b"\1", hashlib.sha256).digest()  # RFC 5869, 2.3: the first block of HKDF-Expand
    assert Gcm(key, counting).open(sealed[32:], ABOUT) == b"value"


@pytest.mark.parametrize("cipher", [CIPHERS[0], CIPHERS[3]], ids=lambda cipher: type(cipher).__name__)
def test_a_value_moved_to_another_key_of_the_store_is_refused(cipher: Cipher) -> None:
    with pytest.raises(CannotOpen, match="cipher: message authentication failed"):
        cipher.open(cipher.seal(b"value", ABOUT), b"/registry/secrets/default/b")


@pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: type(cipher).__name__)
def test_damaged_and_cut_values_are_refused(cipher: Cipher) -> None:
    sealed = cipher.seal(b"v" * 40, ABOUT)
    for broken in (b"", sealed[:11], sealed[:-1], sealed[:-1] + bytes((sealed[-1] ^ 1,)), sealed[:24]):
        with pytest.raises(CannotOpen):
            cipher.open(broken, ABOUT)


def test_every_value_has_a_nonce_of_its_own() -> None:
    import os

    for cipher in (Gcm(KEY, os.urandom), Cbc(KEY, os.urandom), Secretbox(KEY, os.urandom), SeededGcm(KEY, os.urandom)):
        assert cipher.seal(b"value", ABOUT) != cipher.seal(b"value", ABOUT)


def test_a_seed_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid seed length 16 used for key generation"):
        SeededGcm(bytes(16), counting)
