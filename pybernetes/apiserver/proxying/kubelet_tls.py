"""Our side of TLS with kubelets, which follows its files."""

from __future__ import annotations

import ssl

from pybernetes.apiserver.proxying.targets import Kubelets
from pybernetes.machinery.files import FollowedFiles
from pybernetes.machinery.http.tls import authority_files, certificate_files, load_authorities, load_certificate


class KubeletTls:
    """Shows them our client certificate, and verifies theirs where an authority is given; else they are taken on trust."""

    def __init__(self, kubelets: Kubelets) -> None:
        """Raises OSError for files that are of no use."""
        self._authority = authority_files(kubelets.certificate_authority) if kubelets.certificate_authority else None
        self._certificate = certificate_files(kubelets.certificate, kubelets.key) if kubelets.certificate else None
        self._generations = self._look()
        self._context = self._made()

    def context(self) -> ssl.SSLContext:
        """For further connections; another one when the files have changed."""
        generations = self._look()
        if generations != self._generations:
            self._context, self._generations = self._made(), generations
        return self._context

    def _look(self) -> tuple[int, int]:
        return _generation(self._authority), _generation(self._certificate)

    def _made(self) -> ssl.SSLContext:
        context = unverified_context()
        if self._authority is not None:
            context.check_hostname, context.verify_mode = True, ssl.CERT_REQUIRED
            load_authorities(context, *self._authority.content)
        if self._certificate is not None:
            load_certificate(context, *self._certificate.content)
        return context


def _generation(files: FollowedFiles | None) -> int:
    return files.look() if files is not None else 0


def unverified_context() -> ssl.SSLContext:
    """Takes any server at its word, and shows nothing of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
