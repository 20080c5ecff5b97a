"""One request under way, as the registry sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.requests import DEFAULT_FORMAT, JSON, Format, check_include, negotiate
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.http.messages import Request
from pybernetes.machinery.meta import GroupVersionKind, Resource


class Call:
    """The request, what it asks for, who asks; `warnings` go out with the answer."""

    __slots__ = ("audit_annotations", "clock", "entropy", "format", "info", "query", "request", "user", "warnings")

    PLAIN: ClassVar[Format] = DEFAULT_FORMAT  # compare by identity: the fast path

    def __init__(
        self, request: Request, info: RequestInfo, query: Mapping[str, str], user: User, clock: Clock, entropy: Entropy
    ) -> None:
        self.request = request
        self.info = info
        self.query = query
        self.user = user
        self.clock = clock
        self.entropy = entropy
        self.warnings: list[str] = []
        self.audit_annotations: dict[str, str] = {}  # what admission has to say to the audit log
        self.format: Format = DEFAULT_FORMAT

    def negotiate(self, resource: Resource, *, tables: bool = True) -> None:
        """Read the Accept header; `resource` is what will be answered, `tables`: whether as a Table, too.

        Raises `NotAcceptable`.
        """
        accept = self.request.headers.get("accept", "")
        if accept == JSON:
            return
        binary = "protobuf" in accept and _has_message(resource.gvk)
        self.format = negotiate(accept, binary=binary or "protobuf" not in accept, tables=tables)
        if self.format.shape == "table":
            check_include(self.include)

    @property
    def include(self) -> str:
        """What a Table's rows carry of their objects: None, Metadata (default), Object."""
        return self.query.get("includeObject", "Metadata")

    @property
    def dry_run(self) -> bool:
        return "dryRun" in self.query and bool(self.query["dryRun"])

    def now(self) -> datetime:
        return self.clock.now()


def _has_message(gvk: GroupVersionKind) -> bool:
    from pybernetes.machinery.protobuf_encoding import can_encode  # its tables take a while to load

    return can_encode(gvk)
