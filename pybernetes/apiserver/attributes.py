"""What is known of a request before it is served: who asks, for what (upstream: `user.Info`, `RequestInfo`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pybernetes.machinery.meta import Object

ANONYMOUS = "system:anonymous"
ALL_AUTHENTICATED = "system:authenticated"
ALL_UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class User:
    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def info(self) -> Object:
        """`UserInfo` of the API, without what is empty."""
        info: Object = {"username": self.name} if self.name else {}
        if self.uid:
            info["uid"] = self.uid
        if self.groups:
            info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info


@dataclass(slots=True, unsafe_hash=True)
class RequestInfo:
    """A request's verb and target. For a path that names no resource only `verb` (the lower-case method) and `path` count.

    Never altered: it is shared. (Not frozen, which would make it three times as expensive, and each request makes one.)
    """

    verb: str  # get, list, watch, create, update, patch, delete, deletecollection, or the lower-case method
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""  # plural
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    label_selector: str = ""  # raw, of list, watch and deletecollection: KEP-4601
    field_selector: str = ""
