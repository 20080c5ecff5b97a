"""The chain of authenticators that an API server asks, and its order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pybernetes.apiserver.authentication.interface import Authenticator
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.clock import Clock


@dataclass(frozen=True, slots=True)
class Options:
    """Upstream's flags, by their names."""

    anonymous_auth: bool = True
    token_auth_file: Path | None = None
    enable_bootstrap_token_auth: bool = False
    service_account_issuer: tuple[str, ...] = ()  # the first signs; all are accepted
    service_account_key_file: tuple[Path, ...] = ()  # PEM, public or private: tokens signed by these are accepted
    service_account_signing_key_file: Path | None = None
    service_account_lookup: bool = True
    service_account_max_token_expiration_s: int = 0  # 0: no bound of its own
    service_account_extend_token_expiration: bool = True
    api_audiences: tuple[str, ...] = ()  # default: the issuers


def build(options: Options, *, reader: Reader, clock: Clock) -> Authenticator:
    """The authenticator of a server. Its `authenticate` gives a user or raises `Unauthorized`; None only without anonymous."""
    raise NotImplementedError
