"""The admission chain: which plugins there are, and in which order they are asked."""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy


class Chain:
    def __init__(self, plugins: Sequence[AdmissionPlugin]) -> None:
        self._plugins = tuple(plugins)

    async def admit(self, request: AdmissionRequest) -> None:
        """Mutating phase, in order; the first refusal (`StatusError`) ends it."""
        for plugin in self._plugins:
            await plugin.admit(request)

    async def validate(self, request: AdmissionRequest) -> None:
        """Validating phase, on the final object."""
        for plugin in self._plugins:
            await plugin.validate(request)


def build(
    reader: Reader,
    writer: Writer,
    *,
    authorizer: Authorizer,
    clock: Clock,
    entropy: Entropy,
    enable: Sequence[str] = (),
    disable: Sequence[str] = (),
) -> Chain:
    """The chain of a server: upstream's default plugins, more or fewer by `--enable/disable-admission-plugins`.

    Raises ValueError for a name that is no plugin.
    """
    return Chain(())
